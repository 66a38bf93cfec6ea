"""Nobody gets in by accident: which pages may use the channel with their visitors' cookies."""

from __future__ import annotations

import re
from collections.abc import Collection
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple
from urllib.parse import urlsplit

ANY = "*"
OPAQUE = frozenset({"null", "file://"})
"""Origins that anybody's page can have: any site's sandboxed frame is `null`, any file `file://`."""
_ORIGIN_CHARACTERS = 500
"""Of an origin that is believed: answers keep it while they wait."""
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+\Z")
_WRITTEN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|(?:\*\.)?[a-z0-9._-]+)(?::(?P<port>[0-9]+))?\Z"
)
_LABEL = re.compile(r"([a-z][a-z0-9+.-]*://)[a-z0-9_-]+(\..+)\Z")
_DEFAULT_PORT = re.compile(r"(?:(http://.*):80|(https://.*):443)\Z")
_NEVER = frozenset({"ws", "wss", "file", "data", "blob", "about", "javascript"})


class Verdict(NamedTuple):
    """May this request go on? `origin` is the cross-origin page to name in CORS headers; `anonymous`: forget its cookies.

    `doubtful`: it bears credentials, and nothing shows that its page may use them. It may be read for; who says something by
    it must show the key of a client that is open for this very user. `setting` names the one that refuses it.
    """

    allowed: bool
    origin: str | None = None
    anonymous: bool = False
    got: str = ""
    doubtful: bool = False
    setting: str = "allowed_origins"


def judge(
    *,
    origin: str | None,
    host: str,
    fetch_site: str | None,
    referer: str | None,
    has_credentials: bool,
    allowed_origins: Collection[str],
    script: bool = False,
    listens: bool = True,
    proves: bool = False,
) -> Verdict:
    """Decide by what browsers send and pages cannot forge. `allowed_origins` are such as `check_allowed_origins` returns.

    `Sec-Fetch-Site: same-origin` is the browser's own word. Else the host of `Origin` must be that of `Host`; ports count
    only when both tell theirs, schemes never: proxies change them. A request without any of the three that carries
    credentials is judged by its `Referer`; one without that, too, comes from a program or from an old browser: it is doubtful
    unless it `proves` to be from no foreign page's form or image, by what these cannot send.
    A script tag's request (JSONP) may: no preflight holds it back, so where nothing proves the page, it only listens, and its
    cookies do not count.
    """
    if fetch_site in ("same-origin", "none"):
        return Verdict(True)
    if origin is not None:
        return _judge_origin(origin, host, allowed_origins)
    if fetch_site is not None:  # cross-site or same-site, with the origin hidden
        page = _origin_of(referer) if referer else None
        if page is not None:
            return _judge_origin(page, host, allowed_origins)
        if ANY in allowed_origins:
            return Verdict(True, anonymous=True)
        return Verdict(False, got=f"Sec-Fetch-Site: {fetch_site}")
    if referer and (has_credentials or script):
        page = _origin_of(referer)
        if page is not None:
            return _judge_origin(page, host, allowed_origins)
    anonymous = script and listens
    return Verdict(True, anonymous=anonymous, doubtful=has_credentials and not anonymous and not proves)


def _judge_origin(origin: str, host: str, allowed_origins: Collection[str]) -> Verdict:
    if len(origin) > _ORIGIN_CHARACTERS:
        return Verdict(False, got=origin)
    if origin in OPAQUE:
        if origin in allowed_origins or ANY in allowed_origins:
            return Verdict(True, origin=origin, anonymous=True)
        return Verdict(False, got=origin)
    if is_listed(origin, allowed_origins):
        return Verdict(True, origin=origin)
    if is_same_host(origin, host):
        return Verdict(True)
    if ANY in allowed_origins and _ORIGIN.match(origin):
        return Verdict(True, origin=origin, anonymous=True)
    return Verdict(False, got=origin)


def is_listed(origin: str, allowed_origins: Collection[str]) -> bool:
    """Is this page among those that are named, by itself or by a wildcard for its first label?"""
    if origin in allowed_origins:
        return True
    origin = _without_default_port(origin)
    return origin in allowed_origins or _LABEL.sub(r"\1*\2", origin) in allowed_origins


def _origin_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else None


def is_same_host(origin: str, host: str) -> bool:
    """Is this page's host that of a `Host`?"""
    try:
        page, here = urlsplit(origin), urlsplit("//" + host)
        ports = {page.port, here.port}
    except ValueError:
        return False
    if not page.hostname or page.hostname != here.hostname:
        return False
    return None in ports or len(ports) == 1


def _without_default_port(origin: str) -> str:
    found = _DEFAULT_PORT.match(origin)
    return origin if found is None else found[1] or found[2]


# The setting


def check_allowed_origins(allowed_origins: Collection[str]) -> frozenset[str]:
    """Check the setting, and write it as browsers do: without a default port.

    Raises:
        ValueError: An item is none that a browser's `Origin` can match; says why.
    """
    if isinstance(allowed_origins, str):
        raise ValueError(f"allowed_origins={allowed_origins!r}: expected a list of origins, got one string")
    return frozenset(_checked(item) for item in allowed_origins)


def _checked(item: str) -> str:
    if item == ANY or item in OPAQUE:
        return item
    why = _fault_of(item)
    if why:
        raise ValueError(
            f"allowed_origins: {item!r} can match no page: {why}. Expected '*', 'null', 'file://', or like "
            "'https://shop.example', 'https://*.shop.example' (one label), 'http://localhost:3000'"
        )
    return _without_default_port(item)


def advice(got: str) -> str:
    """Return what to set so that this page may use the channel; nothing, if no setting lets it in."""
    if got in OPAQUE or not _fault_of(got):
        return f'allowed_origins=["{got}"]'
    is_one = len(got) <= _ORIGIN_CHARACTERS and _ORIGIN.match(got)
    return 'allowed_origins=["*"]' if got.startswith("Sec-Fetch-Site: ") or is_one else ""


def _fault_of(item: object) -> str:
    """Say why no browser sends this origin; nothing, if one may."""
    if not isinstance(item, str):
        return "it is no text"
    if len(item) > _ORIGIN_CHARACTERS:
        return "no host has so long a name"
    if not item.isascii():
        return "browsers send a host's ASCII name (xn--…)"
    if item != item.lower():
        return "browsers send small letters"
    found = _WRITTEN.match(item)
    if found is None:
        return "it is not scheme://host, with a port or without; a * stands for the whole first label, and for no port"
    scheme, host, port = found["scheme"], found["host"], found["port"]
    if scheme in _NEVER:
        return (
            "a WebSocket's page is of https:// or http://" if scheme in ("ws", "wss") else f"no page's origin is {scheme}://…"
        )
    if port is not None and not (port == str(int(port[:6])) and 0 < int(port) < 65536):
        return "its port is none"
    return _fault_of_host(host) if scheme in ("http", "https") else ""


def _fault_of_host(host: str) -> str:
    """Say why no browser writes this host so; nothing, if one does."""
    try:
        if host.startswith("["):
            address = str(IPv6Address(host[1:-1]))
            return "" if host == f"[{address}]" else f"browsers write [{address}]"
        plain = host.removeprefix("*.")
        if not plain.rstrip(".").rpartition(".")[2].isdigit():
            return "" if re.fullmatch(r"[^.]+(\.[^.]+)*\.?", plain) else "its host has an empty label"
        return "" if str(IPv4Address(host)) == host else "its address is none"
    except AddressValueError:
        return "its address is none"
