"""What a client makes of what is no channel's."""

from __future__ import annotations

import pytest

from cometware.remote.links import read, read_all


@pytest.mark.parametrize("text", [b"7", b"[]", b"[{}]", b'"open"', b"null"])
def test_what_is_no_object_is_no_shape(text: bytes) -> None:
    with pytest.raises(ConnectionError, match=r"^no channel: expected shapes, got b'"):
        read(text)


@pytest.mark.parametrize("text", [b"7", b"[]", b"[1]", b"[[]]", b'[{"ping":"a-1"},null]', b'{"open":{}}', b"null"])
def test_what_is_no_array_of_objects_is_no_answer_to_a_poll(text: bytes) -> None:
    with pytest.raises(ConnectionError, match=r"^no channel: expected shapes, got b'"):
        read_all(text)


@pytest.mark.parametrize("text", [b"", b"<html>", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_shown_by_its_beginning(text: bytes) -> None:
    for reader in (read, read_all):
        with pytest.raises(ConnectionError, match=r"^no channel: expected JSON, got b'") as told:
            reader(text)
        assert len(str(told.value)) < 600


def test_bytes_come_back_as_bytes() -> None:
    assert read(b'{"id":"a-1","event":"message","data":{"$bytes":"AP8="}}')["data"] == b"\0\xff"
    assert read_all(b'[{"ping":"a-1"},{"data":[{"$bytes":""}]}]') == [{"ping": "a-1"}, {"data": [b""]}]
