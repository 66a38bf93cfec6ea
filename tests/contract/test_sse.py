from tests.contract.transport_contract import TransportContract
from tests.live.clients import EventStream


class TestEventStream(TransportContract):
    transport = EventStream
