"""Each server of the list in its turn; what it cannot carry is not asked of it here, but in test_limits.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.servers.kinds import KINDS, Kind
from tests.live.clients import Client
from tests.live.server import PATIENT, Server

_WAIT_FOR_ANOTHER = (
    "test_a_late_number_is_waited_for",
    "test_a_lost_number_is_told_and_the_client_renumbers",
    "test_a_reply_survives_a_change_of_connection",
    "test_racing_connections_open_their_client_once",
    "test_racing_connections_are_refused_together",
)
"""What needs two requests at one time."""
_SAMPLED = ("TestWebSocket", "TestEventStream", "TestLongPoll")
_SAMPLE = (
    "test_a_client_is_greeted_with_its_id_and_the_place_where_it_begins",
    "test_whom_the_application_refuses_gets_the_status_before_anything_else",
    "test_a_message_is_handled_acknowledged_and_heard_by_all",
    "test_a_client_that_was_dropped_resumes_where_it_was[FIN]",
)
"""What is enough to see that a server works; the rest is part of the whole matrix."""


@pytest.fixture(scope="package", params=KINDS, ids=lambda kind: kind.slug)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="package")
def server(kind: Kind) -> Iterator[Server]:
    """A server on which nothing happens by a clock."""
    with kind.serve(PATIENT | {"max_message_bytes": 65536, "order_seconds": 60, "poll_seconds": 90}) as server:
        yield server


@pytest.fixture(scope="package")
def hasty_server(kind: Kind) -> Iterator[Server]:
    """A server whose clocks are fast."""
    with kind.serve({"heartbeat_seconds": 0.5, "poll_seconds": 0.5, "order_seconds": 0.25}) as server:
        yield server


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what a server cannot carry, and mark what is more than the sample."""
    items[:] = [item for item in items if not _is_contract(item) or _is_carried(item)]
    for item in items:
        if _is_contract(item) and not _is_sampled(item):
            item.add_marker(pytest.mark.full)


def _is_sampled(item: pytest.Item) -> bool:
    name = item.name.replace(f"{_kind_of(item).slug}-", "")
    return name.startswith(_SAMPLE) and item.cls.__name__ in _SAMPLED  # type: ignore[attr-defined]


def _is_contract(item: pytest.Item) -> bool:
    return item.path.parent.name == "servers" and item.path.name == "test_contract.py"


def _kind_of(item: pytest.Item) -> Kind:
    found: Kind = item.callspec.params["kind"]  # type: ignore[attr-defined]
    return found


def _is_carried(item: pytest.Item) -> bool:
    kind = _kind_of(item)
    clients: list[type[Client]] = [item.cls.transport]  # type: ignore[attr-defined]
    if "other" in item.callspec.params:  # type: ignore[attr-defined]
        clients.append(item.callspec.params["other"])  # type: ignore[attr-defined]
    if kind.held == 0 and any(client.holds for client in clients):
        return False
    if kind.is_serial and item.originalname in _WAIT_FOR_ANOTHER:  # type: ignore[attr-defined]
        return False
    return all(client.transport in kind.transports for client in clients)
