"""Each extra, and the commands that need it, in an environment that has nothing else."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.install.environment import Environment, checkout
from tests.live.server import LIMIT_SECONDS
from tests.proxies.foreground import free_port
from tests.redis_server import RedisServer

full = pytest.mark.full
PLAIN = """
from cometware import Channel, Cometware

channel = Channel()

def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]

app = Cometware(hello, channel)
"""
FLASK = """
from flask import Flask
from cometware import Channel, Cometware
import cometware.flask

app = Flask(__name__)
app.add_url_rule("/", view_func=lambda: "hello")
app.wsgi_app = Cometware(app.wsgi_app, Channel(), user=cometware.flask.user(app, "user"))
"""

WORKERS = "cometware serve app:app --bind {place} --workers 2"
WEBSOCKETS = "geventwebsocket.gunicorn.workers.GeventWebSocketWorker"
COMMANDS = [
    pytest.param("", PLAIN, "cometware serve app:app --bind {place}", id="serve", marks=full),
    pytest.param("", PLAIN, "cometware serve app:app --bind {place} --channel sqlite:///channel.db", id="sqlite", marks=full),
    pytest.param("", PLAIN, "python -m cometware serve app:app --bind {place} --reload", id="reload", marks=full),
    pytest.param("[workers]", PLAIN, WORKERS + " --channel sqlite:///c.db", id="workers"),
    pytest.param("[workers]", PLAIN, "gunicorn app:app -k gevent --bind {place}", id="gevent", marks=full),
    pytest.param("[workers]", PLAIN, "gunicorn app:app -k gevent --preload --bind {place}", id="preload", marks=full),
    pytest.param("[workers]", PLAIN, "gunicorn app:app -k gthread --threads 100 --bind {place}", id="gthread", marks=full),
    pytest.param("[workers]", PLAIN, f"gunicorn app:app -k {WEBSOCKETS} --bind {{place}}", id="gevent-websocket", marks=full),
    pytest.param("[examples]", FLASK, "cometware serve app:app --bind {place}", id="flask", marks=full),
    pytest.param("[examples]", FLASK, "flask run --port {port}", id="flask-run", marks=full),
    pytest.param("[redis]", PLAIN, "cometware serve app:app --bind {place} --channel {redis}", id="redis"),
    pytest.param(
        "[redis,workers]",
        PLAIN,
        WORKERS + " --channel {redis}",
        id="redis-workers",
        marks=full,
    ),
]


@contextmanager
def running(environment: Environment, command: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    program, *arguments = command.split()
    with subprocess.Popen(
        [environment.command(program), *arguments],
        cwd=folder,
        env=environment.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=LIMIT_SECONDS)


@pytest.mark.parametrize(("extra", "code", "command"), COMMANDS)
def test_a_command_needs_no_more_than_its_extra(
    extra: str, code: str, command: str, package: Path, environment: Environment, tmp_path: Path
) -> None:
    environment.install(f"{package}{extra}")
    (tmp_path / "app.py").write_text(code)
    port = free_port()
    redis = RedisServer(tmp_path / "redis") if "{redis}" in command else None
    told = command.format(place=f"127.0.0.1:{port}", port=port, redis=redis and redis.url)
    try:
        with running(environment, told, tmp_path) as process:
            assert process.stdout is not None
            lines: list[str] = []
            while not any(re.search(rf"http://127\.0\.0\.1:{port}", line) for line in lines):
                line = process.stdout.readline()
                assert line, "".join(lines)
                lines.append(line)
            for path in ("/", "/comet/ready", "/comet?transport=poll&wait=0"):
                connection = HTTPConnection("127.0.0.1", port, timeout=LIMIT_SECONDS)
                connection.request("GET", path, headers={"Connection": "close"})
                response = connection.getresponse()
                assert (response.status, path) == (200, path)
                response.read()
                connection.close()  # gevent's pywsgi ends it, but says no `Connection: close`: a client takes it for open
    finally:
        if redis is not None:
            redis.stop()


@full
@pytest.mark.parametrize(
    "command",
    ["serve app:app --channel redis://127.0.0.1/0", "serve app:app --workers 2", "publish redis://127.0.0.1/0 hello"],
)
def test_an_extra_that_is_missing_is_named_in_one_line(
    command: str, package: Path, environment: Environment, tmp_path: Path
) -> None:
    environment.install(str(package))
    (tmp_path / "app.py").write_text(PLAIN)
    done = subprocess.run(
        [environment.command("cometware"), *command.split()],
        cwd=tmp_path,
        env=environment.environ,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert line.endswith(("pip install 'cometware[redis]'", "pip install 'cometware[workers]'"))


@full
def test_the_guide_installs_it_from_inside_a_checkout(environment: Environment, tmp_path: Path) -> None:
    environment.install(".", cwd=checkout(tmp_path / "checkout"))
    done = subprocess.run(
        [environment.command("cometware"), "--version"], capture_output=True, text=True, timeout=LIMIT_SECONDS
    )
    assert done.stdout.startswith("cometware, version")


@full
@pytest.mark.parametrize("extra", ["test", "bench"])
def test_what_developers_install_can_be_installed(extra: str, package: Path, environment: Environment) -> None:
    environment.install(f"{package}[{extra}]")
