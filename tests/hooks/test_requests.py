"""What clients do becomes requests to the wrapped application, and its answers decide."""

from __future__ import annotations

import gc
import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from werkzeug.test import Client

from cometware import Channel, Cometware, Limits, Refused
from cometware.hooks import HOOK
from cometware.requests import KeptRequests
from cometware.roster.base import Record, State
from tests.hooks.site import JSON, LIMIT_SECONDS, Asked, Site, World, tell

HOOKS = ["/realtime/open", "/realtime/message", "/realtime/close"]


class Deliberate(Exception):
    """A failure that a test asked for."""


@contextmanager
def heard(text: str, lines: int) -> Iterator[None]:
    """Wait until the channel's log has said this so many times."""
    said = threading.Semaphore(0)

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if text in record.getMessage():
                said.release()

    ear = Ear()
    logging.getLogger("cometware").addHandler(ear)
    try:
        yield
        assert all(said.acquire(timeout=LIMIT_SECONDS) for _ in range(lines))
        assert not said.acquire(blocking=False)
    finally:
        logging.getLogger("cometware").removeHandler(ear)


# What is asked


def test_opening_a_message_and_closing_are_one_request_each() -> None:
    world = World()
    assert world.say("hello").json == {"accepted": 1}
    assert world.site.paths(3) == HOOKS
    opened, said, closed = [asked.json for asked in world.site.asked]
    client = opened["client"]
    who = {"client": client, "user": None, "transport": "post", "dialect": "native", "rooms": []}
    assert opened == who | {"query": {}}
    assert said == who | {"event": "message", "data": "hello"}
    assert closed == who | {"reason": "left"}


def test_a_named_event_has_its_name_in_the_path() -> None:
    world = World()
    world.say({"to": "Ann"}, event="rename")
    assert world.site.asked[1].path == "/realtime/event/rename"
    assert world.site.asked[1].json["event"] == "rename"


def test_a_name_beyond_ascii_is_in_the_path_as_wsgi_has_it() -> None:
    world = World()
    world.say(1, event="grüßen")
    assert world.site.asked[1].path.encode("latin-1").decode() == "/realtime/event/grüßen"


@pytest.mark.parametrize("name", ["..", "../message", "a/b", ".hidden", "a b", "a?b", "%2e%2e", "x" * 101, "a#b", "-"])
def test_a_name_that_could_lead_elsewhere_is_not_asked_for(name: str) -> None:
    world = World()
    answer = world.say(1, event=name)
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "event")
    assert world.site.paths(2) == ["/realtime/open", "/realtime/close"]


def test_the_query_of_the_opening_is_told_but_for_the_key() -> None:
    world = World()
    world.client.get("/comet?wait=0&room=a&room=b&key=" + "k" * 24)
    assert world.site.asked[0].json["query"] == {"wait": "0", "room": "a"}


def test_a_foreign_image_lends_its_visitors_cookies_to_nobody_elses_client() -> None:
    world = World()
    key = "k" * 24
    world.client.post("/comet?v=1", data='{"n":1,"data":1}', headers={"Comet-Key": key, "Cookie": "session=eve"})
    image = {"Accept": "image/png, */*", "Cookie": "session=ann"}
    assert world.client.get(f"/comet?transport=poll&wait=0&key={key}", headers=image).status_code == 200
    world.client.post(f"/comet?v=1&key={key}", data='{"n":2,"data":2}', content_type="text/plain")
    said = [asked.environ.get("HTTP_COOKIE") for asked in world.site.asked if asked.path == "/realtime/message"]
    assert said[0] == "session=eve"
    assert "session=ann" not in said


def test_bytes_and_texts_are_told_as_everywhere() -> None:
    world = World()
    world.client.post("/comet", data=b"\0\1", content_type="application/octet-stream")
    world.client.post("/comet", data="7", content_type="text/plain")
    said = [asked.json["data"] for asked in world.site.asked if asked.path == "/realtime/message"]
    assert said == [{"$bytes": "AAE="}, "7"]


