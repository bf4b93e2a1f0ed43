"""Encoded bodies: what unpacks, what is refused, and what a bomb may cost."""

import gzip
import tracemalloc
import zlib

import pytest

from polyvec.errors import InvalidInputError, PayloadTooLargeError
from polyvec.server.body import read_body, unpack
from tests.server.driver import ask, make_app

EMBED = b'{"input": "hello"}'


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKED = {
    "gzip": gzip.compress(EMBED, mtime=0),
    "x-gzip": gzip.compress(EMBED, mtime=0),
    "GZIP": gzip.compress(EMBED[:4], mtime=0) + gzip.compress(EMBED[4:], mtime=0),
    "deflate": zlib.compress(EMBED),
    "deflate ": raw_deflate(EMBED),
    "identity": EMBED,
}


@pytest.mark.parametrize("encoding", PACKED)
async def test_encoded_bodies_are_unpacked(encoding: str) -> None:
    headers = {"content-encoding": encoding}
    answer = await ask(make_app(), "POST", "/v1/embeddings", body=PACKED[encoding], headers=headers)
    assert answer.status == 200


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
async def test_other_encodings_are_a_415_before_the_body(encoding: str) -> None:
    headers = {"content-encoding": encoding}
    answer = await ask(make_app(), "POST", "/v1/embeddings", body=EMBED, headers=headers)
    assert (answer.status, answer.num_received) == (415, 0)
    assert "gzip, deflate or none" in answer.json()["error"]["message"]


@pytest.mark.parametrize("damaged", [b"not gzip", PACKED["gzip"][:-9], PACKED["gzip"] + b"rest"])
async def test_damaged_bodies_are_a_400(damaged: bytes) -> None:
    headers = {"content-encoding": "gzip"}
    answer = await ask(make_app(), "POST", "/v1/embeddings", body=damaged, headers=headers)
    assert (answer.status, answer.json()["error"]["reason"]) == (400, "invalid_body")


async def test_gzip_bomb_is_a_413() -> None:
    bomb = gzip.compress(b" " * 5_000_000, mtime=0)
    app = make_app(limit_body_bytes=100_000)
    headers = {"content-encoding": "gzip"}
    answer = await ask(app, "POST", "/v1/embeddings", body=bomb, headers=headers)
    assert len(bomb) < 100_000
    assert answer.status == 413


def test_bomb_is_never_unpacked_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(50_000_000), mtime=0)
    tracemalloc.start()
    with pytest.raises(PayloadTooLargeError):
        unpack(bomb, 100_000)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 2_000_000


def test_body_of_exactly_the_limit_passes() -> None:
    assert unpack(gzip.compress(b"x" * 1000, mtime=0), 1000) == b"x" * 1000
    with pytest.raises(PayloadTooLargeError):
        unpack(gzip.compress(b"x" * 1001, mtime=0), 1000)


def test_empty_member_is_an_empty_body() -> None:
    assert unpack(gzip.compress(b"", mtime=0), 10) == b""


def test_many_small_members_share_one_limit() -> None:
    with pytest.raises(PayloadTooLargeError):
        unpack(gzip.compress(b"x" * 100, mtime=0) * 20, 1000)


def test_error_of_damage_names_nothing_of_zlib() -> None:
    with pytest.raises(InvalidInputError) as caught:
        unpack(b"\x1f\x8bgarbage", 1000)
    assert "zlib" not in caught.value.message


@pytest.mark.parametrize("num_bytes", [0, 1, 65_535, 65_536, 200_000, 5_000_000])
async def test_a_body_in_pieces_is_put_together(num_bytes: int) -> None:
    body = bytes(range(251)) * (num_bytes // 251 + 1)
    body = body[:num_bytes]
    pieces = [body[place : place + 50_001] for place in range(0, num_bytes, 50_001)] or [b""]
    messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.request"})
    left = iter(messages)

    async def receive() -> dict[str, object]:
        return next(left)

    assert await read_body(receive, {}, num_bytes) == body
    left = iter(messages)
    if num_bytes:
        with pytest.raises(PayloadTooLargeError):
            await read_body(receive, {}, num_bytes - 1)
