"""A URL is read in one way, and what could be read in two is refused."""

import pytest

from polyvec.media.policy import MediaPolicy
from polyvec.media.urls import (
    RefusedError,
    check_name,
    join_url,
    normalize_host,
    parse_url,
)


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        ("http://example.com", "http://example.com:80", "/"),
        ("HTTPS://EXAMPLE.com.:443/a?b#c", "https://example.com:443", "/a?b"),
        ("http://a:/x", "http://a:80", "/x"),
        ("http://my_minio:9000/b/k", "http://my_minio:9000", "/b/k"),
        ("http://[2606:4700:0:0::1]:8080/", "http://[2606:4700::1]:8080", "/"),
        ("http://bücher.de/ä?q=ü", "http://xn--bcher-kva.de:80", "/%C3%A4?q=%C3%BC"),
        ("http://a.b/%41%2f?sig=a%2Bb+c", "http://a.b:80", "/%41%2f?sig=a%2Bb+c"),
        ("http://a/../../x", "http://a:80", "/x"),
        ("http://a?q", "http://a:80", "/?q"),
    ],
)
def test_a_url_has_one_spelling(url, origin, target):
    location = parse_url(url)
    assert (location.origin, location.target) == (origin, target)


@pytest.mark.parametrize(
    "host",
    """127.0.0.1 127.0.0.1. 2130706433 0x7f000001 0X7F000001 127.1 127.0.1 0177.0.0.1 0x7f.1
    017700000001 ①②⑦.⓪.⓪.① \uff11\uff12\uff17.\uff11 127。0。0。1""".split(),
)
def test_every_spelling_of_an_ipv4_address_becomes_the_address(host):
    location = parse_url(f"http://{host}/")
    assert location.host == str(location.address) == "127.0.0.1"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com/x",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "data:image/png;base64,AAAA",
        "http:/example.com",
        "http:example.com",
        "http:///x",
        "http://",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://good.com@169.254.169.254/",
        "http://good.com\\@169.254.169.254/",
        "http://169.254.169.254\\.good.com/",
        "http:\\\\example.com",
        "http://exa mple.com/",
        "http://example.com/a b",
        "http://example.com/\r\nHost: x",
        "http://example.com\t/",
        "http://example.com/\x00",
        "http://example.com/\ud800",
        "http://exa%6dple.com/",
        "http://example.com%2f@x/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:8o/",
        "http://example.com:+80/",
        "http://example.com:\uff18\uff10/",
        "http://example..com/",
        "http://.example.com/",
        "http://-a.com/",
        "http://exa$mple.com/",
        "http://℀.com/",
        "http://\uff20evil.com/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[v1.x]/",
        "http://[127.0.0.1]/",
        "http://1.2.3.4.5/",
        "http://256.0.0.1/",
        "http://example.0x/",
        "http://09.0.0.1/",
        f"http://{'a' * 64}.com/",
        f"http://{'a.' * 140}com/",
        "http://example.com/" + "a" * 9000,
    ],
)
def test_what_parsers_could_read_differently_is_refused(url):
    with pytest.raises(RefusedError):
        parse_url(url)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("/c", "http://h:80/c"),
        ("d?e", "http://h:80/a/d?e"),
        ("//other/x", "http://other:80/x"),
        ("https://other:444/", "https://other:444/"),
        ("é", "http://h:80/a/%C3%A9"),
        ("", "http://h:80/a/b"),
    ],
)
def test_a_redirect_is_read_from_where_it_was_found(text, url):
    location = join_url(parse_url("http://h/a/b"), text)
    assert location.origin + location.target == url


@pytest.mark.parametrize(
    "text",
    ["file:///etc/passwd", "gopher://x/", "//u@h/", "\\\\evil", "javascript:x", "http://[::1", " "],
)
def test_a_redirect_that_is_no_plain_url_is_refused(text):
    with pytest.raises(RefusedError):
        join_url(parse_url("http://h/a/b"), text)


def test_a_redirect_does_not_lead_from_https_to_http():
    base = parse_url("https://h/")
    assert join_url(base, "https://other/").host == "other"
    with pytest.raises(RefusedError, match="from https to http"):
        join_url(base, "http://h/")


def is_named(url: str, **policy: object) -> bool:
    try:
        check_name(parse_url(url), MediaPolicy(**policy))  # type: ignore[arg-type]
    except RefusedError:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "domains", "allowed"),
    [
        ("http://a.com/", (), True),
        ("http://a.com/", ("a.com",), True),
        ("http://A.COM./", ("a.com",), True),
        ("http://a.com/", ("A.com",), True),
        ("http://b.a.com/", ("a.com",), False),
        ("http://b.a.com/", ("*.a.com",), True),
        ("http://c.b.a.com/", ("*.a.com",), True),
        ("http://a.com/", ("*.a.com",), False),
        ("http://ba.com/", ("*.a.com",), False),
        ("http://a.com.evil.com/", ("a.com", "*.a.com"), False),
        ("http://evil.com/?a.com", ("a.com",), False),
        ("http://xn--bcher-kva.de/", ("bücher.de",), True),
        ("http://127.1/", ("127.0.0.1",), True),
        ("http://[::0001]/", ("[::1]",), True),
        ("http://minio:9000/", ("minio",), False),
        ("http://minio:9000/", ("minio:9000",), True),
        ("http://minio/", ("minio:9000",), True),
        ("http://minio:9001/", ("minio:9000",), False),
        ("http://other:9000/", ("minio:9000", "other"), False),
        ("https://a.com:443/", ("a.com",), True),
        ("http://a.com:443/", ("a.com",), True),
        ("http://a.com:22/", (), False),
    ],
)
def test_hosts_and_ports_that_may_be_named(url, domains, allowed):
    assert is_named(url, allowed_domains=domains, urls="public") is allowed


def test_ports_are_the_policys():
    assert is_named("http://a.com:8080/", allowed_ports=(8080,))
    assert not is_named("http://a.com/", allowed_ports=(8080,))


def test_a_host_is_normalised_once_and_for_all():
    for host in ("EXAMPLE.com.", "①②⑦.⓪.⓪.①", "[0::1]", "Bücher.de"):
        once = normalize_host(host)
        again = normalize_host(f"[{once}]" if ":" in once else once)
        assert again == once
