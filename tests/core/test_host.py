from __future__ import annotations

import pytest

from cometware.core.host import check_hosts, is_among


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        ("shop.example", ["shop.example"]),
        ("SHOP.example:8000", ["shop.example"]),
        ("shop.example.", ["shop.example"]),
        ("shop.example", [".shop.example"]),
        ("a.b.shop.example", [".shop.example"]),
        ("shop.example:8000", ["shop.example:8000"]),
        ("shop.example", ["Shop.Example"]),  # as Django's list may be written
        ("127.0.0.1:8000", ["127.0.0.1"]),
        ("[::1]:8000", ["[::1]"]),
        ("anything", ["*"]),
        ("", ["*"]),
    ],
)
def test_a_host_of_the_list(host: str, hosts: list[str]) -> None:
    assert is_among(host, hosts)


@pytest.mark.parametrize(
    ("host", "hosts"),
    [
        ("evil.example", ["shop.example"]),
        ("evilshop.example", [".shop.example"]),
        ("shop.example.evil", [".shop.example"]),
        ("www.shop.example", ["shop.example"]),
        ("shop.example:8001", ["shop.example:8000"]),
        ("shop.example", ["shop.example:8000"]),
        ("shop.example@evil.example", ["shop.example"]),
        ("shop.example/evil", ["shop.example"]),
        ("shop.example\n", ["shop.example"]),
        ("127.0.0.1.evil.example", ["127.0.0.1"]),
        ("", ["shop.example"]),
        ("shop.example", []),
        ("shop.example", ["https://shop.example"]),
    ],
)
def test_any_other_host(host: str, hosts: list[str]) -> None:
    assert not is_among(host, hosts)


def test_the_setting_takes_names_and_addresses_with_a_port_or_without() -> None:
    good = ["*", "shop.example", ".shop.example", "127.0.0.1", "[::1]", "[::1]:80", "localhost:8000"]
    assert check_hosts(good) == tuple(good)


@pytest.mark.parametrize(
    "bad",
    [
        "shop.example",
        [],
        [""],
        ["https://shop.example"],
        ["shop.example/"],
        ["Shop.example"],
        ["*.shop.example"],
        ["a:b"],
        [5],
    ],
)
def test_the_setting_refuses_and_says_what_it_expects(bad: list[str]) -> None:
    with pytest.raises(ValueError, match="hosts"):
        check_hosts(bad)
