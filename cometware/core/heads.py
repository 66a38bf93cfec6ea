"""The head of a request that a client sends again and again: what of it may change, and what may not.

Rule: two heads are taken for the same request only if one was read strictly, and the other is equal to it, byte for byte, but
for the value of one query parameter. That value has so few characters that it cannot change the meaning of anything else.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_plus

MAX_HEAD_BYTES = 8192
"""A longer head is not compared: it goes to the server's own parser each time."""

_HEAD = re.compile(
    rb"(?:GET|POST) [!-\"$->@-~]+(?:\?(?P<query>[!-\"$-~]*))? HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t -~\x80-\xff]*\r\n)+"
    rb"\r\n"
)
"""One whole head and nothing behind it (RFC 9112 §3 and §5); no fragment, no folded line, no control character."""


class Changing:
    """A query parameter whose value may differ between two heads of the same request.

    `value` is a pattern for all that it may be: its characters must mean nothing to a parser of heads. If it is `optional`, a
    head without the parameter is complete as it is.
    """

    def __init__(self, name: str, value: str, *, optional: bool = False) -> None:
        self.name = name
        self.optional = optional
        pattern = rf"[A-Z]+ [^?\s]*\?(?:\S*&)?{re.escape(name)}=({value})(?=[& ])"
        self.find = re.compile(pattern.encode()).match
        """Find a value quickly, in any bytes: group 1 of the match is its span. It proves nothing about the rest."""

    def read(self, head: bytes) -> tuple[int, int] | None:
        """Read a head strictly, and return the span of the value; (-1, -1) if the head is complete without it.

        None if this is not one whole head, if the parameter is there twice (also by a name in percent-encoding), or if its
        value is not well-formed.
        """
        whole = _HEAD.fullmatch(head) if len(head) <= MAX_HEAD_BYTES else None
        if whole is None:
            return None
        query = whole["query"] or b""
        names = [unquote_plus(part.partition(b"=")[0].decode("ascii")) for part in query.split(b"&")]
        found = self.find(head)
        if found is None:
            return (-1, -1) if self.optional and self.name not in names else None
        return found.span(1) if names.count(self.name) == 1 else None


POSITION = Changing("after", "[0-9A-Za-z_]{1,32}-[0-9]{1,18}")
"""Where a native poll reads on."""

CACHE_BUSTER = Changing("t", "[0-9A-Za-z_.~-]{1,64}", optional=True)
"""What Engine.IO and SockJS put into a poll's URL, lest it be answered by a cache."""
