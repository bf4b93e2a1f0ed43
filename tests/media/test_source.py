import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvec.errors import MediaError, UnsupportedInputError
from polyvec.media.policy import MediaPolicy
from polyvec.media.source import open_source, read_source
from polyvec.types import Base64, Bytes, DataUri, File, Url
from tests.media.web import response, site

POLICY = MediaPolicy()
FILE = bytes(range(256)) + b"\xfb\xef\xbe\xff"  # encodes to both + and /
STANDARD = base64.b64encode(FILE).decode()
URL_SAFE = base64.urlsafe_b64encode(FILE).decode()


def read(source, policy=POLICY):
    return read_source(source, policy, param="input[3]")


def refusal(source, policy=POLICY, error=MediaError):
    with pytest.raises(error) as caught:
        read(source, policy)
    assert caught.value.param == "input[3]"
    assert caught.value.message.startswith("input[3]: ")
    return caught.value


def test_the_two_alphabets_differ_on_the_test_file():
    assert "+" in STANDARD
    assert "/" in STANDARD
    assert STANDARD != URL_SAFE


@pytest.mark.parametrize(
    "text",
    [
        STANDARD,
        URL_SAFE,
        STANDARD.rstrip("="),
        URL_SAFE.rstrip("="),
        "\n".join(STANDARD[i : i + 76] for i in range(0, len(STANDARD), 76)) + "\r\n",
        f"  {STANDARD}\t",
        f"data:image/png;base64,{STANDARD}",
        f" DATA:image/png;base64,{STANDARD}",
    ],
)
def test_base64_in_every_tolerated_spelling_gives_the_same_bytes(text):
    assert read(Base64(text)) == FILE


@pytest.mark.parametrize(
    "uri",
    [
        f"data:image/png;base64,{STANDARD}",
        f"Data:IMAGE/PNG;charset=utf-8;BASE64,{URL_SAFE}",
        f"data:application/octet-stream;base64,{STANDARD.rstrip('=')}",
        f"data:;base64,{STANDARD}",
        f"data:image/png;base64,{STANDARD.replace('+', '%2B').replace('=', '%3D')}",
        f"data:image/png;base64,\n{STANDARD}\n",
    ],
)
def test_data_uris_in_every_tolerated_spelling_give_the_same_bytes(uri):
    assert read(DataUri(uri)) == FILE


@given(st.binary(min_size=1, max_size=200), st.booleans(), st.booleans())
def test_any_bytes_survive_the_round_trip(data, url_safe, padded):
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(data).decode()
    assert read(Base64(text if padded else text.rstrip("="))) == data


@pytest.mark.parametrize(
    "text",
    [
        "a",  # a lone digit holds no byte
        "aaaaa",
        "aaa==",  # padding that does not fit
        "aaaa====",
        "aa=a",
        "=aaa",
        "aa*a",
        "aaé=",
        "https://example.com/cat.png",
        f"anything,{STANDARD}",
    ],
)
def test_what_is_not_base64_is_refused_as_such(text):
    assert refusal(Base64(text)).code == "invalid_base64"


def test_a_comma_in_base64_is_explained():
    assert "comma" in refusal(Base64(f"anything,{STANDARD}")).message


@pytest.mark.parametrize(
    "uri", [f"data:image/png,{STANDARD}", "data:image/png;base64", "image/png;base64,aaaa", "data"]
)
def test_a_data_uri_without_base64_is_refused(uri):
    assert refusal(DataUri(uri)).code == "invalid_base64"


@pytest.mark.parametrize("kind", ["text/html", "video/jpeg", "application/pdf"])
def test_a_data_uri_of_another_media_type_is_refused(kind):
    error = refusal(DataUri(f"data:{kind};base64,{STANDARD}"))
    assert error.code == "unsupported_image_format"


def test_a_url_is_refused_with_the_alternatives():
    error = refusal(Url("http://example.com/cat.png"), error=UnsupportedInputError)
    assert "does not fetch URLs" in error.message
    assert "data:image/png;base64" in error.message
    assert "example.com" not in error.message


@pytest.mark.parametrize(
    "source",
    [Base64(""), Base64(" \n"), Base64("=="[:0]), Bytes(b""), DataUri("data:image/png;base64,")],
)
def test_an_empty_picture_is_refused(source):
    assert refusal(source).code == "invalid_image"


