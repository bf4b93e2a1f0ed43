"""``polyvec verify``: compare our vectors with the reference library or another server."""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvec.cli._flags import add_serve_flags, load_given, take_effect
from polyvec.errors import ConfigError

if TYPE_CHECKING:
    from polyvec.tools.verify import Difference, Report, VerifyOptions

_FAILED_EXIT = 1
_SHOWN_CHARS = 32


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the subcommand."""
    parser = commands.add_parser(
        "verify",
        help="compare a model's vectors with the reference library or another server",
        description="Embeds texts here and elsewhere, each alone and all as one batch, and prints "
        "cosine and largest difference. Takes the arguments of serve; float32 unless --dtype says "
        "otherwise. Exit status 1 when a text differs.",
    )
    parser.add_argument("--texts", metavar="FILE", help="texts to embed, one per line (UTF-8)")
    parser.add_argument("--prompt-name", metavar="NAME", help="put this prompt before every text")
    parser.add_argument(
        "--against", metavar="URL", help="compare with an OpenAI-compatible embeddings API"
    )
    parser.add_argument("--against-model", metavar="NAME", help="its name there (default: MODEL)")
    parser.add_argument("--against-api-key", metavar="KEY", help="key for that server")
    parser.add_argument(
        "--min-cosine", metavar="X", type=float, help="least cosine that passes (default: 0.9999)"
    )
    parser.add_argument(
        "--ovms",
        action="store_true",
        help="OpenVINO Model Server's comparison: its tolerance, and its PASS and FAIL lines",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_serve_flags(parser)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    config = load_given(arguments)
    take_effect(config)
    if len(config.models) != 1:
        raise ConfigError("verify takes one MODEL", param="MODEL")
    from polyvec.config.compose import compose
    from polyvec.tools.verify import verify

    plan = compose(config)
    run = plan.run
    if config.values["backend.dtype"].origin == "default":
        run = replace(run, device=replace(run.device, dtype="float32"))
    (served,) = plan.models
    report = verify(served, run, _options(arguments, served.reference))
    if arguments.json:
        print(json.dumps(_as_json(report), indent=2))
    elif report.ovms:
        _print_ovms(report)
    else:
        _print(report)
    return 0 if report.is_same else _FAILED_EXIT


def _options(arguments: argparse.Namespace, reference: str) -> "VerifyOptions":
    from polyvec.tools._endpoint import Endpoint, embeddings_url
    from polyvec.tools.verify import MIN_COSINE, VerifyOptions

    against = None
    if arguments.against is not None:
        against = Endpoint(
            url=embeddings_url(arguments.against, ovms=arguments.ovms),
            model=arguments.against_model or reference,
            api_key=arguments.against_api_key,
        )
    least = MIN_COSINE if arguments.min_cosine is None else arguments.min_cosine
    if not -1 <= least <= 1:
        raise ConfigError(f"--min-cosine must be from -1 to 1, not {least}", param="min_cosine")
    return VerifyOptions(
        texts=None if arguments.texts is None else _lines(Path(arguments.texts)),
        prompt_name=arguments.prompt_name,
        against=against,
        min_cosine=least,
        ovms=arguments.ovms,
    )


def _lines(file: Path) -> tuple[str, ...]:
    try:
        return tuple(file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--texts: {file} cannot be read: {error}", param="texts") from None


def _print(report: "Report") -> None:
    _print_head(report)
    print(f"{'':4}{'text':{_SHOWN_CHARS}} {'tokens':>6}  {'alone':^19}  {'in one batch':^19}")
    print(f"{'':{_SHOWN_CHARS + 11}}  {'cosine':>9} {'max diff':>9}  {'cosine':>9} {'max diff':>9}")
    for number, row in enumerate(report.rows, 1):
        same = report.passes(row.alone) and report.passes(row.batch)
        shown = f"{_numbers(row.alone)}  {_numbers(row.batch)}{'' if same else '  DIFFERS'}"
        print(f"{number:3} {_shown(row.text):{_SHOWN_CHARS}} {row.num_tokens:6}  {shown}")
    for name, differences in _sides(report).items():
        cosines = [one.cosine for one in differences]
        print(
            f"{name}: cosine min {min(cosines):.7f}, mean {sum(cosines) / len(cosines):.7f}; "
            f"max difference {max(one.max_abs for one in differences):.1e}"
        )
    verdict = "same" if report.is_same else "DIFFERENT"
    print(f"{verdict}: every cosine must be at least {report.min_cosine}")


def _print_ovms(report: "Report") -> None:
    _print_head(report)
    for number, row in enumerate(report.rows, 1):
        for name, one in (("alone", row.alone), ("batch", row.batch)):
            verdict = "[PASS]" if report.passes(one) else "[FAIL]"
            print(f"{verdict} text {number} ({name}): difference score {one.norm:.7f}")
    print("[SUCCESS]" if report.is_same else "[FAILED]")


def _print_head(report: "Report") -> None:
    print(f"polyvec    {report.subject}")
    print(f"reference  {report.against}")
    for note in report.notes:
        print(f"note       {note}")


def _sides(report: "Report") -> "dict[str, list[Difference]]":
    return {
        "alone": [row.alone for row in report.rows],
        "in one batch": [row.batch for row in report.rows],
    }


def _numbers(one: "Difference") -> str:
    return f"{one.cosine:9.7f} {one.max_abs:9.1e}"


def _shown(text: str) -> str:
    shown = json.dumps(text, ensure_ascii=False)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[: _SHOWN_CHARS - 1]}…"


def _as_json(report: "Report") -> dict[str, Any]:
    return {**asdict(report), "is_same": report.is_same}
