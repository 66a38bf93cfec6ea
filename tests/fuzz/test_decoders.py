"""What a stranger sends is understood, or refused in the one way that its reader documents; nothing else ever comes out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import create_environ

from cometware import Channel, Limits
from cometware.core import data as _data
from cometware.core.entry import Entry, Message, Position
from cometware.core.events import Left, Pinged, Received
from cometware.core.framing import Frame
from cometware.core.negotiation import Asked, Facts, NotNegotiable, negotiate
from cometware.core.origin import Verdict, judge
from cometware.core.request import BadHead, Head, parse
from cometware.core.text import is_length, shown
from cometware.dialects import engineio, shapes, socketio, sockjs
from cometware.dialects.native import NATIVE
from cometware.dialects.plain import PLAIN
from cometware.endpoint.answers import query_of
from cometware.endpoint.publishing import publish
from cometware.errors import BadFrame
from cometware.hooks import Actions, understand
from tests.fuzz import mutations
from tests.fuzz.mutations import mutated

MOST = 50
CHANNEL = Channel(limits=Limits(max_waiting_messages=MOST))
HEADS = [
    b"GET /comet?after=a-7&key=abcdefghijklmnopqrstuv HTTP/1.1\r\nHost: a:8000\r\nCookie: a=b\r\nAccept: */*\r\n\r\n",
    b"POST /comet HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n",
    b"POST /comet HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
]


def text(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def check_can_be_shown(events: list[Any]) -> None:
    """Whatever was taken may be published: then every dialect has to write it, for everybody."""
    for event in events:
        assert isinstance(event, Received | Pinged | Left)
        if not isinstance(event, Received):
            continue
        try:
            message = Message(event.event, _data.encode(event.data))
        except ValueError:
            continue  # told to the handler that publishes it
        entry = Entry(Position("a", 1), message)
        assert _data.encode(entry.data) == message.json
        written = [socketio.shape("/", version, "poll", base64=True, offsets=False) for version in (3, 4)]
        for shape in (shapes.NATIVE_POLL, shapes.SOCKJS_XHR, *written):
            assert isinstance(shape.share([entry]), bytes)
        PLAIN.entries([entry])


@given(mutated(mutations.NATIVE), st.booleans())
def test_native_shapes(body: bytes, is_text: bool) -> None:
    try:
        events = NATIVE.receive(text(body) if is_text else body, MOST)
    except BadFrame as error:
        assert error.code in ("json", "shape", "many")
        json.dumps(NATIVE.error(error.code, error.message, error.details)[0].body)
    else:
        assert len(events) <= MOST
        check_can_be_shown(events)


@given(mutated(mutations.SOCKJS + mutations.FORMS), st.sampled_from(["", "application/x-www-form-urlencoded"]))
def test_messages_of_sockjs(body: bytes, kind: str) -> None:
    for read in (lambda: sockjs.posted(body, kind, MOST), lambda: sockjs.received(text(body), MOST)):
        try:
            check_can_be_shown(list(read()))
        except BadFrame as error:
            assert error.code in ("json", "payload", "many")


@given(mutated([b"/000/session/xhr", b"/a/b/websocket", b"/iframe-1.html", b"/info"]))
def test_addresses_of_sockjs(path: bytes) -> None:
    found = sockjs.session(path.decode("latin-1"))
    assert found is None or sockjs.key_of(found[0]).startswith("sockjs ")
    sockjs.is_page(path.decode("latin-1"))
    assert isinstance(sockjs.explained(path.decode("latin-1")), str)


@pytest.mark.parametrize(("version", "binary"), [(4, False), (3, False), (3, True)])
@given(body=mutated(mutations.ENGINE[4] + mutations.ENGINE[3] + mutations.BINARY + mutations.FORMS))
def test_payloads_of_engine_io(version: int, binary: bool, body: bytes) -> None:
    reader = socketio.Reader(version + 1, 10_000)
    try:
        for packet in engineio.Payload(body, version, binary=binary, most=MOST):
            assert 0 <= packet.type <= 6
            if packet.type == engineio.MESSAGE:
                read_socketio(reader, packet.data)
    except BadFrame as error:
        assert error.code in ("packet", "size", "many")
    assert isinstance(engineio.read_form(text(body)), bytes)


def read_socketio(reader: socketio.Reader, message: str | bytes) -> None:
    packet = reader.receive(message)
    if packet is not None and packet.type == socketio.EVENT:
        check_can_be_shown([Received(str(packet.args[0])[:256] or "a", socketio.data_of(packet.args[1:]))])


@pytest.mark.parametrize("protocol", [4, 5])
@given(messages=st.lists(mutated(mutations.SOCKETIO), min_size=1, max_size=3), is_text=st.booleans())
def test_packets_of_socket_io(protocol: int, messages: list[bytes], is_text: bool) -> None:
    reader = socketio.Reader(protocol, 10_000)
    for index, message in enumerate(messages):
        try:
            read_socketio(reader, text(message) if is_text or not index else message)
        except BadFrame as error:
            assert error.code in ("packet", "size")
            return


@given(mutated(mutations.NATIVE + mutations.SOCKJS))
def test_data(body: bytes) -> None:
    try:
        value = _data.decode(text(body))
    except ValueError:
        return
    try:
        written = _data.encode(value)
    except ValueError as error:
        assert "levels deep" in str(error) or "recursion" in str(error), error
        return
    assert _data.encode(_data.decode(written)) == written
    assert isinstance(Frame(written).body, str)


@given(mutated(mutations.HOOK_ANSWERS), st.sampled_from(["application/json", "text/html", "x+json"]))
def test_answers_of_hooks(body: bytes, kind: str) -> None:
    try:
        assert isinstance(understand(body, kind), Actions)
    except ValueError as error:
        assert str(error)


@given(
    query=mutated([b"transport=sse&v=1&last=5&wait=2.5&after=a-7", b"key=abcdefghijklmnopqrstuv&callback=f&accepted=1"]),
    headers=st.lists(mutated(mutations.HEADERS), min_size=5, max_size=5),
    method=st.sampled_from(["GET", "POST", "PUT"]),
)
def test_what_a_request_asks_for(query: bytes, headers: list[bytes], method: str) -> None:
    kind, upgrade, key, last, protocols = [header.decode("latin-1") for header in headers]
    options = query_of({"QUERY_STRING": query.decode("latin-1")})
    offered = [name.strip() for name in protocols.split(",")]
    asked = Facts(method, "application/json", kind, upgrade, upgrade, None, offered, key or None, last or None, options)
    try:
        found = negotiate(asked)
    except NotNegotiable as refused:
        assert 400 <= refused.status < 500
    else:
        assert isinstance(found, Asked) and 0 <= found.last < 10**9


@given(st.lists(mutated(mutations.HEADERS), min_size=3, max_size=3), st.sampled_from([(), ("*",), ("https://*.example",)]))
def test_whose_page_it_is(headers: list[bytes], allowed: tuple[str, ...]) -> None:
    origin, host, referer = [header.decode("latin-1") for header in headers]
    for fetch_site in (None, "cross-site", "same-origin"):
        for page in (None, origin):
            verdict = judge(
                origin=page,
                host=host,
                fetch_site=fetch_site,
                referer=referer,
                has_credentials=True,
                allowed_origins=allowed,
            )
            assert isinstance(verdict, Verdict)


@given(mutated(HEADS))
def test_heads_of_requests(head: bytes) -> None:
    end = head.find(b"\r\n\r\n") + 4
    try:
        found = parse(head[:end] if end > 3 else head + b"\r\n\r\n", 100)
    except BadHead as error:
        assert error.status[0] in "45" and error.why
    else:
        assert isinstance(found, Head) and (found.length is None or found.length >= 0)


@given(mutated(mutations.NUMBERS))
def test_lengths(length: bytes) -> None:
    written = length.decode("latin-1")
    assert not is_length(written) or int(written) >= 0
    assert shown(written).isprintable()


@given(mutated(mutations.PUBLISH))
def test_what_is_to_be_published(body: bytes) -> None:
    environ = create_environ(method="POST", data=body)
    response = publish(CHANNEL, environ)
    assert response.status_code in (200, 400, 413), response.get_data()
    assert json.loads(response.get_data()) is not None
