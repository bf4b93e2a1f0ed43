"""Frames of videos: which ones come out, what they look like, and what hostile files do."""

import gc
import io
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition

from polyvec.errors import InvalidInputError, MediaError, UnsupportedInputError
from polyvec.media import _video_file, _video_frames, video
from polyvec.media.policy import MediaPolicy
from polyvec.media.transform import ImageTransform
from polyvec.media.video import sample_frames
from polyvec.types import FrameSampling
from tests.clips import bars, clip, number, one_colour, sound

POLICY = MediaPolicy()
AS_IT_IS = ImageTransform(resize=(64, 96))
FORMATS = [
    ("mp4", "libx264"),
    ("mp4", "libx265"),
    ("mov", "mpeg4"),
    ("3gp", "mpeg4"),
    ("matroska", "libx264"),
    ("webm", "libvpx-vp9"),
    ("webm", "libvpx"),
    ("webm", "libsvtav1"),
    ("avi", "mpeg4"),
    ("avi", "libx264"),
    ("mpegts", "libx264"),
    ("mpegts", "mpeg2video"),
    ("mpegts", "libx265"),
    ("mpeg", "mpeg2video"),
]


def frames(data, *, policy=POLICY, transform=AS_IT_IS, **wishes):
    file = io.BytesIO(data)
    return list(sample_frames(file, FrameSampling(**wishes), policy, transform, param="input[1]"))


def numbers(data, **wishes):
    """What the frames' pixels say, once it is known that their indexes say the same."""
    found = frames(data, **wishes)
    shown = [number(frame.pixels) for frame in found]
    assert shown == [frame.index for frame in found]
    return shown


def refusal(data, **options):
    with pytest.raises(MediaError) as caught:
        frames(data, **options)
    error = caught.value
    assert error.param == "input[1]"
    assert error.message.startswith("input[1]: ")
    assert "0x" not in error.message
    return error.code, error.message.removeprefix("input[1]: ")


@pytest.fixture(autouse=True)
def no_threads_are_left():
    before = set(threading.enumerate())
    tasks = len(list(Path("/proc/self/task").iterdir()))
    yield
    gc.collect()
    assert set(threading.enumerate()) == before
    assert len(list(Path("/proc/self/task").iterdir())) <= tasks


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_a_container_gives_the_frames_that_are_asked_for(container, codec):
    data = clip(container, codec)
    assert numbers(data, num_frames=0) == list(range(60))
    assert numbers(data, num_frames=5) == [0, 12, 24, 36, 48]
    assert numbers(data, indexes=(59, 11, 12, 30)) == [11, 12, 30, 59]
    assert numbers(data, start_s=1.0, duration_s=0.5, fps=6) == [30, 35, 40]


@pytest.mark.parametrize(("container", "codec"), FORMATS)
def test_times_count_from_the_first_frame(container, codec):
    times_s = [frame.timestamp_s for frame in frames(clip(container, codec), indexes=(0, 7, 59))]
    assert times_s == pytest.approx([0, 7 / 30, 59 / 30], abs=1e-3)


GROUPS = [
    {"gop": 1, "b_frames": 0},
    {"gop": 5, "b_frames": 0},
    {"gop": 12, "b_frames": 3},
    {"gop": 250, "b_frames": 3},
    {"gop": 12, "b_frames": 3, "options": {"x264-params": "open-gop=1:b-pyramid=normal"}},
    {"gop": 10, "b_frames": 5, "options": {"x264-params": "open-gop=1:b-adapt=0:ref=4"}},
    {"gop": 250, "b_frames": 0, "options": {"x264-params": "intra-refresh=1"}},
]


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
@pytest.mark.parametrize("group", GROUPS)
def test_decoding_little_gives_the_very_pixels_of_decoding_all(container, group, monkeypatch):
    monkeypatch.setattr(_video_file, "_MAX_SKIPPED_BYTES", 0)  # these clips are small
    rng = np.random.default_rng(3)
    ground = rng.integers(0, 255, (64, 96 + 80, 3), np.uint8)
    pictures = [np.ascontiguousarray(ground[:, place : place + 96]) for place in range(80)]
    data = clip(container, frames=80, pictures=pictures, **group)
    every = frames(data, num_frames=0)
    assert [frame.index for frame in every] == list(range(80))
    for wanted in ([79], [0, 79], [3, 40, 41, 77], list(range(0, 80, 7)), [11, 12, 23]):
        few = frames(data, indexes=tuple(wanted))
        assert [frame.index for frame in few] == wanted
        for frame in few:
            np.testing.assert_array_equal(frame.pixels, every[frame.index].pixels)


