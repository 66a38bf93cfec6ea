"""What every transport owes its clients, over a real server: a new transport is done when its three lines pass."""

from __future__ import annotations

import json

import pytest

from tests.live.clients import TRANSPORTS, Client, Ended, EventStream, LongPoll, Refusal, WebSocket, new_key
from tests.live.server import Server


def best(server: Server) -> type[Client]:
    """Return the best transport that this server carries."""
    return next(client for client in (WebSocket, EventStream, LongPoll) if client.transport in server.transports)


class TransportContract:
    """Subclass it with a `transport`."""

    transport: type[Client]

    def check(self, refusal: Refusal, status: int) -> None:
        """Was the client told what the application said?"""
        if self.transport is WebSocket and refusal.status > 1000:
            assert (refusal.status, refusal.body) == (4403, b"members only")
            return
        assert refusal.status == status
        assert refusal.headers["content-type"] == "application/json"
        assert json.loads(refusal.body) == {"error": {"code": "refused", "message": "members only"}}

    # Arriving

    def test_a_client_is_greeted_with_its_id_and_the_place_where_it_begins(self, server: Server) -> None:
        begin = server.publish("before")
        with self.transport(server) as client:
            assert client.greeting == {
                "client": client.id,
                "position": begin,
                "accepted": 0,
                "heartbeat": 55,
                "limits": {
                    "max_message_bytes": 65536,
                    "max_waiting_messages": 1000,
                    "last_entries": 1000,
                    "last_bytes": 1048576,
                    "grace_seconds": 120,
                },
                "server": {"name": server.name_on(self.transport.transport), "transports": list(server.transports)},
                "recovered": True,
            }
            assert len(client.id) == 24 and client.key not in client.id

    def test_the_application_sees_who_comes_and_how(self, server: Server) -> None:
        with self.transport(server, cookie=server.login("ann")) as client:
            (line,) = server.journal(1, client=client.id, kind="open")
            assert (line["user"], line["transport"], line["dialect"]) == ("ann", self.transport.transport, "native")

    def test_who_is_here_is_told_with_its_transport(self, server: Server) -> None:
        room = "room:" + new_key()
        with self.transport(server, room=room, cookie=server.login("eve")) as client:
            (here,) = server.get(f"/presence/{room}")
            assert (here["id"], here["user"]) == (client.id, "eve")

    def test_whom_the_application_refuses_gets_the_status_before_anything_else(self, server: Server) -> None:
        client = self.transport(server, refuse="402")
        with pytest.raises(Refusal) as refusal, client:
            pass
        self.check(refusal.value, 402)
        client.drop()

    def test_a_refused_client_may_try_again(self, server: Server) -> None:
        key = new_key()
        refused = self.transport(server, key=key, refuse="403")
        with pytest.raises(Refusal), refused:
            pass
        refused.drop()
        with self.transport(server, key=key) as client:
            assert server.life_of(client.id) == ["open", "open"]

    # Hearing

    def test_a_broadcast_reaches_everybody_in_one_order(self, server: Server) -> None:
        with self.transport(server) as one, self.transport(server) as two, best(server)(server) as witness:
            positions = [server.publish(data) for data in ("a", {"b": [1, None]}, 3.5)]
            expected = [
                {"id": positions[0], "event": "message", "data": "a"},
                {"id": positions[1], "event": "message", "data": {"b": [1, None]}},
                {"id": positions[2], "event": "message", "data": 3.5},
            ]
            for client in (one, two, witness):
                assert [client.receive() for _ in range(3)] == expected

    def test_text_of_any_alphabet_arrives_as_it_was(self, server: Server) -> None:
        texts = ["", "[1]", "null", "a\nb\r\nc\rd", '\u2028 \u2029 \0 " \\ </script>', "Ω 𝄞 ‮", "x" * 70_000]
        with self.transport(server) as client:
            for text in texts:
                server.publish(text)
            assert client.data(len(texts)) == texts

    def test_a_direct_message_reaches_one_client_only(self, server: Server) -> None:
        with self.transport(server) as one, self.transport(server) as other:
            server.publish("for one", to=f"client:{one.id}")
            server.publish("for all")
            assert one.data(2) == ["for one", "for all"]
            assert other.data(1) == ["for all"]

    def test_a_users_message_reaches_all_clients_of_that_user(self, server: Server) -> None:
        ann, bob = server.login("ann"), server.login("bob")
        with (
            self.transport(server, cookie=ann) as desk,
            self.transport(server, cookie=ann) as phone,
            self.transport(server, cookie=bob) as stranger,
        ):
            server.publish("for ann", to="user:ann")
            server.publish("for all")
            assert desk.data(2) == phone.data(2) == ["for ann", "for all"]
            assert stranger.data(1) == ["for all"]

    def test_a_room_is_heard_by_those_in_it(self, server: Server) -> None:
        with self.transport(server, room="room:in") as member, self.transport(server) as outsider:
            server.publish("for members", to="room:in")
            server.publish("for all")
            assert member.data(2) == ["for members", "for all"]
            assert outsider.data(1) == ["for all"]

    def test_a_client_joins_and_leaves_a_room_at_run_time(self, server: Server) -> None:
        with self.transport(server) as client:
            client.ask("join", "room:open", 1)
            server.publish("joined", to="room:open")
            assert client.data(1) == ["joined"]
            client.ask("leave", "room:open", 2)
            server.publish("too late", to="room:open")
            server.publish("for all")
            assert client.data(1) == ["for all"]

    def test_a_view_lets_a_client_join_and_leave(self, server: Server) -> None:
        with self.transport(server) as client:
            assert server.post("/channel/join", client_id=client.id, room="room:view") is True
            server.publish("joined", to="room:view")
            assert client.data(1) == ["joined"]
            assert server.post("/channel/leave", client_id=client.id, room="room:view") is True
            server.publish("too late", to="room:view")
            server.publish("for all")
            assert client.data(1) == ["for all"]

    def test_a_message_for_two_audiences_of_a_client_arrives_once(self, server: Server) -> None:
        with self.transport(server, room="room:twice") as client:
            server.publish("once", to=["room:twice", f"client:{client.id}"])
            server.publish("end")
            assert client.data(2) == ["once", "end"]

    def test_a_message_for_all_but_one_skips_that_one(self, server: Server) -> None:
        with self.transport(server) as one, self.transport(server) as other:
            server.publish("not for one", but=one.id)
            server.publish("for all")
            assert one.data(1) == ["for all"]
            assert other.data(2) == ["not for one", "for all"]

    def test_a_named_event_keeps_its_name(self, server: Server) -> None:
        with self.transport(server) as client:
            position = server.publish({"order": 7}, event="order placed")
            assert client.receive() == {"id": position, "event": "order placed", "data": {"order": 7}}

    def test_bytes_travel_both_ways_inside_json(self, server: Server) -> None:
        with self.transport(server) as client:
            client.send({"$bytes": "AP8Q"}, n=1)
            (line,) = server.journal(1, client=client.id, kind="message")
            assert line["data"] == "00ff10"
            assert client.receive()["data"] == {"from": client.id, "data": {"$bytes": "AP8Q"}}

    def test_the_heartbeat_tells_the_position_though_nothing_was_for_us(self, hasty_server: Server) -> None:
        with self.transport(hasty_server) as client:
            position = hasty_server.publish("for nobody", to="room:empty")
            beat = client.heartbeat()
            while beat != {"ping": position}:
                beat = client.heartbeat()

    # Speaking

    def test_a_message_is_handled_acknowledged_and_heard_by_all(self, server: Server) -> None:
        with self.transport(server) as client, self.transport(server) as other:
            client.send("hello", n=1)
            assert client.acknowledged(1) == {"accepted": 1}
            assert client.receive()["data"] == other.receive()["data"] == {"from": client.id, "data": "hello"}

    def test_several_messages_may_be_sent_at_once(self, server: Server) -> None:
        with self.transport(server) as client:
            client.send_shape([{"n": 1, "data": "a"}, {"n": 2, "data": "b"}, {"n": 3, "data": "c"}])
            assert client.acknowledged(3) == {"accepted": 3}
            assert [entry["data"] for entry in client.data(3)] == ["a", "b", "c"]

    def test_what_a_handler_returns_is_the_reply_to_the_sender_alone(self, server: Server) -> None:
        with self.transport(server) as client, self.transport(server) as other:
            client.send({"a": 1}, event="echo", n=1, reply=True)
            reply = client.receive()
            assert reply == {"id": reply["id"], "reply": 1, "data": {"a": 1}}
            server.publish("end")
            assert client.data(1) == other.data(1) == ["end"]

    def test_nobody_gets_a_reply_without_asking(self, server: Server) -> None:
        with self.transport(server) as client:
            client.send("unasked", event="echo", n=1)
            assert client.ask("echo", "asked", 2) == "asked"

    def test_a_refused_message_gets_an_error_reply(self, server: Server) -> None:
        with self.transport(server) as client:
            client.send(None, event="forbidden", n=1, reply=True)
            error = {"code": "refused", "message": "pay first", "status": 402}
            reply = client.receive()
            assert reply == {"id": reply["id"], "reply": 1, "error": error}

    def test_a_failing_handler_gets_an_error_reply_that_tells_nothing_of_it(self, server: Server) -> None:
        with self.transport(server) as client:
            client.send(None, event="failing", n=1, reply=True)
            error = {"code": "handler", "message": "the handler failed; its log says why"}
            reply = client.receive()
            assert reply == {"id": reply["id"], "reply": 1, "error": error}
            assert client.ask("echo", "it goes on", 2) == "it goes on"

    def test_an_event_that_nobody_handles_gets_an_error_reply(self, server: Server) -> None:
        with self.transport(server) as client:
            client.send(None, event="nonsense", n=1, reply=True)
            reply = client.receive()
            error = {"code": "event", "message": "no handler for 'nonsense'"}
            assert reply == {"id": reply["id"], "reply": 1, "error": error}

    def test_what_a_handler_keeps_is_there_for_the_next(self, server: Server) -> None:
        with self.transport(server) as client:
            assert client.ask("rename", "Ann", 1) == {"was": None, "name": "Ann"}
            assert client.ask("rename", "Eve", 2) == {"was": "Ann", "name": "Eve"}

    def test_a_repeated_number_is_acknowledged_and_not_handled_again(self, server: Server) -> None:
        with self.transport(server) as client:
            client.send("one", n=1)
            assert client.acknowledged(1) == {"accepted": 1}
            client.send("one", n=1)
            assert client.acknowledged(1) == {"accepted": 1}
            client.send("two", n=2)
            assert client.acknowledged(2) == {"accepted": 2}
            assert [line["data"] for line in server.journal(2, client=client.id, kind="message")] == ["one", "two"]

    def test_a_late_number_is_waited_for(self, server: Server) -> None:
        with self.transport(server) as client:
            for number in (3, 2, 1):
                client.send(number, n=number)
                client.arrived()
            lines = server.journal(3, client=client.id, kind="message")
            assert [line["data"] for line in lines] == [1, 2, 3]
            assert client.acknowledged(3) == {"accepted": 3}

    def test_a_lost_number_is_told_and_the_client_renumbers(self, hasty_server: Server) -> None:
        with self.transport(hasty_server) as client:
            client.send("two", n=2)
            error = client.answer()["error"]
            message = "got number 2, expected 1; renumber from accepted + 1"
            assert error == {"code": "number", "message": message, "accepted": 0}
            client.send("two", n=1)
            assert client.acknowledged(1) == {"accepted": 1}
            (line,) = hasty_server.journal(1, client=client.id, kind="message")
            assert line["data"] == "two"

    def test_a_message_of_the_wrong_shape_gets_an_error_and_nothing_is_lost(self, server: Server) -> None:
        with self.transport(server) as client:
            client.send_shape([{"n": 1, "data": "good"}, {"n": "two"}])
            error = client.answer()["error"]
            assert error == {"code": "shape", "message": "expected data, event, ping or close, got only n"}
            assert client.ask("echo", "it goes on", 1) == "it goes on"

    def test_an_oversized_message_gets_an_error_with_limit_and_size(self, server: Server) -> None:
        with self.transport(server) as client:
            client.send("x" * 100_000, n=1)
            error = client.answer()["error"]
            assert (error["code"], error["limit"]) == ("size", 65536)
            assert error["size"] == len('{"n": 1, "data": ""}') + 100_000
            assert client.ask("echo", "it goes on", 1) == "it goes on"

    # Going, and coming back

    @pytest.mark.parametrize("reset", [False, True], ids=["FIN", "RST"])
    def test_a_client_that_was_dropped_resumes_where_it_was(self, server: Server, reset: bool) -> None:
        with self.transport(server, room="room:resume") as client:
            server.publish("one", to="room:resume")
            assert client.data(1) == ["one"]
            client.drop(reset=reset)
            server.publish("two", to="room:resume")
            with client.hop(self.transport) as again:
                server.publish("three", to=f"client:{client.id}")
                assert again.data(2) == ["two", "three"]
                assert server.life_of(client.id) == ["open"]

    def test_a_client_that_heard_nothing_yet_resumes_from_its_greeting(self, server: Server) -> None:
        with self.transport(server) as client:
            client.drop()
            server.publish("while away")
            with client.hop(self.transport) as again:
                assert again.data(1) == ["while away"]

    def test_a_reply_survives_a_change_of_connection(self, server: Server) -> None:
        gate = new_key()
        with self.transport(server) as client:
            client.send(gate, event="wait", n=1, reply=True)
            server.journal(1, client=client.id, kind="begin")
            client.drop()
            with client.hop(self.transport) as again:
                server.post(f"/gate/{gate}")
                reply = again.receive()
                assert reply == {"id": reply["id"], "reply": 1, "data": "done"}

    def test_an_unknown_position_is_answered_by_a_reset_and_what_is_new(self, server: Server) -> None:
        with self.transport(server, after="another_log-7") as client:
            assert client.receive() == {"reset": {"reason": "epoch", "position": client.position}}
            assert client.greeting["recovered"] is False
            server.publish("new")
            assert client.data(1) == ["new"]

    def test_racing_connections_open_their_client_once(self, server: Server) -> None:
        gate, key = new_key(), new_key()
        one, two = (self.transport(server, key=key, gate=gate, mark=gate) for _ in range(2))
        try:
            one.begin()
            server.journal(1, kind="asked", mark=gate)
            two.begin()
            server.journal(2, kind="asked", mark=gate)
            server.post(f"/gate/{gate}")
            assert one.greet()["client"] == two.greet()["client"]
            assert server.life_of(one.id) == ["open"]
            server.publish("for both")
            assert one.data(1) == ["for both"]
            assert two.data(1) == ["for both"]
        finally:
            one.drop()
            two.drop()

    def test_racing_connections_are_refused_together(self, server: Server) -> None:
        # A server's native thread may come to the second one so late that it is refused alone: then there was no race
        assert any(self._openings_of_a_refused_race(server) == 1 for _ in range(5))

    def _openings_of_a_refused_race(self, server: Server) -> int:
        gate, key = new_key(), new_key()
        cookie = server.login(gate)
        options = {"key": key, "cookie": cookie, "gate": gate, "mark": gate, "refuse": "403"}
        one, two = (self.transport(server, **options) for _ in range(2))
        try:
            one.begin()
            server.journal(1, kind="open", user=gate)
            two.begin()
            server.journal(2, kind="asked", mark=gate)
            server.post(f"/gate/{gate}")
            for client in (one, two):
                with pytest.raises(Refusal) as refusal:
                    client.greet()
                self.check(refusal.value, 403)
            return len(server.journal(kind="open", user=gate))
        finally:
            one.drop()
            two.drop()

    def test_another_user_with_the_same_key_is_another_client(self, server: Server) -> None:
        with self.transport(server, cookie=server.login("ann")) as ann:
            server.publish("for ann", to="user:ann")
            ann.cookie = server.login("bob")
            with ann.hop(self.transport) as bob:
                assert bob.receive() == {"reset": {"reason": "user", "position": bob.position}}
                server.publish("for ann again", to="user:ann")
                server.publish("for bob", to="user:bob")
                assert bob.data(1) == ["for bob"]
            (opened,) = server.journal(1, client=ann.id, kind="open")
            assert opened["user"] == "ann"

    def test_a_closed_client_is_told_the_code_and_the_reason(self, server: Server) -> None:
        with self.transport(server) as client:
            client.listen()
            assert server.post("/channel/close", client_id=client.id, code=4403, reason="no more of you") is True
            assert client.receive() == {"close": {"code": 4403, "reason": "no more of you"}}
            with pytest.raises(Ended):
                client.receive()
            if isinstance(client, WebSocket):
                assert client.close_code == (4403, "no more of you")
            (line,) = server.journal(1, client=client.id, kind="close")
            assert line["reason"] == "closed"
            assert server.life_of(client.id) == ["open", "close"]

    def test_a_client_that_is_closed_while_away_is_told_when_it_returns(self, server: Server) -> None:
        with self.transport(server) as client:
            client.drop()
            assert server.post("/channel/close", client_id=client.id, code=4410, reason="over") is True
            server.journal(1, client=client.id, kind="close")
            again = client.hop(self.transport)
            try:
                again.begin()
                assert again.receive() == {"close": {"code": 4410, "reason": "over"}}
                with pytest.raises(Ended):
                    again.receive()
            finally:
                again.drop()
            assert server.life_of(client.id) == ["open", "close"]

    def test_a_revoked_user_is_closed_everywhere(self, server: Server) -> None:
        cookie = server.login("mallory")
        with self.transport(server, cookie=cookie) as one, best(server)(server, cookie=cookie) as two:
            one.listen()
            server.post("/channel/revoke", user="mallory")
            for client in (one, two):
                assert client.receive() == {"close": {"code": 4410, "reason": "revoked"}}
                server.journal(1, client=client.id, kind="close", reason="revoked")

    def test_a_client_that_says_goodbye_has_left_at_once(self, server: Server) -> None:
        with self.transport(server) as client:
            client.leave()
            server.journal(1, client=client.id, kind="close", reason="left")
            assert server.life_of(client.id) == ["open", "close"]

    @pytest.mark.parametrize("other", TRANSPORTS)
    def test_a_client_hops_to_another_transport_mid_flood(self, server: Server, other: type[Client]) -> None:
        count, room = 600, "room:" + new_key()
        client: Client = self.transport(server, room=room)
        client.open()
        try:
            server.post("/flood", count=count, every=5)
            received: list[int] = []
            while len(received) < count:
                received += [number for number in client.data(min(50, count - len(received))) if number not in received]
                following = client.hop(other if isinstance(client, self.transport) else self.transport)
                following.open()
                client.drop()
                client = following
            assert received == list(range(1, count + 1))
            assert server.life_of(client.id) == ["open"]
        finally:
            client.drop()
