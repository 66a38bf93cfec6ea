from tests.contract.transport_contract import TransportContract
from tests.live.clients import LongPoll


class TestLongPoll(TransportContract):
    transport = LongPoll
