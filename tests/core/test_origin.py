from __future__ import annotations

import pytest

from cometware.core.origin import Verdict, check_allowed_origins, judge

SHOP = "https://shop.example"
YES = Verdict(True)


def verdict(
    origin: str | None = None,
    host: str = "shop.example",
    site: str | None = None,
    referer: str | None = None,
    cookie: bool = True,
    allowed: tuple[str, ...] = (),
    script: bool = False,
) -> Verdict:
    return judge(
        origin=origin,
        host=host,
        fetch_site=site,
        referer=referer,
        has_cookie=cookie,
        allowed_origins=allowed,
        script=script,
    )


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (SHOP, "shop.example"),
        ("http://shop.example", "shop.example"),  # a proxy ended the TLS
        (SHOP, "SHOP.example"),
        ("https://shop.example:8443", "shop.example"),  # a proxy took the port off
        (SHOP, "shop.example:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_a_page_of_the_same_host_is_at_home(origin: str, host: str) -> None:
    assert verdict(origin, host) == YES


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://evil.example", "shop.example"),
        ("https://shop.example.evil.example", "shop.example"),
        ("https://evil-shop.example", "shop.example"),
        ("https://www.shop.example", "shop.example"),
        ("http://127.0.0.1:8001", "127.0.0.1:8000"),
        ("http://shop.example:80", "shop.example:8000"),
        ("https://shop.example@evil.example", "shop.example"),
        ("https://shop.example:x", "shop.example"),
        ("https://shop.example:99999", "shop.example"),
        ("https://[shop.example", "shop.example"),
        (SHOP, "[shop.example"),
        (SHOP, "shop.example:x"),
        (SHOP, ""),
        ("null", "shop.example"),
        ("null", "null"),
        ("", ""),
        ("", "shop.example"),
        ("shop.example", "shop.example"),
        ("file://", "shop.example"),
        ("https://", ""),
    ],
)
def test_a_page_of_another_host_is_refused_and_named(origin: str, host: str) -> None:
    assert verdict(origin, host) == Verdict(False, got=origin)


@pytest.mark.parametrize(
    ("site", "referer", "expected"),
    [
        ("same-origin", None, YES),
        ("none", None, YES),
        ("cross-site", None, Verdict(False, got="Sec-Fetch-Site: cross-site")),
        ("same-site", None, Verdict(False, got="Sec-Fetch-Site: same-site")),
        ("anything", None, Verdict(False, got="Sec-Fetch-Site: anything")),
        ("cross-site", "https://evil.example/page", Verdict(False, got="https://evil.example")),
        ("same-site", "https://shop.example/page", YES),
        ("cross-site", "about:blank", Verdict(False, got="Sec-Fetch-Site: cross-site")),
        ("cross-site", "https://[", Verdict(False, got="Sec-Fetch-Site: cross-site")),
    ],
)
def test_without_an_origin_the_browsers_own_word_counts(site: str, referer: str | None, expected: Verdict) -> None:
    assert verdict(None, site=site, referer=referer) == expected


def test_the_browsers_word_is_better_than_a_host_that_a_proxy_changed() -> None:
    assert verdict(SHOP, "backend:8000", site="same-origin") == YES


@pytest.mark.parametrize("site", ["cross-site", "same-site", None])
def test_a_named_origin_is_judged_by_its_host_whatever_the_site(site: str | None) -> None:
    assert verdict("https://evil.example", site=site) == Verdict(False, got="https://evil.example")
    assert verdict("https://a.shop.example", site=site, allowed=("https://a.shop.example",)).allowed


@pytest.mark.parametrize(
    ("referer", "cookie", "expected"),
    [
        (None, True, YES),  # curl with a cookie jar
        (None, False, YES),
        ("https://evil.example/", False, YES),  # nothing of the visitor's to misuse
        ("https://evil.example/", True, Verdict(False, got="https://evil.example")),
        ("https://shop.example/a?b", True, YES),
        ("nonsense", True, YES),
        ("//evil.example", True, YES),
    ],
)
def test_an_old_browser_is_judged_by_its_referer_if_it_sends_cookies(
    referer: str | None, cookie: bool, expected: Verdict
) -> None:
    assert verdict(None, referer=referer, cookie=cookie) == expected


@pytest.mark.parametrize(
    ("site", "referer", "expected"),
    [
        ("same-origin", None, YES),
        (None, "https://shop.example/page", YES),
        (None, None, Verdict(True, anonymous=True)),  # nothing proves the page, so its cookies do not count
        (None, "nonsense", Verdict(True, anonymous=True)),
        (None, "https://evil.example/page", Verdict(False, got="https://evil.example")),
        ("cross-site", None, Verdict(False, got="Sec-Fetch-Site: cross-site")),
    ],
)
@pytest.mark.parametrize("cookie", [False, True])
def test_a_script_tag_brings_its_cookies_only_from_a_page_that_is_proved(
    site: str | None, referer: str | None, expected: Verdict, cookie: bool
) -> None:
    assert verdict(None, site=site, referer=referer, cookie=cookie, script=True) == expected


def test_an_allowed_origin_keeps_its_cookies_and_is_named_to_the_browser() -> None:
    assert verdict("https://a.example", allowed=("https://a.example",)) == Verdict(True, "https://a.example")


@pytest.mark.parametrize("origin", ["http://a.example", "https://a.example:8443", "https://A.example"])
def test_an_allowed_origin_is_that_one_and_no_other(origin: str) -> None:
    assert not verdict(origin, allowed=("https://a.example",)).allowed


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_star_lets_everybody_in_as_nobody(origin: str) -> None:
    assert verdict(origin, allowed=("*",)) == Verdict(True, origin, anonymous=True)


@pytest.mark.parametrize("origin", ["", "evil", "https://a.example\r\nSet-Cookie: b=c", "https://a\n b"])
def test_what_is_no_origin_is_let_in_by_nothing(origin: str) -> None:
    assert verdict(origin, allowed=("*",)) == Verdict(False, got=origin)


def test_a_star_changes_nothing_for_the_own_page_and_for_those_who_are_named() -> None:
    assert verdict(SHOP, allowed=("*", "https://a.example")) == YES
    assert verdict("https://a.example", allowed=("*", "https://a.example")) == Verdict(True, "https://a.example")


def test_a_star_lets_a_hidden_origin_in_as_nobody() -> None:
    assert verdict(None, site="cross-site", allowed=("*",)) == Verdict(True, None, anonymous=True)


def test_a_referer_from_elsewhere_is_nobody_under_a_star() -> None:
    assert verdict(None, referer="https://evil.example/", allowed=("*",)).anonymous


@pytest.mark.parametrize("good", [[], ["*"], ["https://a.example", "http://b.example:8000"], {"http://[::1]:80"}])
def test_the_setting_takes(good: list[str]) -> None:
    assert check_allowed_origins(good) == frozenset(good)


@pytest.mark.parametrize(
    "bad",
    [
        *("https://a.example", [""], ["a.example"], ["https://a.example/"], ["https://a.example/x"], ["null"]),
        *(["https://A.example"], ["//a.example"], ["https://*.example/"], ["https://["]),
    ],
)
def test_the_setting_refuses_and_says_what_it_expects(bad: list[str]) -> None:
    with pytest.raises(ValueError, match="allowed_origins"):
        check_allowed_origins(bad)
