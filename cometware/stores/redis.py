"""A channel's facts in Redis: any number of hosts.

All keys of a channel bear one hash tag, so that in a cluster they live on one node, and this is the only one that we talk to.
"""

from __future__ import annotations

import hashlib
import os
import select
import socket
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from cometware.core.logger import logger
from cometware.core.masking import masked_error, masked_url
from cometware.errors import LogUnavailable
from cometware.limits import Limits
from cometware.stores.base import Away, Call, Store
from cometware.stores.native import original

try:
    import redis
    from redis import exceptions
    from redis.backoff import NoBackoff
    from redis.cluster import ClusterNode, RedisCluster
    from redis.retry import Retry
    from redis.sentinel import Sentinel

    from cometware.stores.rights import CLIENTS, Rights, is_forbidden, missing_of
except ImportError as error:
    raise ImportError("a channel at redis:// needs the package redis: pip install 'cometware[redis]'") from error

Client: TypeAlias = Any
Pipeline: TypeAlias = Any
"""Those of redis-py, whose own types promise awaitables as well."""

NoScriptError = exceptions.NoScriptError

_CONNECT_SECONDS = 2.0
_NOT_RUN = (
    exceptions.NoScriptError,
    exceptions.ReadOnlyError,
    exceptions.MovedError,
    exceptions.AskError,
    exceptions.TryAgainError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
    exceptions.BusyLoadingError,
)
"""Answers that say: not here, or not now; the command was certainly not run."""


class Script(NamedTuple):
    """A script in Lua that the store keeps loaded."""

    source: str
    sha: str

    def queue(self, pipeline: Pipeline, keys: list[str], *arguments: Any) -> None:
        """Within an operation: queue one call of it."""
        pipeline.execute_command("EVALSHA", self.sha, len(keys), *keys, *arguments)


