from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cometware.core.address import Addresses, Believed, counted

PROXY, STRANGER, LIAR = "10.0.0.1", "203.0.113.7", "198.51.100.9"


def of(believed: Believed, peer: str = PROXY, **headers: str) -> str:
    return Addresses(believed).of({"REMOTE_ADDR": peer, **{f"HTTP_{name.upper()}": value for name, value in headers.items()}})


def test_whoever_comes_directly_has_the_address_of_the_peer() -> None:
    assert of(None, STRANGER) == of((), STRANGER) == of(["10.0.0.0/8"], STRANGER) == STRANGER
    assert of(None, "127.0.0.1") == "127.0.0.1"


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "via", "x_real_ip"])
def test_a_peer_that_speaks_for_others_has_no_address_unless_it_is_known_whom_to_believe(header: str) -> None:
    assert of(None, PROXY, **{header: STRANGER}) == ""
    assert of((), PROXY, **{header: STRANGER}) == PROXY


def test_the_proxies_of_known_networks_are_believed_from_the_right() -> None:
    chain = f"{LIAR}, {STRANGER}, 10.1.1.1"
    assert of(["10.0.0.0/8"], x_forwarded_for=chain) == STRANGER
    assert of("10.0.0.0/8", x_forwarded_for=chain) == STRANGER
    assert of(["10.0.0.1"], x_forwarded_for=chain) == "10.1.1.1"
    assert of(["10.0.0.0/8"], STRANGER, x_forwarded_for=LIAR) == STRANGER


def test_if_all_are_proxies_the_first_one_is_meant() -> None:
    assert of(["10.0.0.0/8"], x_forwarded_for="10.2.2.2, 10.1.1.1") == "10.2.2.2"


def test_a_proxy_that_says_nothing_is_itself_meant() -> None:
    assert of(["10.0.0.0/8"]) == of(1) == of("X-Real-IP") == PROXY


def test_so_many_proxies_are_believed() -> None:
    chain = f"{LIAR}, {STRANGER}, 10.1.1.1"
    assert of(1, x_forwarded_for=chain) == "10.1.1.1"
    assert of(2, x_forwarded_for=chain) == STRANGER
    assert of(2, x_forwarded_for=STRANGER) == STRANGER
    assert of(0, x_forwarded_for=STRANGER) == PROXY


def test_a_header_of_its_own_is_believed() -> None:
    assert of("X-Real-IP", x_real_ip=STRANGER, x_forwarded_for=LIAR) == STRANGER
    assert of("CF-Connecting-IP", cf_connecting_ip="2001:db8::1") == "2001:db8::/64"
    assert of("X-Forwarded-For", x_forwarded_for=f"{LIAR}, {STRANGER}") == STRANGER
    assert of("Forwarded", forwarded=f"for={LIAR}, for={STRANGER}") == STRANGER


@pytest.mark.parametrize(
    ("header", "address"),
    [
        (f"for={STRANGER}", STRANGER),
        (f'For="{STRANGER}:4711"', STRANGER),
        (f"proto=https;for={STRANGER};by=10.0.0.1", STRANGER),
        ('for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::/64"),
        (f"for={LIAR}, for={STRANGER};host=a", STRANGER),
        (f"for={STRANGER}, proto=https", PROXY),
        (f"for={STRANGER}, for=unknown", PROXY),
        (f"for={STRANGER}, for=_hidden, for=10.1.1.1", "10.1.1.1"),
        (f"xfor={STRANGER}", PROXY),
    ],
)
def test_the_header_of_rfc_7239_is_read_too(header: str, address: str) -> None:
    assert of(["10.0.0.0/8"], forwarded=header) == address


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.7:51234", STRANGER),
        ("2001:db8::1", "2001:db8::/64"),
        ("[2001:db8::1]:51234", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("::ffff:203.0.113.7", STRANGER),
        ("unknown", PROXY),
        ("", PROXY),
        ("203.0.113.7.9", PROXY),
        ("203.0.113.7; DROP TABLE", PROXY),
    ],
)
def test_an_entry_is_an_address_with_or_without_a_port(entry: str, address: str) -> None:
    assert of(["10.0.0.0/8"], x_forwarded_for=f"{LIAR}, {entry}") == address


def test_of_two_headers_that_disagree_neither_is_believed() -> None:
    assert of(["10.0.0.0/8"], x_forwarded_for=STRANGER, forwarded=f"for={LIAR}") == PROXY
    assert of(["10.0.0.0/8"], x_forwarded_for=STRANGER, forwarded=f"for={STRANGER}") == STRANGER


def test_what_a_stranger_puts_in_front_changes_nothing_however_much_it_is() -> None:
    for lies in (f"{LIAR}, " * 3, "x" * 10_000 + ", ", ", " * 10_000, f"{LIAR}, " * 10_000):
        assert of(["10.0.0.0/8"], x_forwarded_for=f"{lies}{STRANGER}") == STRANGER
        assert of(1, x_forwarded_for=f"{lies}{STRANGER}") == STRANGER


def test_whoever_comes_by_a_unix_socket_is_a_proxy_of_this_host() -> None:
    assert of(None, "") == of((), "") == ""
    assert of(["10.0.0.0/8"], "", x_forwarded_for=STRANGER) == of(1, "", x_forwarded_for=STRANGER) == STRANGER


def test_a_household_of_ipv6_is_one_address() -> None:
    assert counted("2001:db8:1:2:3:4:5:6") == counted("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert counted("fe80::1%eth0") == "fe80::/64"
    assert counted("::1") == "::/64"


def test_who_listens_on_both_kinds_sees_ipv4_as_it_is() -> None:
    assert of(["10.0.0.0/8"], "::ffff:10.0.0.1", x_forwarded_for=STRANGER) == STRANGER
    assert of(None, "::ffff:203.0.113.7") == STRANGER


@pytest.mark.parametrize(
    ("believed", "peer", "signed", "is_proxy"),
    [
        (None, PROXY, False, False),
        (None, PROXY, True, True),
        (None, "", False, True),
        ((), PROXY, True, False),
        (["10.0.0.0/8"], PROXY, False, True),
        (["10.0.0.0/8"], STRANGER, True, False),
        (1, STRANGER, False, True),
        (0, STRANGER, True, False),
        ("X-Real-IP", STRANGER, False, True),
    ],
)
def test_who_speaks_for_others_is_known_before_it_has_spoken_where_it_was_said(
    believed: Believed, peer: str, signed: bool, is_proxy: bool
) -> None:
    assert Addresses(believed).is_proxy(peer, signed=signed) is is_proxy


@pytest.mark.parametrize("believed", [-1, True, "", "X Real IP", ["10.0.0.0/33"], ["localhost"], [1.5], 1.5])
def test_what_says_nothing_is_refused(believed: Any) -> None:
    with pytest.raises(ValueError, match="expected networks"):
        Addresses(believed)


@given(st.text(), st.text())
def test_no_header_breaks_it(x_forwarded_for: str, forwarded: str) -> None:
    for believed in (None, (), ["10.0.0.0/8"], 2, "X-Forwarded-For", "Forwarded"):
        address = of(believed, x_forwarded_for=x_forwarded_for, forwarded=forwarded)
        assert len(address) < 64
