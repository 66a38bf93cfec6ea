from __future__ import annotations

import pytest

from cometware.core.origin import Verdict, advice, check_allowed_origins, judge

SHOP = "https://shop.example"
YES = Verdict(True)
DOUBTFUL = Verdict(True, doubtful=True)


def verdict(
    origin: str | None = None,
    host: str = "shop.example",
    site: str | None = None,
    referer: str | None = None,
    cookie: bool = True,
    allowed: tuple[str, ...] = (),
    script: bool = False,
    listens: bool = True,
    proves: bool = False,
) -> Verdict:
    return judge(
        origin=origin,
        host=host,
        fetch_site=site,
        referer=referer,
        has_credentials=cookie,
        allowed_origins=allowed,
        script=script,
        listens=listens,
        proves=proves,
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
        (None, True, DOUBTFUL),  # curl with a cookie jar, or an old browser that a foreign page makes send a form
        (None, False, YES),
        ("https://evil.example/", False, YES),  # nothing of the visitor's to misuse
        ("https://evil.example/", True, Verdict(False, got="https://evil.example")),
        ("https://shop.example/a?b", True, YES),
        ("nonsense", True, DOUBTFUL),
        ("//evil.example", True, DOUBTFUL),
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


def test_who_shows_what_no_form_sends_is_not_doubted() -> None:
    assert verdict(None, proves=True) == YES
    assert verdict(None, referer="https://evil.example/", proves=True) == Verdict(False, got="https://evil.example")


def test_what_a_form_of_an_unknown_page_says_is_doubted_and_what_a_script_of_it_hears_is_nobodys() -> None:
    assert verdict(None, script=True, listens=False) == DOUBTFUL
    assert verdict(None, script=True, listens=False, cookie=False) == YES
    assert verdict(None, script=True) == Verdict(True, anonymous=True)


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


@pytest.mark.parametrize("origin", ["null", "file://"])
@pytest.mark.parametrize("listed", [True, False])
def test_an_origin_that_any_page_can_have_is_served_without_cookies_if_it_is_listed(origin: str, listed: bool) -> None:
    assert verdict(origin, allowed=(origin if listed else "*",)) == Verdict(True, origin, anonymous=True)
    assert verdict(origin, allowed=(SHOP,)) == Verdict(False, got=origin)
    assert verdict(origin, "null", site="same-origin") == YES


WILD = check_allowed_origins(["https://*.example.com", "http://*.dev.example:3000"])


@pytest.mark.parametrize("origin", ["https://x.example.com", "https://x-1.example.com:443", "http://a.dev.example:3000"])
def test_a_wildcard_stands_for_one_label(origin: str) -> None:
    assert verdict(origin, allowed=tuple(WILD)) == Verdict(True, origin)


@pytest.mark.parametrize(
    "origin",
    [
        *("https://evilexample.com", "https://x.example.com.evil", "https://a.b.example.com", "https://example.com"),
        *("http://x.example.com", "https://x.example.com:8443", "https://.example.com", "https://x.example.comevil"),
        *(
            "https://evil.com#.example.com",
            "https://evil.com/.example.com",
            "https://u@x.example.com",
            "https://x..example.com",
        ),
        *("http://a.dev.example", "http://a.dev.example:30000", "https://x.example.com.", "https://x.example.com\n"),
    ],
)
def test_a_wildcard_stands_for_nothing_else(origin: str) -> None:
    assert not verdict(origin, allowed=tuple(WILD)).allowed


def test_a_default_port_may_be_written_or_not() -> None:
    assert check_allowed_origins(["https://a.example:443", "http://a.example:80"]) == {"https://a.example", "http://a.example"}
    listed = tuple(check_allowed_origins(["https://a.example:443", "http://b.example:443"]))
    assert verdict("https://a.example", allowed=listed).allowed
    assert verdict("https://a.example:443", allowed=listed).allowed
    assert not verdict("http://a.example", allowed=listed).allowed
    assert not verdict("http://b.example", allowed=listed).allowed


@pytest.mark.parametrize(
    "good",
    [
        *([], ["*"], ["https://a.example", "http://b.example:8000"], {"http://[::1]:8000"}, ["https://*.a.example"]),
        *(["null"], ["file://"], ["capacitor://localhost"], ["app://."], ["chrome-extension://abcdef"], ["http://127.0.0.1"]),
    ],
)
def test_the_setting_takes(good: list[str]) -> None:
    assert check_allowed_origins(good) == frozenset(good)


@pytest.mark.parametrize(
    "bad",
    [
        *("https://a.example", [""], ["a.example"], ["https://a.example/"], ["https://a.example/x"]),
        *(["https://A.example"], ["//a.example"], ["https://*.example/"], ["https://["], ["https://"], ["*.a.example"]),
        *(["https://*"], ["https://*.*.a.example"], ["https://a*.example"], ["https://b.*.example"], ["https://a.example:*"]),
        *(["https://a.example:0"], ["https://a.example:99999"], ["https://a.example:0443"], ["https://a.example:"]),
        *(["wss://a.example"], ["file:///"], ["about:blank"], ["https://u@a.example"], ["https://a..example"], ["NULL"]),
        *(["https://b\xfccher.example"], ["http://127.1"], ["http://*.0.0.1"], ["http://[0:0::1]"], ["https://a.example\n"]),
        [f"https://{'a' * 600}.example"],
    ],
)
def test_the_setting_refuses_and_says_what_it_expects(bad: list[str]) -> None:
    with pytest.raises(ValueError, match="allowed_origins"):
        check_allowed_origins(bad)


@pytest.mark.parametrize("got", ["https://evil.example", "null", "file://", "https://a.example:443", "capacitor://localhost"])
def test_the_advice_of_a_refusal_is_a_setting_that_works(got: str) -> None:
    assert advice(got) == f'allowed_origins=["{got}"]'
    assert verdict(got, allowed=tuple(check_allowed_origins([got]))).allowed


@pytest.mark.parametrize(
    "got", ["https://b\xfc.example", "https://A.example", f"https://{'a' * 600}.example", "x", "", 'x", "y', "https://a\nb"]
)
def test_what_no_setting_lets_in_has_no_advice_that_does_not_work(got: str) -> None:
    if advice(got):
        assert (advice(got), verdict(got, allowed=("*",)).allowed) == ('allowed_origins=["*"]', True)
    else:
        assert not verdict(got, allowed=("*",)).allowed


def test_a_hidden_origin_is_let_in_by_the_star() -> None:
    assert advice("Sec-Fetch-Site: cross-site") == 'allowed_origins=["*"]'
