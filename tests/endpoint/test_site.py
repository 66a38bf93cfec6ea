"""Which hosts a channel answers to, and which proxy it believes: what its application says of both."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, Request
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from cometware import Channel, Cometware
from cometware.flask import Comet


def ask(app: Any, host: str | None, path: str = "/comet?wait=0", **headers: str) -> Any:
    """Ask for the channel; return the code of the error, or the status."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    environ = {} if host is None else {"HTTP_HOST": host}
    response = Client(app).open(path, headers=fields, environ_overrides=environ)
    if response.status_code < 400:
        return response.status_code
    error = json.loads(response.data)
    return error["error"]["code"] if "error" in error else response.status_code


def plain(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


# Hosts


def test_without_a_list_every_host_is_served() -> None:
    assert ask(Cometware(plain, Channel()), "evil.example") == 200


def test_a_host_that_is_not_in_the_list_is_refused_whatever_its_page_says_of_itself() -> None:
    app = Cometware(plain, Channel(), hosts=["shop.example", ".a.example"])
    assert ask(app, "shop.example") == 200
    assert ask(app, "b.a.example:8000") == 200
    assert ask(app, "evil.example", Sec_Fetch_Site="same-origin") == "host"
    assert ask(app, "evil.example", Origin="http://evil.example") == "host"
    assert ask(app, "shop.example.evil.example") == "host"


@pytest.mark.parametrize("path", ["/comet", "/comet/sockjs/info", "/comet/sockjs/000/abc/xhr_send"])
def test_every_way_to_the_channel_asks_for_the_host(path: str) -> None:
    app = Cometware(plain, Channel(), hosts=["shop.example"])
    response = Client(app).post(path, environ_overrides={"HTTP_HOST": "evil.example"})
    if path.endswith("info"):
        response = Client(app).get(path, environ_overrides={"HTTP_HOST": "evil.example"})
    assert (response.status_code, json.loads(response.data)["error"]["code"]) == (400, "host")


def test_socketio_asks_for_it_too() -> None:
    app = Cometware(plain, Channel(), hosts=["shop.example"])
    response = Client(app).get("/comet/socket.io/?EIO=4&transport=polling", environ_overrides={"HTTP_HOST": "evil.example"})
    assert response.status_code == 403
    assert "hosts" in json.loads(response.data)["message"]


def test_who_shows_a_token_who_wants_the_client_and_who_asks_whether_it_is_ready_is_not_asked() -> None:
    app = Cometware(plain, Channel(), hosts=["shop.example"], publish_token="t", status_token="t")
    token = {"Authorization": "Bearer t"}
    assert ask(app, "web:8000", "/comet/status", **token) == 200
    assert ask(app, "web:8000", "/comet/ready") == 200
    assert ask(app, "web:8000", "/comet/client.js") == 200
    assert ask(app, "web:8000", "/") == 200


def test_the_refusal_says_what_was_got_and_which_list_has_it_not() -> None:
    response = Client(Cometware(plain, Channel(), hosts=["shop.example"])).get("/comet", base_url="http://evil.example")
    error = json.loads(response.data)["error"]
    assert (response.status_code, error["got"], error["setting"]) == (400, "evil.example", "hosts")
    assert "Cometware(…, hosts=[…])" in error["message"]


def flask_app(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    return app


def test_flasks_trusted_hosts_are_the_channels() -> None:
    app = flask_app(TRUSTED_HOSTS=["shop.example", ".b.example"], SERVER_NAME="other.example")
    Comet(app)
    assert ask(app, "shop.example:8000") == 200
    assert ask(app, "a.b.example") == 200
    assert ask(app, "other.example") == "host"
    assert ask(app, "evil.example") == "host"


@pytest.mark.parametrize("name", ["shop.example", "shop.example:8000"])
def test_flasks_server_name_is_the_channels_host_with_its_subdomains(name: str) -> None:
    app = flask_app(SERVER_NAME=name)
    Comet(app)
    assert ask(app, "shop.example:9000") == 200
    assert ask(app, "api.shop.example") == 200
    assert ask(app, "evil.example") == "host"


def test_those_of_a_request_class_of_its_own_are_the_channels_too() -> None:
    class Asked(Request):
        trusted_hosts = ["shop.example"]  # as it was before Flask 3.1

    app = flask_app()
    app.request_class = Asked
    Comet(app)
    assert ask(app, "shop.example") == 200
    assert ask(app, "evil.example") == "host"


@pytest.mark.parametrize("origin", ["null", "file://"])
def test_a_page_that_anybody_can_be_is_served_as_a_stranger_if_it_is_listed(origin: str) -> None:
    seen: list[Any] = []

    def user(environ: dict[str, Any]) -> str | None:
        seen.append([name for name in ("HTTP_COOKIE", "HTTP_AUTHORIZATION", "HTTP_X_FORWARDED_USER") if name in environ])
        return None

    headers = {"Origin": origin, "Cookie": "user=ann", "Authorization": "Basic x", "X-Forwarded-User": "ann"}
    listed = Cometware(plain, Channel(), user=user, allowed_origins=[origin, "https://a.example"])
    response = Client(listed).get("/comet?wait=0", headers=headers)
    assert (response.status_code, response.headers["Access-Control-Allow-Origin"]) == (200, origin)
    assert "Access-Control-Allow-Credentials" not in response.headers
    assert seen == [[]]
    response = Client(Cometware(plain, Channel())).get("/comet", headers=headers)
    assert response.status_code == 403
    assert f'allowed_origins=["{origin}"]), which serves' in json.loads(response.data)["error"]["message"]


def test_sockjs_page_for_frames_names_no_wildcard_and_no_origin_that_anybody_can_have() -> None:
    origins = ["null", "file://", "*", "https://a.example", "https://*.b.example"]
    app = Cometware(plain, Channel(), allowed_origins=origins, sockjs_script="/sockjs.js")
    policy = Client(app).get("/comet/sockjs/iframe.html").headers["Content-Security-Policy"]
    assert policy == "frame-ancestors 'self' https://a.example"


def test_the_setting_goes_before_the_frameworks_list() -> None:
    app = flask_app(TRUSTED_HOSTS=["shop.example"])
    Comet(app, hosts=["*"])
    assert ask(app, "evil.example") == 200


def test_the_list_is_the_one_of_today() -> None:
    app = flask_app()
    Comet(app)
    assert ask(app, "evil.example") == 200
    app.config["TRUSTED_HOSTS"] = ["shop.example"]
    assert ask(app, "evil.example") == "host"


WRAPPERS: dict[str, Callable[[Any], Any]] = {
    "none": lambda app: app,
    "closure": lambda app: lambda environ, start_response: app(environ, start_response),
    "partial": lambda app: functools.partial(lambda inner, environ, start_response: inner(environ, start_response), app),
    "dispatcher": lambda app: DispatcherMiddleware(app, {"/api": plain}),
    "another channel": lambda app: Cometware(app, Channel(), path="/other"),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("bare", [True, False])
def test_the_application_is_found_in_whatever_wraps_it(wrapper: str, bare: bool) -> None:
    flask = flask_app(TRUSTED_HOSTS=["shop.example"])
    app = Cometware(WRAPPERS[wrapper](flask if bare else flask.wsgi_app), Channel())
    assert ask(app, "shop.example") == 200
    assert ask(app, "evil.example") == "host"


# Proxies that change Host

BEHIND = {"Origin": "https://shop.example", "X_Forwarded_Host": "shop.example", "X_Forwarded_Proto": "https"}


def inside(**counts: int) -> Flask:
    """The order of most factories: ProxyFix first, then the extension around it."""
    app = flask_app()
    app.wsgi_app = ProxyFix(app.wsgi_app, **counts)  # type: ignore[method-assign]
    Comet(app)
    return app


def outside(**counts: int) -> Flask:
    app = flask_app()
    Comet(app)
    app.wsgi_app = ProxyFix(app.wsgi_app, **counts)  # type: ignore[method-assign]
    return app


def around_the_app(**counts: int) -> Any:
    """`ProxyFix` put on a Flask application that `Cometware` gets as it is."""
    app = flask_app()
    app.wsgi_app = ProxyFix(app.wsgi_app, **counts)  # type: ignore[method-assign]
    return Cometware(app, Channel())


def in_a_closure(**counts: int) -> Any:
    return Cometware(WRAPPERS["closure"](ProxyFix(plain, **counts)), Channel())


ORDERS = [inside, outside, around_the_app, in_a_closure]


@pytest.mark.parametrize("order", ORDERS)
def test_a_proxyfix_says_whose_page_it_is_wherever_it_stands(order: Callable[..., Any]) -> None:
    app = order(x_host=1)
    assert ask(app, "backend:8000", **BEHIND) == 200
    assert ask(app, "backend:8000", **BEHIND | {"Origin": "https://evil.example"}) == "origin"


@pytest.mark.parametrize("order", ORDERS)
def test_it_is_believed_as_far_as_it_believes(order: Callable[..., Any]) -> None:
    """The last value is the proxy's own; what stands before it, a stranger may have written."""
    app = order(x_host=1)
    forged = BEHIND | {"Origin": "https://evil.example", "X_Forwarded_Host": "evil.example, shop.example"}
    assert ask(app, "backend:8000", **forged) == "origin"
    assert ask(app, "backend:8000", **forged | {"Origin": "https://shop.example"}) == 200
    assert ask(order(x_host=2), "backend:8000", **BEHIND | {"X_Forwarded_Host": "shop.example, inner.example"}) == 200


@pytest.mark.parametrize("order", [lambda **_: Cometware(plain, Channel()), lambda **_: inside(x_host=0)])
def test_what_no_proxyfix_believes_opens_nothing(order: Callable[..., Any]) -> None:
    app = order()
    assert ask(app, "backend:8000", **BEHIND) == "origin"
    assert (
        ask(app, "shop.example", **BEHIND | {"Origin": "https://evil.example", "X_Forwarded_Host": "evil.example"}) == "origin"
    )


def message(app: Any, **headers: str) -> str:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    response = Client(app).get("/comet", headers=fields, environ_overrides={"HTTP_HOST": "backend:8000"})
    return str(json.loads(response.data)["error"]["message"])


def test_the_refusal_of_the_own_page_names_proxyfix_and_its_order() -> None:
    assert "ProxyFix(…, x_host=1)" in message(inside(x_for=1), **BEHIND)
    assert "app.wsgi_app = ProxyFix(app.wsgi_app, x_host=1) behind Comet(app)" in message(
        Cometware(plain, Channel()), **BEHIND
    )
    assert "ProxyFix" not in message(inside(x_for=1), **BEHIND | {"Origin": "https://evil.example"})


def test_a_port_that_the_proxy_tells_counts_as_it_does_to_proxyfix() -> None:
    app = inside(x_host=1, x_port=1)
    page = BEHIND | {"Origin": "https://shop.example:8443", "X_Forwarded_Port": "8443"}
    assert ask(app, "backend:8000", **page) == 200
    assert ask(app, "backend:8000", **page | {"Origin": "https://shop.example:9443"}) == "origin"


@pytest.mark.parametrize("order", ORDERS[:2])
def test_the_list_of_hosts_is_asked_for_what_the_proxy_says(order: Callable[..., Any]) -> None:
    app = order(x_host=1)
    app.config["TRUSTED_HOSTS"] = ["shop.example"]
    assert ask(app, "backend:8000", **BEHIND) == 200
    assert (
        ask(app, "backend:8000", **BEHIND | {"Origin": "https://evil.example", "X_Forwarded_Host": "evil.example"}) == "host"
    )
    assert ask(app, "backend:8000") == "host"


def test_the_application_gets_its_request_as_it_came() -> None:
    seen: list[Any] = []

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        seen.append((environ["HTTP_HOST"], environ.get("HTTP_X_FORWARDED_HOST")))
        return plain(environ, start_response)

    Client(Cometware(app, Channel(), hosts=["shop.example"])).get(
        "/", base_url="http://any.example", headers={"X-Forwarded-Host": "x"}
    )
    assert seen == [("any.example", "x")]


# Django


@pytest.fixture
def django() -> Iterator[Any]:
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler

    before = settings._wrapped
    if not settings.configured:
        settings.configure(SECRET_KEY="x", ROOT_URLCONF=__name__, MIDDLEWARE=[])
    from django.test import override_settings

    handler = WSGIHandler.__new__(WSGIHandler)
    with override_settings(ALLOWED_HOSTS=["shop.example", ".b.example"], USE_X_FORWARDED_HOST=False, DEBUG=False):
        yield Cometware(WRAPPERS["closure"](handler), Channel())
    settings._wrapped = before  # what was configured here is not for the next test


def test_djangos_allowed_hosts_are_the_channels(django: Any) -> None:
    assert ask(django, "shop.example:8000") == 200
    assert ask(django, "a.b.example") == 200
    assert ask(django, "evil.example", Sec_Fetch_Site="same-origin") == "host"


def test_django_in_debug_answers_to_localhost_alone(django: Any) -> None:
    from django.test import override_settings

    with override_settings(ALLOWED_HOSTS=[], DEBUG=True):
        assert ask(django, "localhost:8000") == 200
        assert ask(django, "127.0.0.1:8000") == 200
        assert ask(django, "evil.example") == "host"
    with override_settings(ALLOWED_HOSTS=["*"]):
        assert ask(django, "evil.example") == 200


def test_djangos_own_word_for_the_proxy_counts(django: Any) -> None:
    from django.test import override_settings

    assert (
        ask(django, "shop.example", **BEHIND | {"X_Forwarded_Host": "evil.example", "Origin": "https://evil.example"})
        == "origin"
    )
    with override_settings(ALLOWED_HOSTS=["*"]):
        assert ask(django, "backend:8000", **BEHIND) == "origin"
        assert "USE_X_FORWARDED_HOST = True" in message(django, **BEHIND)
    with override_settings(USE_X_FORWARDED_HOST=True, SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        assert ask(django, "backend:8000", **BEHIND) == 200
        assert ask(django, "backend:8000", **BEHIND | {"Origin": "https://evil.example"}) == "origin"
        assert ask(django, "backend:8000", **BEHIND | {"X_Forwarded_Host": "evil.example"}) == "host"
        assert ask(django, "shop.example") == 200
