"""The wanted frames of a video. Runs where untrusted bytes are decoded."""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import BinaryIO

from polyvec.errors import InvalidInputError, MediaError, UnsupportedInputError
from polyvec.media.animation import sample_animation
from polyvec.media.containers import ACCEPTED, ANIMATIONS, ContainerName, sniff
from polyvec.media.frame import Frame
from polyvec.media.policy import MediaPolicy
from polyvec.media.sampling import check_sampling
from polyvec.media.transform import ImageTransform
from polyvec.types import FrameSampling

__all__ = ["Frame", "is_available", "sample_frames"]


def is_available() -> bool:
    """Whether videos can be decoded; animated pictures always can."""
    return find_spec("av") is not None


def sample_frames(
    file: BinaryIO,
    sampling: FrameSampling,
    policy: MediaPolicy,
    transform: ImageTransform,
    *,
    param: str = "input",
) -> Iterator[Frame]:
    """Wanted frames of a video or an animated picture, in order, one at a time.

    Nothing but the file itself is opened, whatever it says. Closing the iterator frees everything
    but the file.

    Args:
        file: Readable and seekable.
        sampling: Which frames.
        policy: Limits on frames, pixels and length.
        transform: Fits each frame to the model's size.
        param: Where the caller wrote the video; messages begin with it.

    Raises:
        MediaError: ``unsupported_video_format``, ``video_too_large`` or ``invalid_video``.
        UnsupportedInputError: Videos need an extra that is not installed.
        InvalidInputError: The wanted frames are impossible, too many, or not in the video.
    """
    check_sampling(sampling, max_frames=policy.max_frames, param=param)
    container = sniff(file)
    if container is None:
        raise MediaError(
            f"{param}: not a video of a known container; accepted containers: {ACCEPTED}",
            param=param,
            code="unsupported_video_format",
        )
    frames = _frames_of(container, param)(file, container, sampling, policy, transform, param=param)
    try:
        yield from frames
    except InvalidInputError:
        raise
    except MemoryError as error:
        raise MediaError(
            f"{param}: decoding the video takes too much memory",
            param=param,
            code="video_too_large",
        ) from error
    except Exception as error:  # hostile bytes can raise anything in the decoders
        raise MediaError(
            f"{param}: the video is damaged, cut off or not decodable",
            param=param,
            code="invalid_video",
        ) from error


def _frames_of(container: ContainerName, param: str) -> Callable[..., Iterator[Frame]]:
    if container in ANIMATIONS:
        return sample_animation
    if not is_available():
        raise UnsupportedInputError(
            f"{param}: this server was installed without video decoding; it comes with "
            "pip install 'polyvec[video]'",
            param=param,
        )
    from polyvec.media._video_frames import sample_video

    return sample_video
