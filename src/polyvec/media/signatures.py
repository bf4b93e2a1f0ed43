"""Which picture format a file has, by its first bytes."""

_SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"II+\x00", "TIFF"),
    (b"MM\x00+", "TIFF"),
    # Refused ones, so that the refusal can say what came.
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (b"%PDF-", "PDF"),
    (b"%!PS", "EPS"),
    (b"<svg", "SVG"),
)
_MAX_BRANDS_BYTES = 256
_BRANDS = ((b"avif", "AVIF"), (b"avis", "AVIF"), (b"heic", "HEIF"), (b"heix", "HEIF"))


def format_of(data: bytes) -> str | None:
    """Name of the format, decodable or not; None for anything else."""
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _format_of_box(data)
    return next((name for signature, name in _SIGNATURES if data.startswith(signature)), None)


def _format_of_box(data: bytes) -> str | None:
    """By the brands of an ISO base media file: its major one, a version, compatible ones."""
    end = min(int.from_bytes(data[:4]), _MAX_BRANDS_BYTES)
    brands = [data[place : place + 4] for place in (8, *range(16, end, 4))]
    return next((name for brand in brands for own, name in _BRANDS if own == brand), None)
