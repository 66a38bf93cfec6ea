"""A short form of `make chaos`: what every commit must survive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.chaos import AppendOnlyRedis, SqliteFile, Store, chaos

SECONDS = 15


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.full), "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        yield SqliteFile(f"sqlite:///{tmp_path}/channel.db")
        return
    redis = AppendOnlyRedis(tmp_path)
    yield redis
    redis.close()


def test_workers_and_stores_die_and_nobody_loses_anything(store: Store) -> None:
    report = chaos(store, SECONDS)
    assert report.kills >= 5 and report.hops >= 50 and (store.restart is None or report.restarts)
    assert not report.resets
    assert set(report.statuses) <= {"101", "200", "502", "503", "504"}, report.statuses
    assert report.heard == 100 * report.published
