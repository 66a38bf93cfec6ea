"""What nobody may read in a log or an error: who shows a bearer is that client, who knows a password may log in.

Rule: text in, text out. What is masked once stays as it is; what only looks like a bearer may be masked, too.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, unquote_plus

MASK = "…"
PASSWORD_MASK = "***"

BEARERS = frozenset({"key", "sid"})
"""Parameters of a request's target: a client's key, the id of an Engine.IO session."""

_IN_TARGET = re.compile(r"""(?P<before>[?&])(?P<name>(?:\w|%[0-9A-Fa-f]{2}){3,60})=[^&\s'"<>]+""", re.ASCII)
_IN_TEXT = re.compile(r"(?P<name>(?<![\w.%?&-])(?:key|sid)=)[A-Za-z0-9_%-]{16,}(?![\w(])", re.ASCII)

_SOCKJS_TRANSPORTS = ("xhr", "xhr_send", "xhr_streaming", "eventsource", "htmlfile", "jsonp", "jsonp_send", "websocket")
_SLASH = "(?:/|%2[Ff])"
_PART = r"(?:(?!%2[Ff])[^/\s?])+"


def _escaped(word: str) -> str:
    """Write a pattern for a word any of whose letters may be percent-encoded."""
    return "".join(f"(?:{letter}|%(?i:{ord(letter):02x}))" for letter in word)


_SOCKJS = re.compile(
    rf"(?P<server>{_SLASH}{_PART}{_SLASH}){_PART}"
    rf"(?P<rest>{_SLASH}(?P<transport>{'|'.join(map(_escaped, _SOCKJS_TRANSPORTS))}){_SLASH}?(?=[?\s\"'),;#]|\Z))"
)
_NUMBER = re.compile(r"\d+\Z")

_LOGIN = re.compile(r"""(?P<before>://[^\s/?#'"<>@:]*:)[^\s/?#'"<>]+@""")
_HEADER = re.compile(
    r"""(?P<name>(?i:comet[-_]key|cookie|authorization)["']\s*[:,]\s*b?(?P<quote>["']))(?:(?!(?P=quote)).)+"""
)
_COMET_KEY = re.compile(r"(?P<name>(?i:comet[-_]key)\s*:\s*)[^\s\"',]+")


def masked(text: str) -> str:
    """Mask what a line of a log, an error or a traceback tells of bearers and passwords; the rest stays as it is.

    >>> masked('"GET /comet?v=1&%6bey=c2VjcmV0LXNlY3JldC1zZWNyZXQ HTTP/1.1" 200')
    '"GET /comet?v=1&%6bey=… HTTP/1.1" 200'
    >>> masked("Channel('redis://ann:secret@host/0')")
    "Channel('redis://ann:***@host/0')"
    """
    if "=" in text:
        text = _IN_TEXT.sub(rf"\g<name>{MASK}", _IN_TARGET.sub(_parameter, text))
    if "%" in text or any(word in text for word in _SOCKJS_TRANSPORTS):
        text = _SOCKJS.sub(_session, text)
    if "://" in text:
        text = _LOGIN.sub(rf"\g<before>{PASSWORD_MASK}@", text)
    words = text.lower()
    if "cookie" in words or "authorization" in words or "comet" in words:
        text = _COMET_KEY.sub(rf"\g<name>{MASK}", _HEADER.sub(rf"\g<name>{MASK}", text))
    return text


def _parameter(found: re.Match[str]) -> str:
    name = unquote_plus(found["name"])
    if name in BEARERS:
        return f"{found['before']}{found['name']}={MASK}"
    return f"{found['before']}{found['name']}={PASSWORD_MASK}" if _is_password(name) else found[0]


def _session(found: re.Match[str]) -> str:
    if unquote(found["transport"]) == "websocket" and not _NUMBER.match(unquote(found["server"]).strip("/")):
        return found[0]  # so may end any path of an application; and no session is reached by this one
    return f"{found['server']}{MASK}{found['rest']}"


_OPTION = re.compile(r"(?P<before>[?&](?P<name>[^=&?]*)=)(?P<value>[^&]+)")
_PASSWORD = re.compile(r"passw|passphrase|pwd|secret", re.IGNORECASE)
_LONG = 4
"""Characters of a part of a password that is hidden wherever it stands; a shorter one only if it stands alone."""


def masked_url(url: str) -> str:
    """Return the URL of a store or a channel, whose password may be shown to anybody; also of a URL that cannot be read.

    >>> masked_url("redis://ann:se/cret@host/0?sentinel_password=x")
    'redis://ann:***@host/0?sentinel_password=***'
    """
    url = _OPTION.sub(_option, url)
    start, end = _password(url)
    return masked(url[:start] + PASSWORD_MASK + url[end:] if end else url)


def masked_error(text: str, url: str) -> str:
    """Mask what an error that a library made of a URL tells of its passwords, in whole or in part."""
    passwords = [found["value"] for found in _OPTION.finditer(url) if _is_password(unquote_plus(found["name"]))]
    plain = _OPTION.sub(_option, url)
    passwords.append(plain[slice(*_password(plain))])
    words = {word for password in passwords for word in (password, unquote(password))}
    parts = words.union(*(re.split(r"[\s/?#@:&=]", word) for word in words))
    for part in sorted(parts - {""}, key=len, reverse=True):
        text = text.replace(part, PASSWORD_MASK) if len(part) >= _LONG else text.replace(repr(part), repr(PASSWORD_MASK))
    return masked(text)


def _option(found: re.Match[str]) -> str:
    return found["before"] + PASSWORD_MASK if _is_password(unquote_plus(found["name"])) else found[0]


def _is_password(name: str) -> bool:
    return _PASSWORD.search(name) is not None


def _password(url: str) -> tuple[int, int]:
    """Return from where to where a URL has its password; nowhere, (0, 0), if it has none.

    It ends at the last `@`, whatever it has that should have been escaped; unless it begins as a host and its port do.
    """
    scheme, slashes, _ = url.partition("://")
    first = len(scheme + slashes) if slashes else 0
    end = url.rfind("@")
    start = url.find(":", first, max(end, first)) + 1
    if not start or end <= start:
        return 0, 0
    user, (port, slash, _) = url[first : start - 1], url[start:end].partition("/")
    is_host = slashes and ("/" in user or (user != "" and slash != "" and port.isdigit()))
    return (0, 0) if is_host else (start, end)
