from tests.contract.transport_contract import TransportContract
from tests.live.clients import WebSocket


class TestWebSocket(TransportContract):
    transport = WebSocket
