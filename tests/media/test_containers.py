"""What a file is, by its first bytes alone."""

import io

import pytest

from polyvec.media.containers import sniff
from tests.clips import clip

BOX = b"\x00\x00\x00\x18"


@pytest.mark.parametrize(
    ("head", "container"),
    [
        (BOX + b"ftypisom", "mov"),
        (BOX + b"ftypqt  ", "mov"),
        (BOX + b"ftyp3gp4", "mov"),
        (BOX + b"ftypavis", "mov"),
        (BOX + b"moov", "mov"),
        (BOX + b"wide", "mov"),
        (b"\x1a\x45\xdf\xa3", "matroska"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", "avi"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "webp"),
        (b"\x00\x00\x01\xba", "mpeg"),
        ((b"\x47" + bytes(187)) * 3, "mpegts"),
        ((bytes(4) + b"\x47" + bytes(187)) * 3, "mpegts"),
        ((b"\x47" + bytes(203)) * 3, "mpegts"),
        (b"GIF89a", "gif"),
        (b"\x89PNG\r\n\x1a\n", "png"),
    ],
)
def test_a_container_is_known_by_its_start(head, container):
    assert sniff(io.BytesIO(head)) == container


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\x47",
        b"\x47" + bytes(187) + b"\x47" + bytes(187) + bytes(600),
        b"#EXTM3U\n",
        b"ffconcat version 1.0\n",
        BOX + b"ftypavif",
        BOX + b"ftypheic",
        BOX + b"styp",
        b"RIFF\x00\x00\x00\x00WAVE",
        b"\xff\xd8\xff\xe0",
        b"OggS",
        b"FLV\x01",
    ],
)
def test_nothing_else_is_a_video(head):
    assert sniff(io.BytesIO(head)) is None


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska", "webm", "avi", "mpegts", "mpeg"])
def test_what_ffmpeg_writes_is_recognised_and_left_at_its_start(container):
    codec = {"webm": "libvpx", "mpeg": "mpeg2video"}.get(container, "mpeg4")
    file = io.BytesIO(clip(container, codec, 5))
    file.seek(9)
    assert sniff(file) in ("mov", "matroska", "avi", "mpegts", "mpeg")
    assert file.tell() == 0
