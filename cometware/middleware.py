"""`Cometware`: put one message channel in front of a WSGI application, and leave everything else to it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import count
from typing import Any
from weakref import WeakValueDictionary

from cometware import assets
from cometware.channel import Channel
from cometware.client import Environ
from cometware.core.address import Addresses, Believed
from cometware.core.masking import masked
from cometware.core.origin import Verdict
from cometware.core.rates import Guesses
from cometware.core.text import shown
from cometware.endpoint import Endpoint
from cometware.endpoint.answers import Headers, ask_to_wait, error_response, json_response, nothing, query_of, scripted
from cometware.endpoint.ending import end
from cometware.endpoint.exchange import StartResponse, User
from cometware.endpoint.gate import Gate, without_credentials
from cometware.endpoint.publishing import publish
from cometware.endpoint.socketio.service import SocketIOService
from cometware.endpoint.sockjs.service import SockJSService
from cometware.hooks import AppHooks, is_below, is_hook
from cometware.response import Response
from cometware.servers.detect import detect
from cometware.servers.doors import doors
from cometware.servers.turn import take_turn
from cometware.threads import InThreads
from cometware.transports.forks import forks
from cometware.unheard import unheard


class Cometware:
    """A WSGI application that serves the channel at `path` and hands every other request to `app` untouched.

    `user` tells who is logged in: a function of the request's environ that returns a name or None, like
    `cometware.flask.user(app, "user")`. `allowed_origins` are pages of other origins that may use the channel with their
    visitors' cookies, like `["https://shop.example", "https://*.shop.example"]`; `"*"` lets everybody in, without cookies,
    as do `"null"` and `"file://"`, which any page can be. `hosts` are the names of this site, like `["shop.example"]`, or
    `[".shop.example"]` for all below it, too; without them the framework's list counts, and without that every `Host`.
    `subprotocols` are those that a plain WebSocket may choose from. `status_token` switches `<path>/status` on, which tells
    who is here and how to requests with `Authorization: Bearer <token>`. `publish_token` does so for `<path>/publish`,
    where programs in any language publish. `addresses` tells from whom to learn where requests come from, for
    `Limits.rates`: the networks of your proxies, like `["10.0.0.0/8"]`, how many there are, or the header that they set,
    like `"X-Real-IP"`; `()`, if nothing is in front. `hooks` is the path below which the application itself answers, by
    ordinary views, to what clients do that has no handler (`cometware.hooks`); from outside it is 404.

    >>> def app(environ, start_response):
    ...     start_response("200 OK", [("Content-Type", "text/plain")])
    ...     return [b"the application as it was"]
    >>> app = Cometware(app, Channel(), path="/comet")

    `<path>/sockjs` is the channel for an unmodified sockjs-client; with `sockjs="/sockjs"` it is there, too. `sockjs_script`
    is the URL of that client, which the page of its iframe transports loads: without it they are off. `sockjs_cookie` sets
    the cookie JSESSIONID, for balancers that go by it.

    `<path>/socket.io` is the channel for an unmodified socket.io-client, of versions 1 to 4; with `socketio="/socket.io"` it
    is there, too. Its namespaces are channels of their own: `{"/": channel, "/admin": admin}` in the place of a channel, which
    other clients find at `<path>/admin`. `recovery` lets Socket.IO clients resume where they were, as of version 4.6; each
    event then has its position as one more argument.

    `threads` native threads run the application and the channel's handlers, so that what blocks there holds nobody else's
    messages; with 0, greenlets run them, and they must be cooperative.

    Raises:
        ValueError: The path does not begin with `/` (or is all of it), or an origin or a host is none.
    """

    def __init__(
        self,
        app: Any,
        channel: Channel | Mapping[str, Channel],
        path: str = "/comet",
        user: User | None = None,
        *,
        allowed_origins: Collection[str] = (),
        hosts: Collection[str] | None = None,
        subprotocols: Sequence[str] = (),
        addresses: Believed = None,
        status_token: str | None = None,
        publish_token: str | None = None,
        hooks: str | None = None,
        threads: int = 0,
        sockjs: str | None = None,
        sockjs_script: str = "",
        sockjs_cookie: bool = False,
        socketio: str | None = None,
        recovery: bool = False,
    ) -> None:
        for setting, value in (("path", path), ("sockjs", sockjs), ("socketio", socketio)):
            if value is not None and (not value.startswith("/") or value.endswith("/")):
                raise ValueError(f"Cometware({setting}={value!r}): expected a path like '/comet'")
        channels = channel if isinstance(channel, Mapping) else {"/": channel}
        if "/" not in channels or not all(name.startswith("/") for name in channels):
            raise ValueError(f"Cometware(channel={list(channels)!r}): expected names like '/admin', and '/' among them")
        channel = channels["/"]
        self.app = app
        self.channel = channel
        self.channels = dict(channels)
        self._ends = False
        for one in channels.values():
            one.is_wrapped = True
        _made[next(_numbers)] = self
        self.path = path
        self._gate = Gate(app, allowed_origins, hosts)
        self._addresses = Addresses(addresses)
        self._counts = any(channel.limits.rates is not None for channel in channels.values())
        self._guesses = Guesses(channel.limits.rates)
        doors.know(self._addresses, [channel.limits.rates for channel in channels.values()])
        self._status_token = status_token
        self._publish_token = publish_token
        self.hooks = hooks
        if hooks is not None:
            channel.hooks = AppHooks(app, channel, hooks)
        self._endpoint = Endpoint(channel, user, subprotocols, threads)
        self._in_threads = InThreads(app, threads, channel.limits) if threads else None
        self._endpoints = {name: self._endpoint_of(name, channels[name], user, subprotocols, threads) for name in channels}
        for_sockjs = SockJSService(self._endpoint, self._gate, sockjs_script, cookie=sockjs_cookie)
        for_socketio = SocketIOService(self._endpoints, self._gate, recovery=recovery)
        self._foreign: dict[str, SockJSService | SocketIOService] = {
            path + "/sockjs": for_sockjs,
            path + "/socket.io": for_socketio,
        }
        if sockjs is not None:
            self._foreign[sockjs] = for_sockjs
        if socketio is not None:
            self._foreign[socketio] = for_socketio

    def _endpoint_of(
        self, name: str, channel: Channel, user: User | None, subprotocols: Sequence[str], threads: int
    ) -> Endpoint:
        return self._endpoint if name == "/" else Endpoint(channel, user, subprotocols, threads, self._endpoint)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        forks.is_serving = unheard.is_serving = True
        path = environ.get("PATH_INFO", "")
        server = environ.get("cometware.server")
        if server is not None:
            server.limits = self.channel.limits
        else:
            take_turn(environ)
            if "RAW_URI" in environ:
                self._mask(environ, path)
        for prefix, foreign in self._foreign.items():
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("", "/"):
                if self._counts:
                    environ["cometware.address"] = self._addresses.of(environ)
                return foreign.serve(environ, start_response, path[len(prefix) :])
        if not path.startswith(self.path) or path[len(self.path) : len(self.path) + 1] not in ("", "/"):
            return self._app(environ, start_response)
        if self._counts:
            environ["cometware.address"] = self._addresses.of(environ)
        if path == self.path + "/ready" and "/ready" not in self.channels:
            return self._ready()(environ, start_response)
        if path == self.path + "/status" and self._status_token:
            return self._with_token("status_token", self._status_token, self._status, environ)(environ, start_response)
        if path == self.path + "/publish" and self._publish_token:
            return self._with_token("publish_token", self._publish_token, self._publish, environ)(environ, start_response)
        endpoint = self._endpoints.get(path[len(self.path) :].rstrip("/") or "/")
        if endpoint is not None:
            return self._channel(endpoint, environ, start_response)
        asset = assets.serve(environ, start_response, path[len(self.path) + 1 :])
        if asset is not None:
            return asset
        message = f"nothing is at {shown(path)}; the channel is at {self.path}"
        return error_response(404, "path", message)(environ, start_response)

    def _mask(self, environ: Environ, path: str) -> None:
        """Let gunicorn's own access log, which reads the environ behind us, tell no bearer of what is asked of the channel."""
        if any((path + "/").startswith(prefix + "/") for prefix in (self.path, *self._foreign)):
            for name in ("RAW_URI", "HTTP_REFERER"):
                if name in environ:
                    environ[name] = masked(environ[name])

    def _app(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Hand over to the application, but for what is ours alone to ask of it."""
        if not is_hook(environ):
            if self.hooks is not None and is_below(self.hooks, environ.get("PATH_INFO", "")):
                return error_response(404, "path", "nothing is here")(environ, start_response)
            environ["cometware.channel"] = self.channel
        app = self.app
        if self._in_threads is not None and not detect(environ, start_response).may_block:
            app = self._in_threads
        result: Iterable[bytes] = app(environ, start_response)
        return result

    def drain(self, window_seconds: float) -> None:
        """Ask every client to come back, spread over a window of seconds: this process is about to end.

        `<path>/ready` says so from now on, too.
        """
        self._ends = True
        for endpoint in self._endpoints.values():
            endpoint.drain(window_seconds)

    def _ready(self) -> Response:
        """Tell a balancer whether it may send somebody here."""
        is_ready = not (self._ends or end.is_near)
        response = json_response(200 if is_ready else 503, {"ready": is_ready})
        response.headers["Cache-Control"] = "no-store"
        return response

    def warn_of_processes(self, *, aloud: bool = True) -> None:
        """Several processes serve this: if the channel cannot be in all of them, say so in the log, once.

        Not `aloud`: another process has said so.
        """
        self._endpoint.warn_of_processes(aloud=aloud)

    def _with_token(self, setting: str, token: str, then: Callable[[Environ], Response], environ: Environ) -> Response:
        """Answer whoever shows the token; nothing is read of what others say, and who guesses has to wait."""
        address, now = environ.get("cometware.address", ""), self._endpoint.clock.monotonic()
        wait = self._guesses.wait(address, now)
        if wait is not None:
            response = error_response(429, "rate", str(wait), wait_seconds=wait.seconds)
            ask_to_wait(response, wait.seconds)
        elif not _shows(environ, token):
            self._guesses.wrong(address, now)
            response = _ask_for(setting)
        else:
            return then(environ)
        response.headers["Connection"] = "close"
        return response

    def _status(self, environ: Environ) -> Response:
        """Tell who is here."""
        return json_response(200, self._endpoint.status())

    def _publish(self, environ: Environ) -> Response:
        """Publish what the request says."""
        return publish(self.channel, environ)

    def _channel(self, endpoint: Endpoint, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        script = environ["REQUEST_METHOD"] == "GET" and "callback" in query_of(environ)
        verdict = self._gate.judge(environ, script=script, listens=environ["REQUEST_METHOD"] != "POST")
        if not verdict.allowed:
            refusal = scripted(environ, self._gate.refuse(verdict, environ))
            return refusal(environ, start_response)
        if verdict.anonymous:
            environ = without_credentials(environ)
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return _preflight(verdict)(environ, start_response)
        return endpoint.serve(environ, start_response, _cors(verdict))


_made: WeakValueDictionary[int, Cometware] = WeakValueDictionary()
_numbers = count()


def made() -> list[Cometware]:
    """Return every Cometware of this process, in the order in which they were made."""
    return [cometware for _, cometware in sorted(_made.items())]


def _shows(environ: Environ, token: str | None) -> bool:
    """Does this request bear the token? Takes as long for every wrong one."""
    shown = environ.get("HTTP_AUTHORIZATION", "").encode("latin-1", "replace")
    return hmac.compare_digest(shown, f"Bearer {token}".encode())


def _ask_for(setting: str) -> Response:
    response = error_response(401, "token", f"expected Authorization: Bearer <the token of Cometware({setting}=…)>")
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _preflight(verdict: Verdict) -> Response:
    """Answer a browser's question before a cross-origin request (Fetch §4.8)."""
    response = nothing()
    response.headers.extend(_cors(verdict))
    response.headers["Access-Control-Allow-Methods"] = "GET, POST"
    response.headers["Access-Control-Allow-Headers"] = "Comet-Key, Content-Type, Last-Event-ID"
    response.headers["Access-Control-Max-Age"] = "7200"
    response.headers["Allow"] = "GET, POST, OPTIONS"
    response.headers["Vary"] = "Origin"
    return response


def _cors(verdict: Verdict) -> Headers:
    if verdict.origin is None:
        return []
    headers = [
        ("Access-Control-Allow-Origin", verdict.origin),
        ("Access-Control-Expose-Headers", "Link, Retry-After"),
    ]
    return headers if verdict.anonymous else [*headers, ("Access-Control-Allow-Credentials", "true")]
