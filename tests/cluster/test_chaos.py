"""A short form of `make chaos`: what every commit must survive."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.chaos import AppendOnlyRedis, SqliteFile, Store, chaos
from tests.cluster.survivors import Report

SECONDS = 60


@pytest.fixture(params=[pytest.param("sqlite", marks=pytest.mark.full), "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "sqlite":
        yield SqliteFile(f"sqlite:///{tmp_path}/channel.db")
        return
    redis = AppendOnlyRedis(tmp_path)
    yield redis
    redis.close()


@pytest.mark.timeout(600)  # it goes on until enough was asked, which a busy machine takes minutes for
def test_workers_and_stores_die_and_nobody_loses_anything(store: Store) -> None:
    def enough(report: Report) -> bool:
        is_restarted = store.restart is None or report.restarts > 0
        return is_restarted and report.kills >= 5 and report.hops >= 50 and report.requests >= 1500

    report = chaos(store, SECONDS, enough=enough)
    assert report.sent >= 100