def decoded_packets(data, monkeypatch, **wishes):
    fed = []
    feed = _video_frames._fed

    def counted(decoder, packet):
        fed.append(packet)
        return feed(decoder, packet)

    monkeypatch.setattr(_video_frames, "_fed", counted)
    frames(data, **wishes)
    return sum(packet is not None for packet in fed)


def test_only_the_groups_of_wanted_frames_are_decoded(monkeypatch):
    data = clip(frames=120, gop=10, b_frames=0, options={"x264-params": "scenecut=0"})
    assert decoded_packets(data, monkeypatch, indexes=(25, 95)) == 6 + 6


def test_nothing_after_the_last_wanted_frame_is_decoded(monkeypatch):
    assert decoded_packets(clip(frames=120, gop=250, b_frames=0), monkeypatch, indexes=(4,)) == 5


def test_a_seek_that_goes_too_far_is_made_good(monkeypatch):
    monkeypatch.setattr(_video_file, "_MAX_SKIPPED_BYTES", 0)
    monkeypatch.setattr(_video_file.PacketIndex, "keys_until", lambda *_: iter([10**6]))
    assert numbers(clip(gop=5), indexes=(2, 31, 52)) == [2, 31, 52]


def test_colours_are_those_of_pyav():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (6, 8, 3), np.uint8)
    picture = small.repeat(12, axis=0).repeat(12, axis=1)
    data = clip(frames=3, size=(96, 72), pictures=[picture] * 3)
    with av.open(io.BytesIO(data)) as opened:
        expected = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
    found = frames(data, transform=ImageTransform(resize=(72, 96)))
    for frame, reference in zip(found, expected, strict=True):
        np.testing.assert_array_equal(frame.pixels, reference)


def test_a_frame_is_fitted_as_a_picture_is():
    transform = ImageTransform(resize=32, crop=(32, 32))
    data = clip(frames=2)
    (whole, *_) = frames(data)
    (fitted, *_) = frames(data, transform=transform)
    np.testing.assert_array_equal(fitted.pixels, transform.fitted(whole.pixels))


def test_an_odd_width_has_no_padding():
    picture = np.full((62, 90, 3), 200, np.uint8)
    data = clip(frames=2, size=(90, 62), pictures=[picture] * 2)
    found = frames(data, transform=ImageTransform(resize=(62, 90)))
    assert found[0].pixels.shape == (62, 90, 3)
    assert abs(found[0].pixels.astype(int) - 200).max() <= 3


@pytest.mark.parametrize(
    ("rotation", "flips", "corners"),
    [
        (0, (False, False), "RG BK"),
        (90, (False, False), "GK RB"),
        (-90, (False, False), "BR KG"),
        (180, (False, False), "KB GR"),
        (0, (True, False), "GR KB"),
        (0, (False, True), "BK RG"),
        (90, (True, False), "KG BR"),
    ],
)
def test_a_turned_video_is_shown_upright(rotation, flips, corners):
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48, 0] = picture[:32, 48:, 1] = picture[32:, :48, 2] = 255
    data = clip(frames=2, rotation=rotation, flips=flips, pictures=[picture] * 2)
    height, width = (96, 64) if abs(rotation) == 90 else (64, 96)
    pixels = frames(data, transform=ImageTransform(resize=(height, width)))[0].pixels
    quarters = [pixels[y, x] for y in (10, height - 10) for x in (10, width - 10)]
    names = ["K" if one.max() < 100 else "RGB"[one.argmax()] for one in quarters]
    assert f"{names[0]}{names[1]} {names[2]}{names[3]}" == corners


UNEVEN_MS = [33 * place + (2000 if place > 30 else 0) for place in range(60)]


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_an_uneven_pace_is_read_by_the_clock(container):
    data = clip(container, times_ms=UNEVEN_MS)
    assert numbers(data, num_frames=4) == [0, 15, 30, 45]
    assert numbers(data, start_s=2.5, num_frames=2) == [30, 45]
    assert numbers(data, fps=1) == [0, 30, 59]
    assert frames(data, indexes=(31,))[0].timestamp_s == pytest.approx(3.023, abs=2e-3)