class RedisStore(Store[Client, Pipeline]):
    """An operation is called with a pipeline; it must queue exactly one command there. It may return a function, which is
    called with the reply in the store's thread, and whose result `do` returns; otherwise `do` returns the reply.

    Raises:
        ValueError: The URL is none of Redis, or the name cannot be a hash tag.
    """

    troubles = (exceptions.RedisError, OSError)

    def __init__(self, url: str, name: str, limits: Limits) -> None:
        super().__init__(url, name, limits)
        self._place = place_of(url)
        if name[:1] in ("", "}"):  # then Redis would hash the whole of each key, and keep them on several nodes
            raise ValueError(f"Channel(name={name!r}): expected a name that is not empty and does not begin with '}}'")
        self.rights = Rights(self.key(""))
        self._forbidden: set[str] = set()
        self._scripts: tuple[Script, ...] = ()
        self._loaded: tuple[Script, ...] = ()
        self._descriptor = -1
        self.group = 0
        """The number of the group that is queued, or was last; for operations."""

    def key(self, kind: str) -> str:
        """Return the name in Redis of what this channel keeps there."""
        return f"cometware:{{{self.name}}}:{kind}"

    def script(self, source: str) -> Script:
        """Have a script loaded wherever we are connected to, and return how to call it."""
        script = Script(source, hashlib.sha1(source.encode()).hexdigest())
        self._scripts += (script,)
        return script

    def connect(self, answer_seconds: float) -> Client:
        """Return a new connection to where this channel's keys are, for the thread of the caller.

        Raises:
            redis.RedisError, OSError: It cannot be reached.
        """
        options = {
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),  # what may have been run must not be sent again
            "socket_connect_timeout": min(_CONNECT_SECONDS, self.limits.store_seconds),
            "socket_timeout": answer_seconds,
        }
        client = self._place.client(self.key(""), options)
        try:
            client.ping()
        except self.troubles:
            client.close()
            raise
        return client

    def _open(self) -> Client:
        try:
            client = self.connect(self.limits.store_seconds)
        except self.troubles as error:
            raise Away(self._explained(error), hopeless=is_forbidden(error)) from error
        missing = self._missing(client)
        if not CLIENTS.issuperset(missing):
            client.close()
            raise Away(self.rights.explained(missing), hopeless=True)
        if missing:
            self._warn(f"clients cannot be served: {self.rights.explained(missing)}")
        self._loaded = ()
        self._descriptor = client.connection._sock.fileno()
        assert self._bell is not None
        self._bell.watch(self._descriptor)
        return client

    def _vanished(self, connection: Client) -> bool:
        """Has the other side hung up? (We have asked nothing that it could answer.)"""
        poll = original("select", "poll")()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(0))

    def _group(self, connection: Client, calls: list[Call[Pipeline]]) -> None:
        self.group += 1
        pipeline = connection.pipeline(transaction=False)
        queued = [(call, parse) for call in calls for parse in self._queue(pipeline, call)]
        try:
            for script in self._scripts[len(self._loaded) :]:
                connection.script_load(script.source)
                self._loaded += (script,)
        except self.troubles as error:
            raise Away(self._explained(error), [call for call, _ in queued], hopeless=is_forbidden(error)) from error
        try:
            replies = pipeline.execute(raise_on_error=False) if queued else []
        except self.troubles as error:
            raise Away(self._explained(error)) from error
        again: list[Call[Pipeline]] = []
        for (call, parse), reply in zip(queued, replies, strict=True):
            if isinstance(reply, _NOT_RUN):
                again.append(call)
            elif isinstance(reply, Exception):
                call.error = LogUnavailable(self.url, self._refused(connection, reply))
            else:
                call.result = reply if parse is None else parse(reply)
        if again:
            trouble = next(reply for reply in replies if isinstance(reply, _NOT_RUN))
            raise Away(self._explained(trouble), again, others_done=True)

    def _queue(self, pipeline: Pipeline, call: Call[Pipeline]) -> list[Callable[[Any], Any] | None]:
        """Let a call queue its command; return, if it did, what its reply is to be given to."""
        before = len(pipeline)
        try:
            parse = call.operation(pipeline)
            if len(pipeline) != before + 1:
                raise RuntimeError(f"an operation must queue one command, not {len(pipeline) - before}")
        except Exception as error:
            del pipeline.command_stack[before:]
            call.error = error
            return []
        return [parse if callable(parse) else None]

    def _leave(self, connection: Client) -> None:
        if self._descriptor >= 0 and self._bell is not None:
            self._bell.forget(self._descriptor)
            self._descriptor = -1
        try:
            connection.close()
        except Exception:  # whatever it is that is broken
            pass

    def _missing(self, client: Client) -> list[str]:
        """Ask Redis which of the commands that we need its user may not run; it tells as of version 7."""
        try:
            return self.rights.missing(client)
        except self.troubles as error:
            client.close()
            raise Away(self._explained(error), hopeless=is_forbidden(error)) from error

    def _refused(self, connection: Client, error: Exception) -> str:
        """Tell why a command was refused; what is forbidden in a script, Redis names only if it is asked."""
        if is_forbidden(error) and not missing_of(error):
            missing = self._missing(connection)
            if missing:
                self._warn(self.rights.explained(missing))
                return self.rights.explained(missing)
        self.heard(error)
        return self._explained(error)

    def heard(self, error: Exception) -> None:
        """Another thread than our own has met this trouble, too; one that will last is told."""
        if is_forbidden(error):
            self._warn(self._explained(error))

    def _warn(self, what: str) -> None:
        """Log once in this process what is forbidden."""
        if what not in self._forbidden:
            self._forbidden.add(what)
            logger.warning("cometware: the store %s: %s", self.url, what)

    def _explained(self, error: Exception) -> str:
        if is_forbidden(error):
            return f"Redis says: {error}; {self.rights.explained(missing_of(error))}"
        return f"Redis says: {error}" if isinstance(error, exceptions.ResponseError) else str(error) or type(error).__name__


