"""RFC 6455 by the cases of the Autobahn test suite, run by kosoku against the channel as an echo server.

Left out: 9 (how fast large messages go), 12 and 13 (compression, which we do not offer).
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.server import serve

GOOD = {"OK", "INFORMATIONAL"}
LATER = {"6.4.3", "6.4.4"}
"""A frame that arrives in pieces is looked at when it is whole; bytes that are no UTF-8 might be refused sooner."""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    out = tmp_path_factory.mktemp("autobahn")
    kosoku = Path(sys.executable).with_name("kosoku")
    left_out = [option for cases in ("9.*", "12.*", "13.*") for option in ("-x", cases)]
    with serve(application="tests.conformance.echo:app") as server:
        address = f"127.0.0.1:{server.port}"
        subprocess.run([kosoku, "-p", "2", *left_out, "-o", out, address], timeout=240, capture_output=True, check=False)
    (cases,) = json.loads((out / "index.json").read_text()).values()
    assert isinstance(cases, dict)
    return cases


def test_every_case_was_run(results: dict[str, dict[str, object]]) -> None:
    assert len(results) == 247


def test_no_case_fails_and_few_are_answered_later_than_they_might_be(results: dict[str, dict[str, object]]) -> None:
    others = {name: case["behavior"] for name, case in results.items() if case["behavior"] not in GOOD}
    assert others == dict.fromkeys(LATER, "NON-STRICT")


def test_every_connection_closes_as_the_case_wants(results: dict[str, dict[str, object]]) -> None:
    failed = {name: case["behaviorClose"] for name, case in results.items() if case["behaviorClose"] not in GOOD}
    assert failed == {}