def test_the_environ_is_clean_and_complete() -> None:
    world = World(wrap=lambda app: app)
    world.client.get(
        "/comet?wait=0",
        base_url="https://shop.example:8443/mounted",
        headers={
            "Cookie": "session=ann",
            "Authorization": "Bearer secret",
            "Comet-Key": "k" * 24,
            "Last-Event-ID": "x-1",
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.1",
            "User-Agent": "browser",
        },
        environ_overrides={"REMOTE_ADDR": "192.0.2.7", "wsgi.websocket": object(), "cometware.server": None},
    )
    (asked,) = world.site.asked
    environ = dict(asked.environ)
    assert isinstance(environ.pop("wsgi.input"), io.BytesIO)
    assert environ == {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "/mounted",
        "PATH_INFO": "/realtime/open",
        "QUERY_STRING": "",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(asked.body)),
        "SERVER_NAME": "shop.example",
        "SERVER_PORT": "8443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "",
        "HTTP_HOST": "shop.example:8443",
        "HTTP_COOKIE": "session=ann",
        "HTTP_ACCEPT": "application/json",
        "HTTP_X_FORWARDED_PROTO": "https",
        "wsgi.url_scheme": "https",
        "wsgi.version": (1, 0),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "cometware.channel": world.channel,
        "cometware.hook": HOOK,
    }
    assert asked.at_end == b""


def test_each_message_comes_with_the_clients_own_cookies_of_today() -> None:
    world = World()
    for name in ("ann", "bob"):
        world.client.get("/comet?wait=0", headers={"Comet-Key": name * 10, "Cookie": f"session={name}"})
    for name in ("bob", "ann"):
        world.client.post("/comet?v=1", data='{"data":1}', headers={"Comet-Key": name * 10, "Cookie": f"session={name}-2"})
    cookies = [asked.environ.get("HTTP_COOKIE") for asked in world.site.asked]
    assert cookies == ["session=ann", "session=bob", "session=bob-2", "session=ann-2"]


def test_a_page_that_comes_without_cookies_is_asked_for_without_cookies() -> None:
    world = World(allowed_origins=["*"])
    headers = {"Origin": "https://elsewhere.example", "Cookie": "session=ann"}
    world.client.post("/comet", data="x", headers=headers)
    world.site.paths(3)
    assert ["HTTP_COOKIE" in asked.environ for asked in world.site.asked] == [False] * 3


def test_equal_cookies_and_sites_are_one_object_and_nothing_else_is_kept() -> None:
    world = World()
    keys = ["a" * 24, "b" * 24]
    for key in keys:
        world.client.get("/comet?wait=0", headers={"Comet-Key": key, "Cookie": "".join(["session=", "ann"])})
    one, two = world.channel.roster
    assert one.cookie is two.cookie is sys.intern("session=ann")
    assert one.site is two.site
    kept = {slot: getattr(one, slot) for slot in Record.__slots__}
    assert [slot for slot, value in kept.items() if "wsgi" in repr(value) or isinstance(value, dict)] == []


def test_cookies_are_forgotten_as_soon_as_the_application_has_heard_that_their_client_is_gone() -> None:
    world = World()
    world.client.get("/comet?wait=0", headers={"Comet-Key": "a" * 24, "Cookie": "session=ann"})
    (record,) = world.channel.roster
    world.channel.close(record.id)
    world.site.paths(2)
    until(lambda: not record.running)
    assert world.site.asked[1].environ["HTTP_COOKIE"] == "session=ann"
    assert (record.cookie, record.state) == (None, State.ENDED)
    assert list(world.channel.roster) == [record]  # its next request is to be told why


def test_without_hooks_nothing_is_kept_of_a_request() -> None:
    channel = Channel()
    Client(Cometware(Site(), channel)).get("/comet?wait=0", headers={"Cookie": "session=ann"})
    (record,) = channel.roster
    assert (record.cookie, record.site) == (None, None)