def hang_up(client: Client) -> None:
    """Let whatever waits for an answer to this client, in another thread, fail at once. Closing is for that thread."""
    sock = client.connection._sock
    try:
        with original("socket", "socket")(fileno=os.dup(sock.fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)
    except (AttributeError, OSError):
        pass  # it has failed already


class _Native:
    """Whether there is something to read, asked of the system; redis-py asks it of `select` as gevent has replaced it."""

    _sock: Any

    def can_read(self, timeout: float = 0) -> bool:
        """Only the pool asks it, of a connection that it has just made."""
        poll = original("select", "poll")()
        poll.register(self._sock, select.POLLIN)
        return bool(poll.poll(int(timeout * 1000)))


class _Connection(_Native, redis.Connection):
    """A connection of native threads. Where gevent has replaced sockets, the one of redis-py would begin an event loop in each
    thread, to wait in that one. (By TLS it still does.)
    """

    def _connect(self) -> socket.socket:
        places = original("socket", "getaddrinfo")(self.host, self.port, self.socket_type, socket.SOCK_STREAM)
        failed = OSError(f"{self.host} has no address")
        for family, kind, protocol, _, address in places:
            sock: socket.socket = original("socket", "socket")(family, kind, protocol)
            try:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self.socket_keepalive:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    for option, value in self.socket_keepalive_options.items():
                        sock.setsockopt(socket.IPPROTO_TCP, option, value)
                sock.settimeout(self.socket_connect_timeout)
                sock.connect(address)
                sock.settimeout(self.socket_timeout)
                return sock
            except OSError as error:
                sock.close()
                failed = error
        raise failed


class _UnixConnection(_Native, redis.UnixDomainSocketConnection):
    """The same by a UNIX socket."""

    def _connect(self) -> socket.socket:
        sock: socket.socket = original("socket", "socket")(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.socket_connect_timeout)
            sock.connect(self.path)
            sock.settimeout(self.socket_timeout)
        except OSError:
            sock.close()
            raise
        return sock


_NATIVE = {redis.Connection: _Connection, redis.UnixDomainSocketConnection: _UnixConnection}


def _alone(client: Client) -> Client:
    """Return a client with one connection of its own, which is made now."""
    pool = client.connection_pool
    pool.connection_class = _NATIVE.get(pool.connection_class, pool.connection_class)
    return client.client()


class Place(NamedTuple):
    """Where Redis is: `kind` is "", "sentinel" or "cluster"."""

    kind: str
    url: str
    hosts: list[tuple[str, int]]
    service: str
    settings: dict[str, Any]
    sentinel_settings: dict[str, Any]

    def client(self, key: str, options: dict[str, Any]) -> Client:
        """Connect to the node that has a key."""
        if not self.kind:
            return _alone(redis.Redis.from_url(self.url, **options))
        settings = {**options, **self.settings}
        if self.kind == "sentinel":
            timeout = {"socket_timeout": options["socket_connect_timeout"], "retry": options["retry"]}
            login = {**timeout, **self.sentinel_settings}
            sentinel = Sentinel(self.hosts, sentinel_kwargs=login)  # type: ignore[no-untyped-call]
            host, port = sentinel.discover_master(self.service)  # type: ignore[no-untyped-call]
        else:
            nodes = [ClusterNode(*pair) for pair in self.hosts]  # type: ignore[no-untyped-call]
            cluster = RedisCluster(startup_nodes=nodes, **settings)
            try:
                node = cluster.get_node_from_key(key)  # type: ignore[no-untyped-call]
                host, port = node.host, node.port
            finally:
                cluster.close()
        return _alone(redis.Redis(host, port, **settings))


_SCHEMES = ("redis", "rediss", "unix")
_PORTS = {"sentinel": 26379, "cluster": 6379}


def place_of(url: str) -> Place:
    """Read a URL: `redis://`, `rediss://` and `unix://` as redis-py takes them, and

    `redis+sentinel://user:password@host1:26379,host2/service/0?sentinel_password=…`, `redis+cluster://host1:6379,host2`;
    with `rediss+` by TLS.

    Raises:
        ValueError: It is none of these.
    """
    try:
        parts = urlsplit(url)
        scheme, _, kind = parts.scheme.partition("+")
        if not kind and scheme in _SCHEMES:
            redis.ConnectionPool.from_url(url)
            return Place("", url, [], "", {}, {})
        if scheme in ("redis", "rediss") and kind in _PORTS:
            return _several(parts, kind, tls=scheme == "rediss")
    except ValueError as error:
        raise ValueError(f"Channel({masked_url(url)!r}): {masked_error(str(error), url)}") from None
    raise ValueError(
        f"Channel({masked_url(url)!r}): expected redis://host:6379/0, rediss://…, unix:///path?db=0, "
        "redis+sentinel://host1,host2/service/0 or redis+cluster://host1,host2"
    )


def _several(parts: SplitResult, kind: str, *, tls: bool) -> Place:
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    path = [unquote(part) for part in parts.path.split("/") if part]
    if not hosts or (kind == "sentinel" and not 1 <= len(path) <= 2) or (kind == "cluster" and path not in ([], ["0"])):
        raise ValueError("expected redis+sentinel://host1,host2/service/0 or redis+cluster://host1,host2")
    query = dict(parse_qsl(parts.query))
    settings: dict[str, Any] = {"ssl": True} if tls else {}
    if query.pop("ssl_cert_reqs", "") == "none":
        settings["ssl_cert_reqs"] = ssl.CERT_NONE
    settings |= {name: query.pop(name) for name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile") if name in query}
    sentinel = {name[9:]: query.pop(name) for name in ("sentinel_username", "sentinel_password") if name in query}
    if query:
        raise ValueError(f"unknown {', '.join(query)} in the query")
    sentinel |= settings
    settings |= {name: unquote(value) for name, value in (("username", user), ("password", password)) if value}
    if kind == "sentinel" and len(path) == 2:
        settings["db"] = int(path[1])
    return Place(
        kind, "", [_address(host, _PORTS[kind]) for host in hosts.split(",")], path[0] if path else "", settings, sentinel
    )


def _address(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is no host")
    return parts.hostname, parts.port or port
