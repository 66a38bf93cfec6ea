"""What the documentation shows is true: examples run, links lead somewhere.

A block runs if it is marked: ```python run. The blocks of one page share their names, as a reader types them.
"""

from __future__ import annotations

import configparser
import doctest
import importlib
import pkgutil
import re
import shlex
from pathlib import Path

import pytest

import cometware
from cometware.cli import main

ROOT = Path(__file__).resolve().parents[1]
MODULES = ["cometware"] + [
    name for _, name, _ in pkgutil.walk_packages(cometware.__path__, "cometware.") if name != "cometware.__main__"
]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

_BLOCK = re.compile(r"^```python run\b[^\n]*\n(.*?)^```\s*$", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```\s*$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"^```.*?^```\s*$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0


def blocks(path: Path) -> list[tuple[int, str]]:
    """Each block that is marked to be run, with its line."""
    text = path.read_text()
    return [(text.count("\n", 0, match.start(1)) + 1, match[1]) for match in _BLOCK.finditer(text)]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_the_marked_examples_of_a_page_run(path: Path) -> None:
    names = {"__name__": "example"}
    for line, source in blocks(path):
        exec(compile("\n" * (line - 1) + source, path, "exec"), names)


def anchors(path: Path) -> set[str]:
    """The anchors that GitHub makes from a page's headings."""
    found: set[str] = set()
    for title in _HEADING.findall(_FENCED.sub("", path.read_text())):
        name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        count = sum(1 for other in found if re.fullmatch(rf"{re.escape(name)}(-\d+)?", other))
        found.add(f"{name}-{count}" if count else name)
    return found


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_the_links_of_a_page_lead_somewhere(path: Path) -> None:
    broken = []
    for inline, reference in _LINK.findall(_CODE.sub("", path.read_text())):
        target, _, anchor = (inline or reference).partition("#")
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue  # another site: not ours to prove
        file = (path.parent / target).resolve() if target else path
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(inline or reference)
    assert broken == []


UNTRUE = ["One process serves the channel", "that the log is a new one"]
"""What was so once."""


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_what_is_no_longer_so_is_said_nowhere(path: Path) -> None:
    text = " ".join(path.read_text().split())
    assert [phrase for phrase in UNTRUE if phrase in text] == []


def test_the_unit_for_systemd_has_all_its_parts_and_a_command_that_is_one() -> None:
    (text,) = re.findall(r"^```ini\n(.*?)^```", (ROOT / "docs/guide.md").read_text(), re.DOTALL | re.MULTILINE)
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(text)
    assert list(unit) == ["DEFAULT", "Unit", "Service", "Install"]
    assert unit["Service"]["User"]
    assert unit["Install"]["WantedBy"] == "multi-user.target"
    program, command, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert (Path(program).name, command) == ("cometware", "serve")
    context = main.commands["serve"].make_context("serve", arguments)  # it refuses what it does not know
    assert context.params["workers"] == 2


def test_a_marked_block_is_found_and_a_plain_one_is_not(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n```python\n1 / 0\n```\n\n```python run\nx = 1\n```\n")
    assert blocks(page) == [(7, "x = 1\n")]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_no_page_shows_what_two_authors_did_not_agree_on(path: Path) -> None:
    assert not re.search(r"^(<{7}|>{7}|={7}$)", path.read_text(), re.MULTILINE)
