"""An unmodified sockjs-client before several workers, each of its requests at any of them: no session is unknown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cluster.workers import Cluster, cluster
from tests.foreign.test_sockjs_client import page
from tests.redis_server import RedisServer


@pytest.fixture(scope="module", params=["sqlite", pytest.param("redis", marks=pytest.mark.full)])
def workers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder: Path = tmp_path_factory.mktemp("channel")
    with ExitStack() as stack:
        url = f"sqlite:///{folder}/channel.db"
        if request.param == "redis":
            redis = RedisServer(folder / "redis")
            stack.callback(redis.stop)
            url = redis.url
        yield stack.enter_context(cluster(url, {"response_bytes": 256}))


@pytest.mark.parametrize("transport", ["xhr-polling", "xhr-streaming", "eventsource"])
def test_a_session_hears_all_in_order_whichever_worker_it_comes_to(workers: Cluster, transport: str) -> None:
    with page(f"http://127.0.0.1:{workers.port}/comet/sockjs", transport) as one:
        assert one.next() == {"open": transport}
        texts = [f"{transport} {number}" for number in range(60)]
        for text in texts:
            workers.publish(text)
        assert [one.next() for _ in texts] == [{"message": text} for text in texts]


def test_what_it_says_is_handled_in_order_whichever_worker_it_comes_to(workers: Cluster) -> None:
    with page(f"http://127.0.0.1:{workers.port}/comet/sockjs", "xhr-polling") as one:
        assert one.next() == {"open": "xhr-polling"}
        texts = [f"said {number}" for number in range(30)]
        for text in texts:
            one.tell(send=text)
        heard = [one.next()["message"] for _ in texts]
    assert [f'"data":"{text}"' in message for text, message in zip(texts, heard, strict=True)] == [True] * len(texts)