def until(is_so: Callable[[], bool]) -> None:
    with gevent.Timeout(LIMIT_SECONDS):
        while not is_so():
            gevent.sleep(0.001)


# What the answer decides


def test_the_json_of_an_answer_is_the_reply() -> None:
    world = World()
    world.site.answers["/realtime/event/sum"] = lambda asked: tell(200, sum(asked.json["data"]))
    assert world.say([1, 2], event="sum").json == {"accepted": 1, "data": 3}


@pytest.mark.parametrize("answer", [(204, "", b""), (200, "text/html", b"<p>ok"), (201, JSON, b"null")])
def test_every_2xx_accepts(answer: Any) -> None:
    world = World()
    for path in HOOKS:
        world.site.answers[path] = answer
    assert world.say().json == {"accepted": 1}


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 418, 500, 503])
def test_every_other_status_refuses_the_opening_with_its_body(status: int) -> None:
    world = World()
    world.site.answers["/realtime/open"] = (status, "text/html; charset=utf-8", "<h1>Zürück</h1>".encode())
    answer = world.say()
    assert (answer.status_code, answer.get_data()) == (status, "<h1>Zürück</h1>".encode())
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"].startswith("no-cache")
    assert "Location" not in answer.headers
    assert world.site.paths(1) == ["/realtime/open"], "who was refused never closes"


def test_a_refusal_without_a_body_says_its_status_in_json() -> None:
    world = World()
    world.site.answers["/realtime/open"] = (403, "text/plain", b"")
    answer = world.say()
    assert (answer.status_code, answer.json) == (403, {"error": {"code": "refused", "message": "Forbidden"}})


def test_a_script_reads_the_refusal_as_json_whatever_it_is() -> None:
    world = World()
    world.site.answers["/realtime/open"] = (401, "text/html", b"<h1>Log in</h1>")
    answer = world.client.get("/comet?callback=f")
    assert answer.status_code == 200
    shown = json.loads(answer.text[answer.text.index("[") : answer.text.rindex("]") + 1])
    assert shown == [{"error": {"code": "refused", "message": "Unauthorized", "body": "<h1>Log in</h1>", "status": 401}}]


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (tell(409, {"field": "name"}), {"body": {"field": "name"}}),
        ((409, "text/plain", b"taken"), {"body": "taken"}),
        ((409, "text/plain", b""), {}),
        ((409, "text/plain", b"x" * 70_000), {}),
    ],
)
def test_a_message_that_is_refused_gets_the_error_with_the_answers_body(answer: Any, body: Any) -> None:
    world = World()
    world.site.answers["/realtime/message"] = answer
    got = world.say()
    assert got.status_code == 409
    assert got.json == {"error": {"code": "refused", "message": "Conflict", "status": 409} | body}
    assert world.site.paths(3) == HOOKS


def test_racing_connections_of_a_client_get_the_same_refusal() -> None:
    world = World()
    both, go = threading.Semaphore(0), threading.Event()

    def refuse(asked: Asked) -> Any:
        both.release()
        assert go.wait(LIMIT_SECONDS)
        return 403, "text/plain", b"members only"

    world.site.answers["/realtime/open"] = refuse
    answers: list[Any] = []

    def ask() -> None:
        answers.append(Client(world.app).get("/comet?wait=0", headers={"Comet-Key": "k" * 24}))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    threads[0].start()
    assert both.acquire(timeout=LIMIT_SECONDS)
    threads[1].start()
    go.set()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    assert [(answer.status_code, answer.text) for answer in answers] == [(403, "members only")] * 2


def test_an_answer_publishes() -> None:
    world = World()
    world.site.answers["/realtime/message"] = lambda asked: tell(
        200,
        {"publish": [{"data": asked.json["data"]}, {"data": 1, "event": "count", "to": "room:a"}], "told": True},
    )
    assert world.say("hello").json == {"accepted": 1, "data": {"told": True}}
    published = [(entry.message.event, entry.data, entry.message.to) for entry in world.channel.recent_entries(["*"])]
    assert published == [("message", "hello", ("*",))]
    assert world.channel.recent("room:a") == [1]


