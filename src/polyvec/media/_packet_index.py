"""What a video's packets are, in the file's order."""

from array import array
from collections.abc import Iterator
from fractions import Fraction
from functools import cached_property

import numpy as np

from polyvec.media.timeline import Timeline
from polyvec.types import IntArray


class PacketIndex:
    """Filled once, then asked. 18 bytes for each packet while it is filled."""

    def __init__(self) -> None:
        self._ticks = array("q")
        self._sizes = array("q")
        self._keys = bytearray()
        self._shown = bytearray()
        self._all_have_ticks = True

    def __len__(self) -> int:
        return len(self._ticks)

    def add(self, tick: int | None, size: int, *, is_key: bool, is_shown: bool) -> None:
        """The next packet.

        Args:
            tick: When its frame is shown.
            size: Its bytes.
            is_key: Whether it can be decoded alone.
            is_shown: Whether its frame is shown at all.
        """
        self._all_have_ticks &= tick is not None
        self._ticks.append(tick or 0)
        self._sizes.append(size)
        self._keys.append(is_key)
        self._shown.append(is_shown)

    def hide_last(self) -> None:
        """The last packet gives no frame: the file is cut off inside of it."""
        self._shown[-1] = False

    def timeline(self, tick_s: Fraction) -> Timeline | None:
        """Frames in the order in which they are shown; None where packets do not tell."""
        if not self._all_have_ticks:
            return None
        return Timeline.of(self._ticks, self._keys, self._shown, tick_s)

    def bytes_between(self, first: int, last: int) -> int:
        """Bytes of the packets from one place to another."""
        return sum(self._sizes[first:last])

    def keys_until(self, position: int, count: int) -> Iterator[int]:
        """When key frames are shown: the last one up to a place, then the ones before."""
        place = position + 1
        for _ in range(count):
            place = self._keys.rfind(1, 0, place)
            if place < 0:
                return
            yield self._ticks[place]

    def position_of(self, tick: int | None) -> int | None:
        """Place of the packet that is shown then."""
        ticks, order = self._sorted
        place = int(np.searchsorted(ticks, tick)) if tick is not None else len(ticks)
        if place == len(ticks) or ticks[place] != tick:
            return None
        return int(order[place])

    @cached_property
    def _sorted(self) -> tuple[IntArray, IntArray]:
        ticks = np.array(self._ticks, np.int64)
        order = np.argsort(ticks, kind="stable")
        return ticks[order], order
