"""The channel's own protocol: one JSON object says one thing. `docs/protocol.md` has it byte by byte."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from cometware.core.data import may_be_tagged, parse, untagged
from cometware.core.entry import RESERVED, Entry, Position
from cometware.core.events import Close, Event, Left, Pinged, Received
from cometware.core.framing import Frame
from cometware.core.text import shown, told
from cometware.dialects.base import ANY_NUMBER, Greeting, check_number
from cometware.errors import BadFrame

_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

MAX_NUMBER = 2**53 - 1
"""The greatest integer that JavaScript counts to."""


class Native:
    """Stateless, so one instance serves every connection."""

    name = "native"

    def entries(self, entries: Iterable[Entry]) -> list[Frame]:
        return [_entry(entry) for entry in entries]

    def greeting(self, greeting: Greeting) -> list[Frame]:
        position = str(greeting.position)
        opening = {
            "client": greeting.client,
            "position": position,
            "accepted": greeting.accepted,
            "heartbeat": greeting.heartbeat_seconds,
            "limits": greeting.limits,
            "server": greeting.server,
            "recovered": greeting.recovered,
        }
        return [Frame(_dumps({"open": opening}), id=position)]

    def heartbeat(self, position: Position) -> list[Frame]:
        return [Frame(f'{{"ping":"{position}"}}', id=str(position))]

    def accepted(self, number: int) -> list[Frame]:
        return [Frame(f'{{"accepted":{number}}}')]

    def error(self, code: str, message: str, details: Mapping[str, object]) -> list[Frame]:
        return [Frame(_dumps({"error": {"code": code, "message": message, **details}}))]

    def reset(self, reason: str, position: Position) -> list[Frame]:
        return [Frame(_dumps({"reset": {"reason": reason, "position": str(position)}}), id=str(position))]

    def reconnect(self, wait_seconds: float) -> list[Frame]:
        return [Frame(_dumps({"reconnect": {"wait_seconds": wait_seconds}}))]

    def close(self, close: Close) -> list[Frame]:
        return [Frame(_dumps({"close": {"code": close.code, "reason": close.reason}}))]

    def receive(self, body: str | bytes, most: int = ANY_NUMBER) -> list[Event]:
        """Understand one message, or an array of them: all are taken or none."""
        try:
            text = body if isinstance(body, str) else body.decode()
            shape, tagged = parse(text), may_be_tagged(text)
            if not isinstance(shape, list):
                return [_event(shape, tagged)]
            check_number(len(shape), most)
            return [_event(item, tagged) for item in shape]
        except RecursionError:
            raise BadFrame("json", "nested too deeply") from None
        except ValueError as error:
            raise BadFrame("json", f"expected JSON, got {shown(_text(body), 80)}: {error}") from None


def _entry(entry: Entry) -> Frame:
    position, message = entry
    if message.kind == "reply":
        body = f'{{"id":"{position}","reply":{message.number},"data":{message.json}}}'
    elif message.kind == "error":
        body = f'{{"id":"{position}","reply":{message.number},"error":{message.json}}}'
    elif message.event == "message":
        body = f'{{"id":"{position}","event":"message","data":{message.json}}}'
    else:
        body = f'{{"id":"{position}","event":{_dumps(message.event)},"data":{message.json}}}'
    return Frame(body, id=str(position))


def _event(shape: Any, tagged: bool) -> Event:
    if not isinstance(shape, dict):
        raise BadFrame("shape", f'expected an object like {{"n": 1, "data": …}}, got {told(shape, 80)}')
    if "data" not in shape and "event" not in shape:
        if "ping" in shape:
            return Pinged()
        if "close" in shape:
            return Left(_patience(shape["close"]))
        raise BadFrame("shape", f"expected data, event, ping or close, got only {shown(', '.join(shape), 80)}")
    number = shape.get("n")
    if number is not None and not (type(number) is int and 1 <= number <= MAX_NUMBER):
        raise BadFrame("shape", f"n: expected a whole number from 1 to {MAX_NUMBER}, got {told(number, 40)}")
    event = shape.get("event", "message")
    if not isinstance(event, str) or not 0 < len(event) <= 256:
        raise BadFrame("shape", f"event: expected 1 to 256 characters, got {told(event, 80)}")
    if event in RESERVED:
        raise BadFrame("shape", f"event: {event!r} is reserved for the client's own life-cycle")
    asks = shape.get("reply", False)
    if not isinstance(asks, bool):
        raise BadFrame("shape", f"reply: expected true or false, got {told(asks, 40)}")
    if asks and number is None:
        raise BadFrame("shape", "reply: a message that asks for a reply needs its number n")
    try:
        data = untagged(shape.get("data")) if tagged else shape.get("data")
    except ValueError as error:
        raise BadFrame("shape", f"data: {error}") from None
    return Received(event, data, number, asks)


def _patience(how: Any) -> float:
    """How many seconds does a goodbye ask to wait for its client?"""
    wait: Any = how.get("wait", 0) if isinstance(how, dict) else 0
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not wait >= 0:
        raise BadFrame("shape", f"close.wait: expected a number of seconds, 0 or more, got {told(wait, 40)}")
    return wait


def _text(body: str | bytes) -> str:
    return body if isinstance(body, str) else body.decode("utf-8", "replace")


NATIVE = Native()
