"""From which address does a request come? The peer's own, or what a proxy says of it, if that is to be believed.

Rule: what a stranger can write himself makes him nobody else. Proxies add what they see at the right of their header, so it
is read from there, and no further than they are known.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, TypeAlias

Believed: TypeAlias = "int | str | Collection[str] | None"
"""Whom to believe: nobody is known (None), the proxies in these networks, so many of them, or this header."""
Address: TypeAlias = "IPv4Address | IPv6Address"

_MOST = 512
"""Characters of a header that are looked at, from its right."""
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
_FOR = re.compile(r"(?:^|;)\s*for\s*=\s*\"?([^\";,\s]+)", re.IGNORECASE)
_PORT = re.compile(r"\[([^\]]*)\](?::\d+)?\Z|([^:]+)(?::\d+)?\Z")


class Addresses:
    """What `Cometware(addresses=…)` says.

    Raises:
        ValueError: It is neither networks, nor a number of proxies, nor the name of a header.
    """

    def __init__(self, believed: Believed = None) -> None:
        self._header = ""
        self._hops = 0
        self._networks: tuple[Any, ...] | None = None
        expected = "expected networks like ['10.0.0.0/8'], a number of proxies, or a header like 'X-Real-IP'"
        if believed is None:
            return
        if isinstance(believed, bool) or (isinstance(believed, int) and believed < 0):
            raise ValueError(f"Cometware(addresses={believed!r}): {expected}")
        if isinstance(believed, int):
            self._hops, self._networks = believed, ()
            return
        if isinstance(believed, str) and _address(believed.partition("/")[0]) is None:
            if not _HEADER.match(believed):
                raise ValueError(f"Cometware(addresses={believed!r}): {expected}")
            self._header = "HTTP_" + believed.upper().replace("-", "_")
            return
        try:
            each = [believed] if isinstance(believed, str) else list(believed)
            self._networks = tuple([ip_network(text, strict=False) for text in each])
        except (ValueError, TypeError) as error:
            raise ValueError(f"Cometware(addresses={believed!r}): {expected}: {error}") from None

    def of(self, environ: Mapping[str, Any]) -> str:
        """Return the address that a request of this environ comes from, as it is counted; empty if nobody knows it."""
        peer = environ.get("REMOTE_ADDR") or ""
        if self._header:
            return self._told(environ.get(self._header, ""), is_one=True) or counted(peer)
        if self._networks is None:
            return "" if is_signed(environ) else counted(peer)
        if not self.is_proxy(peer):
            return counted(peer)
        x_forwarded_for, forwarded = environ.get("HTTP_X_FORWARDED_FOR"), environ.get("HTTP_FORWARDED")
        by_x = None if x_forwarded_for is None else self._told(x_forwarded_for)
        by_rfc = None if forwarded is None else self._told(forwarded, is_rfc=True)
        if by_x and by_rfc and by_x != by_rfc:
            return counted(peer)  # one of them is the stranger's own, and nobody says which
        return by_x or by_rfc or counted(peer)

    def is_proxy(self, peer: str, *, signed: bool = False) -> bool:
        """Is the peer somebody who speaks for others? `signed`: it has sent one of the headers that say so."""
        if self._header or self._hops:
            return True
        if self._networks is None:
            return signed or not peer
        return bool(self._networks) and (not peer or _is_in(peer, self._networks))

    def _told(self, header: str, *, is_rfc: bool = False, is_one: bool = False) -> str:
        """Read a proxy's header from the right, up to the first address that is no proxy's own."""
        found = ""
        entries = _entries(header, is_rfc=is_rfc or (is_one and self._header == "HTTP_FORWARDED"))
        for step, entry in enumerate(reversed(entries), 1):
            address = _without_port(entry)
            name = counted(address)
            if not name:
                break
            found = name
            if is_one or (step >= self._hops if self._hops else not _is_in(address, self._networks or ())):
                break
        return found


def is_signed(environ: Mapping[str, Any]) -> bool:
    """Does the peer say that it is a proxy?"""
    return (
        "HTTP_X_FORWARDED_FOR" in environ
        or "HTTP_FORWARDED" in environ
        or "HTTP_VIA" in environ
        or "HTTP_X_REAL_IP" in environ
    )


def _entries(header: str, *, is_rfc: bool) -> list[str]:
    if len(header) > _MOST:
        header = header[-_MOST:].partition(",")[2]
    entries = header.split(",")
    if is_rfc:
        return [found[1] if (found := _FOR.search(entry)) else "" for entry in entries]
    return [entry.strip() for entry in entries]


def _without_port(text: str) -> str:
    """Return an address without its port (RFC 7239 §6); an IPv6 address without brackets has none."""
    found = _PORT.match(text)
    return text if found is None else found[1] or found[2] or ""


@lru_cache(1024)
def _address(text: str) -> Address | None:
    try:
        address = ip_address(text[:64].partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(1024)
def _is_in(text: str, networks: tuple[Any, ...]) -> bool:
    address = _address(text)
    return address is not None and any(address in network for network in networks)


@lru_cache(1024)
def counted(text: str) -> str:
    """Return the name under which an address is counted: of IPv6, the network of /64 that one household has.

    >>> counted("::ffff:192.0.2.1"), counted("2001:db8::1"), counted("unknown")
    ('192.0.2.1', '2001:db8::/64', '')
    """
    address = _address(text)
    if address is None:
        return ""
    return str(address) if address.version == 4 else str(ip_network((int(address) >> 64 << 64, 64)))
