"""How many threads a server has that does not tell: as many as are seen alive."""

from __future__ import annotations

import threading

from cometware.servers.pools import SeenThreads


def run(*calls: object) -> None:
    threads = [threading.Thread(target=call) for call in calls]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_threads_are_counted_while_they_live() -> None:
    seen, together, counts = SeenThreads(), threading.Barrier(4), []

    def serve() -> None:
        for _ in range(3):
            seen.see()
        together.wait(60)
        counts.append(seen.count)
        together.wait(60)

    run(*[serve] * 4)
    assert counts == [4] * 4
    assert seen.count == 0
    assert not seen.has_one_for_each_request


def test_a_thread_for_each_request_is_recognised() -> None:
    seen = SeenThreads()
    for number in range(8):
        assert not seen.has_one_for_each_request, number
        run(seen.see)
    assert seen.has_one_for_each_request


def test_a_pool_whose_threads_end_is_a_pool_all_the_same() -> None:
    seen = SeenThreads()
    run(lambda: [seen.see() for _ in range(2)])
    for _ in range(20):
        run(seen.see)
    assert not seen.has_one_for_each_request
