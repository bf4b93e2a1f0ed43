"""A decoded frame → upright RGB."""

from typing import Any

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from polyvec.media.rgb import RgbArray

_UPRIGHT = np.array((1, 0, 0, 0, 1, 0, 0, 0, 1), np.int32)
_MATRIX_VALUES = 9
_TINY_PX = 16


class UprightRgb:
    """Converts the frames of one video."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()
        self._matrix: NDArray[np.int32] | None = None

    def __call__(self, frame: VideoFrame) -> RgbArray:
        """RGB uint8 (H, W, 3) as a viewer shows it.

        Colours are those of PyAV's ``frame.to_ndarray(format="rgb24")``: by the matrix and the
        range that the video declares, BT.601 and limited range where it declares none, 8 bits a
        sample, alpha left out. Pixels that are not square stay as they are.
        """
        if self._matrix is None:
            self._matrix = _display_matrix(frame)
        # Its own threads cost more than they bring: each frame would start them anew.
        converted = self._reformatter.reformat(frame, format="rgb24", threads=1)
        plane = converted.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rgb = rows[: frame.height, : frame.width * 3].reshape(frame.height, frame.width, 3)
        return _turned(rgb, self._matrix)


def _display_matrix(frame: VideoFrame) -> NDArray[np.int32]:
    """Of the first frame, for all.

    Asked of a tiny copy: a frame that was asked outlives its use, until cycles are collected.
    """
    tiny = frame.reformat(_TINY_PX, _TINY_PX, "rgb24", threads=1)
    found: Any = tiny.side_data.get(Type.DISPLAYMATRIX)  # type: ignore[call-overload]
    return _UPRIGHT if found is None else np.frombuffer(bytes(found), np.int32, _MATRIX_VALUES)


def _turned(rgb: RgbArray, matrix: NDArray[np.int32]) -> RgbArray:
    """Apply the nearest quarter turn and mirroring of a display matrix.

    A point (x, y) is shown at (a x + c y, b x + d y). Source: ISO/IEC 14496-12 6.2.2.
    """
    a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
    if abs(b) > abs(a):
        rgb = rgb.swapaxes(0, 1)
        x_sign, y_sign = c, b
    else:
        x_sign, y_sign = a, d
    return rgb[:: -1 if y_sign < 0 else 1, :: -1 if x_sign < 0 else 1]
