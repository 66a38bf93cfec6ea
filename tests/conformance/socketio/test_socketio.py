"""Socket.IO, protocols 4 and 5, by the sections of its protocol and the cases of its own test suite."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

from cometware import Channel, Cometware
from tests.conformance.engineio.sessions import Polls, Socket
from tests.live.server import PATIENT, Server, serve


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve(PATIENT | {"window_entries": 50}, application="tests.foreign.app:app") as server:
        yield server


@pytest.fixture(scope="module")
def port(server: Server) -> int:
    return server.port


def opened(port: int, version: int = 4, query: str = "") -> Socket:
    """Open a WebSocket, and pass over what it is told unasked."""
    socket = Socket(port, f"EIO={version}&transport=websocket{query}")
    assert str(socket.read()).startswith("0{")
    if version == 3 and "refuse" not in query:
        assert socket.read() == "40"
    return socket


def connected(port: int) -> Socket:
    socket = opened(port)
    socket.send("40")
    assert str(socket.read()).startswith("40{")
    return socket


def told(text: str | bytes, prefix: str) -> Any:
    assert isinstance(text, str) and text.startswith(prefix), text
    return json.loads(text[len(prefix) :])


# Connecting, protocol 5


def test_a_client_is_connected_when_it_asks_and_told_its_id_alone(port: int) -> None:
    with opened(port) as socket:
        socket.send("40")
        answer = told(socket.read(), "40")
        assert list(answer) == ["sid"]
        socket.send('420["who"]')
        (who,) = told(socket.read(), "430")
        assert (who["id"], who["dialect"], who["transport"]) == (answer["sid"], "socketio", "websocket")


def test_what_it_says_of_itself_is_for_the_application(port: int) -> None:
    with opened(port) as socket:
        socket.send('40{"room":"blue"}', '420["who"]')
        socket.read()
        assert told(socket.read(), "430")[0]["rooms"] == ["room:blue"]


def test_namespaces_are_independent(port: int) -> None:
    with opened(port) as socket:
        socket.send('40/admin,{"word":"sesame"}')
        admin = told(socket.read(), "40/admin,")
        socket.send("40")
        root = told(socket.read(), "40")
        assert admin["sid"] != root["sid"]
        socket.send('42/admin,7["echo","x"]')
        assert socket.read() == '42/admin,["echo","admin","x"]'
        assert socket.read() == '43/admin,7[["admin","x"]]'


@pytest.mark.parametrize("text", ["40/random", "40/random,", '40/random,{"a":1}', "40/random?a=1,"])
def test_an_unknown_namespace_is_refused(port: int, text: str) -> None:
    with opened(port) as socket:
        socket.send(text)
        assert socket.read() == '44/random,{"message":"Invalid namespace"}'


def test_a_refusal_says_why(port: int) -> None:
    with opened(port) as socket:
        socket.send('40{"token":"wrong"}')
        assert socket.read() == '44{"message":"members only","data":{"status":403}}'
        socket.send("40/admin,")
        assert socket.read() == '44/admin,{"message":"say the word","data":{"status":401}}'
        socket.send("40")
        assert str(socket.read()).startswith("40{")


@pytest.mark.parametrize(
    "text", ['42["echo"]', '42/admin,["echo"]', "43[1]", "41", '40"x"', "40[1]", "4abc", '44{"message":"x"}']
)
def test_what_comes_before_the_connection_ends_the_session(port: int, text: str) -> None:
    with opened(port) as socket:
        socket.send(text)
        assert socket.is_closed()


def test_a_repeated_connect_is_ignored(port: int) -> None:
    with opened(port) as socket:
        socket.send("40", "40", "40")
        assert str(socket.read()).startswith("40{")
        socket.send("40", '42["echo",1]')
        assert socket.read() == '42["echo",1]'


def test_what_follows_its_connect_waits_for_the_answer(port: int) -> None:
    with opened(port) as socket:
        socket.send("40", '42["echo",1]', '420["echo",2]')
        assert str(socket.read()).startswith("40{")
        assert [socket.read(), socket.read(), socket.read()] == ['42["echo",1]', '42["echo",2]', "430[2]"]


# Connecting, protocol 4


def test_the_root_of_protocol_4_is_connected_unasked(port: int) -> None:
    assert Polls(port, 3).first.endswith("2:40")
    with Socket(port, "EIO=3&transport=websocket") as socket:
        assert str(socket.read()).startswith("0{")
        assert socket.read() == "40"


def test_a_namespace_of_protocol_4_brings_a_query(port: int) -> None:
    with opened(port, 3) as socket:
        socket.send("40/admin?word=sesame,")
        assert socket.read() == "40/admin,"
        socket.send('42/admin,["echo",1]')
        assert socket.read() == '42/admin,["echo","admin",1]'


def test_a_refusal_of_protocol_4_is_a_text(port: int) -> None:
    with opened(port, 3) as socket:
        socket.send("40/admin,", "40/nope,")
        assert sorted([str(socket.read()), str(socket.read())]) == ['44/admin,"say the word"', '44/nope,"Invalid namespace"']
    with opened(port, 3, "&refuse=1") as socket:
        assert socket.read() == '44"members only"'
    refused = Polls(port, 3, "&refuse=1")
    assert refused.first.endswith('16:44"members only"')


def test_what_protocol_4_says_to_a_namespace_that_it_has_not_joined_is_ignored(port: int) -> None:
    with opened(port, 3) as socket:
        socket.send('42/admin,["echo",1]', "43/admin,1[]", "41/admin,", '42["connect"]', '42["ping"]', '42["echo",1]')
        assert socket.read() == '42["echo",1]'


# Events and acknowledgements


def test_an_event_with_attachments(port: int) -> None:
    with connected(port) as socket:
        socket.send('452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]', b"\1\2", b"\3")
        assert socket.read() == '452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]'
        assert [socket.read(), socket.read()] == [b"\1\2", b"\3"]


def test_acknowledgements_bear_the_number_of_the_event(port: int) -> None:
    with connected(port) as socket:
        socket.send('42456["echo",1,"2",{"3":[false]}]')
        assert socket.read() == '42["echo",1,"2",{"3":[false]}]'
        assert socket.read() == '43456[1,"2",{"3":[false]}]'
        socket.send('451-789["echo",{"_placeholder":true,"num":0}]', b"\1\2\3")
        assert [socket.read(), socket.read()] == ['451-["echo",{"_placeholder":true,"num":0}]', b"\1\2\3"]
        assert [socket.read(), socket.read()] == ['461-789[{"_placeholder":true,"num":0}]', b"\1\2\3"]


def test_an_event_without_arguments_and_a_number_as_a_name(port: int) -> None:
    with connected(port) as socket:
        socket.send('421["echo"]', "422[5,1]", '423["echo",2]')
        assert [socket.read(), socket.read()] == ['42["echo",null]', "431[null]"]
        assert [socket.read(), socket.read()] == ['42["echo",2]', "433[2]"]


def test_a_failure_is_told_to_who_asked(port: int) -> None:
    with connected(port) as socket:
        socket.send('421["fail"]', '42["fail"]', '422["nobody handles this"]', '42["nor this"]', '423["echo",1]')
        first = {"code": "refused", "message": "pay first", "status": 402}
        assert told(socket.read(), "431") == [{"error": first}]
        assert socket.read() == '42["echo",1]'
        assert socket.read() == "433[1]", "an event that nobody handles is not acknowledged, as by Node's server"


@pytest.mark.parametrize("name", ["open", "close", "error", "reset", "reconnect", "ping", "transport"])
def test_a_name_that_the_channel_keeps_is_never_handled(server: Server, name: str) -> None:
    with connected(server.port) as socket:
        socket.send(f'42["{name}",1]', f'421["{name}",1]', '42["echo",1]')
        assert socket.read() == '42["echo",1]'


def test_a_server_that_asks_waits_for_the_answer(port: int) -> None:
    with connected(port) as socket:
        socket.send('420["ask","really?"]')
        question = str(socket.read())
        assert question.endswith('["question","really?"]')
        number = question[2 : question.index("[")]
        socket.send(f"43{number}99[]", f'43{number}["yes",1]', f'43{number}["no"]')
        assert socket.read() == '430["yes",1]'
        socket.send('421["call nobody"]')
        assert str(socket.read()).endswith('["nobody answers",null]')
        assert "has not acknowledged within 0.05 s" in str(socket.read())


def test_eleven_attachments_are_too_many(port: int) -> None:
    with connected(port) as socket:
        socket.send('411-["echo"]')
        assert socket.is_closed()


def test_a_message_that_is_too_large_ends_the_session_and_says_why(port: int) -> None:
    with connected(port) as socket:
        socket.send('42["echo","' + "x" * (1024 * 1024) + '"]')
        assert socket.line.close_code() == 1009


# Disconnecting


def test_a_client_that_leaves_a_namespace_stays_connected(server: Server) -> None:
    with connected(server.port) as socket:
        before = len(server.get("/closed"))
        socket.send("41")
        server.until("/closed", lambda closed: closed[before:] == ["left"])
        socket.send('40/admin,{"word":"sesame"}', "41/admin,", "40")
        assert str(socket.read()).startswith("40/admin,")
        assert str(socket.read()).startswith("40{")
        socket.send('42["echo",1]')
        assert socket.read() == '42["echo",1]'


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_a_client_that_is_closed_is_told_behind_its_last_message(port: int, transport: str) -> None:
    if transport == "websocket":
        with connected(port) as socket:
            socket.send('42["kick",4403]')
            assert [socket.read(), socket.read()] == ['42["last","last"]', "41"]
            socket.send("40")
            assert str(socket.read()).startswith("40{")
        return
    session = Polls(port)
    session.post("40")
    session.get()
    session.post('42["kick",4403]')
    assert "\x1e".join([session.get()]) == '42["last","last"]\x1e41'


def test_a_code_that_asks_to_come_back_ends_the_session(port: int) -> None:
    with connected(port) as socket:
        socket.send('42["kick",4000]')
        assert socket.read() == '42["last","last"]'
        assert socket.line.close_code() == 4000


def test_a_reader_that_misses_history_begins_anew(server: Server) -> None:
    session = Polls(server.port)
    session.post("40")
    session.get()
    for number in range(60):
        server.publish(number)
    answer = session.poll()
    assert answer.body == b"6\x1e1" or answer.status == 400
    assert session.poll().status == 400


# Several at once


def test_everybody_gets_it_and_the_sender_is_left_out(port: int) -> None:
    with connected(port) as one, connected(port) as two, opened(port, 3) as three:
        one.send('42["others","hi"]')
        assert two.read() == three.read() == '42["others","hi"]'
        one.send('42["message","all"]')
        assert one.read() == two.read() == three.read() == '42["message","all"]'


def test_a_room_is_an_audience(server: Server) -> None:
    with opened(server.port) as inside, connected(server.port) as outside:
        inside.send('40{"room":"green"}')
        inside.read()
        server.publish("green", to="room:green")
        server.publish("all")
        assert [inside.read(), inside.read()] == ['42["message","green"]', '42["message","all"]']
        assert outside.read() == '42["message","all"]'


def test_an_event_that_would_mislead_the_client_is_left_out(server: Server) -> None:
    with connected(server.port) as new, opened(server.port, 3) as old:
        for event in ("connect", "disconnecting", "pong", "order"):
            server.publish(1, event=event)
        assert [new.read(), new.read()] == ['42["pong",1]', '42["order",1]']
        assert [old.read(), old.read()] == ['42["disconnecting",1]', '42["order",1]']


def test_namespaces_that_poll_are_heard_each(server: Server) -> None:
    session = Polls(server.port)
    session.post('40\x1e40/admin,{"word":"sesame"}')
    got = session.get()
    while "40{" not in got or "40/admin" not in got:
        got += session.get()
    server.publish("root")
    server.publish("admin", admin=True)
    assert sorted([session.get(), session.get()]) == ['42/admin,["message","admin"]', '42["message","root"]']


def test_a_reader_that_stalls_gets_everything_of_each_namespace_in_order() -> None:
    """What its socket does not take stays in the log; none of its namespaces writes into the middle of another's frame."""
    with serve(PATIENT, application="tests.foreign.app:app") as server, connected(server.port) as socket:
        socket.send('40/admin,{"word":"sesame"}')
        assert str(socket.read()).startswith("40/admin,")
        text = "x" * 20000
        for number in range(400):
            server.publish([number, text], admin=number % 2 == 1)
        server.publish("end")
        server.publish("end", admin=True)
        heard: dict[str, list[Any]] = {'42["message",': [], '42/admin,["message",': []}
        ended = 0
        while ended < 2:
            frame = str(socket.read())
            prefix = next(prefix for prefix in heard if frame.startswith(prefix))
            data = json.loads(frame[len(prefix) : -1])
            ended += data == "end"
            heard[prefix].append(data)
        assert [data[0] for data in heard['42["message",'][:-1]] == list(range(0, 400, 2))
        assert [data[0] for data in heard['42/admin,["message",'][:-1]] == list(range(1, 400, 2))


