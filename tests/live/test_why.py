"""Why a client has the transport that it has: in `channel.presence()`, and once for each kind of cause in the log."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from werkzeug.test import Client as WsgiClient

from cometware import Channel, Cometware
from tests.live.http import request
from tests.live.raw import UPGRADE, Answer, Line
from tests.live.server import PATIENT, Server

sys.path.insert(0, str(Path(__file__).parents[1] / "proxies"))
from proxies import nginx_default

LIMITS = PATIENT
KEY = "why-why-why-why-why-why-"


def ask(port: int, target: str, headers: Mapping[str, str]) -> Answer:
    """Make one request; of an answer without an end, the head is enough."""
    with Line(port).send(request("GET", target, headers)) as line:
        head = line.head()
        return head if head.status in (101, 200) else head._replace(body=line.read(int(head.headers["content-length"])))


def why(server: Server, name: str) -> str:
    """Return the reason of the client that said its name by the room it joined."""
    (found,) = server.get(f"/presence/room:{name}")
    return str(found["why"])


def told(server: Server, text: str) -> list[str]:
    return [line for line in server.errors.splitlines() if "why " in line and text in line]


@pytest.fixture(scope="module")
def nginx(server: Server) -> Iterator[int]:
    with nginx_default(server.port) as port:
        yield port


def test_a_client_whose_upgrade_nginx_took_away_is_told_of(server: Server, nginx: int) -> None:
    key = KEY + "nginx"
    refused = ask(nginx, "/comet", UPGRADE | {"Sec-WebSocket-Protocol": f"cometware.v1, key.{key}"})
    assert (refused.status, refused.error) == (426, "upgrade")
    poll = ask(nginx, "/comet?room=room:nginx", {"Comet-Key": key})
    assert poll.status == 200
    assert why(server, "nginx") == "WebSocket: Upgrade header absent, HTTP/1.0"


def test_a_proxy_that_names_itself_is_named(server: Server) -> None:
    key, via = KEY + "squid", {"Via": "1.1 squid"}
    without = {name: value for name, value in UPGRADE.items() if name != "Upgrade"}
    assert ask(server.port, f"/comet?v=1&key={key}", without | via).status == 426
    ask(server.port, "/comet?room=room:squid&wait=0", {"Comet-Key": key} | via)
    assert why(server, "squid") == "WebSocket: Upgrade header absent, Via: 1.1 squid"


def test_each_kind_of_cause_is_logged_once(server: Server) -> None:
    for number in range(2):
        key = f"{KEY}cut{number}"
        changed = UPGRADE | {"Connection": "close", "Sec-WebSocket-Protocol": f"cometware.v1, key.{key}"}
        assert ask(server.port, "/comet", changed).status == 426
        ask(server.port, f"/comet?room=room:connection{number}&wait=0", {"Comet-Key": key})
        expected = "WebSocket: Upgrade header present, Connection does not name it"
        assert why(server, f"connection{number}") == expected
    (line,) = told(server, "Connection does not name it")
    assert line.startswith("WARNING cometware: why websocket: ")


def test_what_the_client_says_is_kept_by_the_links_of_its_polls(server: Server) -> None:
    query = "/comet?transport=poll&why=stream-buffered&room=room:said&wait=0"
    answer = ask(server.port, query, {"Comet-Key": KEY + "said"})
    assert answer.headers["link"].startswith("<?transport=poll&why=stream-buffered&wait=0&after=")
    assert why(server, "said") == "stream: held back on its way, says the client"


def test_what_is_not_in_the_list_is_as_nothing(server: Server) -> None:
    answer = ask(server.port, "/comet?why=%3Cscript%3E&room=room:unsaid&wait=0", {"Comet-Key": KEY + "unsaid"})
    assert "why" not in answer.headers["link"]
    assert why(server, "unsaid") == "asked for, the client does not say why"


def test_a_websocket_that_passed_says_so_and_the_text_of_a_peer_is_escaped(server: Server) -> None:
    with Line(server.port) as line:
        headers = UPGRADE | {"Via": "1.0 \x9b31mred" + "x" * 100}
        line.send(request("GET", "/comet?v=1&room=room:passed", headers))
        assert line.head().status == 101
        line.frame()
        assert why(server, "passed") == "WebSocket: passed, Via: 1.0 \\xc2\\x9b31mred" + "x" * 62 + "…"


def test_clients_of_foreign_dialects_have_a_reason_too(server: Server) -> None:
    assert server.request("POST", "/comet/sockjs/000/why-session/xhr", b"", {"Via": "1.1 old"})[2] == b"o\n"
    (found,) = [one for one in server.get("/presence/*") if one["dialect"] == "sockjs"]
    assert found["why"] == "asked for, the client does not say why, Via: 1.1 old"


def test_strangers_who_name_ever_new_proxies_leave_no_more_than_so_many_texts(server: Server) -> None:
    for number in range(300):
        ask(server.port, f"/comet?wait=0&room=room:flood{number}", {"Via": f"1.1 proxy{number}"})
    assert why(server, "flood0") == "asked for, the client does not say why, Via: 1.1 proxy0"
    assert why(server, "flood299") == "asked for, the client does not say why"


def test_the_status_tells_it_too() -> None:
    def no_app(environ: object, start_response: object) -> list[bytes]:
        raise AssertionError("only the channel is asked")

    client = WsgiClient(Cometware(no_app, Channel(), status_token="token"))
    assert client.get("/comet?wait=0&why=chosen", headers={"Comet-Key": KEY}).status_code == 200
    status = client.get("/comet/status", headers={"Authorization": "Bearer token"}).get_json()
    assert [one["why"] for one in status["clients"]] == ["chosen by the page"]