def test_videos_one_after_the_other_in_a_file_are_counted_through():
    part = clip("mpegts", frames=40)
    found = frames(part + part, num_frames=0)
    assert [frame.index for frame in found] == list(range(80))
    assert [number(frame.pixels) for frame in found] == [*range(40), *range(40)]
    assert [number(frame.pixels) for frame in frames(part + part, indexes=(3, 41))] == [3, 1]


def test_a_packet_of_vp8_that_is_only_referred_to_has_no_number():
    shown = bytearray((0x10,)) + bytes(9)
    hidden = bytearray((0x00,)) + bytes(9)
    assert _video_file._shows_vp8(av.Packet(bytes(shown)))
    assert not _video_file._shows_vp8(av.Packet(bytes(hidden)))


def test_sound_beside_the_video_is_left_out():
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=30, width=96, height=64, pix_fmt="yuv420p")
        audio = out.add_stream("aac", rate=44100)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
        silence.rate, silence.pts = 44100, 0
        for place in range(30):
            picture = av.VideoFrame.from_ndarray(bars(place)).reformat(format="yuv420p")
            out.mux(stream.encode(picture))
        for one in (silence, None):
            out.mux(audio.encode(one))
        out.mux(stream.encode())
    assert numbers(file.getvalue(), num_frames=3) == [0, 10, 20]


def test_a_file_is_left_open_and_can_be_read_again():
    file = io.BytesIO(clip())
    for _ in range(2):
        found = sample_frames(file, FrameSampling(num_frames=2), POLICY, AS_IT_IS)
        assert [frame.index for frame in found] == [0, 30]
    assert not file.closed


def test_a_frame_comes_before_the_next_one_is_decoded():
    file = io.BytesIO(clip(frames=60))
    found = sample_frames(file, FrameSampling(num_frames=0), POLICY, AS_IT_IS)
    assert next(found).index == 0
    found.close()


# Limits.


def test_too_many_frames_are_refused_once_the_video_is_known():
    policy = replace(POLICY, max_frames=10)
    with pytest.raises(InvalidInputError) as caught:
        frames(clip(), policy=policy, num_frames=0)
    assert caught.value.message == (
        "input[1]: 60 frames are asked for; at most 10 of a video are accepted"
    )


def test_impossible_wishes_are_refused_before_the_file_is_looked_at():
    with pytest.raises(InvalidInputError, match="the list of frame indexes is empty"):
        frames(b"", indexes=())


def test_large_frames_are_refused_before_they_are_decoded(monkeypatch):
    monkeypatch.setattr(_video_frames, "_fed", None)
    code, message = refusal(clip(), policy=replace(POLICY, max_pixels=96 * 64 - 1))
    assert code == "video_too_large"
    assert message == "the video is 96 x 64; at most 6143 pixels are accepted"


def test_a_long_side_is_refused():
    code, message = refusal(clip(), policy=replace(POLICY, max_side_px=95))
    assert (code, message) == (
        "video_too_large",
        "the video is 96 x 64; no side may be over 95 pixels",
    )


def test_frames_at_the_limit_are_decoded():
    assert len(frames(clip(), policy=replace(POLICY, max_pixels=96 * 64), num_frames=3)) == 3


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_a_long_video_is_refused(container):
    code, message = refusal(clip(container), policy=replace(POLICY, max_video_s=1.5))
    assert (code, message) == (
        "video_too_large",
        "the video is too long; at most 1.5 s are accepted",
    )


def test_packets_are_counted_before_times_are_believed():
    code, _ = refusal(clip(frames=400, fps=10_000), policy=replace(POLICY, max_video_s=1))
    assert code == "video_too_large"


def test_a_declared_length_is_not_believed():
    data = bytearray(clip())
    at = data.index(b"mvhd") + 4 + 16
    struct.pack_into(">I", data, at, 0xFFFFFFF0)
    assert numbers(bytes(data), num_frames=3) == [0, 20, 40]


# Files that are not what they seem.