# Users


@pytest.mark.parametrize("version", [3, 4])
def test_a_user_is_known_and_can_be_revoked(server: Server, version: int) -> None:
    user = f"ann{version}"
    with Socket(server.port, f"EIO={version}&transport=websocket", cookie=f"user={user}") as socket:
        socket.read()
        socket.send("40", '420["who"]')
        while "user" not in (answer := str(socket.read())):
            pass
        assert told(answer, "430")[0]["user"] == user
        server.publish("for ann", to=f"user:{user}")
        assert socket.read() == '42["message","for ann"]'
        server.post(f"/revoke/{user}")
        assert socket.read() == "41"


def test_a_session_of_a_user_goes_through_the_login_again_after_a_while() -> None:
    with serve(PATIENT | {"reauthorise_seconds": 0.5}, application="tests.foreign.app:app") as server:
        with Socket(server.port, "EIO=4&transport=websocket", cookie="user=ann") as socket:
            socket.read()
            socket.send("40")
            assert str(socket.read()).startswith("40{")
            assert socket.line.close_code() == 4001
        session = Polls(server.port, cookie="user=ann")
        session.post("40")
        got = session.get()
        while "1" not in got.split("\x1e"):
            got = session.get()
        assert session.poll().status == 400


# Hostile input

GOOD = ["40", "41", '42["echo",1]', '420["echo","é"]', '451-1["echo",{"_placeholder":true,"num":0}]', "43[1]", "2probe"]
GOOD += ['40/admin,{"word":"sesame"}', "5", "3", "6", "1", "bAQID", '0{"sid":"x"}']


