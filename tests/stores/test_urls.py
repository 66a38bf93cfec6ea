"""No error of a URL tells its password, whatever is wrong with it; nor does anything else that shows a URL."""

from __future__ import annotations

import traceback

import pytest

from cometware import Channel, Cometware, Limits, connect
from cometware.stores.base import Store
from cometware.stores.redis import RedisStore

SECRET = "s3cr3t-s3cr3t"

WRONG = [
    f"mysql://ann:{SECRET}@host/db",
    f"redis//ann:{SECRET}@host/0",
    f"ann:{SECRET}@host:6379",
    f"redis:ann:{SECRET}@host:6379",
    f"sqlite://ann:{SECRET}@host/x.db",
    f"sqlite:///x.db?password={SECRET}",
    f"sqlite:///x.db?mode=7&password={SECRET}",
    f"redis://ann:{SECRET}/x@host:1/0",
    f"redis://ann:{SECRET}@host:port/0",
    f"redis://ann:{SECRET}@[::1/0",
    f"redis://ann:{SECRET}\u2100@host/0",
    f"redis+sentinel://ann:{SECRET}@h1,h2",
    f"redis+sentinel://ann:{SECRET}@h1:a,h2:b/s/0",
    f"redis+sentinel://h1,h2/s/db?sentinel_password={SECRET}",
    f"redis+sentinel://h1,h2/s/0?sentinel_passwort={SECRET}",
    f"redis+sentinel://h1,h2/s/0?sentinel%5Fpassword={SECRET}&x=1",
    f"redis+cluster://ann:{SECRET}@h1,h2/7",
    f"redis+cluster://ann:{SECRET}@,/0",
    f"redis+other://ann:{SECRET}@host/0",
    f"redis://host/0?password={SECRET}&socket_timeout=soon",
    f"rediss+cluster://h1?password={SECRET}",
]


@pytest.mark.parametrize("url", WRONG)
def test_what_is_wrong_with_a_url_is_told_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^Channel\('") as failed:
        Channel(url)
    told = "".join(traceback.format_exception(failed.value))
    assert "***" in str(failed.value)
    assert SECRET not in told


@pytest.mark.parametrize(
    "url",
    [f"redis://ann:{SECRET}@host/0", f"redis://host/0?password={SECRET}", f"redis+sentinel://h/s?sentinel_password={SECRET}"],
)
def test_a_store_and_the_status_show_a_url_without_its_password(url: str) -> None:
    store: Store[object, object] = RedisStore(url, "comet", Limits())
    assert "***" in store.url and SECRET not in store.url
    channel = Channel("memory:")
    channel.url = url
    told = Cometware(lambda environ, start_response: [], channel)._endpoint.status()["log"]
    assert told == store.url


def test_a_channel_that_cannot_be_moved_shows_no_password() -> None:
    channel = Channel()
    channel.publish("hello")
    with pytest.raises(ValueError, match=r"\*\*\*") as failed:
        channel.move(f"redis://h/0?password={SECRET}")
    assert SECRET not in str(failed.value)


@pytest.mark.parametrize(
    "url", [f"ftp://ann:{SECRET}@host/comet", f"https://ann:{SECRET}/@host/comet", f"https://ann:{SECRET}@[::1/comet"]
)
def test_a_client_tells_what_is_wrong_with_its_url_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r"^connect\('") as failed:
        connect(url)
    assert SECRET not in "".join(traceback.format_exception(failed.value))


def test_a_proxy_of_the_environment_is_shown_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"socks5://ann:{SECRET}@proxy:1080")
    with pytest.raises(ValueError, match="proxy") as failed:
        connect("http://host.example/comet")
    assert SECRET not in str(failed.value)
