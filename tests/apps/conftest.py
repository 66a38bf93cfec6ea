"""Two real applications, unmodified, each with a channel in front: An Otter Wiki (Flask) and django-wiki.

They live in a virtual environment of their own, `.tools/apps`, made by `.ci/install-system --full`: part of the whole matrix.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.live.server import PATIENT, ROOT, Server, serve
from tests.live.visitor import Visitor

PYTHON = ROOT / ".tools/apps/bin/python"
NAME, PASSWORD = "ann@museum.example", "a long password"
SERVE = (str(PYTHON), "-m", "cometware", "serve", "--bind", "127.0.0.1:0")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Their installation alone takes minutes."""
    for item in items:
        if item.path.parent.name == "apps":
            item.add_marker(pytest.mark.full)


@dataclass(frozen=True)
class Site:
    """`name`, `password`: the names of the login form's fields. `user`: as the channel knows ann."""

    server: Server
    login: str
    logout: str
    name: str
    user: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def logged_in(self) -> Visitor:
        """Log in by the site's own page."""
        visitor = Visitor(self.server)
        visitor.get(self.login).post(self.login, **{self.name: NAME, "password": PASSWORD})
        assert visitor.status == 302, visitor.text
        return visitor


@contextmanager
def otter(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Site]:
    (folder / "repository").mkdir()
    subprocess.run(["git", "init", "--quiet", folder / "repository"], check=True)
    patch.setenv("REPOSITORY", str(folder / "repository"))
    patch.setenv("SQLALCHEMY_DATABASE_URI", f"sqlite:///{folder}/wiki.db")
    patch.setenv("SECRET_KEY", "not a secret, but long")
    # At its end, the interpreter finalizes GitPython's processes, and says of each that gevent is gone already.
    excused = "RuntimeError: greenlet is being finalized"
    with serve(PATIENT, command=(*SERVE, "tests.apps.otter:app"), excused=excused) as server:
        visitor = Visitor(server).get("/-/register")
        visitor.post("/-/register", email=NAME, name="Ann", password1=PASSWORD, password2=PASSWORD)
        assert visitor.status == 302, visitor.text
        yield Site(server, "/-/login", "/-/logout", "email", "1")


@contextmanager
def django_wiki(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Site]:
    patch.setenv("WIKI_DB", str(folder / "wiki.db"))
    patch.setenv("DJANGO_SETTINGS_MODULE", "tests.apps.djangowiki.settings")
    subprocess.run([PYTHON, "-m", "django", "migrate", "-v0"], check=True, cwd=ROOT, timeout=240)
    account = ("--noinput", "--username", NAME, "--email", NAME)
    patch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
    subprocess.run([PYTHON, "-m", "django", "createsuperuser", "-v0", *account], check=True, cwd=ROOT, timeout=240)
    with serve(PATIENT, command=(*SERVE, "tests.apps.djangowiki.wsgi:application")) as server:
        yield Site(server, "/_accounts/login/", "/_accounts/logout/", "username", NAME)


SITES: dict[str, Callable[[Path, pytest.MonkeyPatch], object]] = {"An Otter Wiki": otter, "django-wiki": django_wiki}


@pytest.fixture(scope="package", params=SITES.values(), ids=SITES)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with pytest.MonkeyPatch.context() as patch, request.param(tmp_path_factory.mktemp("wiki"), patch) as site:
        yield site
