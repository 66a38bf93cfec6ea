"""What a message may carry, as JSON text and back: a JSON tree whose leaves may also be bytes.

Bytes are written `{"$bytes": "<base64>"}`, several arguments `{"$args": […]}`. A user's own object that looks like one of
these gets one more `$` in front of its key, so that every tree survives the way there and back.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeAlias

from cometware.core import pieces
from cometware.core.pacing import PACE, Pace

Data: TypeAlias = Any
"""None, bool, int, float, str, bytes, list, tuple (it becomes a list), dict with str keys; or `Args` of these."""

MAX_DEPTH = 100
"""Levels of data that has to be read again to be written for some clients: it must not be too deep in the middle of that."""
_TAG = re.compile(r"\$+(?:bytes|args)\Z")


class Args(tuple[Any, ...]):
    """Several arguments of one event (Socket.IO sends `emit("move", x, y)`), as one value: the whole data of a message.

    >>> Args([1, 2])
    Args(1, 2)
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Args({', '.join(map(repr, self))})"


def encode(data: Data) -> str:
    """Write a message's data as JSON text.

    Raises:
        ValueError: JSON cannot hold it (NaN, a set, an object of yours); says which.
    """
    try:
        text = dumps(data)
        if '"$' in text:
            text = dumps(_Tagging(PACE.get()).tagged(data, MAX_DEPTH))
        if isinstance(data, Args):
            text = f'{{"$args":{text}}}'
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"a message's data must be JSON or bytes (None, bool, int, float, str, bytes, list, dict): {error}"
        ) from None
    return text


def decode(text: str) -> Data:
    """Read what `encode` wrote.

    Raises:
        ValueError: It is not JSON, or a tagged object is malformed.
    """
    try:
        data = parse(text)
        return untagged(data) if may_be_tagged(text) else data
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def parse(text: str) -> Any:
    """Read JSON as RFC 8259 has it: without NaN, and without numbers that only infinity could stand for.

    A large text is read in pieces, if this greenlet has a pace.

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested too deeply.
    """
    if len(text) > pieces.LARGE:
        pace = PACE.get()
        if pace is not None:
            return pieces.read(text, _parse, pace)
    return _parse(text)


def may_be_tagged(text: str) -> bool:
    """May there be tagged objects in this JSON text? If not, `untagged` need not look for them."""
    return '"$' in text or '"\\u0024' in text


def untagged(data: Data) -> Data:
    """Turn the tagged objects of a decoded JSON tree into what they stand for.

    Raises:
        ValueError: One is malformed.
        RecursionError: It is nested too deeply.
    """
    return _Tagging(PACE.get()).untagged(data) if isinstance(data, list | dict) else data


_NODES = 1000
"""Values of a tree that are looked at in one go."""


class _Tagging:
    """The way through a tree, at a pace if there is one."""

    def __init__(self, pace: Pace | None) -> None:
        self._pace = pace
        self._left = _NODES

    def _count(self) -> None:
        self._left -= 1
        if not self._left:
            self._left = _NODES
            if self._pace is not None:
                self._pace()

    def untagged(self, data: Data) -> Data:
        self._count()
        if isinstance(data, list):
            return [self.untagged(item) for item in data]
        if not isinstance(data, dict):
            return data
        if len(data) == 1:
            ((key, value),) = data.items()
            if key == "$bytes":
                return _bytes(value)
            if key == "$args":
                if not isinstance(value, list):
                    raise ValueError(f"$args: expected an array, got {type(value).__name__}")
                return Args(self.untagged(item) for item in value)
            if _TAG.match(key):
                return {key[1:]: self.untagged(value)}
        return {key: self.untagged(value) for key, value in data.items()}

    def tagged(self, data: Data, levels: int) -> Data:
        self._count()
        if not levels:
            raise ValueError(f"bytes, or keys that begin with $, in data that is nested over {MAX_DEPTH} levels deep")
        if isinstance(data, list | tuple):
            return [self.tagged(item, levels - 1) for item in data]
        if isinstance(data, dict):
            if len(data) == 1:
                ((key, value),) = data.items()
                if isinstance(key, str) and _TAG.match(key):
                    return {"$" + key: self.tagged(value, levels - 1)}
            return {key: self.tagged(value, levels - 1) for key, value in data.items()}
        return data


def _bytes(value: Data) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"$bytes: expected a string of base64, got {type(value).__name__}")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"$bytes: not base64: {error}") from None


def _default(value: object) -> Data:
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$bytes": base64.b64encode(value).decode("ascii")}
    raise TypeError(f"{type(value).__module__}.{type(value).__qualname__} is none of these")


_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default).encode
_ascii = json.JSONEncoder(ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=_default).encode


def dumps(data: Data) -> str:
    """Write JSON that UTF-8 can carry; what is large in pieces, if this greenlet has a pace."""
    text = _written(data, _compact)
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JavaScript strings may hold: UTF-8 cannot, an escape can
        return _written(data, _ascii)
    return text


def _written(data: Data, dump: Callable[[Data], str]) -> str:
    if isinstance(data, list | dict | tuple):
        pace = PACE.get()
        if pace is not None and pieces.is_large(data):
            return pieces.write(data, dump, pace)
    return dump(data)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is beyond every number")
    return number


def _refuse_constant(name: str) -> Data:
    raise ValueError(f"{name} is not JSON")


_parse = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse_constant).decode
