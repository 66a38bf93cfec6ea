from __future__ import annotations

import pytest

from cometware.core.keys import client_id, is_key, key_id

KEY = "abcdefghijklmnopqrstuv"


@pytest.mark.parametrize("key", [KEY, "A" * 86, "-_" * 11, "0123456789" * 3])
def test_a_key_is_22_to_86_characters_of_base64url(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize("key", ["", "a" * 21, "a" * 87, *(KEY + bad for bad in "=+\n /"), "é" * 22, "٣" * 22])
def test_anything_else_is_no_key(key: str) -> None:
    assert not is_key(key)


def test_the_id_is_the_same_at_every_worker_and_after_every_restart() -> None:
    assert client_id(KEY, None) == "c56d9f973755382af6822256"
    assert client_id(KEY, "ann") == "66f534695eab3bd4283c4662"


def test_another_user_with_the_same_key_is_another_client() -> None:
    users = [None, "", "ann", "uann", "bob", "\ud800"]
    assert len({client_id(KEY, user) for user in users}) == len(users)


def test_neither_the_id_nor_the_name_of_a_key_tells_it() -> None:
    assert KEY not in client_id(KEY, None) + key_id(KEY)
    assert len(client_id(KEY, None)) == len(key_id(KEY)) == 24
