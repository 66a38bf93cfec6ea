"""Engine.IO 3 and 4, by the sections of its protocol and the cases of its own test suite (in brackets)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.conformance.engineio.sessions import PATH, Polls, Socket, get
from tests.live.raw import UPGRADE, Answer, Line, ask, head, request
from tests.live.server import PATIENT, Server, serve

VERSIONS = pytest.mark.parametrize("version", [3, 4])


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serve(PATIENT, application="tests.foreign.app:app") as server:
        yield server.port


@pytest.fixture(scope="module")
def quick() -> Iterator[Server]:
    with serve({"heartbeat_seconds": 0.5, "pong_seconds": 2}, application="tests.foreign.app:app") as server:
        yield server


def error(answer: Answer) -> tuple[int, int, str]:
    assert answer.headers["content-type"] == "application/json"
    return answer.status, answer.json["code"], answer.json["message"]


# Handshake


def test_a_polling_handshake_opens_a_session(port: int) -> None:
    """[1]"""
    session = Polls(port)
    assert session.first.startswith("0{")
    assert json.loads(session.first[1:]) == session.opening
    assert list(session.opening) == ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]
    assert session.opening["upgrades"] == ["websocket"]
    assert (session.opening["pingInterval"], session.opening["pingTimeout"]) == (55000, 55000)
    assert session.opening["maxPayload"] == 1024 * 1024
    assert session.handshake.headers["content-type"] == "text/plain; charset=UTF-8"
    assert "no-store" in session.handshake.headers["cache-control"]
    assert "set-cookie" not in session.handshake.headers


def test_version_3_counts_and_is_connected_at_once(port: int) -> None:
    session = Polls(port, 3)
    length, _, rest = session.first.partition(":0")
    assert rest.endswith("2:40")
    assert int(length) == len("0" + rest.removesuffix("2:40"))


@pytest.mark.parametrize(
    "query", ["transport=polling", "EIO=abc&transport=polling", "EIO=5&transport=polling", "EIO=&transport=polling"]
)
def test_an_unknown_version_is_refused(port: int, query: str) -> None:
    """[2]"""
    assert error(get(port, query)) == (400, 5, "Unsupported protocol version")


@pytest.mark.parametrize("query", ["EIO=4", "EIO=4&transport=abc", "EIO=4&transport=", ""])
def test_an_unknown_transport_is_refused_before_anything_else(port: int, query: str) -> None:
    """[3]"""
    assert error(get(port, query)) == (400, 0, "Transport unknown")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_session_begins_with_a_get(port: int, method: str) -> None:
    """[4]"""
    answer = ask(port, request(method, PATH + "?EIO=4&transport=polling", b""))
    assert error(answer) == (400, 2, "Bad handshake method")


@VERSIONS
def test_a_websocket_handshake_opens_a_session(port: int, version: int) -> None:
    """[5]"""
    with Socket(port, f"EIO={version}&transport=websocket") as socket:
        first = socket.read()
        assert isinstance(first, str) and first.startswith("0{")
        opening = json.loads(first[1:])
        assert list(opening) == ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]
        assert opening["upgrades"] == []
        if version == 3:
            assert socket.read() == "40"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("transport=websocket", 5),
        ("EIO=abc&transport=websocket", 5),
        ("EIO=4", 0),
        ("EIO=4&transport=abc", 0),
        ("EIO=4&transport=websocket&sid=" + "x" * 32, 1),
    ],
)
def test_a_websocket_is_refused_before_its_101(port: int, query: str, code: int) -> None:
    """[6, 7]"""
    answer = ask(port, head("GET", f"{PATH}?{query}", {"Host": "127.0.0.1"} | UPGRADE))
    assert (answer.status, answer.json["code"]) == (400, code)


def test_a_websocket_without_its_upgrade_is_a_bad_request(port: int) -> None:
    assert get(port, "EIO=4&transport=websocket").json["code"] == 3
    assert get(port, Polls(port).query.replace("polling", "websocket")).json["code"] == 3


def test_the_path_may_end_without_a_slash_and_is_at_its_old_place_too(port: int) -> None:
    for path in ("/comet/socket.io", "/socket.io/", "/socket.io"):
        assert ask(port, request("GET", path + "?EIO=4&transport=polling")).status == 200
    assert ask(port, request("GET", "/socket.io/x?EIO=4&transport=polling")).status == 404


def test_a_session_of_one_version_is_none_of_the_other(port: int) -> None:
    assert error(get(port, Polls(port).query.replace("EIO=4", "EIO=3")))[:2] == (400, 3)
    assert error(get(port, "EIO=4&transport=polling&sid=unknown"))[:2] == (400, 1)


# Messages. The suite echoes bare Engine.IO messages; here they are Socket.IO's.


def test_what_is_posted_is_answered_by_the_next_poll(port: int) -> None:
    """[8, 9, 10]: several packets in one body, bytes among them"""
    session = Polls(port)
    assert session.post("40").body == b"ok"
    assert session.get().startswith('40{"sid":')
    answer = session.post('42["echo","a"]\x1e451-["echo",{"_placeholder":true,"num":0}]\x1ebAQIDBA==')
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, b"ok", "text/html")
    got = ""
    while got.count("\x1e") < 2:
        got = "\x1e".join(filter(None, [got, session.get()]))
    assert got == '42["echo","a"]\x1e451-["echo",{"_placeholder":true,"num":0}]\x1ebAQIDBA=='


def test_version_3_with_base64(port: int) -> None:
    session = Polls(port, 3, "&b64=1")
    session.post('42:451-["echo",{"_placeholder":true,"num":0}]6:b4AQID')
    assert session.get() == '42:451-["echo",{"_placeholder":true,"num":0}]6:b4AQID'


def test_version_3_with_binary_bodies_both_ways(port: int) -> None:
    session = Polls(port, 3)
    header = b'451-["echo",{"_placeholder":true,"num":0}]'
    payload = b"\x00\x04\x02\xff" + header + b"\x01\x04\xff\x04\x01\x02\x03"
    assert session.post(payload, "application/octet-stream").body == b"ok"
    answer = session.poll()
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.body == payload


@pytest.mark.parametrize("body", ["abc", "", "4abc", "42{}", "42abc[]", '42["connect"]', "2", "bAQID", "40\x1e\x1e"])
def test_a_bad_body_ends_the_session(port: int, body: str) -> None:
    """[11]"""
    session = Polls(port)
    assert session.post(body).status == 400
    assert error(session.poll()) == (400, 1, "Session ID unknown")


def test_version_4_has_no_binary_bodies(port: int) -> None:
    session = Polls(port)
    assert session.post(b"40", "application/octet-stream").status == 400
    assert session.poll().status == 400


def test_two_polls_at_once_end_the_session(port: int) -> None:
    """[12]"""
    session = Polls(port)
    with session.hold() as first:
        with session.hold() as second:  # which of them is the second one for the server, is its own affair
            answers = [first.answer(), second.answer()]
        assert sorted((answer.status, answer.body[:1]) for answer in answers) == [(200, b"1"), (400, b"{")]
        assert session.poll().status == 400


def test_two_posts_at_once_end_the_session(port: int) -> None:
    session = Polls(port)
    fields = {"Host": "127.0.0.1", "Content-Length": "10", "Content-Type": "text/plain;charset=UTF-8"}
    with Line(port) as line:
        line.send(head("POST", f"{PATH}?{session.query}", fields) + b"40")  # its body is never whole
        answer = session.post("3")
        while answer.status == 200:  # it was faster
            answer = session.post("3")
        assert error(answer) == (400, 3, "another POST of this session is under way")
        assert error(session.poll())[:2] == (400, 1)


def test_a_body_that_is_too_large_is_refused_and_the_session_stays(port: int) -> None:
    session = Polls(port)
    answer = session.post("4" + "x" * (1024 * 1024))
    assert (answer.status, answer.body) == (413, b"")
    assert session.post("40").body == b"ok"


def test_a_body_may_come_in_chunks(port: int) -> None:
    session = Polls(port)
    fields = {"Host": "x", "Transfer-Encoding": "chunked", "Content-Type": "text/plain;charset=UTF-8"}
    assert ask(port, head("POST", f"{PATH}?{session.query}", fields) + b"2\r\n40\r\n0\r\n\r\n").body == b"ok"
    assert session.get().startswith("40{")


def test_other_methods_are_not_allowed(port: int) -> None:
    session = Polls(port)
    answer = ask(port, request("PUT", f"{PATH}?{session.query}", b""))
    assert (answer.status, answer.headers["allow"]) == (405, "GET, POST, OPTIONS")


def test_a_thousand_packets_in_one_body_are_all_handled(port: int) -> None:
    """There is no limit of sixteen."""
    session = Polls(port)
    session.post("40")
    session.get()
    assert session.post("\x1e".join([f'42["echo",{i}]' for i in range(1000)])).body == b"ok"
    got: list[str] = []
    while len(got) < 1000:
        got += session.get().split("\x1e")
    assert got == [f'42["echo",{i}]' for i in range(1000)]


def test_websocket_frames_are_packets(port: int) -> None:
    """[13, 14]"""
    with Socket(port, "EIO=4&transport=websocket") as socket:
        socket.read()
        socket.send("40", '42["echo","hé"]', '451-["echo",{"_placeholder":true,"num":0}]', b"\1\2\3")
        assert str(socket.read()).startswith("40{")
        assert socket.read() == '42["echo","hé"]'
        assert [socket.read(), socket.read()] == ['451-["echo",{"_placeholder":true,"num":0}]', b"\1\2\3"]


def test_bytes_of_version_3_have_their_type_in_front(port: int) -> None:
    with Socket(port, "EIO=3&transport=websocket") as socket:
        socket.read(), socket.read()
        socket.send('451-["echo",{"_placeholder":true,"num":0}]', b"\4\1\2\3")
        assert [socket.read(), socket.read()] == ['451-["echo",{"_placeholder":true,"num":0}]', b"\4\1\2\3"]


@pytest.mark.parametrize(("version", "text"), [(4, "bAQID"), (3, "b4AQID")])
def test_bytes_are_text_for_a_websocket_that_wants_it(port: int, version: int, text: str) -> None:
    with Socket(port, f"EIO={version}&transport=websocket&b64=1") as socket:
        socket.read()
        socket.send("40", '451-["echo",{"_placeholder":true,"num":0}]', text)
        assert str(socket.read()).startswith("40")
        assert [socket.read(), socket.read()] == ['451-["echo",{"_placeholder":true,"num":0}]', text]


@pytest.mark.parametrize("frame", ["abc", "", "4abc", "42{}", "42abc[]", "2", "2probe", b"\1", '42["echo"]'])
def test_a_bad_frame_ends_the_session(port: int, frame: str | bytes) -> None:
    """[15]"""
    with Socket(port, "EIO=4&transport=websocket") as socket:
        socket.read()
        socket.send(frame)
        assert socket.is_closed()


@pytest.mark.parametrize("upgrade", [False, True])
def test_a_session_named_twice_is_a_bad_request(port: int, upgrade: bool) -> None:
    session, other = Polls(port), Polls(port)
    query = session.query.replace("polling", "websocket") if upgrade else session.query
    target, headers = f"{PATH}?{query}&sid={other.sid}", {"Host": "x"} | (UPGRADE if upgrade else {})
    told = "sid: got more than one, expected that of the session"
    assert error(ask(port, head("GET", target, headers))) == (400, 3, told)
    assert session.post("40").body == b"ok"
    assert session.poll("&t=sid&side=sid=2").body.startswith(b"40{")


# Heartbeats


def test_version_4_is_pinged_by_the_server(quick: Server) -> None:
    """[16]"""
    session = Polls(quick.port)
    assert (session.opening["pingInterval"], session.opening["pingTimeout"]) == (500, 2000)
    for _ in range(3):
        assert session.get() == "2"
        assert session.post("3").body == b"ok"


def test_who_does_not_answer_a_ping_is_gone(quick: Server) -> None:
    """[17]"""
    session = Polls(quick.port)
    session.post("40")
    assert quick.get("/here") == ["poll"]
    quick.until("/here", lambda here: here == [])
    assert session.poll().status == 400


def test_a_websocket_of_version_4_is_pinged(quick: Server) -> None:
    """[18]"""
    with Socket(quick.port, "EIO=4&transport=websocket") as socket:
        socket.read()
        for _ in range(3):
            assert socket.read() == "2"
            socket.send("3")


def test_a_websocket_that_does_not_answer_a_ping_is_closed(quick: Server) -> None:
    """[19]"""
    with Socket(quick.port, "EIO=4&transport=websocket") as socket:
        assert socket.is_closed()


def test_a_silence_of_several_pings_is_kept_as_it_was_announced(quick: Server) -> None:
    """Whoever is silent is pinged each 0.5 s, and is gone no sooner than the 2 s that the opening tells."""
    with Socket(quick.port, "EIO=4&transport=websocket") as socket:
        socket.read()
        pings = [socket.read() for _ in range(5)]
        assert pings == ["2"] * 5
        assert socket.is_closed()


@pytest.mark.parametrize("said", [("3",) * 5, ("", "", "3") * 2, ("", "4x") * 2], ids=["all", "late", "otherwise"])
def test_whoever_says_anything_in_time_is_kept(quick: Server, said: tuple[str, ...]) -> None:
    with Socket(quick.port, "EIO=4&transport=websocket") as socket:
        socket.read()
        socket.send("40")
        assert str(socket.read()).startswith("40")
        for packet in said:
            assert socket.read() == "2"
            if packet == "4x":
                packet = '42["nobody listens"]'
            if packet:
                socket.send(packet)


def test_a_time_out_shorter_than_a_tick_is_announced_as_it_is_kept() -> None:
    limits = {"heartbeat_seconds": 0.6, "pong_seconds": 0.1}
    with (
        serve(limits, application="tests.foreign.app:app") as server,
        Socket(server.port, "EIO=4&transport=websocket") as socket,
    ):
        opening = json.loads(str(socket.read())[1:])
        assert (opening["pingInterval"], opening["pingTimeout"]) == (750, 250)
        for _ in range(8):
            assert socket.read() == "2"
            socket.send("3")


def test_version_3_pings_the_server(quick: Server) -> None:
    session = Polls(quick.port, 3)
    for _ in range(3):
        assert session.post("1:2").body == b"ok"
        assert session.get() == "1:3"
    with Socket(quick.port, "EIO=3&transport=websocket") as socket:
        socket.read(), socket.read()
        socket.send("2")
        assert socket.read() == "3"


def test_pings_that_nobody_waits_for_are_answered_once(port: int) -> None:
    session = Polls(port, 3)
    session.post("1:2" * 5000)
    assert session.get() == "1:3"


def test_version_3_that_is_silent_is_gone(quick: Server) -> None:
    session = Polls(quick.port, 3)
    with session.hold() as held:
        assert held.answer().body == b"1:1"
    with Socket(quick.port, "EIO=3&transport=websocket") as socket:
        assert socket.is_closed()


# Closing


@VERSIONS
def test_a_poll_is_released_when_its_client_closes(port: int, version: int) -> None:
    """[20]"""
    session = Polls(port, version)
    with session.hold() as held:
        assert session.post("1" if version == 4 else "1:1").body == b"ok"
        assert held.answer().body == (b"6" if version == 4 else b"1:6")
    assert session.poll().status == 400


def test_a_poll_that_comes_just_behind_the_close_is_released_too(port: int) -> None:
    session = Polls(port)
    session.post("1")
    assert session.get() == "6"
    assert session.poll().status == 400


def test_a_close_on_a_websocket_closes_it(port: int) -> None:
    """[21]"""
    with Socket(port, "EIO=4&transport=websocket") as socket:
        socket.read()
        socket.send("1")
        assert socket.is_closed()


# Upgrade


@VERSIONS
def test_the_poll_is_released_at_once_and_the_session_goes_on_by_its_websocket(port: int, version: int) -> None:
    """[22]"""
    session = Polls(port, version)
    if version == 4:
        session.post("40")
        session.get()
    with session.hold() as held, session.probe() as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"
        assert held.answer().body == (b"6" if version == 4 else b"1:6")
        assert session.poll().body == (b"6" if version == 4 else b"1:6")
        socket.send("5", '42["echo","by websocket"]')
        assert socket.read() == '42["echo","by websocket"]'
        assert error(session.poll())[:2] == (400, 3)


def test_a_poll_that_is_asked_for_while_upgrading_is_answered_at_once(port: int) -> None:
    session = Polls(port)
    with session.probe() as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"
        assert session.get() == "6"
        session.post("40")
        assert session.get().startswith("40{")


def test_probe_and_upgrade_may_come_back_to_back(port: int) -> None:
    """[23]"""
    session = Polls(port)
    session.post("40")
    session.get()
    with session.probe() as socket:
        socket.send("2probe", "5", '42["echo",1]')
        assert [socket.read(), socket.read()] == ["3probe", '42["echo",1]']
        assert session.poll().status == 400


def test_a_second_websocket_of_a_session_is_refused_and_the_first_stays(port: int) -> None:
    """[24]"""
    session = Polls(port)
    with session.probe() as socket:
        target = f"{PATH}?{session.query.replace('polling', 'websocket')}"
        socket.send("2probe")
        socket.read()
        assert ask(port, head("GET", target, {"Host": "x"} | UPGRADE)).json["code"] == 3
        socket.send("5", "40")
        assert str(socket.read()).startswith("40{")
        assert ask(port, head("GET", target, {"Host": "x"} | UPGRADE)).json["code"] == 3
        socket.send('42["echo",1]')
        assert socket.read() == '42["echo",1]'


@pytest.mark.parametrize("frame", ["5", "40", "2", "4x", b"\1", "xyz"])
def test_anything_but_a_probe_ends_that_websocket_and_the_session_stays(port: int, frame: str | bytes) -> None:
    session = Polls(port)
    with session.probe() as socket:
        socket.send(frame)
        assert socket.is_closed()
    assert session.post("40").body == b"ok"
    assert session.get().startswith("40{")


def test_a_websocket_that_is_lost_while_upgrading_leaves_the_session_on_its_polls(port: int) -> None:
    session = Polls(port)
    with session.probe() as socket:
        socket.send("2probe")
        assert socket.read() == "3probe"
    session.post("40")
    while not (got := session.get()).startswith("40{"):
        assert got == "6"
    with session.probe() as socket:
        socket.send("2probe", "5")
        assert socket.read() == "3probe"


@pytest.mark.full
def test_a_websocket_that_never_takes_over_is_closed_and_the_session_stays(port: int) -> None:
    session = Polls(port)
    with session.probe() as idle:
        assert idle.is_closed()
    with session.probe() as half:
        half.send("2probe")
        assert half.read() == "3probe"
        assert half.is_closed()
    session.post("40")
    while not (got := session.get()).startswith("40{"):
        assert got == "6"


# JSONP


def test_jsonp_answers_scripts_and_takes_forms(port: int) -> None:
    session = Polls(port, 3, "&j=0&b64=1")
    assert session.handshake.body.startswith(b'/**/___eio[0]("')
    assert session.handshake.headers["content-type"] == "text/javascript; charset=utf-8"
    assert session.handshake.headers["x-content-type-options"] == "nosniff"
    form = "d=25%3A420%5B%22echo%22%2C%22h%C3%A9%5C%5Cn%5C%5C%5Cn%5C%22x%E2%80%A8%22%5D"
    answer = session.post(form, "application/x-www-form-urlencoded")
    assert (answer.body, answer.headers["content-type"]) == (b"ok", "text/html")
    got = session.poll().body
    assert got.startswith(b'/**/___eio[0]("') and got.endswith(b'");')
    payload = json.loads(got[len("/**/___eio[0](") : -2])
    assert payload.startswith('24:42["echo","h')


def test_the_opening_of_a_script_offers_no_websocket(port: int) -> None:
    assert b'\\"upgrades\\":[]' in Polls(port, 4, "&j=7").handshake.body


@pytest.mark.parametrize("form", ["", "d=", "e=1", "d=%ff", "&".join("d=4" for _ in range(20))])
def test_a_bad_form_ends_the_session(port: int, form: str) -> None:
    session = Polls(port, 4, "&j=0")
    assert session.post(form, "application/x-www-form-urlencoded").status == 400


# Origins


def test_a_page_of_another_origin_is_named_in_every_answer(port: int) -> None:
    answer = Polls(port, origin="http://page.example").handshake
    assert answer.headers["access-control-allow-origin"] == "http://page.example"
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["vary"] == "Origin"
    bad = ask(port, request("GET", PATH, origin="http://page.example"))
    assert (bad.status, bad.headers["access-control-allow-origin"]) == (400, "http://page.example")


def test_a_page_that_is_not_allowed_is_told_so(port: int) -> None:
    answer = ask(port, request("GET", PATH + "?EIO=4&transport=polling", origin="http://evil.example"))
    assert (answer.status, answer.json["code"]) == (403, 4)
    assert "allowed_origins" in answer.json["message"]
    fields = {"Host": "127.0.0.1", "Origin": "http://evil.example"} | UPGRADE
    assert ask(port, head("GET", PATH + "?EIO=4&transport=websocket", fields)).status == 403


def test_a_browsers_question_is_answered(port: int) -> None:
    answer = ask(
        port,
        request("OPTIONS", PATH, origin="http://page.example", access_control_request_headers="x-mine, content-type"),
    )
    assert (answer.status, answer.headers["access-control-allow-headers"]) == (204, "x-mine, content-type")


# One connection for all


def test_polls_and_posts_may_share_one_connection(port: int) -> None:
    session = Polls(port)
    with Line(port) as line:
        for index in range(5):
            line.send(request("POST", f"{PATH}?{session.query}", b"40" if not index else b'42["echo",%d]' % index))
            assert line.answer().body == b"ok"
            line.send(request("GET", f"{PATH}?{session.query}&t={index}"))
            body = line.answer().body
            assert body == b'42["echo",%d]' % index if index else body.startswith(b"40{")
        for index in range(5):  # by now these polls are known by their head
            line.send(request("GET", f"{PATH}?{session.query}&t=x{index}"))
            session.post(f'42["echo","{index}"]')
            assert line.answer().body == b'42["echo","%d"]' % index
