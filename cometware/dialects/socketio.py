"""Socket.IO, protocols 4 (clients 1 and 2, on Engine.IO 3) and 5 (clients 3 and 4, on Engine.IO 4): events on namespaces.

Each packet of it is an Engine.IO message, so its text begins with `4` on the wire; what is read here comes without.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from cometware.core.data import Args, Data, dumps, parse
from cometware.core.entry import Entry, Message, Position
from cometware.core.events import Close, Event
from cometware.core.framing import Frame
from cometware.core.text import shown, told
from cometware.dialects import engineio
from cometware.dialects.base import ANY_NUMBER, Shape, Silent
from cometware.errors import BadFrame

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)

ROOT = "/"
MAX_ATTACHMENTS = 10
"""How many binary values one packet may have, as with the parsers of today's clients."""

RESERVED = {
    4: frozenset(
        {"connect", "connect_error", "connect_timeout", "connecting", "disconnect", "error", "ping", "pong"}
        | {"reconnect", "reconnect_attempt", "reconnect_failed", "reconnect_error", "reconnecting"}
    ),
    5: frozenset({"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}),
}
"""Names of the clients' own life-cycle, by protocol: an event of such a name would end or mislead them."""

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Packet(NamedTuple):
    """`id` is the number under which an acknowledgement is asked for, or given. `args` is what JSON the type has."""

    type: int
    namespace: str = ROOT
    args: Any = None
    id: int | None = None


class Reader:
    """Puts the packets of one connection together: a header, and the attachments that follow it."""

    __slots__ = ("_attachments", "_header", "_left_bytes", "_max_bytes", "_missing", "protocol")

    def __init__(self, protocol: int, max_bytes: int) -> None:
        """Of a packet with attachments, at most `max_bytes` are kept in all."""
        self.protocol = protocol
        self._max_bytes = max_bytes
        self._left_bytes = 0
        self._header: Packet | None = None
        self._missing = 0
        self._attachments: list[bytes] = []

    def receive(self, message: str | bytes) -> Packet | None:
        """Take one message; return a packet if one is whole now.

        Raises:
            BadFrame: It is not what the protocol allows here.
        """
        if isinstance(message, str):
            if self._header is not None:
                raise _bad(f"expected {self._missing} more attachments, got a text")
            packet, self._missing = read_packet(message, self.protocol)
            if not self._missing:
                return packet
            self._header, self._left_bytes = packet, self._max_bytes - len(message)
            return None
        if self._header is None:
            raise _bad("expected a packet, got an attachment that belongs to none")
        self._left_bytes -= len(message)
        if self._left_bytes < 0:
            raise BadFrame("size", f"a packet with attachments of more than {self._max_bytes} bytes in all")
        self._attachments.append(message)
        self._missing -= 1
        if self._missing:
            return None
        header, attachments = self._header, self._attachments
        self._header, self._attachments = None, []
        try:
            return header._replace(args=_filled(header.args, attachments))
        except RecursionError:
            raise _bad("JSON that is nested too deeply") from None


_ATTACHMENTS = re.compile("([0-9]{1,4})-")
_ID = re.compile("[0-9]{1,15}")


def read_packet(text: str, protocol: int) -> tuple[Packet, int]:
    """Read a packet's text: the packet, and how many attachments are to follow.

    Raises:
        BadFrame: It is none.
    """
    if text[:1] not in _TYPES or not text:
        raise _bad(f"expected a type from 0 to 6, got {shown(text, 40)!r}")
    kind, at, attachments = int(text[0]), 1, 0
    if kind in (BINARY_EVENT, BINARY_ACK):
        count = _ATTACHMENTS.match(text, at)
        if count is None or not 0 < int(count[1]) <= MAX_ATTACHMENTS:
            raise _bad(f"expected 1 to {MAX_ATTACHMENTS} attachments and a hyphen, got {shown(text, 40)!r}")
        attachments, at = int(count[1]), count.end()
    namespace = ROOT
    if text[at : at + 1] == "/":
        end = text.find(",", at)
        end = len(text) if end < 0 else end
        namespace, at = text[at:end], end + 1
    id = _ID.match(text, at)
    if id is not None:
        at = id.end()
    args = _json(text[at:]) if at < len(text) else None
    kind = {BINARY_EVENT: EVENT, BINARY_ACK: ACK}.get(kind, kind)
    _check(kind, args, protocol)
    return Packet(kind, namespace, args, int(id[0]) if id is not None else None), attachments


_TYPES = frozenset("0123456")


def _json(text: str) -> Any:
    try:
        return parse(text)
    except RecursionError:
        raise _bad("JSON that is nested too deeply") from None
    except ValueError as error:
        raise _bad(f"expected JSON, got {shown(text, 80)!r}: {error}") from None


def _check(kind: int, args: Any, protocol: int) -> None:
    if kind == CONNECT:
        good = args is None or (protocol == 5 and isinstance(args, dict))
    elif kind == DISCONNECT:
        good = args is None
    elif kind == EVENT:
        good = isinstance(args, list) and bool(args) and _is_name(args[0])
        if good and protocol == 5 and args[0] in RESERVED[5]:
            raise _bad(f"the event {args[0]!r} is reserved for the client's own life-cycle")
    else:
        good = isinstance(args, list) if kind == ACK else isinstance(args, str | dict)
    if not good:
        raise _bad(f"a packet of type {kind} cannot carry {told(args, 80)}")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool))


