"""What a video's packets say about its frames, worked out without decoding one."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from polyvec.types import IntArray

_FPS_WITHOUT_A_WORD = 25.0
_MAX_FPS = 1000


@dataclass(frozen=True, slots=True)
class Run:
    """Packets that are decoded one after the other, by their place in the file's order.

    Attributes:
        start: A key frame's packet.
        end: One past the last packet.
        frames: The wanted frames that come out, rising.
    """

    start: int
    end: int
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """Frames in the order in which they are shown.

    Attributes:
        packets: Shape (F,), place of each frame's packet in the file's order.
        starts: Shape (F,), place of the key frame from which it can be decoded.
        ticks: Shape (F,), when each is shown, rising.
        tick_s: Seconds of one tick.
    """

    packets: IntArray
    starts: IntArray
    ticks: IntArray
    tick_s: Fraction

    @classmethod
    def of(
        cls,
        ticks: Sequence[int],
        keys: Sequence[int],
        shown: Sequence[int],
        tick_s: Fraction,
    ) -> "Timeline | None":
        """Order packets by when they are shown; None where they do not tell.

        Packets before the first key frame, and those that are shown before it, give no frame.

        Args:
            ticks: When each packet is shown, in the file's order.
            keys: 1 for those that can be decoded alone.
            shown: 0 for those that are decoded but give no frame.
            tick_s: Seconds of one tick.
        """
        all_ticks = np.array(ticks, np.int64)
        key_packets = np.flatnonzero(np.array(keys, np.uint8))
        if not key_packets.size or np.unique(all_ticks).size != all_ticks.size:
            return None
        order = np.argsort(all_ticks, kind="stable")
        first = key_packets[0]
        gives_frame = np.array(shown, np.bool_) & (all_ticks >= all_ticks[first])
        gives_frame[:first] = False
        packets = order[gives_frame[order]]
        starts = _starts(all_ticks, key_packets, packets)
        return cls(packets, starts, all_ticks[packets], tick_s)

    @property
    def total(self) -> int:
        """Frames of the whole video."""
        return len(self.packets)

    @property
    def timestamps_s(self) -> NDArray[np.float64]:
        """Shape (F,), seconds from the first frame."""
        ticks = self.ticks - self.ticks[:1]
        return ticks * self.tick_s.numerator / self.tick_s.denominator

    def pace(self, declared: Fraction | None) -> float | None:
        """Frames per second, or None when they come unevenly.

        What the file declares is used if no frame is off by as much as a frame, else its average.
        """
        times_s = self.timestamps_s
        if self.total <= 1:
            return float(declared) if declared else _FPS_WITHOUT_A_WORD
        average = (self.total - 1) / float(times_s[-1])
        for fps in (float(declared or 0), average):
            if 0 < fps <= _MAX_FPS and _is_even(times_s, fps):
                return fps
        return None

    @property
    def end_s(self) -> float:
        """When the last frame has been shown as long as frames are on average."""
        if self.total <= 1:
            return 1 / _FPS_WITHOUT_A_WORD
        return float(self.timestamps_s[-1]) * self.total / (self.total - 1)

    def runs(self, frames: Sequence[int]) -> list[Run]:
        """The fewest packets that give the wanted frames.

        Args:
            frames: Wanted ones, rising.
        """
        found: list[Run] = []
        for frame in frames:
            start, end = int(self.starts[frame]), int(self.packets[frame]) + 1
            if found and start <= found[-1].end:
                last = found.pop()
                start, end = min(last.start, start), max(last.end, end)
                found.append(Run(start, end, (*last.frames, frame)))
            else:
                found.append(Run(start, end, (frame,)))
        return found


def _is_even(times_s: NDArray[np.float64], fps: float) -> bool:
    off_s = np.abs(times_s - np.arange(len(times_s)) / fps)
    return bool(off_s.max() < 1 / fps)


def _starts(all_ticks: IntArray, key_packets: IntArray, packets: IntArray) -> IntArray:
    """The last key frame before each packet that is also shown before it.

    A packet that follows a key frame but is shown before it needs what came before that as well.
    """
    key_ticks = all_ticks[key_packets]
    which = np.searchsorted(key_packets, packets, side="right") - 1
    while (late := key_ticks[which] > all_ticks[packets]).any():
        which[late] -= 1
    return key_packets[which]
