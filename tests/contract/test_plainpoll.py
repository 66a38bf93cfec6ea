from tests.contract.transport_contract import TransportContract
from tests.live.clients import PlainPoll


class TestPlainPoll(TransportContract):
    transport = PlainPoll