def test_an_answer_lets_its_client_join_and_leave_and_then_publishes() -> None:
    world = World()
    headers = {"Comet-Key": "k" * 24}
    world.site.answers["/realtime/open"] = tell(200, {"join": ["room:a", "room:b"], "publish": [{"data": 1, "to": "room:a"}]})
    world.site.answers["/realtime/event/go"] = tell(200, {"join": ["room:c"], "leave": ["room:a"]})
    world.client.get("/comet?wait=0", headers=headers)
    (record,) = world.channel.roster
    assert record.rooms == {"room:a", "room:b"}
    assert world.channel.recent("room:a") == [1]
    world.client.post("/comet?v=1", data='{"event":"go"}', headers=headers)
    assert record.rooms == {"room:b", "room:c"}
    assert world.site.asked[1].json["rooms"] == ["room:a", "room:b"]


def test_nothing_is_done_of_an_answer_that_is_wrong_in_part(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.site.answers["/realtime/message"] = tell(200, {"join": ["room:a"], "publish": [{"data": 1}, {"data": 2, "to": "x"}]})
    answer = world.say()
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "handler")
    assert world.channel.recent() == []
    assert "POST /realtime/message was answered with 200, but publish[1]: to='x': expected '*'" in caplog.text


def test_an_opening_whose_answer_is_wrong_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.site.answers["/realtime/open"] = tell(200, {"join": ["lobby"]})
    assert world.say().status_code == 500
    assert "join[0]: expected 'room:<name>', got 'lobby'" in caplog.text


def test_a_missing_view_for_the_opening_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.site.answers["/realtime/open"] = (404, "text/plain", b"?")
    assert [world.say().status_code for _ in range(2)] == [404, 404]
    assert caplog.text.count("add the view, or a handler to the channel") == 1


@pytest.mark.parametrize(("status", "lines"), [(204, 0), (404, 0), (405, 0), (500, 1)])
def test_a_client_is_gone_whatever_the_answer(status: int, lines: int) -> None:
    world = World()
    world.site.answers["/realtime/close"] = (status, "text/plain" if status > 204 else "", b"")
    with heard("a client is gone all the same", lines):
        assert world.say().json == {"accepted": 1}
        world.site.paths(3)


# The application's life


def test_every_iterator_is_closed_once() -> None:
    world = World()
    world.say()
    world.site.paths(3)
    assert [body.closed for body in world.site.bodies] == [1, 1, 1]


@pytest.mark.parametrize("parts", [[b"x", Deliberate("in the middle")], [Deliberate("first")]])
def test_an_iterator_that_fails_is_closed(parts: Any, caplog: pytest.LogCaptureFixture) -> None:
    world = World(wrap=lambda app: app)
    world.site.answers["/realtime/message"] = (200, "text/plain", parts)
    answer = world.say()
    assert (answer.status_code, answer.json["error"]["status"]) == (500, 500)
    world.site.paths(3)
    assert [body.closed for body in world.site.bodies] == [1, 1, 1]
    assert "Deliberate" in caplog.text


def test_an_application_that_fails_refuses(caplog: pytest.LogCaptureFixture) -> None:
    def fail(asked: Asked) -> Any:
        raise Deliberate("the test asked for it")

    world = World()
    world.site.answers["/realtime/open"] = fail
    answer = world.say()
    assert (answer.status_code, answer.json["error"]) == (500, {"code": "refused", "message": "Internal Server Error"})
    assert "Deliberate" in caplog.text and "POST /realtime/open" in caplog.text


def test_an_answer_that_does_not_end_is_cut_and_closed(caplog: pytest.LogCaptureFixture) -> None:
    world = World(Limits(max_message_bytes=1000), wrap=lambda app: app)
    world.site.answers["/realtime/message"] = lambda asked: (200, JSON, iter(lambda: b"x" * 300, None))
    assert world.say().status_code == 500
    assert world.site.bodies[1].closed == 1
    assert "Limits.max_message_bytes=1000" in caplog.text


