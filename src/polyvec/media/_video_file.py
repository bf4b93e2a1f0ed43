"""A video file, read packet by packet from any place."""

from collections.abc import Iterator
from itertools import chain, islice
from types import TracebackType
from typing import BinaryIO, NoReturn, Self

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

from polyvec.errors import MediaError
from polyvec.media._packet_index import PacketIndex
from polyvec.media._video_open import open_video
from polyvec.media.containers import ContainerName
from polyvec.media.policy import MediaPolicy

_MAX_PACKETS_PER_S = 240
_MAX_SKIPPED_BYTES = 4 * 1024 * 1024
_MAX_KEYS_BACK = 3
_SHOWN_BIT_OF_VP8 = 0x10


class VideoFile:
    """The best video stream of a file. Not to be shared between threads.

    Attributes:
        container: What the file is.
        index: Its packets; empty until they are read by `read_index`.
    """

    def __init__(
        self, file: BinaryIO, container: ContainerName, policy: MediaPolicy, *, param: str
    ) -> None:
        """Open it.

        Raises:
            MediaError: Nothing that can be decoded, or frames that are too large.
        """
        self.container = container
        self.index = PacketIndex()
        self._file = file
        self._policy = policy
        self._param = param
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the decoder and its threads; the file stays open."""
        self._packets: Iterator[Packet[VideoStream]] = iter(())
        self._input.close()
        del self.stream, self._input

    @property
    def limit_s(self) -> float:
        """Longest video."""
        return self._policy.max_video_s

    @property
    def decoder(self) -> VideoCodecContext:
        """Decodes the stream's packets."""
        return self.stream.codec_context

    def read_index(self) -> None:
        """Read all packets, decoding none. A file that is cut off ends where it ends.

        Raises:
            MediaError: Too many of them.
        """
        shows = _shows_vp8 if self.decoder.name == "vp8" else _shows
        limit = int(self._policy.max_video_s * _MAX_PACKETS_PER_S)
        is_cut_off = False
        for packet in iter(self._read, None):
            is_cut_off = packet.is_corrupt
            self.index.add(
                packet.pts, packet.size, is_key=packet.is_keyframe, is_shown=shows(packet)
            )
            if len(self.index) > limit:
                self.refuse_length()
        self._position = len(self.index)
        if is_cut_off:
            self.index.hide_last()

    def packets(self, start: int, end: int | None = None) -> "Iterator[Packet[VideoStream]]":
        """Packets by their place in the file's order."""
        self._go_to(start)
        for packet in islice(iter(self._read, None), None if end is None else end - start):
            self._position += 1
            yield packet

    def refuse_length(self) -> NoReturn:
        """Raise.

        Raises:
            MediaError: ``video_too_large``.
        """
        raise MediaError(
            f"{self._param}: the video is too long; at most {self._policy.max_video_s:g} s are "
            "accepted",
            param=self._param,
            code="video_too_large",
        )

    def _open(self) -> None:
        self._input, self.stream = open_video(
            self._file, self.container, self._policy, param=self._param
        )
        self._packets = self._from_here()
        self._position = 0

    def _go_to(self, start: int) -> None:
        is_far = self.index.bytes_between(self._position, start) > _MAX_SKIPPED_BYTES
        if start < self._position or is_far:
            self._seek(start)
        for _ in islice(iter(self._read, None), start - self._position):
            self._position += 1

    def _seek(self, start: int) -> None:
        """Get to the packet or to one before it."""
        for key in self.index.keys_until(start, _MAX_KEYS_BACK):
            try:
                self._input.seek(key, stream=self.stream)
            except av.FFmpegError:
                break
            self._packets = self._from_here()
            for packet in iter(self._read, None):
                position = self.index.position_of(packet.pts)
                if position is None:
                    continue  # after a jump into a stream, the first ones may lack a time
                if position > start:
                    break
                self._packets = chain((packet,), self._packets)
                self._position = position
                return
        # From the start of the file every place can be found.
        self._input.close()
        self._open()

    def _from_here(self) -> "Iterator[Packet[VideoStream]]":
        # Without a size, it only marks the end.
        return (packet for packet in self._input.demux(self.stream) if packet.size)

    def _read(self) -> "Packet[VideoStream] | None":
        """The next packet; None at the end, and where the file is damaged or cut off."""
        try:
            return next(self._packets, None)
        except MemoryError:
            raise
        except av.FFmpegError:
            return None


def _shows(packet: "Packet[VideoStream]") -> bool:
    return not packet.is_discard


def _shows_vp8(packet: "Packet[VideoStream]") -> bool:
    """VP8 has packets that only other frames refer to. Source: RFC 6386 9.1."""
    return not packet.is_discard and bool(memoryview(packet)[0] & _SHOWN_BIT_OF_VP8)
