"""Who can read and write what an SQLite store keeps, under any umask."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cometware import Channel, Limits
from cometware.stores.sqlite import place_of

ANN, BEN, TEAM, STRANGER = 70001, 70002, 70010, 70003

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.lstat().st_mode):04o}"


def modes(folder: Path) -> dict[str, str]:
    """The modes of all that a channel has made in a folder; a socket's name is chance."""
    found = {path.name: mode(path) for path in folder.iterdir()}
    for path in (folder / "x.db-wake").iterdir():
        assert stat.S_ISSOCK(path.lstat().st_mode)
        found["socket"] = mode(path)
    return found


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_what_a_channel_makes_is_its_owners_alone(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        channel = Channel(f"sqlite:///{tmp_path}/x.db")
        channel.publish("hello")
    alone = {"x.db": "0600", "x.db-wal": "0600", "x.db-shm": "0600", "x.db-wake": "0700", "socket": "0600"}
    assert modes(tmp_path) == alone


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_a_url_says_that_a_group_may_use_it_too(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        channel = Channel(f"sqlite:///{tmp_path}/x.db?mode=0660")
        channel.publish("hello")
    group = {"x.db": "0660", "x.db-wal": "0660", "x.db-shm": "0660", "x.db-wake": "0770", "socket": "0660"}
    assert modes(tmp_path) == group


def made_by_another_version(path: Path, permissions: int) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE theirs (number INTEGER)")
    path.chmod(permissions)
    folder = path.with_name(path.name + "-wake")
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


@pytest.mark.parametrize(("url", "said"), [("", "0600"), ("?mode=0660", "0660")])
def test_a_file_that_is_there_keeps_its_mode_and_the_world_is_warned_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, url: str, said: str
) -> None:
    made_by_another_version(tmp_path / "x.db", 0o644)
    for _ in range(3):
        channel = Channel(f"sqlite:///{tmp_path}/x.db{url}")
        channel.publish("hello")
        assert modes(tmp_path) == {
            "x.db": "0644", "x.db-wal": "0644", "x.db-shm": "0644", "x.db-wake": "0700", "socket": "0644",
        }  # fmt: skip
        channel.log.close()
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"{tmp_path}/x.db is world-readable (mode 0644)" in warning.getMessage()
    assert f"chmod {said} it" in warning.getMessage()


def test_a_file_that_is_there_is_told_that_its_url_says_another_mode(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Channel(f"sqlite:///{tmp_path}/x.db").publish("hello")
    Channel(f"sqlite:///{tmp_path}/x.db?mode=0660").publish("hello")
    assert mode(tmp_path / "x.db") == "0600"
    assert f"x.db has the mode 0600 and keeps it; for the one of its URL: chmod 0660 {tmp_path}/x.db" in caplog.text


def test_who_says_so_may_have_a_file_for_the_world(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    url = f"sqlite:///{tmp_path}/x.db?mode=0666"
    Channel(url).publish("hello")
    Channel(url).publish("hello")
    assert modes(tmp_path)["x.db"] == "0666"
    assert modes(tmp_path)["x.db-wake"] == "0777"
    assert caplog.text == ""


def test_a_link_that_leads_nowhere_yet_is_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "x.db").symlink_to(tmp_path / "data" / "real.db")
    Channel(f"sqlite:///{tmp_path}/x.db").publish("hello")
    assert mode(tmp_path / "data" / "real.db") == "0600"


@pytest.mark.parametrize(
    "query",
    [
        "mode=",
        "mode=rw",
        "mode=0o",
        "mode=0888",
        "mode=0400",
        "mode=0060",
        "mode=0770",
        "mode=02660",
        "mode=000660",
        "mode=-660",
    ],
)
def test_a_mode_that_is_none_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"Channel\('sqlite:///x.db\?mode=.*expected"):
        Channel(f"sqlite:///x.db?{query}")


@pytest.mark.parametrize("query", ["mod=0660", "mode=0660&mode=0600", "timeout=3", "mode=0660&cache=shared"])
def test_what_else_stands_behind_the_question_mark_is_refused(query: str) -> None:
    with pytest.raises(ValueError, match=r"expected nothing but one mode=0660 behind the \?"):
        Channel(f"sqlite:///x.db?{query}")


@pytest.mark.parametrize("text", ["0660", "660", "0o660", "00660"[1:]])
def test_a_mode_is_octal_however_it_is_written(text: str) -> None:
    assert place_of(f"sqlite:///x.db?mode={text}") == ("x.db", 0o660)


# Two users

PROGRAM = """
import os, sys, tempfile, time
from cometware import Channel, Limits, LogUnavailable

with tempfile.TemporaryDirectory() as folder:  # all modules are read while root can still read them
    channel = Channel(f"sqlite:///{folder}/x.db")
    channel.publish("hello")
    channel.log.close()

url, user, groups, mask = sys.argv[1], int(sys.argv[2]), [int(group) for group in sys.argv[3].split()], int(sys.argv[4], 8)
os.umask(mask)
os.setgroups(groups)
os.setgid(user)  # a group of their own, as most systems give each user
os.setuid(user)
channel = Channel(url, limits=Limits(store_seconds=60 if groups else 2))
try:
    channel.log.open()
except LogUnavailable as error:
    sys.exit(str(error))
channel.log._store.safety_seconds = 3600  # it hears only by being woken
print("ready", flush=True)
for line in sys.stdin:
    word = line.strip()
    if word.startswith("wait "):
        end = time.monotonic() + 20
        while word[5:] not in channel.recent() and time.monotonic() < end:
            time.sleep(0.01)
        print("heard" if word[5:] in channel.recent() else "nothing", flush=True)
    else:
        channel.publish(word)
        print("published", flush=True)
"""


def command(url: str, user: int, groups: list[int], mask: int) -> list[str]:
    return [sys.executable, "-c", PROGRAM, url, str(user), " ".join(map(str, groups)), f"{mask:o}"]


class User:
    """A process of another user that has a channel open."""

    def __init__(self, url: str, user: int, groups: list[int], mask: int) -> None:
        self._process = subprocess.Popen(
            command(url, user, groups, mask), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == "ready"

    def ask(self, word: str) -> str:
        self.tell(word)
        return self._answer()

    def tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(word + "\n")
        self._process.stdin.flush()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def leave(self) -> None:
        self._process.communicate(timeout=20)  # its input ends, and it does
        assert self._process.returncode == 0


Begin = Callable[..., User]


@pytest.fixture
def users() -> Iterator[Begin]:
    """Begin processes of other users; whichever is left at the end is ended."""
    with ExitStack() as stack:

        def begin(*arguments: Any) -> User:
            user = User(*arguments)
            stack.callback(user._process.communicate)
            return user

        yield begin


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory of a group, without the bit that would hand the group on to what is made there."""
    folder = tmp_path_factory.mktemp("shared")
    os.chown(folder, -1, TEAM)
    folder.chmod(0o770)
    above = [path for path in folder.parents if Path(tempfile.gettempdir()) in path.parents]
    before = {path: stat.S_IMODE(path.stat().st_mode) for path in above}
    for path in above:
        path.chmod(0o711)
    yield folder
    for path, permissions in before.items():
        path.chmod(permissions)


@needs_root
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_two_users_of_one_group_share_a_channel(shared: Path, users: Begin, mask: int) -> None:
    url = f"sqlite:///{shared}/x.db?mode=0660"
    ann, ben = users(url, ANN, [TEAM], mask), users(url, BEN, [TEAM], mask)
    for number in range(3):
        ben.tell(f"wait from ann {number}")
        assert ann.ask(f"from ann {number}") == "published"
        assert ben._answer() == "heard"
        ann.tell(f"wait from ben {number}")
        assert ben.ask(f"from ben {number}") == "published"
        assert ann._answer() == "heard"
    sockets = list((shared / "x.db-wake").iterdir())
    assert [(mode(path), path.stat().st_gid) for path in sockets] == [("0660", TEAM)] * 2
    ann.leave()
    ben.leave()  # the last one takes SQLite's own files along
    ben = users(url, BEN, [TEAM], mask)  # who makes them anew, and did not make the file
    assert ben.ask("again") == "published"
    ann = users(url, ANN, [TEAM], mask)
    assert ann.ask("and again") == "published"
    assert ben.ask("wait and again") == "heard"
    ann.leave()
    ben.leave()


@needs_root
def test_what_the_system_administrator_publishes_keeps_nobody_out(shared: Path, users: Begin) -> None:
    url = f"sqlite:///{shared}/x.db"
    ann = users(url, ANN, [TEAM], 0o022)
    assert ann.ask("hello") == "published"
    ann.leave()
    (shared / "x.db-wake").rmdir()
    Channel(url).publish("from the administrator")
    ann = users(url, ANN, [TEAM], 0o022)
    assert ann.ask("wait from the administrator") == "heard"
    assert ann.ask("hello again") == "published"
    ann.leave()


@needs_root
def test_who_is_let_in_nowhere_is_told_why(shared: Path) -> None:
    Channel(f"sqlite:///{shared}/x.db", limits=Limits(store_seconds=2)).publish("hello")
    shared.chmod(0o777)
    asked = subprocess.run(command(f"sqlite:///{shared}/x.db", STRANGER, [], 0o022), capture_output=True, text=True)
    assert "may not read and write" in asked.stderr
    assert "?mode=0660" in asked.stderr
