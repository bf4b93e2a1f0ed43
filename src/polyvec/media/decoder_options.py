"""What an operator can set about the decoding processes."""

from dataclasses import dataclass, fields

from polyvec.errors import ConfigError

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class DecoderOptions:
    """How many processes decode, and what one of them may use.

    Pictures and videos have processes of their own, so that a picture never waits for a video.

    Attributes:
        image_processes: Processes for pictures; None for one per core, at least 2, at most 8.
        video_processes: Processes for videos, which run at a lower priority.
        limit_memory_bytes: Address space of one process. A picture of 40 million pixels takes
            0.5 to 1.3 GB, depending on its format.
        image_timeout_s: Longest time for one picture.
        video_timeout_s: Longest time between two frames of a video.
        video_cpu_s: Most processor time for one video, over all its threads.
        max_jobs: Pictures or videos after which a process is replaced.

    Raises:
        ConfigError: A limit is below 1, or not over 0 seconds.
    """

    image_processes: int | None = None
    video_processes: int = 2
    limit_memory_bytes: int = 2 * _GIB
    image_timeout_s: float = 30.0
    video_timeout_s: float = 60.0
    video_cpu_s: float = 600.0
    max_jobs: int = 1000

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            is_time = option.name.endswith("_s")
            if value is not None and (value <= 0 if is_time else value < 1):
                least = "more than 0" if is_time else "at least 1"
                raise ConfigError(
                    f"{option.name} is {value}; it must be {least}", param=option.name
                )
