"""Fetching from URLs: what comes back, what is refused, and that refusals tell nothing."""

import contextlib
import gzip
import logging
import os
import socket
import struct
import threading
import zlib

import httpcore2
import pytest

from polyvec.errors import MediaError, OverloadedError, UnsupportedInputError
from polyvec.media import fetch as fetch_module
from polyvec.media.encoded import Wanted
from polyvec.media.fetch import fetch
from polyvec.media.policy import MediaPolicy
from tests.media.tls import CERTIFICATE, secured
from tests.media.web import redirect, response, site

PICTURE = bytes(range(256)) * 4


def policy_for(*sites, **changes):
    """What lets a test reach servers on this machine, and nothing else."""
    fields = {
        "allowed_networks": ("127.0.0.1",),
        "allowed_ports": tuple(one.port for one in sites) or (80, 443),
        "connect_timeout_s": 5.0,
        "first_byte_timeout_s": 5.0,
        "fetch_timeout_s": 10.0,
    }
    return MediaPolicy(**(fields | changes))


def got(url, policy, kind="image"):
    return fetch(url, Wanted(kind, policy, "input[3]"))


def refusal(url, policy, kind="image", error=MediaError):
    with pytest.raises(error) as caught:
        got(url, policy, kind)
    assert caught.value.message.startswith("input[3]: ")
    assert caught.value.param == "input[3]"
    assert caught.value.__cause__ is None
    return caught.value


def assert_unavailable(url, policy):
    error = refusal(url, policy)
    assert error.code == "media_unavailable"
    assert error.message == (
        "input[3]: the URL could not be fetched: it must be one that this server is allowed to "
        "fetch, and answer with a picture in time"
    )


# What comes back


def test_a_picture_comes_back_as_its_bytes_whatever_its_type_is_called():
    with site(response(PICTURE, "Content-Type: text/html")) as web:
        assert got(web.url("/cat.png?size=1#top"), policy_for(web)) == PICTURE
    (request,) = web.requests
    assert request.startswith("GET /cat.png?size=1 HTTP/1.1\r\n")


