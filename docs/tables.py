"""Generated tables of the documents: ``make docs`` writes them, ``make check`` compares them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from polyvec.dialects._registry import find_dialects
from polyvec.models._registry import families

_RESULTS = Path(__file__).parent.parent / "bench/results"
_MEASURES = {
    "raw_packed_texts_per_s": ("texts/s, our graph called by hand", ""),
    "raw_traced_texts_per_s": ("texts/s, transformers' model converted, called by hand", ""),
    "engine_texts_per_s": ("texts/s, engine", ""),
    "engine_over_raw": ("engine / the better of both by hand", ">= 0.90"),
    "http_32_clients_texts_per_s": ("texts/s, HTTP, 32 clients with one text each", ""),
    "http_over_raw": ("HTTP / the better of both by hand", ">= 0.75"),
    "raw_lone_16_tokens_ms": ("ms, lone text of 16 tokens by hand, all cores", ""),
    "http_lone_16_tokens_ms": ("ms, the same over HTTP, p50", ""),
    "lone_http_over_raw_latency": ("HTTP / by hand", "<= 1.5"),
    "seconds_to_ready": ("s from process start to ready", "<= 2.5"),
    "rss_mib_after_1000_requests": ("MiB resident after 1,000 mixed requests", "<= 400"),
    "core_install_mb": ("MB installed, core", "<= 350"),
    "images_clip_b16_bare_per_s": ("images/s, CLIP ViT-B/16, bare model on ready pixels", ""),
    "images_clip_b16_http_per_s": ("images/s, the same over HTTP, 16 clients, JPEG 640 x 480", ""),
    "images_clip_b16_http_over_bare": ("HTTP / bare", ">= 0.85"),
    "images_demo_bare_per_s": ("images/s, demo model, bare", ""),
    "images_demo_http_per_s": ("images/s, demo model over HTTP", ""),
    "mixed_clip_b16_text_p50_calm_ms": ("ms, lone text, CLIP ViT-B/16, p50", ""),
    "mixed_clip_b16_text_p50_video_ms": ("ms, the same while a 4K video is embedded", ""),
    "mixed_clip_b16_text_p50_growth": ("with / without the video", "< 2"),
    "mixed_clip_b16_health_worst_ms": ("ms, slowest `/health` meanwhile", "<= 100"),
    "mixed_demo_text_p50_calm_ms": ("ms, lone text, demo model, p50", ""),
    "mixed_demo_text_p50_video_ms": ("ms, the same while a 4K video is embedded", ""),
    "mixed_demo_text_p50_growth": ("with / without the video", "< 2"),
    "mixed_demo_health_worst_ms": ("ms, slowest `/health` meanwhile", "<= 100"),
}
_NOT_KEPT = "*latest.json"


_MAX_SHOWN_ROUTES = 6


def dialect_table() -> str:
    """One row for each dialect: its page, and the routes that it declares first."""
    rows = ["| dialect | routes |", "|---|---|"]
    for dialect in find_dialects():
        named = [f"`{route.method} {route.path}`" for route in dialect.routes]
        more = len(named) - _MAX_SHOWN_ROUTES
        shown = " · ".join(named[:_MAX_SHOWN_ROUTES]) + (f" and {more} more" if more > 0 else "")
        rows.append(f"| [{dialect.name}](docs/dialects/{dialect.name}.md) | {shown} |")
    return "\n".join(rows) + "\n"


def model_table() -> str:
    """One row for each family: its architectures and aliases."""
    rows = ["| family | embeds | architectures in config.json | aliases |", "|---|---|---|---|"]
    for family in families():
        names = ", ".join(f"`{name}`" for name in family.architectures)
        aliases = ", ".join(f"`{alias}`" for alias in family.aliases)
        rows.append(
            f"| {family.name} | {', '.join(family.towers)} | {names} | {aliases or 'none'} |"
        )
    return "\n".join(rows) + "\n"


def performance_tables() -> str:
    """The recorded results of ``make bench`` and its like, one table for each machine."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(set(_RESULTS.glob("*.json")) - set(_RESULTS.glob(_NOT_KEPT))):
        recorded = json.loads(path.read_text())
        if "figures" in recorded:
            found.setdefault(_title(recorded["machine"]), {}).update(recorded["figures"])
    return "\n".join(_table(title, figures) for title, figures in found.items())


def _title(machine: Mapping[str, Any]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {', '.join(machine['cpu_flags'])}, "
        f"{machine['memory_gib']} GiB, Python {machine['python']}, OpenVINO {machine['openvino']}"
    )


def _table(title: str, figures: Mapping[str, Any]) -> str:
    dtype = f", {figures['dtype']}" if "dtype" in figures else ""
    rows = [f"{title}{dtype}:", "", "| measure | value | wanted |", "|---|---|---|"]
    rows += [
        f"| {text} | {figures[key]} | {wanted} |"
        for key, (text, wanted) in _MEASURES.items()
        if key in figures
    ]
    return "\n".join(rows) + "\n"