@pytest.mark.parametrize("size", [99, 100, 101, 102])
def test_the_byte_limit_counts_decoded_bytes_exactly(size):
    policy = MediaPolicy(limit_bytes=100)
    data = b"x" * size
    text = base64.b64encode(data).decode()
    for source in (
        Bytes(data),
        Base64(text),
        Base64(text + "\n" * 50),
        DataUri(f"data:image/png;base64,{text}"),
    ):
        if size <= 100:
            assert read(source, policy) == data
        else:
            error = refusal(source, policy)
            assert error.code == "image_too_large"
            assert "100 bytes" in error.message


def test_the_byte_limit_is_checked_before_decoding():
    policy = MediaPolicy(limit_bytes=10)
    assert refusal(Base64("*" * 1000), policy).code == "image_too_large"


KINDS = ("image", "video", "manifest")


def opened(source, kind, policy=POLICY):
    return open_source(source, policy, kind=kind, param="input[3]")


def refusal_of(source, kind, policy=POLICY, error=MediaError):
    with pytest.raises(error) as caught:
        opened(source, kind, policy)
    assert caught.value.param == "input[3]"
    assert caught.value.message.startswith("input[3]: ")
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_from_bytes_and_base64(kind):
    octets = f"data:application/octet-stream;base64,{STANDARD}"
    for source in (Bytes(FILE), Base64(STANDARD), DataUri(octets), Base64(octets)):
        assert opened(source, kind) == FILE


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("image", "image/avif"),
        ("video", "video/mp4"),
        ("video", "video/x-matroska"),
        ("video", "image/gif"),
        ("manifest", "application/json"),
        ("manifest", "text/plain"),
    ],
)
def test_media_types_that_a_data_uri_may_have(kind, media_type):
    assert opened(DataUri(f"data:{media_type};base64,{STANDARD}"), kind) == FILE


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [
        ("image", "video/mp4"),
        ("image", "application/json"),
        ("video", "application/vnd.apple.mpegurl"),
        ("video", "audio/mp4"),
        ("manifest", "image/png"),
    ],
)
def test_media_types_that_a_data_uri_may_not_have(kind, media_type):
    error = refusal_of(DataUri(f"data:{media_type};base64,{STANDARD}"), kind)
    assert error.code == f"unsupported_{kind}_format"
    assert "application/octet-stream" in error.message


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_own_limit_and_codes(kind, tmp_path):
    limits = {"limit_bytes": 10, "limit_video_bytes": 20, "limit_manifest_bytes": 30}
    policy = MediaPolicy(**limits, roots=(str(tmp_path),))
    limit = {"image": 10, "video": 20, "manifest": 30}[kind]
    for size in (limit, limit + 1):
        data = b"x" * size
        (tmp_path / "file").write_bytes(data)
        for source in (Bytes(data), Base64(base64.b64encode(data).decode()), File("file")):
            if size > limit:
                error = refusal_of(source, kind, policy)
                assert error.code == f"{kind}_too_large"
                assert f"{limit} bytes" in error.message
            elif isinstance(source, Bytes):
                assert opened(source, kind, policy) == data
    (tmp_path / "file").write_bytes(b"")
    for source in (Bytes(b""), Base64(""), File("file")):
        assert refusal_of(source, kind, policy).code == f"invalid_{kind}"


def test_a_file_of_a_video_stays_a_file_and_others_become_bytes(tmp_path):
    policy = MediaPolicy(roots=(str(tmp_path),))
    (tmp_path / "file").write_bytes(FILE)
    assert opened(File("file"), "image", policy) == FILE
    assert opened(File("file"), "manifest", policy) == FILE
    with opened(File("file"), "video", policy) as video:
        assert video.read() == FILE
    with pytest.raises(UnsupportedInputError, match="--media-root"):
        opened(File("file"), "video")


@pytest.mark.parametrize("kind", KINDS)
def test_a_url_is_fetched_when_the_policy_lets_it(kind):
    with site(response(FILE)) as web, site(response(b"")) as empty:
        policy = MediaPolicy(allowed_networks=("127.0.0.1",), allowed_ports=(web.port, empty.port))
        assert opened(Url(web.url()), kind, policy) == FILE
        assert refusal_of(Url(empty.url()), kind, policy).code == f"invalid_{kind}"
    with pytest.raises(UnsupportedInputError, match="--allow-media-urls"):
        opened(Url(web.url()), kind)
