"""An animated GIF, WebP or PNG as a video."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

import numpy as np
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from polyvec.errors import MediaError
from polyvec.media.animation_times import frame_durations_s
from polyvec.media.containers import ContainerName
from polyvec.media.frame import Frame
from polyvec.media.policy import MediaPolicy
from polyvec.media.rgb import to_rgb
from polyvec.media.sampling import check_count, frame_indexes, timed_frame_indexes
from polyvec.media.transform import ImageTransform
from polyvec.types import FrameSampling

_OPENERS: dict[ContainerName, Callable[[BinaryIO], ImageFile]] = {
    "gif": GifImageFile,
    "webp": WebPImageFile,
    "png": PngImageFile,
}
_PNG_BIT_DEPTH_AT = 24
# Every frame up to the last wanted one is composed. So many pictures of the largest size.
_MAX_PICTURES = 50


def sample_animation(
    file: BinaryIO,
    container: ContainerName,
    sampling: FrameSampling,
    policy: MediaPolicy,
    transform: ImageTransform,
    *,
    param: str,
) -> Iterator[Frame]:
    """As `polyvec.media.video.sample_frames`, of an animated picture; a still one has one frame.

    Transparency is put on white.

    Raises:
        MediaError: ``video_too_large`` or ``invalid_video``.
        InvalidInputError: The wanted frames are too many, or not in the video.
    """
    durations_s = frame_durations_s(file, container)
    wanted = _wanted(durations_s, sampling, param)
    check_count(len(wanted), max_frames=policy.max_frames, param=param)
    timestamps_s = np.cumsum([0.0, *durations_s])
    file.seek(_PNG_BIT_DEPTH_AT)
    bit_depth = file.read(1)[0] if container == "png" else None
    file.seek(0)
    with _OPENERS[container](file) as image:
        _check_size(image, wanted[-1] + 1, policy, param)
        # A PNG may begin with a picture for those that cannot show the animation.
        first = int(bool(getattr(image, "default_image", False)))
        for index in wanted:
            image.seek(first + index)
            rgb = to_rgb(image, png_bit_depth=bit_depth)
            yield Frame(index, float(timestamps_s[index]), transform.fitted(rgb))


def _wanted(durations_s: list[float], sampling: FrameSampling, param: str) -> list[int]:
    if max(durations_s) - min(durations_s) < 1e-6:  # noqa: PLR2004 - rounding of fractions
        fps = 1 / durations_s[0]
        return frame_indexes(sampling, total=len(durations_s), fps=fps, param=param)
    ends_s = np.cumsum(durations_s)
    starts_s = ends_s - np.asarray(durations_s)
    return timed_frame_indexes(sampling, starts_s, end_s=float(ends_s[-1]), param=param)


def _check_size(image: ImageFile, frames: int, policy: MediaPolicy, param: str) -> None:
    width, height = image.size
    what = ""
    if max(width, height) > policy.max_side_px:
        what = f"no side may be over {policy.max_side_px} pixels"
    elif width * height > policy.max_pixels:
        what = f"at most {policy.max_pixels} pixels are accepted"
    elif width * height * frames > policy.max_pixels * _MAX_PICTURES:
        what = f"{frames} frames of it are more than {policy.max_pixels * _MAX_PICTURES} pixels"
    if what:
        raise MediaError(
            f"{param}: the animation is {width} x {height}; {what}",
            param=param,
            code="video_too_large",
        )