def _filled(value: Any, attachments: list[Any]) -> Any:
    """Put the attachments where their placeholders are: each in one place, since copies would cost their sender nothing."""
    if isinstance(value, list):
        return [_filled(item, attachments) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("_placeholder") is True:
        index = value.get("num")
        if type(index) is not int or not 0 <= index < len(attachments):
            raise _bad(f"a placeholder for the attachment {told(index, 40)}, of {len(attachments)}")
        attachment, attachments[index] = attachments[index], None
        if attachment is None:
            raise _bad(f"a second placeholder for the attachment {index}")
        return attachment
    return {key: _filled(item, attachments) for key, item in value.items()}


def data_of(args: list[Any]) -> Data:
    """Return the arguments of an event or an acknowledgement as a message's data: several are `Args`, none is None."""
    if len(args) == 1:
        return args[0]
    return Args(args) if args else None


def _bad(message: str) -> BadFrame:
    return BadFrame("packet", message)


# Writing


def connected(namespace: str, answer: Mapping[str, str] | None) -> Frame:
    """Write the answer to a CONNECT. `answer` is what protocol 5 is told: its `sid`, and perhaps its `pid`."""
    return Frame(f"40{_prefix(namespace)}{'' if answer is None else _dumps(answer)}")


def refused(namespace: str, protocol: int, message: str, data: Any = None) -> Frame:
    """Write why a client may not connect to a namespace."""
    if protocol == 4:
        return Frame(f"44{_prefix(namespace)}{dumps(message if data is None else data)}")
    details = {"message": message} if data is None else {"message": message, "data": data}
    return Frame(f"44{_prefix(namespace)}{dumps(details)}")


def disconnected(namespace: str) -> Frame:
    return Frame("41" + _prefix(namespace))


def _prefix(namespace: str) -> str:
    return "" if namespace == ROOT else namespace + ","


def _packet(namespace: str, kind: int, id: str, args: list[Any]) -> list[Frame]:
    """Write a packet, with its bytes in attachments behind it."""
    attachments: list[bytes] = []
    text = dumps(_emptied(args, attachments))
    return _framed(namespace, kind, id, text, attachments)


def _framed(namespace: str, kind: int, id: str, text: str, attachments: list[bytes]) -> list[Frame]:
    prefix = _prefix(namespace)
    if not attachments:
        return [Frame(f"4{kind}{prefix}{id}{text}")]
    binary = BINARY_EVENT if kind == EVENT else BINARY_ACK
    return [Frame(f"4{binary}{len(attachments)}-{prefix}{id}{text}"), *map(Frame, attachments)]


_TAG = re.compile(r'\{"\$+(?:bytes|args)":')
"""An object that may stand for something else. In a text of JSON, `{"$` is nowhere but at an object's beginning."""
_BYTES = re.compile(r'\{"\$bytes":"([A-Za-z0-9+/]*={0,2})"\}')


def _emptied_text(text: str) -> tuple[str, list[bytes]]:
    """Replace bytes by placeholders in JSON text: what else is in it need not be read for that, however much it is."""
    attachments: list[bytes] = []

    def replace(found: re.Match[str]) -> str:
        attachments.append(base64.b64decode(found[1], validate=True))
        return f'{{"_placeholder":true,"num":{len(attachments) - 1}}}'

    return _BYTES.sub(replace, text), attachments


def _emptied(value: Any, attachments: list[bytes]) -> Any:
    """Replace bytes by placeholders, depth first."""
    if isinstance(value, bytes | bytearray | memoryview):
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}
    if isinstance(value, list | tuple):
        return [_emptied(item, attachments) for item in value]
    if isinstance(value, dict):
        return {key: _emptied(item, attachments) for key, item in value.items()}
    return value


