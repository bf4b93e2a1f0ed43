"""Generated tables of the documents: ``make docs`` writes them, ``make check`` compares them."""

import json
from pathlib import Path

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
}


def dialect_table() -> str:
    """One row for each dialect: its routes and its page."""
    rows = ["| dialect | routes |", "|---|---|"]
    for dialect in find_dialects():
        routes = " · ".join(f"`{route.method} {route.path}`" for route in dialect.routes)
        rows.append(f"| [{dialect.name}](docs/dialects/{dialect.name}.md) | {routes} |")
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
    """The recorded results of ``make bench``, one table for each machine."""
    return "\n".join(_result(path) for path in sorted(_RESULTS.glob("*.json")))


def _result(path: Path) -> str:
    recorded = json.loads(path.read_text())
    machine, figures = recorded["machine"], recorded["figures"]
    title = (
        f"{machine['cpu']}, {machine['cores']} cores, {', '.join(machine['cpu_flags'])}, "
        f"{machine['memory_gib']} GiB, Python {machine['python']}, OpenVINO {machine['openvino']}, "
        f"{figures['dtype']}:"
    )
    rows = [title, "", "| measure | value | wanted |", "|---|---|---|"]
    rows += [f"| {text} | {figures[key]} | {wanted} |" for key, (text, wanted) in _MEASURES.items()]
    return "\n".join(rows) + "\n"
