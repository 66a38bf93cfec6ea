"""Numbers, acknowledgements and replies of the client in Python, compared with a server that does what the protocol says."""

from __future__ import annotations

import json
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware.errors import Failed
from cometware.remote import outbox
from cometware.remote.outbox import Outbox, Said, settle


def said(data: Any, reply: Future[Any] | None = None) -> Said:
    return Said("message", json.dumps(data), reply)


def filled(*data: Any) -> Outbox:
    box = Outbox()
    for one in data:
        box.put(said(one))
    return box


def test_nothing_is_sent_before_the_server_has_said_how_far_it_counts() -> None:
    box = filled("a")
    assert (box.next(), box.batch(1000, 10)) == (None, [])
    box.count(7, before=0)
    assert box.next() == '{"n":8,"event":"message","data":"a"}'


def test_who_was_too_fast_sends_the_same_numbers_again_and_never_counts_back() -> None:
    box = filled("a", "b", "c")
    box.count(0, before=0)
    first = [box.next(), box.next(), box.next()]
    box.refused_for_now(1)
    assert [box.next(), box.next(), box.next()] == [*first[1:], None]
    box.acknowledge(2)
    box.refused_for_now(1)
    assert (box.accepted, box.next(), box.next()) == (2, first[2], None)


def test_each_message_is_sent_once_on_a_connection_and_what_is_not_accepted_again_on_the_next() -> None:
    box = filled("a", "b", "c")
    box.count(0, before=0)
    assert [box.next(), box.next(), box.next(), box.next()] == [
        '{"n":1,"event":"message","data":"a"}',
        '{"n":2,"event":"message","data":"b"}',
        '{"n":3,"event":"message","data":"c"}',
        None,
    ]
    box.acknowledge(1)
    assert box.next() is None
    box.sent = 0
    assert box.next() == '{"n":2,"event":"message","data":"b"}'


def test_a_server_that_has_forgotten_us_gets_new_numbers() -> None:
    box = filled("a", "b")
    box.count(0, before=0)
    box.acknowledge(1)
    box.put(said("c"))
    before = box.era
    box.count(0, before=1)
    assert box.era > before
    assert box.batch(1000, 10) == ['{"n":1,"event":"message","data":"b"}', '{"n":2,"event":"message","data":"c"}']


def test_a_late_greeting_does_not_turn_the_numbers_back() -> None:
    box = filled("a", "b")
    box.count(0, before=0)
    box.acknowledge(2)
    box.count(1, before=0)  # said before what was acknowledged since
    assert box.accepted == 2


def test_a_missing_number_is_sent_again_or_renumbered() -> None:
    box = filled("a", "b", "c")
    box.count(0, before=0)
    box.next(), box.next()
    box.refused_number(1)
    assert box.next() == '{"n":2,"event":"message","data":"b"}'
    box.refused_number(0)
    assert box.next() == '{"n":1,"event":"message","data":"b"}'


def test_a_reply_may_come_before_its_acknowledgement() -> None:
    reply: Future[Any] = Future()
    box = Outbox()
    box.count(0, before=0)
    box.put(said("a", reply))
    assert box.next() == '{"n":1,"event":"message","reply":true,"data":"a"}'
    assert box.answered(1) is reply
    assert (len(box), box.answered(1)) == (0, None)


def test_lost_history_fails_the_replies_that_were_due_and_no_others() -> None:
    due: Future[Any] = Future()
    waiting: Future[Any] = Future()
    box = Outbox()
    box.count(0, before=0)
    box.put(said("a", due))
    box.put(said("b", waiting))
    box.acknowledge(1)
    box.fail_replies(Failed("reset", "history was lost"))
    with pytest.raises(Failed):
        due.result(0)
    assert not waiting.done()


def test_a_batch_holds_what_a_body_may_and_at_least_one() -> None:
    box = filled("x" * 50, "y" * 50, "z" * 50)
    box.count(0, before=0)
    assert len(box.batch(1000, 10)) == 3
    assert len(box.batch(1000, 2)) == 2
    assert len(box.batch(200, 10)) == 2
    assert len(box.batch(10, 10)) == 1
    body = "[" + ",".join(box.batch(200, 10)) + "]"
    assert len(body) <= 200


def test_beyond_the_bounds_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "MAX_BYTES", 10)
    box = filled("12345678")
    with pytest.raises(Failed, match=r"full: 1 messages \(10 characters\) wait"):
        box.put(said("x"))
    box.count(0, before=0)
    box.acknowledge(1)
    box.put(said("x"))


def test_who_stopped_waiting_is_not_told() -> None:
    reply: Future[Any] = Future()
    reply.cancel()
    settle(reply, "late")
    assert reply.cancelled()


class PlainServer:
    """What the protocol promises of numbers; it may forget its client."""

    def __init__(self) -> None:
        self.accepted = 0
        self.handled: list[int] = []

    def take(self, text: str) -> None:
        shape = json.loads(text)
        assert shape["n"] <= self.accepted + 1, "a number is missing"
        if shape["n"] == self.accepted + 1:
            self.accepted += 1
            self.handled.append(shape["data"])


@given(st.lists(st.sampled_from(["say", "send", "heard", "reconnect", "forget"]), max_size=60))
def test_whatever_happens_each_message_is_handled_in_order_and_once_unless_the_server_forgot(steps: list[str]) -> None:
    """A message that was handled by a server which then forgot us is handled again if we had not heard of it."""
    box, server, count, forgot = Outbox(), PlainServer(), 0, False
    before = 0
    box.count(0, before=0)
    for step in [*steps, "reconnect", *["send"] * 61, "heard"]:
        if step == "say":
            count += 1
            box.put(said(count))
        elif step == "send":
            text = box.next()
            if text is not None:
                server.take(text)
        elif step == "heard":
            box.count(server.accepted, before)
        else:
            if step == "forget":
                server.accepted, forgot = 0, True
            before, box.sent = box.accepted, 0
            box.count(server.accepted, before)
    firsts = list(dict.fromkeys(server.handled))
    assert firsts == list(range(1, count + 1))
    assert forgot or server.handled == firsts
    assert len(box) == 0
