from tests.contract.transport_contract import TransportContract
from tests.live.clients import Stream


class TestStream(TransportContract):
    transport = Stream