def test_an_application_that_writes_by_hand_is_heard() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("content-type", "application/json")])(b'{"by":')
        return [b'"hand"}']

    channel = Channel()
    client = Client(Cometware(app, channel, hooks="/realtime"))
    assert client.post("/comet", data='{"data":1}', content_type=JSON).json == {"accepted": 1, "data": {"by": "hand"}}


def test_an_application_that_changes_its_mind_is_heard() -> None:
    def app(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        try:
            raise Deliberate
        except Deliberate:
            start_response("403 Forbidden", [("Content-Type", "text/plain")], sys.exc_info())
        return [b"no"]

    answer = Client(Cometware(app, Channel(), hooks="/realtime")).post("/comet", data="x")
    assert (answer.status_code, answer.text) == (403, "no")


def test_the_channel_is_in_the_environ_of_hooks_and_of_views() -> None:
    world = World(wrap=lambda app: app)
    world.say()
    world.site.paths(3)
    world.client.get("/page")
    assert [asked.environ["cometware.channel"] for asked in world.site.asked] == [world.channel] * 4


# Time and numbers


def test_an_application_that_takes_too_long_is_a_504(caplog: pytest.LogCaptureFixture) -> None:
    go = threading.Event()

    def wait(asked: Asked) -> Any:
        assert go.wait(LIMIT_SECONDS)
        return 204, "", b""

    world = World(Limits(hook_seconds=0.1))
    world.site.answers["/realtime/message"] = wait
    answer = world.say()
    go.set()
    assert answer.status_code == 504
    assert answer.json["error"]["message"] == "the application took longer than Limits.hook_seconds=0.1"
    assert "POST /realtime/message: the application took longer" in caplog.text


def test_so_many_run_beside_each_other_and_no_more() -> None:
    world = World(Limits(max_hooks=2))
    running, go, most = [0], threading.Event(), [0]
    lock, here = threading.Lock(), threading.Semaphore(0)

    def wait(asked: Asked) -> Any:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        here.release()
        assert go.wait(LIMIT_SECONDS)
        with lock:
            running[0] -= 1
        return 204, "", b""

    world.site.answers["/realtime/open"] = wait
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(Client(world.app).post("/comet", data="x").status_code))
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    assert all(here.acquire(timeout=LIMIT_SECONDS) for _ in range(2))
    go.set()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    assert (statuses, most) == ([200] * 5, [2])


def test_who_waits_too_long_for_a_turn_is_told_to_come_again() -> None:
    world = World(Limits(max_hooks=1, hook_seconds=0.2))
    here, go = threading.Event(), threading.Event()

    def wait(asked: Asked) -> Any:
        here.set()
        assert go.wait(LIMIT_SECONDS)
        return 204, "", b""

    world.site.answers["/realtime/open"] = wait
    thread = threading.Thread(target=Client(world.app).post, args=("/comet",), kwargs={"data": "x"})
    world.channel.limits.__dict__["hook_seconds"] = LIMIT_SECONDS
    thread.start()
    assert here.wait(LIMIT_SECONDS)
    world.channel.limits.__dict__["hook_seconds"] = 0.2
    answer = world.say()
    go.set()
    thread.join(LIMIT_SECONDS)
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "refused")
    assert "Limits.max_hooks" in answer.json["error"]["message"]


# From outside


@pytest.mark.parametrize("path", ["/realtime", "/realtime/", "/realtime/open", "//realtime/open", "/realtime//open"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "HEAD"])
def test_from_outside_the_hooks_are_not_there(path: str, method: str) -> None:
    world = World()
    environ = {"PATH_INFO": path, "cometware.hook": "forged", "HTTP_COMETWARE_HOOK": "1"}
    assert world.client.open("/", method=method, environ_overrides=environ).status_code == 404
    assert world.site.asked == []


