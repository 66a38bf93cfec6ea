"""Who a client is: a key that it made itself, and the id that others may see."""

from __future__ import annotations

import hashlib
import re

_KEY = re.compile(r"[A-Za-z0-9_-]{22,86}\Z")


def is_key(text: str) -> bool:
    """Is this 22 to 86 characters of base64url, so at least 128 bits?"""
    return _KEY.match(text) is not None


def client_id(key: str, user: str | None) -> str:
    """Derive the public id of a client; another user with the same key is another client."""
    return _hash(f"{key}\0{'' if user is None else 'u' + user}")


def key_id(key: str) -> str:
    """Name a key without telling it."""
    return _hash(key)


def _hash(text: str) -> str:
    return hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
