"""A module imports only downwards in the layers of the architecture; the two lowest know neither network nor clock."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "cometware").rglob("*.py"))

LAYERS = {
    "cli": 6, "commands": 6, "serving": 6, "loading": 6, "binding": 6, "certificates": 6, "settings": 6, "reloading": 6,
    "watchdog": 5, "threads": 5, "__main__": 6, "flask": 6, "django": 6, "testing": 6,
    "middleware": 5, "hooks": 5, "workers": 6,
    "endpoint": 5, "assets": 4, "response": 4, "transports": 4, "servers": 4,
    "channel": 3, "client": 3, "unheard": 3, "questions": 3, "requests": 3, "remote": 3,
    "logs": 2, "roster": 2, "stores": 2,
    "dialects": 1, "core": 0, "errors": 0, "limits": 0,
}  # fmt: skip
ALONE = {"flask", "django"}
IMPURE = {"gevent", "greenlet", "geventwebsocket", "redis", "sqlite3", "werkzeug", "websockets", "socket", "_socket"}
IMPURE |= {"select", "time", "datetime", "random", "secrets", "threading", "os"}


def module_name(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def part(module: str) -> str:
    """`cometware.core.window` belongs to `core`; the package itself to no layer."""
    return module.split(".")[1] if "." in module else ""


PURE = [path for path in MODULES if LAYERS.get(part(module_name(path)), 9) <= 1]


def imports(node: ast.AST) -> Iterator[str]:
    """Name every module that is imported when the program runs, wherever in the file."""
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        children = list(node.orelse)
    elif isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"line {node.lineno}: write imports in full"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in children:
        yield from imports(child)


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_downwards(path: Path) -> None:
    here = part(module_name(path))
    ours = [name for name in imports(ast.parse(path.read_text())) if name.split(".")[0] == "cometware"]
    if not here:
        return  # the package's own front page may show everything
    assert here in LAYERS, f"{here} has no place in the layers of ARCHITECTURE.md"
    upwards = [name for name in ours if part(name) in ALONE or LAYERS.get(part(name), 99) > LAYERS[here]]
    assert upwards == [], f"layer {LAYERS[here]} must not know of these"


@pytest.mark.parametrize("path", PURE, ids=module_name)
def test_a_pure_module_knows_no_network_clock_or_dice(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(ast.parse(path.read_text()))} & IMPURE == set()


def test_what_is_imported_under_type_checking_does_not_count() -> None:
    source = "if TYPE_CHECKING:\n    import gevent\nelse:\n    import time\ndef f():\n    from redis import Redis\n"
    assert list(imports(ast.parse(source))) == ["time", "redis.Redis"]