def test_whatever_a_stranger_sends_the_server_stays_well(server: Server) -> None:
    """Prefixes, mutations and concatenations of good packets, by both versions and transports; `serve` sees tracebacks."""
    dice = random.Random(11)

    def nonsense() -> str:
        text = dice.choice(GOOD)
        kind = dice.randrange(4)
        if kind == 0:
            return text[: dice.randrange(len(text) + 1)]
        if kind == 1:
            at = dice.randrange(len(text))
            return text[:at] + chr(dice.choice([0, 30, 34, 44, 45, 58, 91, 123, 255, 0x2028, 0x1F600])) + text[at + 1 :]
        return text + dice.choice(GOOD) if kind == 2 else text

    for round_ in range(60):
        version = 3 + round_ % 2
        with Socket(server.port, f"EIO={version}&transport=websocket") as socket:
            socket.send(
                "40", *[nonsense() if dice.random() < 0.9 else nonsense().encode() for _ in range(dice.randrange(1, 8))]
            )
        session = Polls(server.port, version)
        for _ in range(3):
            several = [nonsense() for _ in range(dice.randrange(1, 4))]
            body = "\x1e".join(several) if version == 4 else "".join([f"{len(text)}:{text}" for text in several])
            assert session.post(body).status in (200, 400)
    with connected(server.port) as socket:
        socket.send('42["echo","well"]')
        assert socket.read() == '42["echo","well"]'