@pytest.mark.parametrize(
    "path",
    [
        "realtime/open",
        "/./realtime/open",
        "/x/../realtime",
        "/../realtime",
        "///realtime///event///x",
        "/realtime/..",  # `/realtime/<name>` would take it as it stands
        "/realtime/event/../../x",  # and this `/realtime/event/<path:name>`
        "//realtime//event/../../x",
        "realtime/../x",
    ],
)
def test_no_spelling_of_the_path_leads_there(path: str) -> None:
    world = World(wrap=lambda app: app)
    assert world.client.post("/", environ_overrides={"PATH_INFO": path}).status_code == 404
    assert world.site.asked == []


def test_an_escaped_path_does_not_lead_there_either() -> None:
    world = World()
    for path in ("/%72ealtime/open", "/realtime%2Fopen", "/%2Frealtime/open"):
        assert world.client.post(path).status_code == 404
    assert world.site.asked == []


@pytest.mark.parametrize("path", ["/realtimes", "/real", "/app/realtime", "/Realtime", "/"])
def test_other_paths_are_the_applications_own(path: str) -> None:
    world = World(wrap=lambda app: app)
    assert world.client.get(path).status_code == 204


def test_a_test_of_the_application_may_play_the_channel() -> None:
    world = World(wrap=lambda app: app)
    answer = world.client.post("/realtime/open", environ_overrides={"cometware.hook": HOOK})
    assert answer.status_code == 204
    assert world.site.asked[0].path == "/realtime/open"


def test_a_hook_passes_through_another_channels_middleware() -> None:
    site, outer, inner = Site(), Channel(), Channel()
    app = Cometware(Cometware(site, inner, "/inner", hooks="/realtime"), outer, "/outer", hooks="/realtime")
    assert Client(app).post("/outer", data="x").status_code == 200
    site.paths(3)
    assert Client(app).post("/inner", data="x").status_code == 200
    site.paths(6)
    assert [asked.environ["cometware.channel"] for asked in site.asked] == [outer] * 3 + [inner] * 3


@pytest.mark.parametrize("path", ["", "/", "realtime", "/realtime/", "/a//b", "/../x", "/.x", "/é", "/a b", "/a?b", "/%61"])
def test_a_path_that_no_application_routes_as_it_stands_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="expected a path like '/realtime'"):
        Cometware(Site(), Channel(), hooks=path)


# Beside handlers


def test_a_python_handler_wins_and_the_rest_are_hooks() -> None:
    world = World()
    seen: list[Any] = []

    @world.channel.on_open
    def opened(client: Any) -> None:
        seen.append(client.id)

    @world.channel.on("sum")
    def add(client: Any, data: Any) -> Any:
        return sum(data)

    world.site.answers["/realtime/message"] = tell(200, "by a view")
    assert world.say([1, 2], event="sum").json == {"accepted": 1, "data": 3}
    world.site.paths(1)
    assert world.say("hello").json == {"accepted": 1, "data": "by a view"}
    assert world.site.paths(3) == ["/realtime/close", "/realtime/message", "/realtime/close"]
    assert len(seen) == 2


def test_a_python_handler_may_refuse_with_a_body_too() -> None:
    channel = Channel()

    @channel.on_open
    def opened(client: Any) -> None:
        raise Refused(402, "pay first", body=b"<h1>Pay</h1>", content_type="text/html")

    answer = Client(Cometware(Site(), channel)).post("/comet", data="x")
    assert (answer.status_code, answer.text, answer.mimetype) == (402, "<h1>Pay</h1>", "text/html")


def test_a_site_is_let_go_of_with_its_last_client() -> None:
    requests = KeptRequests()
    records = [Record(str(number), None, None, 0) for number in range(3)]
    for record, host in zip(records, ["a.example", "a.example", "b.example"], strict=True):
        requests.remember(record, {"HTTP_HOST": host})
    assert len(requests._sites) == 2
    records.clear()
    del record
    gc.collect()
    assert len(requests._sites) == 0
