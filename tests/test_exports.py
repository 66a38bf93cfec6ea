"""What a user of the library may import is listed, typed and explained."""

from __future__ import annotations

import importlib
import importlib.resources
import inspect
import pkgutil
import subprocess
import sys
from typing import Any, get_type_hints

import pytest

import cometware
from cometware import testing

PUBLIC = [
    "Args", "Channel", "Client", "Closed", "Cometware", "CometwareError", "Connection", "Entry", "Failed", "Handler",
    "Heard", "Limits", "LogUnavailable", "Position", "Presence", "Rate", "Rates", "Refused", "Unreachable", "connect",
]  # fmt: skip
MODULES = [name for _, name, _ in pkgutil.walk_packages(cometware.__path__, "cometware.") if name != "cometware.__main__"]

METHODS = {
    "Channel": "publish recent recent_entries position presence join leave close revoke on_open on_message on_close on",
    "Connection": "key client transport receive send ask flush use close",
    "Heard": "event data position",
    "Closed": "code reason",
    "Failed": "code message details",
    "Unreachable": "url tried",
    "Client": "id user transport dialect data environ auth rooms send call join leave close",
    "Presence": "id user transport dialect since data",
    "Position": "epoch offset parse",
    "Entry": "position message data",
    "Refused": "status reason body content_type",
}


def test_the_package_exports_exactly_the_public_names() -> None:
    assert sorted(cometware.__all__) == PUBLIC
    assert all(hasattr(cometware, name) for name in PUBLIC)


def test_a_star_import_brings_these_names_and_no_others() -> None:
    names: dict[str, Any] = {}
    exec("from cometware import *", names)
    assert sorted(set(names) - {"__builtins__"}) == PUBLIC


@pytest.mark.parametrize("name", METHODS)
def test_every_promised_member_is_there(name: str) -> None:
    kind = getattr(cometware, name)
    annotated = {field for base in kind.__mro__ for field in getattr(base, "__annotations__", {})}
    built = set(kind.__init__.__code__.co_names) if inspect.isfunction(kind.__init__) else set()
    for member in METHODS[name].split():
        assert hasattr(kind, member) or member in annotated or member in built


def test_the_package_is_typed() -> None:
    assert importlib.resources.files(cometware).joinpath("py.typed").is_file()


def public_members(kind: type) -> list[tuple[str, Any]]:
    """The methods and properties that a class itself adds, under names without an underscore."""
    found = []
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function):
            found.append((name, function))
    return found


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_and_its_methods_are_documented(name: str) -> None:
    kind = getattr(cometware, name)
    assert inspect.getdoc(kind), f"{name} has no docstring"
    if inspect.isfunction(kind):
        return
    if issubclass(kind, cometware.Handler):
        return  # its methods are the server's hooks
    for method, function in public_members(kind):
        if name in METHODS and method in METHODS[name].split():
            assert inspect.getdoc(function), f"{name}.{method} has no docstring"


@pytest.mark.parametrize("kind", [getattr(testing, name) for name in testing.__all__])
def test_the_test_kit_is_documented_and_annotated(kind: type) -> None:
    assert inspect.getdoc(kind)
    for name, function in [*public_members(kind), ("__init__", vars(kind).get("__init__"))]:
        if inspect.isfunction(function):
            assert name == "__init__" or inspect.getdoc(function), f"{kind.__name__}.{name} has no docstring"
            signature = inspect.signature(function)
            bare = [p.name for p in list(signature.parameters.values())[1:] if p.annotation is inspect.Parameter.empty]
            assert bare == [], f"{kind.__name__}.{name}"
            assert signature.return_annotation is not inspect.Signature.empty, f"{kind.__name__}.{name}"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_opens_with_what_it_is(name: str) -> None:
    doc = importlib.import_module(name).__doc__
    assert doc and doc.splitlines()[0].strip(), f"{name} has no docstring"


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_method_is_annotated(name: str) -> None:
    kind = getattr(cometware, name)
    members = [(name, kind)] if inspect.isfunction(kind) else public_members(kind)
    for method, function in [*members, ("__init__", vars(kind).get("__init__"))]:
        if inspect.isfunction(function) and function.__module__.startswith("cometware"):
            signature = inspect.signature(function)
            parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
            bare = [p.name for p in parameters if p.annotation is inspect.Parameter.empty]
            assert bare == [], f"{name}.{method}"
            assert signature.return_annotation is not inspect.Signature.empty, f"{name}.{method}"


@pytest.mark.parametrize("name", MODULES)
def test_all_names_what_a_module_has(name: str) -> None:
    module = importlib.import_module(name)
    assert all(hasattr(module, export) for export in getattr(module, "__all__", ()))


def test_the_types_of_limits_can_be_read_at_run_time() -> None:
    assert get_type_hints(cometware.Limits)["heartbeat_seconds"] is float


def test_importing_the_package_patches_nothing_and_opens_nothing() -> None:
    program = (
        "import threading, socket\n"
        "before = (threading.Lock, socket.socket, threading.active_count())\n"
        "import cometware\n"
        "cometware.Channel()\n"
        "assert before == (threading.Lock, socket.socket, threading.active_count())\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=240)


def test_who_publishes_or_connects_needs_no_gevent() -> None:
    program = (
        "import sys\n"
        "sys.modules['gevent'] = None\n"
        "from cometware import Channel, connect\n"
        "Channel().publish('hello')\n"
        "assert callable(connect) and 'werkzeug' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)


def test_flask_and_django_are_needed_only_by_their_own_modules() -> None:
    program = (
        "import sys, cometware, cometware.flask, cometware.django\n"
        "assert not {'flask', 'django', 'redis', 'sqlite3'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=240)