# Recovery


@pytest.fixture(scope="module")
def recovering() -> Iterator[Server]:
    limits = PATIENT | {"window_entries": 50}
    with serve(limits, application="tests.foreign.app:app", environ={"RECOVERY": "1"}) as server:
        yield server


def begin(server: Server, auth: str = "") -> tuple[dict[str, str], Socket]:
    socket = opened(server.port)
    socket.send(f"40{auth}")
    return told(socket.read(), "40"), socket


def test_a_client_comes_back_to_its_place_with_its_rooms(recovering: Server) -> None:
    answer, socket = begin(recovering, '{"room":"r"}')
    assert sorted(answer) == ["pid", "sid"]
    with socket:
        at = recovering.publish("one")
        assert socket.read() == f'42["message","one","{at}"]'
    position = recovering.publish("two", to="room:r")
    again, socket = begin(recovering, json.dumps({"pid": answer["pid"], "offset": at}))
    with socket:
        assert again == answer
        assert socket.read() == f'42["message","two","{position}"]'


def test_a_client_that_never_heard_an_event_comes_back_too(recovering: Server) -> None:
    answer, socket = begin(recovering)
    socket.line.sock.close()
    position = recovering.publish("missed")
    again, socket = begin(recovering, json.dumps({"pid": answer["pid"]}))
    with socket:
        assert again == answer
        assert socket.read() == f'42["message","missed","{position}"]'