def playlists():
    return {
        "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n",
        "ffconcat": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "concat of lines": b"file '/etc/passwd'\n" * 100,
        "dash": b'<?xml version="1.0"?><MPD><Period><BaseURL>http://127.0.0.1/</BaseURL></Period>',
        "sdp": b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n",
        "srt": b"1\n00:00:00,000 --> 00:00:01,000\nhello\n",
        "webvtt": b"WEBVTT\n\n00:00.000 --> 00:01.000\nhello\n",
        "smil": b"<smil><body><video src='file:///etc/passwd'/></body></smil>",
        "jpeg": b"\xff\xd8\xff\xe0" + bytes(100),
        "avif": b"\x00\x00\x00\x1cftypavif" + bytes(100),
        "wav": b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100),
        "flv": b"FLV\x01\x05" + bytes(100),
        "html": b"<!doctype html>",
        "empty": b"",
        "zeros": bytes(5000),
    }


@pytest.mark.parametrize("name", playlists())
def test_what_is_no_video_is_never_opened(name, monkeypatch):
    monkeypatch.setattr(av, "open", None)
    code, message = refusal(playlists()[name])
    assert code == "unsupported_video_format"
    assert message == (
        "not a video of a known container; accepted containers: MP4, MOV, MKV, WebM, AVI, MPEG-TS, "
        "MPEG-PS, GIF, WebP, APNG"
    )


@pytest.mark.parametrize(
    "head",
    [
        b"\x00\x00\x00\x14ftypisom",
        b"\x1a\x45\xdf\xa3",
        b"RIFF\xff\xff\x00\x00AVI ",
        b"\x00\x00\x01\xba",
        (b"\x47" + bytes(187)) * 6,
    ],
)
@pytest.mark.parametrize("body", [b"", bytes(4000), b"#EXTM3U\nfile:///etc/passwd\n" * 200])
def test_the_start_of_a_video_with_something_else_behind_it_is_refused(head, body):
    assert refusal(head + body)[0] == "invalid_video"


def test_noise_behind_the_start_of_a_video_is_refused():
    noise = np.random.default_rng(1).integers(0, 255, 50_000, np.uint8).tobytes()
    assert refusal(b"\x1a\x45\xdf\xa3" + noise)[0] == "invalid_video"


