from tests.contract.transport_contract import TransportContract
from tests.live.clients import EventStream, LongPoll, PlainPoll, Stream, WebSocket


class TestWebSocket(TransportContract):
    transport = WebSocket


class TestEventStream(TransportContract):
    transport = EventStream


class TestStream(TransportContract):
    transport = Stream


class TestLongPoll(TransportContract):
    transport = LongPoll


class TestPlainPoll(TransportContract):
    transport = PlainPoll