def test_a_request_carries_no_credentials_and_asks_for_plain_bytes(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login user password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with site(response(PICTURE, "Set-Cookie: a=b")) as web:
        got(web.url(), policy_for(web))
        got(web.url(), policy_for(web))
    for request in web.requests:
        names = {line.split(":")[0].lower() for line in request.split("\r\n")[1:] if line}
        assert names == {"host", "user-agent", "accept", "accept-encoding", "connection"}
        assert f"Host: 127.0.0.1:{web.port}\r\n" in request
        assert "Accept-Encoding: identity\r\n" in request


def test_a_body_may_come_in_chunks_or_until_the_connection_ends():
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"100\r\n" + PICTURE[:256] + b"\r\n300\r\n" + PICTURE[256:] + b"\r\n0\r\n\r\n"
    for answer in (chunked, b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE):
        with site(answer) as web:
            assert got(web.url(), policy_for(web)) == PICTURE


def test_a_big_video_comes_back_as_a_file_without_a_name_and_a_small_one_as_bytes():
    big = os.urandom(3_000_001)
    with site(response(big)) as web:
        with got(web.url(), policy_for(web), "video") as file:
            assert file.read() == big
            assert file.seek(0) == 0
            assert os.fstat(file.fileno()).st_nlink == 0
        assert got(web.url(), policy_for(web)) == big
    with site(response(PICTURE)) as web:
        assert got(web.url(), policy_for(web), "video") == PICTURE


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_that_comes_compressed_unasked_is_unpacked(coding, pack):
    body = PICTURE * 500
    with site(response(pack(body), f"Content-Encoding: {coding}")) as web:
        assert got(web.url(), policy_for(web)) == body


def test_ipv6_hosts_are_reached():
    with site(response(PICTURE)) as four, contextlib.ExitStack() as stack:
        try:
            listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError:  # no IPv6 here: then nothing must be reached by it either
            assert_unavailable("http://[::1]/", policy_for(four, allowed_networks=("::1",)))
            return
        stack.enter_context(listener)

        def answer():
            connection, _ = listener.accept()
            with connection:
                assert b"Host: [::1]:" in connection.recv(65536)
                connection.sendall(response(PICTURE))

        thread = threading.Thread(target=answer)
        thread.start()
        port = listener.getsockname()[1]
        policy = policy_for(allowed_networks=("::1",), allowed_ports=(port,))
        assert got(f"http://[::1]:{port}/", policy) == PICTURE
        thread.join()


# Redirects


def test_redirects_are_followed_up_to_the_limit():
    def script(connection, request):
        left = int(request.split("/")[1].split()[0])
        connection.sendall(redirect(f"/{left - 1}") if left else response(PICTURE))

    with site(script) as web:
        policy = policy_for(web)
        assert got(web.url("/3"), policy) == PICTURE
        assert len(web.requests) == 4
        assert_unavailable(web.url("/4"), policy)
        assert len(web.requests) == 8
        assert_unavailable(web.url("/1"), policy_for(web, max_redirects=0))


@pytest.mark.parametrize("status", ["301 Moved", "303 See Other", "307 Again", "308 For Good"])
def test_every_kind_of_redirect_is_followed_with_get(status):
    with site(response(PICTURE)) as goal, site(redirect(goal.url("/x"), status)) as web:
        assert got(web.url(), policy_for(web, goal)) == PICTURE
    assert goal.requests[0].startswith("GET /x ")


def test_each_redirect_is_checked_like_the_first_url():
    with site(response(PICTURE), host="127.0.0.2") as inner:
        places = [
            "file:///etc/passwd",
            "gopher://127.0.0.1/",
            "http://169.254.169.254/latest/meta-data/",
            "//user@127.0.0.1/",
            "http://127.0.0.1:22/",
            "\\\\127.0.0.2/",
            inner.url(),
            inner.url(host="127.0.0.2."),
            inner.url(host="0x7f000002"),
        ]
        for place in places:
            with site(redirect(place)) as web:
                assert_unavailable(web.url(), policy_for(web, inner))
                assert len(web.requests) == 1
    assert inner.requests == []


def test_a_redirect_without_a_place_to_go_ends():
    with site(response(b"", status="302 Found")) as web:
        assert_unavailable(web.url(), policy_for(web))


# Addresses


def test_the_address_is_checked_and_not_the_name():
    with site(response(PICTURE)) as web:
        for host in ("localhost", "127.0.0.1", "127.1", "2130706433", "0x7f000001", "①②⑦.⓪.⓪.①"):
            url = web.url(host=host)
            public = {"urls": "public", "allowed_networks": ()}
            assert_unavailable(url, policy_for(web, **public))
            named = {"allowed_domains": (host,), "allowed_networks": ()}
            assert_unavailable(url, policy_for(web, **named))
            assert web.requests == []
        assert got(web.url(host="127.1"), policy_for(web)) == PICTURE


def fake_names(monkeypatch, *answers):
    """A resolver that gives each list of addresses once, and the last one for ever."""
    asked = []
    left = list(answers)
    real = socket.getaddrinfo

    def resolve(host, port, *args, **kwargs):
        if host != "rebinding.example":
            return real(host, port, *args, **kwargs)
        asked.append(host)
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(monkeypatch):
    with (
        site(response(b"outside")) as outside,
        site(response(b"inside"), host="127.0.0.2", port=outside.port) as inside,
    ):
        asked = fake_names(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
        url = outside.url(host="rebinding.example")
        assert got(url, policy_for(outside)) == b"outside"
        assert len(asked) == 1
        assert_unavailable(url, policy_for(outside))
    assert inside.requests == []
    assert "Host: rebinding.example:" in outside.requests[0]


def test_one_forbidden_address_spoils_the_whole_name(monkeypatch):
    with (
        site(response(b"outside")) as outside,
        site(response(b"inside"), host="127.0.0.2", port=outside.port) as inside,
    ):
        for addresses in (["127.0.0.1", "127.0.0.2"], ["127.0.0.2", "127.0.0.1"]):
            fake_names(monkeypatch, addresses)
            assert_unavailable(outside.url(host="rebinding.example"), policy_for(outside))
    assert outside.requests == inside.requests == []


def test_the_next_address_is_tried_when_one_does_not_answer(monkeypatch):
    with site(response(PICTURE)) as web:
        fake_names(monkeypatch, ["127.0.0.3", "127.0.0.1"])
        policy = policy_for(web, allowed_networks=("127.0.0.0/8",))
        assert got(web.url(host="rebinding.example"), policy) == PICTURE


def test_a_look_up_that_hangs_is_left_behind(monkeypatch):
    over = threading.Event()

    def hang(*_, **__):
        over.wait(20)
        raise OSError

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        assert_unavailable("http://hanging.example/", policy_for(connect_timeout_s=0.05))
    finally:
        over.set()


# Limits


def script_of(send):
    """A script that sends until the client has gone."""

    def script(connection, request):
        with contextlib.suppress(OSError):
            send(connection)

    return script


@pytest.mark.parametrize("size", [1024, 1025])
@pytest.mark.parametrize("kind", ["image", "video", "manifest"])
def test_the_byte_limit_is_exact_and_has_its_own_code(kind, size):
    limits = dict.fromkeys(("limit_bytes", "limit_video_bytes", "limit_manifest_bytes"), 1024)
    body = b"x" * size
    answers = [response(body), b"HTTP/1.0 200 OK\r\n\r\n" + body]
    for answer in answers:
        with site(answer) as web:
            policy = policy_for(web, **limits)
            if size <= 1024:
                assert got(web.url(), policy, kind) == body
            else:
                error = refusal(web.url(), policy, kind)
                assert error.code == f"{kind}_too_large"
                assert "1024 bytes" in error.message


def test_an_endless_body_is_cut_off_at_the_limit():
    sent = []

    def send(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent.append(65536)

    with site(script_of(send)) as web:
        policy = policy_for(web, limit_video_bytes=3_000_000)
        assert refusal(web.url(), policy, "video").code == "video_too_large"
    assert sum(sent) < 30_000_000


def test_a_declared_length_over_the_limit_is_refused_before_the_body():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"
    with site(script_of(lambda connection: connection.sendall(answer))) as web:
        assert refusal(web.url(), policy_for(web)).code == "image_too_large"


def test_a_compressed_bomb_is_cut_off_at_the_limit():
    bomb = gzip.compress(bytes(50_000_000), 9)
    with site(response(bomb, "Content-Encoding: gzip")) as web:
        policy = policy_for(web, limit_bytes=1_000_000)
        assert refusal(web.url(), policy).code == "image_too_large"


def test_a_compressed_bomb_grows_in_small_steps():
    bomb = gzip.compress(bytes(5_000_000), 9)
    answer = httpcore2.Response(200, headers={"Content-Encoding": "GZIP"}, content=iter([bomb]))
    sizes = [len(chunk) for chunk in fetch_module._decompressed(answer)]
    assert sum(sizes) == 5_000_000
    assert max(sizes) <= 65_536


@pytest.mark.parametrize(
    "answer",
    [
        response(gzip.compress(PICTURE)[:-9], "Content-Encoding: gzip"),
        response(gzip.compress(PICTURE) + b"more", "Content-Encoding: gzip"),
        response(PICTURE, "Content-Encoding: gzip"),
        response(PICTURE, "Content-Encoding: br"),
        response(PICTURE, "Content-Encoding: gzip, gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + PICTURE,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nabcdef",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nabc",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
)
def test_answers_that_are_broken_are_unavailable(answer):
    with site(answer) as web:
        assert_unavailable(web.url(), policy_for(web))


def test_a_connection_that_is_reset_is_unavailable():
    def send(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with site(script_of(send)) as web:
        assert_unavailable(web.url(), policy_for(web))


@pytest.mark.parametrize(
    "start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"]
)
def test_bytes_that_drip_end_at_the_deadline(start):
    def script(connection, request):
        with contextlib.suppress(OSError):
            connection.sendall(start or b"HTTP/1.1 100 Continue\r\n\r\n")
            while not web.closing.wait(0.02):
                connection.sendall(b"x" if start else b"HTTP/1.1 100 Continue\r\n\r\n")

    with site(script) as web:
        assert_unavailable(web.url(), policy_for(web, fetch_timeout_s=0.3))


def test_silence_ends_with_the_patience_for_the_first_byte():
    def script(connection, request):
        web.closing.wait()

    with site(script) as web:
        policy = policy_for(web, first_byte_timeout_s=0.1, fetch_timeout_s=1000.0)
        assert_unavailable(web.url(), policy)


def test_patience_for_the_first_byte_does_not_cut_a_pause_later_on():
    def script(connection, request):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        web.closing.wait(0.4)
        connection.sendall(b"def")

    with site(script) as web:
        assert got(web.url(), policy_for(web, first_byte_timeout_s=0.2)) == b"abcdef"


def test_a_full_disk_is_the_servers_fault_and_not_the_urls(monkeypatch):
    def full():
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch_module, "TemporaryFile", full)
    with site(response(bytes(2_000_000))) as web, pytest.raises(OverloadedError):
        got(web.url(), policy_for(web), "video")


# Certificates


@pytest.fixture
def tls_site(tmp_path):
    """A server whose certificate nobody has signed but itself; answers once for each `accept`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        seen = []

        def serve():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    # A client that refuses the certificate ends the handshake.
                    with contextlib.suppress(OSError), secured(connection, tmp_path) as channel:
                        seen.append(channel.recv(65536))
                        channel.sendall(response(PICTURE))

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1], seen
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def trusting(tmp_path, monkeypatch):
    """Makes that certificate an authority, as an operator would."""
    file = tmp_path / "authority.pem"
    file.write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    fetch_module._verifying_context.cache_clear()
    yield
    fetch_module._verifying_context.cache_clear()


def test_a_certificate_that_nobody_signed_is_refused(tls_site):
    port, seen = tls_site
    assert_unavailable(f"https://localhost:{port}/", policy_for(allowed_ports=(port,)))
    assert seen == []


def test_a_certificate_of_a_trusted_authority_is_accepted_for_its_names_only(
    tls_site, trusting, monkeypatch
):
    port, seen = tls_site
    policy = policy_for(allowed_ports=(port,))
    assert got(f"https://localhost:{port}/", policy) == PICTURE
    assert got(f"https://127.0.0.1:{port}/", policy) == PICTURE
    fake_names(monkeypatch, ["127.0.0.1"])
    assert_unavailable(f"https://rebinding.example:{port}/", policy)
    assert len(seen) == 2


def test_http_may_lead_to_https(tls_site, trusting):
    port, _ = tls_site
    with site(redirect(f"https://localhost:{port}/")) as web:
        policy = policy_for(web, allowed_ports=(web.port, port))
        assert got(web.url(), policy) == PICTURE


def test_a_host_that_speaks_no_tls_is_unavailable_by_https():
    with site(response(PICTURE)) as web:
        policy = policy_for(web, connect_timeout_s=0.3)
        assert_unavailable(web.url().replace("http:", "https:"), policy)
    assert web.requests == []


# What refusals say


def test_no_url_is_fetched_unless_the_operator_says_so():
    error = refusal("http://example.com/", MediaPolicy(), error=UnsupportedInputError)
    assert "--allow-media-urls" in error.message
    assert "example.com" not in error.message


def test_networks_alone_open_no_public_address():
    assert_unavailable("http://8.8.8.8/", policy_for())


@pytest.mark.parametrize("url", ["ftp://x/", "http://u@x/", "http://a\\b/", "", "http://[::1/"])
def test_a_text_that_is_no_url_is_said_to_be_none(url):
    error = refusal(url, policy_for())
    assert error.code == "invalid_url"


def test_blocked_refused_missing_and_slow_read_the_same_and_differ_in_the_log(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        free_port = unused.getsockname()[1]

    def silent(connection, request):
        slow.closing.wait(20)

    with (
        site(response(b"", status="404 Not Found")) as missing,
        site(silent) as slow,
        site(response(PICTURE), host="127.0.0.2") as blocked,
    ):
        policy = policy_for(missing, slow, blocked, first_byte_timeout_s=0.1)
        policy = MediaPolicy(
            **{
                **{name: getattr(policy, name) for name in policy.__slots__},
                "allowed_ports": (*policy.allowed_ports, free_port),
            }
        )
        for url in (
            missing.url(),
            slow.url(),
            blocked.url(),
            f"http://127.0.0.1:{free_port}/",
            "http://127.0.0.1:22/",
            "http://no-such-name.invalid:80/",
            "http://169.254.169.254/",
        ):
            assert_unavailable(url, policy)
    reasons = {record.getMessage().partition("failed: ")[2] for record in caplog.records}
    assert len(reasons) >= 5


def test_the_log_has_the_reason_but_no_secrets_and_no_line_breaks(caplog):
    caplog.set_level(logging.INFO)
    with site(b"HTTP/1.1 200 O\x1b[31mK\r\nContent-Length: 9\r\n\r\nabc") as web:
        assert_unavailable(web.url("/private?signature=secret"), policy_for(web))
    (record,) = caplog.records
    message = record.getMessage()
    assert f"http://127.0.0.1:{web.port}" in message
    assert "secret" not in message
    assert "private" not in message
    assert message.isprintable()


# Proxies


def test_proxies_of_the_environment_are_used_only_when_the_policy_says_so(monkeypatch):
    with site(response(b"by proxy")) as proxy, site(response(b"direct")) as web:
        monkeypatch.setenv("http_proxy", f"http://user:p%40ss@127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert got(web.url(), policy_for(web)) == b"direct"
        assert proxy.requests == []
        through = policy_for(web, trust_env_proxies=True)
        assert got(web.url("/x"), through) == b"by proxy"
        assert proxy.requests[0].startswith(f"GET {web.url('/x')} HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic dXNlcjpwQHNz" in proxy.requests[0]
        monkeypatch.setenv("no_proxy", ",127.0.0.1")
        assert got(web.url(), through) == b"direct"


def test_behind_a_proxy_names_and_known_addresses_are_checked_still(monkeypatch):
    with site(response(b"by proxy")) as proxy:
        monkeypatch.setenv("http_proxy", f"127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        policy = policy_for(trust_env_proxies=True, urls="public")
        for url in ("http://169.254.169.254/", "http://10.0.0.1/", "http://127.0.0.2/"):
            assert_unavailable(url, policy)
        fake_names(monkeypatch, ["10.0.0.1"])
        assert_unavailable("http://rebinding.example/", policy)
        assert proxy.requests == []
        fake_names(monkeypatch, [])
        assert got("http://rebinding.example/", policy) == b"by proxy"
        named = policy_for(trust_env_proxies=True, allowed_domains=("other.example",))
        assert_unavailable("http://rebinding.example/", named)


def test_a_proxy_that_speaks_something_else_is_unavailable(monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    assert_unavailable("http://127.0.0.1/", policy_for(trust_env_proxies=True))


def test_https_goes_through_a_tunnel_of_the_proxy(monkeypatch):
    with site(response(b"", status="403 Forbidden")) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert_unavailable("https://127.0.0.1/", policy_for(trust_env_proxies=True))
    assert proxy.requests[0].startswith("CONNECT 127.0.0.1:443 HTTP/1.1\r\n")
