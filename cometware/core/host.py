"""By which names the channel is asked for: a page whose name an attacker points here (DNS rebinding) is of our own origin."""

from __future__ import annotations

import re
from collections.abc import Collection

_NAME = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|\.?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::(?P<port>[0-9]{1,5}))?\Z")
_ASKED = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?\Z")


def is_among(host: str, hosts: Collection[str]) -> bool:
    """Is this `Host` one of a list? `*` is everyone, `.shop.example` that name and all below it; without a port, any port.

    >>> is_among("www.shop.example:8000", [".shop.example"])
    True
    """
    found = _ASKED.match(host)
    if found is None:
        return "*" in hosts
    name, port = found["name"].lower().removesuffix("."), found["port"]
    return any(_fits(name, port, item) for item in hosts)


def _fits(name: str, port: str | None, item: str) -> bool:
    if item == "*":
        return True
    found = _NAME.match(item.lower())
    if found is None or found["port"] not in (None, port):
        return False
    wanted = found["name"]
    return name == wanted or (wanted.startswith(".") and (name == wanted[1:] or name.endswith(wanted)))


def check_hosts(hosts: Collection[str]) -> tuple[str, ...]:
    """Check the setting.

    Raises:
        ValueError: It is no list, or an item is no host, or the list is empty and would refuse everybody.
    """
    if isinstance(hosts, str) or not hosts:
        raise ValueError(f"hosts={hosts!r}: expected a list of hosts, like ['shop.example'], or ['*'] for any")
    for item in hosts:
        if not isinstance(item, str) or (item != "*" and not _NAME.match(item)):
            raise ValueError(
                f"hosts: {item!r} can match no Host. Expected '*', or like 'shop.example', '.shop.example' (and all below "
                "it), '127.0.0.1', '[::1]', 'localhost:8000'; in small letters, and without a scheme"
            )
    return tuple(hosts)
