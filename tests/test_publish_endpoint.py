"""`POST <path>/publish`: who shows the token publishes, everybody else is told what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from cometware import Channel, Cometware, Limits, LogUnavailable, Position

TOKEN = {"Authorization": "Bearer sésame".encode().decode("latin-1")}


def no_app(environ: object, start_response: object) -> list[bytes]:
    raise AssertionError("only the channel is asked")


@pytest.fixture
def channel() -> Channel:
    return Channel(limits=Limits(max_message_bytes=20_000))


@pytest.fixture
def client(channel: Channel) -> Client:
    return Client(Cometware(no_app, channel, publish_token="sésame"))


def post(client: Client, body: Any, headers: dict[str, str] = TOKEN) -> TestResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post("/comet/publish", data=data, headers=headers)


def error_of(response: TestResponse) -> tuple[int, str, str]:
    error = json.loads(response.get_data())["error"]
    return response.status_code, error["code"], error["message"]


def published(channel: Channel) -> list[tuple[str, str, tuple[str, ...], str | None, Any]]:
    return [
        (str(entry.position), entry.message.event, entry.message.to, entry.message.but, entry.data)
        for entry in channel.log.since(0)
    ]


def test_a_message_is_published_and_its_position_told(client: Client, channel: Channel) -> None:
    response = post(client, {"data": {"$bytes": "AP8="}, "event": "order", "to": ["room:a", "user:b"], "but": "x"})
    position = str(channel.position)
    assert (response.status_code, response.get_data()) == (200, f'{{"position":"{position}"}}\n'.encode())
    assert published(channel) == [(position, "order", ("room:a", "user:b"), "x", b"\0\xff")]


def test_several_are_published_in_their_order(client: Client, channel: Channel) -> None:
    response = post(client, [{"data": 1}, {"event": "begin"}, {"data": 2, "to": "room:a"}])
    told = [shape["position"] for shape in json.loads(response.get_data())]
    assert [(position, data) for position, *_, data in published(channel)] == list(zip(told, (1, None, 2), strict=True))


def test_several_are_left_out(client: Client, channel: Channel) -> None:
    assert post(client, [{"data": 1, "but": ["a", "b"]}, {"data": 2, "but": []}]).status_code == 200
    assert [but for _, _, _, but, _ in published(channel)] == [("a", "b"), None]


def test_the_same_key_twice_publishes_once(client: Client, channel: Channel) -> None:
    answers = [post(client, {"data": 1, "once": "order 7"}).get_data() for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(published(channel)) == 1


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer guess"}, {"Authorization": "sésame"}])
def test_without_the_token_nothing_is_even_read(client: Client, channel: Channel, headers: dict[str, str]) -> None:
    response = post(client, b"not read", headers)
    assert error_of(response) == (401, "token", "expected Authorization: Bearer <the token of Cometware(publish_token=…)>")
    assert (response.headers["WWW-Authenticate"], response.headers["Connection"]) == ("Bearer", "close")
    assert published(channel) == []


@pytest.mark.parametrize("token", [None, ""])
def test_it_is_off_unless_there_is_a_token(token: str | None) -> None:
    client = Client(Cometware(no_app, Channel(), publish_token=token))
    assert error_of(post(client, {"data": 1}, {"Authorization": "Bearer "}))[0] == 404


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", 'json: expected JSON like {"data": "hello"}: Expecting value: line 1 column 1 (char 0)'),
        (b"\xff", 'json: expected JSON like {"data": "hello"}: '),
        (b'{"data":' * 2000, "json: "),
        ("hello", 'shape: expected an object like {"data": "hello"}, got \'hello\'; nothing was published'),
        ({}, "shape: expected data, or an event; nothing was published"),
        ({"data": 1, "evnt": "x"}, "shape: expected only data, event, to, but, once; got evnt; nothing was published"),
        ({"data": 1, "event": "close"}, "shape: event='close' is reserved"),
        ({"data": 1, "event": 7}, "shape: event=7: expected a name of 1 to 256 characters"),
        ({"data": 1, "to": "ann"}, "shape: to='ann': expected '*', 'client:<id>', 'user:<name>' or 'room:<name>'"),
        ({"data": 1, "to": [["room:a"]]}, "shape: to: expected an audience or an array of them, got [['room:a']]"),
        ({"data": 1, "to": []}, "shape: to=[]: expected at least one audience"),
        ({"data": 1, "but": 7}, "shape: but: expected the id of a client or an array of them, got 7"),
        ({"data": 1, "but": ["a", 7]}, "shape: but: expected the id of a client or an array of them, got ['a', 7]"),
        ({"data": 1, "but": ""}, "shape: but='': expected the id of a client"),
        ({"data": 1, "once": ""}, "shape: once: expected a key of 1 to 256 characters, got ''"),
        ({"data": {"$bytes": "?"}}, "shape: $bytes: not base64"),
        ([{"data": 1}, {"data": 2, "to": "ann"}], "shape: message 1: to='ann': expected"),
    ],
)
def test_a_mistake_is_explained_and_nothing_published(client: Client, channel: Channel, body: Any, told: str) -> None:
    status, code, message = error_of(post(client, body))
    assert f"{code}: {message}".startswith(told)
    assert (status, published(channel)) == (400, [])


def test_another_method_and_a_large_body_are_refused(client: Client, channel: Channel) -> None:
    response = client.get("/comet/publish", headers=TOKEN)
    assert error_of(response) == (405, "method", "got GET, expected POST")
    assert response.headers["Allow"] == "POST"
    assert error_of(post(client, {"data": "x" * 20_000}))[:2] == (413, "size")
    large = post(client, {"data": "x" * 80_000})
    assert (error_of(large)[:2], large.headers["Connection"]) == ((413, "size"), "close")
    assert published(channel) == []


def test_of_more_messages_than_one_body_may_hold_none_is_published(client: Client, channel: Channel) -> None:
    most = channel.limits.max_waiting_messages
    told = f"{most + 1} messages in one; Limits.max_waiting_messages allows {most}; nothing was published"
    assert error_of(post(client, [{"data": 1}] * (most + 1))) == (413, "many", told)
    assert published(channel) == []
    assert post(client, [{"data": 1}] * most).status_code == 200
    assert len(published(channel)) == most


def test_a_log_that_is_away_is_told_with_what_was_published(
    client: Client, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = channel.publish

    def fail_at_two(data: Any, **options: Any) -> Position:
        if data == 2:
            raise LogUnavailable("redis://10.0.0.1/0", "no answer")
        return publish(data, **options)

    monkeypatch.setattr(channel, "publish", fail_at_two)
    response = post(client, [{"data": 1}, {"data": 2}, {"data": 3}])
    shape = json.loads(response.get_data())["error"]
    assert (response.status_code, shape["code"], shape["published"]) == (503, "log", [str(channel.position)])
    assert shape["message"] == (
        "the channel's store is not available: this message may or may not be published; with once, send it again"
    )
