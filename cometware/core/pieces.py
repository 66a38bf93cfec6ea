"""Large JSON in pieces: each is read or written in C, and between two of them others may have their turn.

Rule: what comes out is what the whole would have given. No piece has more than `TOKENS` brackets, commas and strings.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from json import decoder
from typing import Any

from cometware.core.pacing import Pace

LARGE = 16 * 1024
"""Characters; what is shorter is read in one go."""
TOKENS = 2048
_CHARACTERS = 64 * 1024
_MAX_DEPTH = 900
_BLANK = " \t\n\r"
_TOKEN = re.compile(r'[\[\]{},]|"[^"\\]*"?')
_scan_string: Callable[[str, int, bool], tuple[str, int]] = vars(decoder)["scanstring"]
_BEGINNING = re.compile(r"[ \t\n\r]*([\[{])")


class _Open:
    """An array or object whose end has not been read.

    `value` is None until a piece of it had to be read. `start` is where what is not read yet begins, `cut` the last comma of
    its own behind that (-1: none), `follows` whether an element of `value` ends at `start`.
    """

    __slots__ = ("cut", "follows", "opened", "start", "value")

    def __init__(self, opened: int) -> None:
        self.opened = opened
        self.start = opened + 1
        self.cut = -1
        self.follows = False
        self.value: Any = None


class _Reader:
    def __init__(self, text: str, parse: Callable[[str], Any], pace: Pace) -> None:
        self._text = text
        self._parse = parse
        self._pace = pace
        self._open: list[_Open] = []
        self._begun = 0
        """How many of the open ones have a value."""

    def read(self, at: int) -> Any:
        """Read the array or object that begins here; nothing but blanks may follow."""
        text, stack = self._text, self._open
        tokens, limit = 0, at + _CHARACTERS
        while True:
            for token in _TOKEN.finditer(text, at):
                at = token.start()
                character = text[at]
                if character == ",":
                    stack[-1].cut = at
                elif character == '"':
                    if token.end() - at < 2 or text[token.end() - 1] != '"':
                        _, at = _scan_string(text, at + 1, True)
                        tokens += 1
                        break
                elif character in "[{":
                    if len(stack) >= _MAX_DEPTH:
                        raise RecursionError
                    stack.append(_Open(at))
                else:
                    closed = stack.pop()
                    if closed.value is not None:
                        self._end(closed, at)
                        if not stack:
                            return self._root(closed, at + 1)
                    elif not stack:
                        return self._parse(text)
                tokens += 1
                if tokens >= TOKENS or at > limit:
                    tokens, limit = 0, at + _CHARACTERS
                    self._take()
                    self._pace()
            else:
                raise ValueError("it ends too early")

    def _root(self, closed: _Open, end: int) -> Any:
        if self._text[end:].strip(_BLANK):
            raise ValueError(f"more follows at character {end}")
        return closed.value

    def _end(self, closed: _Open, at: int) -> None:
        if (self._text[at] == "]") is not isinstance(closed.value, list):
            raise ValueError(f"the wrong bracket at character {at}")
        self._add(closed, at, is_last=True)
        self._begun -= 1
        if self._open:
            parent = self._open[-1]
            parent.start, parent.cut, parent.follows = at + 1, -1, True

    def _take(self) -> None:
        """Read what is whole of all that is open, from the outermost one on of which something is not read yet."""
        for depth in range(max(self._begun - 1, 0), len(self._open)):
            one = self._open[depth]
            if one.value is None:
                one.value = [] if self._text[one.opened] == "[" else {}
                if depth:
                    self._attach(self._open[depth - 1], one)
            if one.cut >= 0:
                self._add(one, one.cut, is_last=False)
                one.start, one.cut, one.follows = one.cut + 1, -1, False
        self._begun = len(self._open)

    def _add(self, one: _Open, end: int, *, is_last: bool) -> None:
        """Read the elements up to a comma or the end."""
        piece = self._text[one.start : end].strip(_BLANK)
        if one.follows:
            if not piece:
                return
            if piece[0] != ",":
                raise ValueError(f"expected a comma at character {one.start}")
            piece = piece[1:].strip(_BLANK)
        elif not piece and is_last and one.start == one.opened + 1:
            return
        if not piece:
            raise ValueError(f"expected a value at character {end}")
        if isinstance(one.value, list):
            one.value += self._parse(f"[{piece}]")
        else:
            one.value.update(self._parse(f"{{{piece}}}"))

    def _attach(self, parent: _Open, child: _Open) -> None:
        """Put an open one where it belongs. Its parent has been read up to its last comma."""
        between = self._text[parent.start : child.opened].strip(_BLANK)
        if parent.follows:
            raise ValueError(f"expected a comma at character {parent.start}")
        if isinstance(parent.value, list):
            if between:
                raise ValueError(f"expected a value at character {parent.start}")
            parent.value.append(child.value)
            return
        members = self._parse(f"{{{between}null}}") if between.endswith(":") else {}
        if len(members) != 1:
            raise ValueError(f"expected a name at character {parent.start}")
        ((name, _),) = members.items()
        parent.value[name] = child.value


def read(text: str, parse: Callable[[str], Any], pace: Pace) -> Any:
    """Read JSON text; `parse` reads a piece in one go.

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested too deeply.
    """
    beginning = _BEGINNING.match(text)
    return parse(text) if beginning is None else _Reader(text, parse, pace).read(beginning.start(1))


def write(data: Any, dump: Callable[[Any], str], pace: Pace) -> str:
    """Write data as JSON text; `dump` writes a piece in one go and raises what is wrong with it."""
    texts: list[str] = []
    _write(data, dump, pace, texts)
    return "".join(texts)


def _write(data: Any, dump: Callable[[Any], str], pace: Pace, texts: list[str]) -> None:
    """Gather what is small until it is enough for a piece; what is large is written by its own members."""
    if _size(data) <= TOKENS:
        texts.append(dump(data))
        pace()
        return
    is_dict = isinstance(data, dict)
    texts.append("{" if is_dict else "[")
    comma, few, left = "", [], TOKENS
    for member in data.items() if is_dict else data:
        size = _size(member[1] if is_dict else member)
        if size <= TOKENS:
            few.append(member)
            left -= size
        if few and (size > TOKENS or left <= 0):
            texts += comma, dump(dict(few) if is_dict else few)[1:-1]
            comma, few, left = ",", [], TOKENS
            pace()
        if size > TOKENS:
            texts.append(comma)
            if is_dict:
                texts.append(dump({member[0]: None})[1:-5])
            _write(member[1] if is_dict else member, dump, pace, texts)
            comma = ","
    if few:
        texts += comma, dump(dict(few) if is_dict else few)[1:-1]
    texts.append("}" if is_dict else "]")


def _size(data: Any) -> int:
    """Count the values in this data; over `TOKENS` means many."""
    size = 1
    if isinstance(data, dict | list | tuple):
        stack = [data]
        while stack and size <= TOKENS:
            one = stack.pop()
            size += len(one)
            if size > TOKENS:
                break
            for value in one.values() if isinstance(one, dict) else one:
                if isinstance(value, dict | list | tuple):
                    stack.append(value)
    return size


def is_large(data: Any) -> bool:
    """Does this hold so many values that it is better written in pieces?"""
    return _size(data) > TOKENS