def test_a_client_that_polls_comes_back_too(recovering: Server) -> None:
    session = Polls(recovering.port)
    session.post("40")
    answer = told(session.get(), "40")
    session.post("1")
    position = recovering.publish("missed")
    session = Polls(recovering.port)
    session.post("40" + json.dumps({"pid": answer["pid"]}))
    got = session.get()
    got = got if "missed" in got else got + "\x1e" + session.get()
    assert got == f'40{json.dumps(answer, separators=(",", ":"))}\x1e42["message","missed","{position}"]'


@pytest.mark.parametrize("offset", ["nonsense", "x7-1", "", 7, None])
def test_who_cannot_be_brought_back_is_new(recovering: Server, offset: Any) -> None:
    answer, socket = begin(recovering)
    socket.line.sock.close()
    pid = answer["pid"] if offset is not None else "A" * 32
    again, socket = begin(recovering, json.dumps({"pid": pid, "offset": offset}))
    with socket:
        assert again["pid"] != pid or offset == 7
        socket.send('42["echo",1]')
        assert str(socket.read()).startswith('42["echo",1,')


def test_history_that_is_forgotten_makes_a_client_new(recovering: Server) -> None:
    answer, socket = begin(recovering)
    socket.line.sock.close()
    for number in range(60):
        recovering.publish(number)
    again, socket = begin(recovering, json.dumps({"pid": answer["pid"]}))
    with socket:
        assert again["pid"] != answer["pid"]


def test_who_left_by_itself_does_not_come_back(recovering: Server) -> None:
    answer, socket = begin(recovering)
    with socket:
        socket.send("41", "40")
        again = told(socket.read(), "40")
        assert again["pid"] != answer["pid"]
        assert again["sid"] != answer["sid"]


# Channels


def test_native_clients_find_a_namespace_below_the_path(server: Server) -> None:
    first = server.request("GET", "/comet/admin?wait=0", headers={"Cookie": "user=ann"})
    assert first[0] == 401  # the channel's own on_open decides
    assert server.request("GET", "/comet/nope?wait=0")[0] == 404


@pytest.mark.parametrize("channels", [{}, {"/admin": Channel()}, {"/": Channel(), "admin": Channel()}])
def test_the_root_is_one_of_the_channels(channels: dict[str, Channel]) -> None:
    with pytest.raises(ValueError, match="expected names like '/admin', and '/' among them"):
        Cometware(None, channels)


@pytest.mark.parametrize("path", ["socket.io", "/socket.io/", "/"])
def test_the_old_address_is_a_path(path: str) -> None:
    with pytest.raises(ValueError, match="socketio="):
        Cometware(None, Channel(), socketio=path)
