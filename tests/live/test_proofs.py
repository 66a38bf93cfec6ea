"""A browser that tells nothing of the page that sent a request: what a form brings along is nobody's word."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.live.raw import UPGRADE, Answer, Line, ask, head
from tests.live.server import Server, serve

ANN = {"Host": "shop.example", "Cookie": "user=ann"}
BASIC = {"Host": "shop.example", "Authorization": "Basic YW5uOng="}
TEXT = {"Content-Type": "text/plain"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
IMAGE = {"Accept": "image/png, image/*;q=0.8, */*;q=0.5"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(application="tests.live.strict:app") as server:
        yield server


def post(server: Server, target: str, fields: dict[str, str], body: bytes = b"hello") -> Answer:
    return ask(server.port, head("POST", target, fields | {"Content-Length": str(len(body))}) + body)


def get(server: Server, target: str, fields: dict[str, str]) -> Answer:
    return ask(server.port, head("GET", target, fields))


def new_key() -> str:
    return secrets.token_urlsafe(24)


def is_doubted(answer: Answer) -> bool:
    return answer.status == 403 and b"Comet-Key" in answer.body and b"application/json" in answer.body


CREDENTIALS = {
    "cookie": ANN,
    "basic": BASIC,
    "digest": {"Host": "shop.example", "Authorization": 'Digest username="ann"'},
    "negotiate": {"Host": "shop.example", "Authorization": "Negotiate YII="},
    "certificate of HAProxy": {"Host": "shop.example", "X-SSL-Client-DN": "/CN=ann"},
    "certificate of Envoy": {"Host": "shop.example", "X-Forwarded-Client-Cert": "Subject=ann"},
    "RFC 9440": {"Host": "shop.example", "Client-Cert": ":MIIB:"},
    "user of a proxy": {"Host": "shop.example", "X-Forwarded-User": "ann"},
}


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None])
@pytest.mark.parametrize("credentials", CREDENTIALS)
def test_a_post_that_shows_no_page_is_not_taken_for_the_users(server: Server, credentials: str, kind: str | None) -> None:
    fields = CREDENTIALS[credentials] | ({"Content-Type": kind} if kind else {})
    assert is_doubted(post(server, "/comet", fields))
    assert is_doubted(post(server, f"/comet?v=1&key={new_key()}", fields, b'{"n":1,"data":1}'))


@pytest.mark.parametrize("kind", ["TEXT/PLAIN", "text/plain;charset=application/json", "text/plain; application/json", " "])
def test_what_a_browser_takes_for_a_forms_type_is_one(server: Server, kind: str) -> None:
    assert is_doubted(post(server, "/comet", ANN | {"Content-Type": kind}))


def test_without_credentials_nothing_is_asked_for(server: Server) -> None:
    assert post(server, "/comet", {"Host": "shop.example"} | TEXT).status == 200
    assert post(server, "/comet", {"Host": "shop.example", "X-SSL-Client-DN": ""} | TEXT).status == 200
    assert post(server, f"/comet?key={new_key()}", {"Host": "shop.example"} | TEXT).status == 200


@pytest.mark.parametrize(
    "proof",
    [
        {"Comet-Key": "p" * 24} | TEXT,
        {"Content-Type": "application/json"},
        {"Content-Type": "Application/JSON; charset=utf-8"},
        {"Content-Type": "application/octet-stream"},
        {"Authorization": "Bearer abc"} | TEXT,
        {"Authorization": "bearer abc"} | TEXT,
        {"Origin": "https://shop.example"} | TEXT,
        {"Referer": "https://shop.example/page"} | TEXT,
        {"Sec-Fetch-Site": "same-origin"} | TEXT,
    ],
    ids=str,
)
def test_what_no_foreign_form_sends_is_proof(server: Server, proof: dict[str, str]) -> None:
    assert post(server, "/comet", ANN | proof, b'{"data":1}').status == 200


@pytest.mark.parametrize("credentials", ["cookie", "basic", "digest"])
@pytest.mark.parametrize("proof", [{}, {"Comet-Key": "p" * 24}, {"Content-Type": "application/json"}])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_foreign_referer_is_refused_with_credentials_of_any_kind(
    server: Server, credentials: str, proof: dict[str, str], method: str
) -> None:
    fields = CREDENTIALS[credentials] | {"Referer": "https://evil.example/page"} | proof
    answer = post(server, "/comet", fields, b"1") if method == "POST" else get(server, "/comet?wait=0", fields)
    assert (answer.status, answer.error) == (403, "origin")


def test_a_get_that_shows_no_page_stays_as_it_was(server: Server) -> None:
    for fields in (ANN, ANN | IMAGE, BASIC):
        assert get(server, f"/comet?transport=poll&wait=0&key={new_key()}", fields).status == 200


# The key of a client


@pytest.mark.parametrize("way", ["poll", "sse", "websocket", "header"])
def test_the_key_of_this_users_open_client_is_proof(server: Server, way: str) -> None:
    key = new_key()
    with Line(server.port) as line:
        fields = (
            ANN | {"poll": {}, "sse": {"Accept": "text/event-stream"}, "websocket": UPGRADE, "header": {"Comet-Key": key}}[way]
        )
        target = "/comet?transport=poll&wait=0" if way == "header" else f"/comet?wait=0&key={key}"
        assert line.send(head("GET", target, fields)).head().status == (101 if way == "websocket" else 200)
        assert post(server, f"/comet?key={key}", ANN | TEXT).status == 200
        assert post(server, f"/comet?v=1&key={key}", ANN | TEXT, b'{"n":1,"data":"x"}').json == {"accepted": 1}


@pytest.mark.parametrize("other", [{"Host": "shop.example"}, {"Host": "shop.example", "Cookie": "user=bob"}])
def test_the_key_of_anybody_elses_client_is_none(server: Server, other: dict[str, str]) -> None:
    key = new_key()
    assert get(server, f"/comet?wait=0&key={key}", other).status == 200
    assert is_doubted(post(server, f"/comet?key={key}", ANN | TEXT))


def test_a_client_that_a_foreign_page_had_opened_by_an_image_proves_nothing_until_its_user_has_shown_it(
    server: Server,
) -> None:
    key = new_key()
    assert get(server, f"/comet?transport=poll&wait=0&key={key}", ANN | IMAGE).status == 200
    assert is_doubted(post(server, f"/comet?key={key}", ANN | TEXT))
    assert get(server, "/comet?transport=poll&wait=0", ANN | IMAGE | {"Comet-Key": key}).status == 200
    assert post(server, f"/comet?key={key}", ANN | TEXT).status == 200


def test_a_client_that_has_left_proves_nothing(server: Server) -> None:
    key = new_key()
    assert post(server, "/comet", ANN | {"Comet-Key": key, "Content-Type": "application/json"}, b'{"close":{}}').status == 200
    assert is_doubted(post(server, f"/comet?key={key}", ANN | TEXT))


# The other dialects


def session() -> str:
    return f"/comet/sockjs/000/{secrets.token_hex(12)}"


@pytest.mark.parametrize(("send", "body"), [("xhr_send", b'["a"]'), ("jsonp_send", b'["a"]')])
def test_a_sockjs_session_that_its_user_opened_takes_what_it_says(server: Server, send: str, body: bytes) -> None:
    path = session()
    assert post(server, path + "/xhr", ANN, b"").body == b"o\n"
    assert post(server, f"{path}/{send}", ANN | TEXT, body).status in (200, 204)
    assert post(server, f"{path}/{send}", ANN | {"Cookie": "user=bob"} | TEXT, body).status == 404
    assert post(server, f"{session()}/{send}", ANN | TEXT, body).status == 404


@pytest.mark.parametrize("send", ["xhr_send", "jsonp_send"])
def test_a_sockjs_session_that_a_foreign_form_had_opened_does_not(server: Server, send: str) -> None:
    path = session()
    assert post(server, path + "/xhr", ANN | FORM, b"").body == b"o\n"
    assert is_doubted(post(server, f"{path}/{send}", ANN | TEXT, b'["a"]'))
    assert post(server, f"{path}/{send}", ANN | {"Content-Type": "application/json"}, b'["a"]').status in (200, 204)


def test_a_socketio_session_is_known_by_an_id_that_no_foreign_page_can_know(server: Server) -> None:
    base = "/comet/socket.io/?EIO=4&transport=polling"
    opened = get(server, base, ANN | IMAGE)
    sid = opened.body.decode().partition('"sid":"')[2].partition('"')[0]
    assert post(server, f"{base}&sid={sid}", ANN | TEXT, b"40").body == b"ok"
    assert post(server, f"{base}&sid={new_key()}", ANN | TEXT, b"40").status == 400
    assert post(server, base, ANN | TEXT, b"40").status == 400
    assert post(server, f"{base}&sid={sid}", ANN | TEXT | {"Referer": "https://evil.example/"}, b"40").status == 403


def test_a_text_bearing_a_bearers_name_only_is_no_bearer(server: Server) -> None:
    assert is_doubted(post(server, "/comet", ANN | TEXT | {"Authorization": "Basic Bearer"}))
    assert is_doubted(post(server, "/comet", ANN | TEXT | {"Authorization": "Bearer"}))
