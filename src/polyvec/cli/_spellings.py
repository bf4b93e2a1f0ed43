"""vLLM's spellings of flags: underscores for dashes, and JSON options written key by key.

Source: https://docs.vllm.ai/en/stable/cli/json_tip/.
"""

import json
from collections.abc import Sequence
from typing import Any

from polyvec.cli._foreign import folded
from polyvec.errors import ConfigError

_JSON_FLAGS = (
    *("--hf-overrides", "--pooler-config", "--prompts", "--override-pooler-config"),
    *("--limit-mm-per-prompt", "--mm-processor-kwargs", "--media-io-kwargs"),
)


def plain(argv: Sequence[str]) -> list[str]:
    """A command line as argparse knows it.

    ``--max_model_len 64`` becomes ``--max-model-len 64``; ``--hf-overrides.a.b 1`` with
    ``--hf-overrides.c+ 2`` becomes ``--hf-overrides '{"a": {"b": 1}, "c": [2]}'``.

    Raises:
        ConfigError: A key lacks its value, or an option is given both as JSON and by key.
    """
    rest: list[str] = []
    objects: dict[str, dict[str, Any]] = {}
    words = iter(argv)
    for word in words:
        if word == "--":
            rest += [word, *words]
            break
        name, equals, value = word.partition("=")
        flag, dot, path = name.partition(".")
        flag = flag.replace("_", "-") if flag.startswith("--") else flag
        if flag not in _JSON_FLAGS or not dot:
            rest.append(flag + dot + path + equals + value if flag.startswith("--") else word)
            continue
        given = value if equals else next(words, None)
        if given is None:
            raise ConfigError(f"{name} needs a value", param=flag.lstrip("-"))
        _put(objects.setdefault(flag, {}), path.split("."), given, name)
    for flag in objects:
        if any(word.partition("=")[0] == flag for word in rest):
            raise ConfigError(
                f"{flag} is given both as JSON and key by key; write it one way",
                param=flag.lstrip("-"),
            )
    written = [f"{flag}={json.dumps(found)}" for flag, found in objects.items()]
    end = rest.index("--") if "--" in rest else len(rest)
    return folded([*rest[:end], *written, *rest[end:]])


def _put(target: dict[str, Any], path: list[str], given: str, name: str) -> None:
    *outer, last = path
    for key in outer:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            raise ConfigError(f"{name}: {key} already has a value", param=name.lstrip("-"))
    appends = last.endswith("+")
    last = last.removesuffix("+")
    if not last or (last in target and not (appends and isinstance(target[last], list))):
        raise ConfigError(f"{name} is no key, or is given twice", param=name.lstrip("-"))
    if appends:
        target.setdefault(last, []).append(_value(given))
    else:
        target[last] = _value(given)


def _value(given: str) -> Any:
    try:
        return json.loads(given)
    except (ValueError, RecursionError):
        return given
