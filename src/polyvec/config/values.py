"""Text → value: sizes, durations, lists, switches. The only spellings that settings have."""

import json
import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any

Parser = Callable[[Any], Any]

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]*)")
_SIZE_UNITS = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_DURATION_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_TOKEN_UNITS = {"": 1, "k": 10**3, "K": 1 << 10, "m": 10**6, "M": 1 << 20, "g": 10**9, "G": 1 << 30}
_HOST_PATTERN = re.compile(r"(\*\.)?([^\s/@:*?#\[\]\\%]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?")
_SWITCHES = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


def text(value: Any) -> str:
    """A text, which is not empty."""
    if not isinstance(value, str) or not value:
        raise ValueError("a text that is not empty")
    return value


def folder(value: Any) -> str:
    """A folder; empty for none, which may also be written ``off``."""
    if not isinstance(value, str):
        raise ValueError("a folder, or off")  # noqa: TRY004  (what a parser raises)
    return "" if value.lower() == "off" else value


def existing_folder(value: Any) -> str:
    """The absolute path of a folder that is there, and is not the root of all files."""
    path = Path(value).expanduser().absolute() if isinstance(value, str) and value else None
    if path is None or not path.is_dir() or path.resolve() == Path(path.anchor):
        raise ValueError("a folder that exists, other than /")
    return str(path)


def host_pattern(value: Any) -> str:
    """A host name, with ``*.`` for all names below it, and a port where it is not the usual one."""
    if not isinstance(value, str) or not _HOST_PATTERN.fullmatch(value):
        raise ValueError("a host such as example.com, *.example.com or minio:9000, without http://")
    return value


def network(value: Any) -> str:
    """Addresses in CIDR form; a lone address is a network of one."""
    try:
        return str(ip_network(text(value)))
    except ValueError:
        raise ValueError("a network such as 10.0.0.0/8 or fd00::/8") from None


def path_prefix(value: Any) -> str:
    """A path such as ``/embeddings-server``, or an empty text."""
    if not isinstance(value, str) or (value and not value.startswith("/")) or value.endswith("/"):
        raise ValueError("a path that begins with / and does not end with it, such as /polyvec")
    return value


def switch(value: Any) -> bool:
    """True or false, as a boolean or one of the usual words."""
    if isinstance(value, bool):
        return value
    found = _SWITCHES.get(value.lower()) if isinstance(value, str) else None
    if found is None:
        raise ValueError("true or false")
    return found


def count(value: Any) -> int:
    """A whole number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).isdecimal():
        raise ValueError("a whole number from 0 on")
    return int(value)


def tokens(value: Any) -> int | None:
    """A whole number from 1 on, also as vLLM has it: 1k is 1000, 1K is 1024, -1 or auto is None."""
    if str(value).strip() in ("-1", "auto"):
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgG]?)", str(value).strip())
    number = float(match[1]) * _TOKEN_UNITS[match[2]] if match else 0.0
    if isinstance(value, bool) or number < 1 or number != int(number):
        raise ValueError("a whole number from 1 on, such as 512 or 8k, or auto")
    return int(number)


def positive(value: Any) -> int:
    """A whole number from 1 on."""
    try:
        number = count(value)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError("a whole number from 1 on")
    return number


def size_bytes(value: Any) -> int:
    """A number of bytes, such as ``64MiB``, ``2GB`` or ``4096``."""
    return round(_measure(value, _SIZE_UNITS, "a size such as 64MiB, 2GB or 4096 (bytes)"))


def duration_s(value: Any) -> float:
    """A time in seconds, such as ``30s``, ``250ms``, ``5m`` or ``1.5``."""
    return float(_measure(value, _DURATION_UNITS, "a time such as 30s, 250ms, 5m or 1.5 (seconds)"))


def span_s(value: Any) -> float | None:
    """A time in seconds, or -1 (None) for all the rest."""
    return None if value is None or str(value).strip() in ("-1", "-1.0") else duration_s(value)


def _measure(value: Any, units: Mapping[str, float], wanted: str) -> float:
    match = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
    unit = units.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(wanted)
    return float(match[1]) * unit


def one_of(*choices: str) -> Parser:
    """A parser for one word of a few."""

    def parse(value: Any) -> str:
        if value not in choices:
            raise ValueError("one of " + ", ".join(choices))
        return str(value)

    return parse


def json_object(value: Any) -> dict[str, Any]:
    """A table of the config file, or a text with a JSON object."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    if not isinstance(value, dict):
        raise ValueError("a JSON object")  # noqa: TRY004  (what a parser raises)
    return value


def texts_by_name(value: Any) -> dict[str, str]:
    """A JSON object whose values are texts, which may be empty."""
    found = json_object(value)
    if not all(isinstance(text, str) for text in found.values()):
        raise ValueError("a JSON object whose values are texts")
    return found


def listing(parse: Parser) -> Parser:
    """A parser for a list, or for texts with commas between the elements."""

    def parse_all(value: Any) -> tuple[Any, ...]:
        elements = value if isinstance(value, list | tuple) else [value]
        if any(isinstance(one, bool) or not isinstance(one, str | int) for one in elements):
            raise ValueError("a list, or a text with commas between its elements")
        texts = [part.strip() for element in elements for part in str(element).split(",")]
        return tuple(parse(part) for part in texts if part)

    return parse_all
