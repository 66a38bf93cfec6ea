"""A short form of `make chaos`: what every commit must survive."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.chaos import SqliteFile, chaos


def test_workers_are_killed_each_second_and_nobody_loses_anything(tmp_path: Path) -> None:
    report = chaos(SqliteFile(f"sqlite:///{tmp_path}/channel.db"), 15)
    assert report.kills >= 5 and report.hops >= 50
    assert not report.resets
    assert set(report.statuses) <= {"101", "200", "502", "503", "504"}, report.statuses
    assert report.heard == 100 * report.published
