"""A small Flask application with a channel, as a user of the test kit has it."""

from __future__ import annotations

from typing import Any

import gevent
from flask import Flask, Response, request, session

import cometware.flask
from cometware import Channel, Client, Cometware, Refused


class Shop:
    """The application, its channel, and what its handlers saw: `journal`."""

    def __init__(self, **options: Any) -> None:
        self.journal: list[tuple[Any, ...]] = []
        self.gate = gevent.event.Event()
        self.app = Flask(__name__)
        self.app.secret_key = "not a secret"
        self.channel = Channel(around=self.app.app_context)
        self.wrapped = Cometware(
            self.app.wsgi_app, self.channel, user=cometware.flask.user(self.app), status_token="token", **options
        )
        self.app.wsgi_app = self.wrapped  # type: ignore[method-assign]
        self._views()
        self._handlers()

    def _views(self) -> None:
        @self.app.post("/login/<name>")
        def login(name: str) -> tuple[str, int]:
            session["user"] = name
            return "", 204

        @self.app.post("/orders")
        def order() -> Response:
            position = self.channel.publish(request.get_json(silent=True) or {"order": 7}, event="order")
            return Response(str(position), 201)

        @self.app.get("/broken")
        def broken() -> str:
            raise ZeroDivisionError

    def _handlers(self) -> None:
        channel = self.channel

        @channel.on_open
        def opened(client: Client) -> None:
            assert client.environ is not None
            if "refuse" in client.environ["QUERY_STRING"]:
                raise Refused(402, "pay first", body=b'{"price":7}')
            if "fail" in client.environ["QUERY_STRING"]:
                raise LookupError("the test asked for it")
            self.journal.append(("open", client.user, client.transport))

        @channel.on_message
        def said(client: Client, data: Any) -> None:
            self.journal.append(("message", data))
            channel.publish(data, but=client.id)

        @channel.on("rename")
        def rename(client: Client, data: Any) -> Any:
            return {"name": data}

        @channel.on("pay")
        def pay(client: Client, data: Any) -> Any:
            raise Refused(402, "no money", body=b'{"balance":0}')

        @channel.on("fail")
        def fail(client: Client, data: Any) -> Any:
            raise LookupError("the test asked for it")

        @channel.on("wait")
        def wait(client: Client, data: Any) -> str:
            self.gate.wait()
            return "done"

        @channel.on_close
        def left(client: Client, reason: str) -> None:
            self.journal.append(("close", client.user, reason))
