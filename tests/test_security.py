"""The threat model names tests and settings: each of them is there, so that a row cannot outlive what holds it."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import cometware

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/security.md").read_text()
NAMED = sorted(set(re.findall(r"`((?:tests|benchmarks|cometware|docs)/[\w./-]+)`", PAGE)))
SETTINGS = sorted(set(re.findall(r"\b(Limits|Cometware|Channel|Rates|Handler)(?:\.|\()(\w+)(?:=|\b)", PAGE)))
TOPICS = [
    *(
        "bearer",
        "two polls",
        "smuggling",
        "hold the loop",
        "?last=",
        "evict the history",
        "old browser",
        "Basic",
        "scheme or port",
    ),
    *("Host", "copy of the cookie", "Redis", "0600", "handlers owe", "presence", "/comet/status", "lines of the log", "token"),
    *(
        "Least versions",
        "wss://",
        "Secure",
        "limit_req",
        "limit_conn",
        "client_body_timeout",
        "RequestReadTimeout",
        "http_req_rate",
    ),
]


@pytest.mark.parametrize("name", NAMED)
def test_a_file_that_the_page_names_is_there_and_a_test_has_tests(name: str) -> None:
    path = ROOT / name
    assert path.is_file()
    assert not name.startswith("tests/") or re.search(r"^(async )?def test_|^    def test_", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize(("owner", "name"), SETTINGS)
def test_a_setting_that_the_page_names_is_one(owner: str, name: str) -> None:
    kind = getattr(cometware, owner)
    names = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set()
    assert name in names | set(inspect.signature(kind).parameters) | set(vars(kind))


def test_each_threat_names_what_holds_it() -> None:
    tables = re.findall(r"^\| what they may try \|.*\n\|---.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    threats = [row for table in tables for row in table.splitlines()]
    assert (len(tables), len(threats) >= 40) == (4, True)  # strangers, foreign pages, users, eavesdroppers
    for row in threats:
        assert row.count(" | ") == 3, row
        assert "`tests/" in row.rpartition(" | ")[2], row


@pytest.mark.parametrize("topic", TOPICS)
def test_the_page_has_a_word_on(topic: str) -> None:
    assert topic.lower() in PAGE.lower()


def test_who_finds_a_hole_knows_whom_to_tell() -> None:
    text = (ROOT / "SECURITY.md").read_text()
    assert "private security advisory" in text
    assert "docs/security.md" in text
    assert "(docs/security.md)" in (ROOT / "README.md").read_text()
