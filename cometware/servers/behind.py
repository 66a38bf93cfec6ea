"""What stands behind the wrappers of others: an agent or a middleware that wraps `start_response` or `wsgi.input` still holds
what it wraps, in a closure, a partial, a bound method or an attribute."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import BuiltinMethodType, CellType, FunctionType, MethodType
from typing import Any

_MOST = 200
"""Objects that are looked at: wrappers are few and shallow, while an application behind one of them is not."""
_PLAIN = (str, bytes, int, float, bool, type(None), type)


def behind(outermost: Any, is_wanted: Callable[[Any], bool]) -> Any | None:
    """Find the nearest object behind wrappers, or the outermost itself; None if there is none near."""
    waiting, seen = deque([outermost]), {id(outermost)}
    for _ in range(_MOST):
        if not waiting:
            return None
        found = waiting.popleft()
        with suppress(Exception):  # a proxy object may refuse to be looked at
            if is_wanted(found):
                return found
        for inner in _held_by(found):
            if id(inner) not in seen and not isinstance(inner, _PLAIN):
                seen.add(id(inner))
                waiting.append(inner)
    return None


def _held_by(wrapper: Any) -> Iterator[Any]:
    if isinstance(wrapper, MethodType | BuiltinMethodType):
        yield wrapper.__self__
    elif isinstance(wrapper, FunctionType):
        yield from map(_content, wrapper.__closure__ or ())
        yield from (*(wrapper.__defaults__ or ()), *(wrapper.__kwdefaults__ or {}).values())
        yield from vars(wrapper).values()
    elif isinstance(wrapper, partial):
        yield from (wrapper.func, *wrapper.args, *wrapper.keywords.values())
    elif not isinstance(wrapper, dict | list | tuple | set):
        yield from getattr(wrapper, "__dict__", {}).values()
        for cls in type(wrapper).__mro__:
            slots = cls.__dict__.get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                with suppress(Exception):
                    yield getattr(wrapper, name)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # an empty cell
