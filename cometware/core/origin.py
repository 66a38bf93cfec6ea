"""Nobody gets in by accident: which pages may use the channel with their visitors' cookies."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import urlsplit

ANY = "*"
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]+\Z")


class Verdict(NamedTuple):
    """May this request go on? `origin` is the cross-origin page to name in CORS headers; `anonymous`: forget its cookies."""

    allowed: bool
    origin: str | None = None
    anonymous: bool = False
    got: str = ""


def judge(
    *,
    origin: str | None,
    host: str,
    fetch_site: str | None,
    referer: str | None,
    has_cookie: bool,
    allowed_origins: Collection[str],
    script: bool = False,
) -> Verdict:
    """Decide by what browsers send and pages cannot forge.

    `Sec-Fetch-Site: same-origin` is the browser's own word. Else the host of `Origin` must be that of `Host`; ports count
    only when both tell theirs, schemes never: proxies change them. A request without any of the three that carries
    cookies is judged by its `Referer`; one that tells nothing does not come from a foreign page in a browser.
    A script tag's request (JSONP) may: no preflight holds it back, so where nothing proves the page, its cookies do not
    count.
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
    if referer and (has_cookie or script):
        page = _origin_of(referer)
        if page is not None:
            return _judge_origin(page, host, allowed_origins)
    return Verdict(True, anonymous=script)


def _judge_origin(origin: str, host: str, allowed_origins: Collection[str]) -> Verdict:
    if origin in allowed_origins:
        return Verdict(True, origin=origin)
    if _same_host(origin, host):
        return Verdict(True)
    if ANY in allowed_origins and (origin == "null" or _ORIGIN.match(origin)):
        return Verdict(True, origin=origin, anonymous=True)
    return Verdict(False, got=origin)


def _origin_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else None


def _same_host(origin: str, host: str) -> bool:
    try:
        page, here = urlsplit(origin), urlsplit("//" + host)
        ports = {page.port, here.port}
    except ValueError:
        return False
    if not page.hostname or page.hostname != here.hostname:
        return False
    return None in ports or len(ports) == 1


def check_allowed_origins(allowed_origins: Collection[str]) -> frozenset[str]:
    """Check the setting.

    Raises:
        ValueError: An item is neither `*` nor `scheme://host` with at most a port.
    """
    if isinstance(allowed_origins, str):
        raise ValueError(f"allowed_origins={allowed_origins!r}: expected a list of origins, got one string")
    for item in allowed_origins:
        if item != ANY and (_origin_of(item) != item or item != item.lower()):
            raise ValueError(f"allowed_origins: got {item!r}, expected '*' or like 'https://shop.example'")
    return frozenset(allowed_origins)