_OPENING = '{"$args":['


def _is_several(text: str) -> bool:
    """Is this JSON several arguments, and no object that has other members beside?"""
    if not (text.startswith(_OPENING) and text.endswith("]}")):
        return False
    return '],"' not in text or json.JSONDecoder().raw_decode(text, len(_OPENING) - 1)[1] == len(text) - 1


def _arguments(message: Message) -> str:
    """Return the arguments as they stand in a message's JSON, however deep."""
    text = message.json
    if _is_several(text):
        text = text[10:-2]
    return f'{{"error":{text}}}' if message.kind == "error" else text


def _decoded(entry: Entry) -> list[Any]:
    data = entry.data
    if entry.message.kind == "error":
        return [{"error": data}]
    return list(data) if isinstance(data, Args) else [data]


class SocketIO(Silent):
    """One namespace as its clients hear it. With `offsets`, each event has its position as its last argument (recovery)."""

    name = "socketio"

    def __init__(self, namespace: str, protocol: int, *, offsets: bool = False) -> None:
        self.namespace = namespace
        self.protocol = protocol
        self._offsets = offsets
        self._event = f"42{_prefix(namespace)}"
        self._message = f'{self._event}["message",'

    def entries(self, entries: Iterable[Entry]) -> list[Frame]:
        frames: list[Frame] = []
        for entry in entries:
            message = entry.message
            if message.kind or '"$' in message.json:
                frames += self._slowly(entry)
            elif message.event == "message":
                frames.append(Frame(f"{self._message}{message.json}{self._end(entry.position)}"))
            elif message.event not in RESERVED[self.protocol]:
                frames.append(Frame(f"{self._event}[{_dumps(message.event)},{message.json}{self._end(entry.position)}"))
        return frames

    def _end(self, position: Position) -> str:
        return f',"{position}"]' if self._offsets else "]"

    def _slowly(self, entry: Entry) -> list[Frame]:
        """Write what is more than an event with one JSON argument: bytes, several arguments, acknowledgements."""
        message = entry.message
        is_answer = message.kind in ("reply", "error")
        if not is_answer and message.event in RESERVED[self.protocol]:
            return []
        before = [] if is_answer else [message.event]
        offset = [str(entry.position)] if self._offsets and not message.kind else []
        id = str(message.number) if message.kind else ""
        kind = ACK if is_answer else EVENT
        text = _arguments(message)
        attachments: list[bytes] = []
        if '"$' in text and _TAG.search(text):
            text, attachments = _emptied_text(text)
            if _TAG.search(text):
                return _packet(self.namespace, kind, id, [*before, *_decoded(entry), *offset])
        texts = [*map(_dumps, before), *([text] if text else []), *map(_dumps, offset)]
        return _framed(self.namespace, kind, id, f"[{','.join(texts)}]", attachments)

    def receive(self, body: str | bytes, most: int = ANY_NUMBER) -> list[Event]:
        raise NotImplementedError("packets are put together by a Reader, for all namespaces of a connection")

    def close(self, close: Close) -> list[Frame]:
        return [disconnected(self.namespace)]


@cache
def shape(namespace: str, version: int, transport: str, *, base64: bool, offsets: bool) -> Shape:
    """Return how a namespace is written for clients of an Engine.IO version on a transport."""
    dialect = SocketIO(namespace, version + 1, offsets=offsets)
    return Shape(transport, dialect, engineio.writer(version, transport, base64=base64))


def auth_of(query: str) -> dict[str, str]:
    """Read what a client of protocol 4 has in the place of `auth`: a query behind the namespace's name."""
    return dict(parse_qsl(query, keep_blank_values=True))