def mov_that_refers_to(target):
    """A QuickTime file whose samples are said to be in another file."""
    data = clip("mov", "mpeg4")
    at = data.index(b"dref")
    size = int.from_bytes(data[at - 4 : at])
    alias = b"\x00" * 150 + struct.pack(">hh", 2, len(target)) + target + struct.pack(">hh", -1, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    dref = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    grown = len(dref) - size
    data = bytearray(data[: at - 4] + dref + data[at - 4 + size :])
    for name in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        place = data.rindex(name, 0, at) - 4
        struct.pack_into(">I", data, place, struct.unpack_from(">I", data, place)[0] + grown)
    return bytes(data)


def test_a_file_inside_the_video_is_not_opened(tmp_path, monkeypatch):
    other = tmp_path / "other.mov"
    other.write_bytes(clip("mov", "mpeg4"))
    asked = []
    real = av.open

    def watched(file, **options):
        refuse = options.pop("io_open")

        def io_open(*arguments):
            asked.append(arguments)
            return refuse(*arguments)

        assert not isinstance(file, str)
        assert not hasattr(file, "name")
        return real(file, io_open=io_open, **options)

    data = mov_that_refers_to(str(other).encode())
    monkeypatch.setattr(av, "open", watched)
    assert refusal(data) == ("invalid_video", "the video has no frames that can be decoded")
    assert asked == []


def test_a_codec_that_is_not_listed_is_refused():
    file = io.BytesIO()
    with av.open(file, "w", format="mov") as out:
        stream = out.add_stream("qtrle", rate=30, width=96, height=64, pix_fmt="rgb24")
        out.mux(stream.encode(av.VideoFrame.from_ndarray(bars(1))))
        out.mux(stream.encode())
    code, message = refusal(file.getvalue())
    assert code == "unsupported_video_format"
    assert message.startswith("the video's codec is not accepted; accepted codecs: H.264, ")


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_a_file_with_sound_alone_is_refused(container):
    assert refusal(sound(container)) == ("invalid_video", "the file has no video stream")


def test_the_cover_of_a_record_is_no_video():
    file = io.BytesIO()
    with av.open(io.BytesIO(sound("mp4"))) as record, av.open(file, "w", format="mp4") as out:
        audio = out.add_stream_from_template(record.streams.audio[0])
        cover = out.add_stream("mjpeg", rate=1, width=96, height=64, pix_fmt="yuvj420p")
        cover.disposition = Disposition.attached_pic
        out.mux(cover.encode(av.VideoFrame.from_ndarray(bars(3)).reformat(format="yuvj420p")))
        out.mux(cover.encode())
        for packet in record.demux(audio=0):
            if packet.dts is not None:
                packet.stream = audio
                out.mux(packet)
    with av.open(io.BytesIO(file.getvalue())) as made:
        assert made.streams.video[0].disposition & Disposition.attached_pic
    assert refusal(file.getvalue()) == ("invalid_video", "the file has no video stream")


@pytest.mark.parametrize("container", ["matroska", "mpegts", "avi"])
def test_a_video_that_is_cut_off_gives_what_is_there(container):
    data = clip(container, "mpeg4", b_frames=0)
    shown = numbers(data[: len(data) * 2 // 3], num_frames=0)
    assert 8 < len(shown) < 60
    assert shown == list(range(len(shown)))


def test_an_mp4_without_its_index_is_refused():
    data = clip("mp4")
    assert refusal(data[: len(data) // 2]) == (
        "invalid_video",
        "the video is damaged, cut off or not decodable",
    )


def test_a_wanted_frame_that_cannot_be_decoded_is_an_error():
    data = bytearray(clip("mp4", gop=10, b_frames=0))
    with av.open(io.BytesIO(bytes(data))) as opened:
        packets = [p for p in opened.demux(video=0) if p.size]
        places = [(p.pos, p.size) for p in packets if 20 <= p.pts * p.time_base * 30 < 30]
    for at, size in places:
        data[at : at + size] = b"\xff" * size
    assert numbers(bytes(data), indexes=(5, 45)) == [5, 45]
    code, message = refusal(bytes(data), indexes=(5, 25))
    assert code == "invalid_video"
    assert message == "the video is damaged: its frame 25 cannot be decoded"


@pytest.mark.parametrize("container", ["mp4", "matroska", "avi", "mpegts", "mpeg"])
def test_noise_anywhere_gives_frames_or_a_clear_error(container):
    codec = "mpeg2video" if container == "mpeg" else "libx264"
    clean = clip(container, codec)
    rng = np.random.default_rng(5)
    for _ in range(12):
        data = bytearray(clean)
        for at in rng.integers(0, len(data), 30):
            data[at] = rng.integers(0, 255)
        try:
            found = frames(bytes(data), num_frames=6)
        except InvalidInputError as error:
            assert error.message.startswith("input[1]: ")  # noqa: PT017
        else:
            assert all(frame.pixels.shape == (64, 96, 3) for frame in found)


def test_a_video_that_would_take_all_memory_is_too_large(monkeypatch):
    def open_video(*_, **__):
        raise av.error.MemoryError(12, "Cannot allocate memory")

    monkeypatch.setattr(_video_file, "open_video", open_video)
    assert refusal(clip()) == ("video_too_large", "decoding the video takes too much memory")


# Without the extra.


def test_without_the_extra_a_video_names_it(monkeypatch):
    monkeypatch.setattr(video, "find_spec", lambda _: None)
    assert not video.is_available()
    with pytest.raises(UnsupportedInputError) as caught:
        frames(clip())
    assert caught.value.message == (
        "input[1]: this server was installed without video decoding; it comes with "
        "pip install 'polyvec[video]'"
    )


def test_asking_whether_videos_can_be_read_loads_no_library():
    program = (
        "import sys; from polyvec.media import video; "
        "print(video.is_available(), 'av' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"True", b"False"]


# Memory.

MEASURE = """
import re, sys
from polyvec.media.policy import MediaPolicy
from polyvec.media.transform import ImageTransform
from polyvec.media.video import sample_frames
from polyvec.types import FrameSampling
wanted = FrameSampling(num_frames=16)
with open(sys.argv[1], "rb") as file:
    found = sample_frames(file, wanted, MediaPolicy(), ImageTransform(resize=(64, 64)))
    count = sum(1 for _ in found)
with open("/proc/self/status") as status:
    print(count, int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1]) // 1024)
"""


def test_many_frames_of_8k_need_less_than_512_mib(tmp_path):
    path = tmp_path / "8k.mp4"
    path.write_bytes(one_colour(7680, 4320, frames=50))
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, check=True, text=True
    )
    count, peak_mib = map(int, done.stdout.split())
    assert count == 16  # 1.6 GB as RGB
    assert peak_mib < 512
