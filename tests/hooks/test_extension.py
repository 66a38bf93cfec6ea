"""The Flask extension, and the channel that Django's settings name: one way each, wherever the application's code runs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from blinker import Namespace
from flask import Flask, current_app, request, session

from cometware import Channel, Client, Cometware
from cometware.flask import Comet
from tests.hooks.site import JSON
from tests.live.server import ROOT


def site(name: str = "shop") -> Flask:
    app = Flask(name)
    app.secret_key = "not a secret"

    @app.post("/login/<name>")
    def login(name: str) -> str:
        session["user"] = name
        return name

    return app


def test_the_extension_wraps_an_application_and_is_found_in_it() -> None:
    app = site()
    comet = Comet(app, path="/live")
    assert app.extensions["cometware"] is comet
    assert isinstance(app.wsgi_app, Cometware)
    assert (app.wsgi_app.channel, app.wsgi_app.path) == (comet.channel, "/live")
    assert app.test_client().post("/login/ann").text == "ann"


def test_the_extension_may_be_made_before_the_application() -> None:
    comet = Comet()

    @comet.channel.on("whoami")
    def whoami(client: Client, data: Any) -> Any:
        return [client.user, current_app.name]

    app = site()
    comet.init_app(app)
    client = app.test_client()
    client.post("/login/ann")
    answer = client.post("/comet", data='{"event":"whoami"}', content_type=JSON)
    assert answer.json == {"accepted": 1, "data": ["ann", "shop"]}


def test_the_channels_log_is_where_a_url_says_and_its_handlers_run_in_the_apps_context(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/channel.db"
    app = site()
    comet = Comet(app, url)
    comet.channel.on("name")(lambda client, data: current_app.name)
    assert app.test_client().post("/comet", data='{"event":"name"}', content_type=JSON).json["data"] == "shop"
    comet.channel.publish("hello")
    assert Channel(url).recent() == ["hello"]


def test_an_application_has_one_channel_by_it() -> None:
    app = site()
    comet = Comet(app)
    for another in (comet, Comet()):
        with pytest.raises(ValueError, match="shop has this extension already"):
            another.init_app(app)


def test_a_factory_may_make_one_application_after_the_other() -> None:
    comet = Comet()

    @comet.channel.on("name")
    def name(client: Client, data: Any) -> str:
        return current_app.name

    for made in ("one", "two"):
        app = site(made)
        comet.init_app(app)
        assert app.test_client().post("/comet", data='{"event":"name"}', content_type=JSON).json["data"] == made


def test_a_handler_without_an_application_is_told_what_is_missing() -> None:
    with pytest.raises(RuntimeError, match=r"comet\.init_app\(app\)"), Comet().channel._around():
        pass


def test_the_login_and_the_other_options_are_those_of_the_middleware() -> None:
    app = site()
    channel = Channel()
    Comet(app, channel, user=lambda environ: "from elsewhere", hooks="/realtime", status_token="secret")

    @app.post("/realtime/open")
    @app.post("/realtime/close")
    def anything() -> Any:
        return "", 204

    @app.post("/realtime/event/<name>")
    def event(name: str) -> Any:
        assert request.environ["cometware.channel"] is channel
        return {"event": name, "user": request.get_json()["user"]}

    client = app.test_client()
    answer = client.post("/comet", data='{"event":"x"}', content_type=JSON)
    assert answer.json["data"] == {"event": "x", "user": "from elsewhere"}
    assert client.get("/comet/status", headers={"Authorization": "Bearer secret"}).status_code == 200
    assert client.post("/realtime/open").status_code == 404


def test_everything_in_flask_publishes_by_the_extensions_channel() -> None:
    comet = Comet()
    app = site()
    comet.init_app(app)
    ordered = Namespace().signal("ordered")

    @app.get("/view")
    def view() -> str:
        comet.channel.publish("a view")
        current_app.extensions["cometware"].channel.publish("a view that has no import")
        request.environ["cometware.channel"].publish("a view under any framework")
        ordered.send(app)
        return ""

    @ordered.connect_via(app)
    def announce(sender: Any) -> None:
        comet.channel.publish("a signal")

    @app.cli.command("announce")
    def command() -> None:
        comet.channel.publish("a command")

    app.test_client().get("/view")
    thread = threading.Thread(target=comet.channel.publish, args=("a native thread",))
    thread.start()
    thread.join()
    result = app.test_cli_runner().invoke(args=["announce"])
    assert result.exception is None, result.output
    assert comet.channel.recent() == [
        "a view", "a view that has no import", "a view under any framework", "a signal", "a native thread", "a command",
    ]  # fmt: skip


def django(program: str, setting: str = "") -> str:
    """Run a program in a process of its own, under settings of its own; return what it printed."""
    head = f"from django.conf import settings\nsettings.configure({setting})\n"
    command = [sys.executable, "-W", "error", "-c", head + program]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ASK = """
from django.core.exceptions import ImproperlyConfigured
from cometware.django import channel
try:
    channel.publish(1)
except ImproperlyConfigured as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("setting", "error"),
    [
        ("", 'COMETWARE_CHANNEL is not set; expected where your Channel is, like "mysite.live.channel"'),
        ("COMETWARE_CHANNEL='nowhere.channel'", "COMETWARE_CHANNEL = 'nowhere.channel': No module named 'nowhere'"),
        ("COMETWARE_CHANNEL='os.sep'", "COMETWARE_CHANNEL = 'os.sep': expected a cometware.Channel, got str"),
    ],
)
def test_a_setting_that_names_no_channel_says_what_to_write(setting: str, error: str) -> None:
    assert django(ASK, setting) == error


def test_the_channel_of_the_settings_is_looked_for_when_it_is_first_used() -> None:
    program = """
import sys
from cometware import Channel
import cometware.django
from cometware.django import channel
assert channel is cometware.django.channel
assert "tests.hooks.django_site.live" not in sys.modules
channel.publish("hello")
from tests.hooks.django_site.live import channel as itself
assert isinstance(channel, Channel) and itself.recent() == ["hello"]
"""
    django(program, "COMETWARE_CHANNEL='tests.hooks.django_site.live.channel'")


def test_the_module_for_django_has_no_other_surprises() -> None:
    import cometware.django

    with pytest.raises(AttributeError, match="no attribute 'chanel'"):
        cometware.django.chanel  # noqa: B018
