"""What callers may send, and what the server may open for them."""

from dataclasses import dataclass
from ipaddress import ip_network
from typing import Literal

from polyvec.errors import ConfigError
from polyvec.types import FrameSampling

ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]
UrlAccess = Literal["none", "public"]
MediaKind = Literal["image", "video", "manifest"]

IMAGE_FORMATS: tuple[ImageFormat, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
"""Every format that can be decoded; AVIF only where the image library was built with it. EPS (runs
Ghostscript) and SVG (fetches references) are left out on purpose; HEIF, because the image library
has no decoder for it."""


@dataclass(frozen=True, slots=True)
class MediaPolicy:
    """What a picture or a video may be, and where it may come from.

    Attributes:
        limit_bytes: Largest encoded picture, checked on the text's length before base64 is decoded.
        limit_video_bytes: Largest encoded video.
        limit_manifest_bytes: Largest manifest of frames.
        max_pixels: Largest width x height, checked on the header before pixels are decoded; times
            about 8 bytes it is the memory of one decode.
        max_side_px: Longest side; the default is the longest that JPEG has.
        max_jpeg_scans: Passes over a progressive JPEG. Encoders write about ten; each one costs a
            walk over all pixels, and a few bytes are enough to ask for it.
        formats: Picture formats that are accepted.
        draft_jpeg: Whether a JPEG that is shrunk at least sixfold is decoded at a half, a quarter
            or an eighth of its size. Up to three times as fast; values then differ by 0.5 of 255 in
            the mean, one in fifty by more than 2, a few at sharp edges by more than 5.
        max_frames: Most frames of one video that are embedded.
        max_video_s: Longest video in seconds.
        urls: Whether URLs of any public host are fetched.
        allowed_domains: Hosts that URLs may name: ``example.com``, ``*.example.com`` for all below
            it, ``minio:9000`` for one port of it. Once there is one, no other host may be named.
        allowed_networks: Networks (CIDR) that may be reached although they are not public.
        allowed_ports: Ports that URLs may name, beside those of ``allowed_domains``.
        roots: Folders whose files callers may name.
        trust_env_proxies: Whether fetches go through the proxies of the environment. The proxy
            looks names up once more, so that only names are checked then.
        connect_timeout_s: Longest time to look up a name and connect, for each redirect.
        first_byte_timeout_s: Longest time from the request to an answer's first byte.
        fetch_timeout_s: Longest time of a whole fetch.
        max_redirects: Most redirects of a fetch.
        default_start_s: Where the embedded part of a video begins when a request does not say.
        default_duration_s: Its length, None for all the rest.
        default_num_frames: Its frames, 0 for all.

    Raises:
        ConfigError: A network is not one.
    """

    limit_bytes: int = 20 * 1024 * 1024
    limit_video_bytes: int = 512 * 1024 * 1024
    limit_manifest_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 40_000_000
    max_side_px: int = 65_535
    max_jpeg_scans: int = 100
    formats: tuple[ImageFormat, ...] = IMAGE_FORMATS
    draft_jpeg: bool = False
    max_frames: int = 4096
    max_video_s: float = 4 * 3600.0
    urls: UrlAccess = "none"
    allowed_domains: tuple[str, ...] = ()
    allowed_networks: tuple[str, ...] = ()
    allowed_ports: tuple[int, ...] = (80, 443)
    roots: tuple[str, ...] = ()
    trust_env_proxies: bool = False
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 15.0
    fetch_timeout_s: float = 60.0
    max_redirects: int = 3
    default_start_s: float = 0.0
    default_duration_s: float | None = None
    default_num_frames: int = 64

    def __post_init__(self) -> None:
        for network in self.allowed_networks:
            try:
                ip_network(network)
            except ValueError as error:
                raise ConfigError(str(error), param="allowed_networks") from None

    @property
    def default_sampling(self) -> FrameSampling:
        """Which frames of a video are embedded when a request does not say."""
        return FrameSampling(self.default_start_s, self.default_duration_s, self.default_num_frames)

    @property
    def fetches_urls(self) -> bool:
        """Whether any URL may be fetched."""
        return self.urls == "public" or bool(self.allowed_domains or self.allowed_networks)

    @property
    def reaches_public(self) -> bool:
        """Whether public addresses may be reached, not only those of allowed networks."""
        return self.urls == "public" or bool(self.allowed_domains)

    def limit_of(self, kind: MediaKind) -> int:
        """Most encoded bytes of something."""
        if kind == "video":
            return self.limit_video_bytes
        return self.limit_bytes if kind == "image" else self.limit_manifest_bytes
