"""What open_clip, and some tokenizers of transformers, do to a text before it is tokenised.

open_clip's repair of broken encodings and of HTML entities is left out: transformers, which reads
the same weights, has neither.

Source: https://github.com/mlfoundations/open_clip, tokenizer.py.
"""

import string
from collections.abc import Callable, Mapping
from typing import Any

from polyvec.checkpoints.open_clip import FILE, MODEL_TYPE
from polyvec.errors import CheckpointError

Cleaning = Callable[[str], str]

_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def read_cleaning(config: Mapping[str, Any]) -> tuple[str, Cleaning] | None:
    """The name of a checkpoint's cleaning and the cleaning; None where the tokenizer does it all.

    Args:
        config: Of the checkpoint.

    Raises:
        CheckpointError: open_clip_config.json asks for what is not known.
    """
    if config.get("model_type") != MODEL_TYPE:
        return None
    text = config["text_cfg"]
    options = text.get("tokenizer_kwargs") or {}
    where = f"{FILE}: text_cfg.tokenizer_kwargs"
    if not isinstance(options, Mapping):
        raise CheckpointError(f"{where} must be an object", param="tokenizer_kwargs")
    for key, value in options.items():
        if key != "clean" and value not in (None, False):
            raise CheckpointError(f"{where}: {key} is not supported", param=key)
    # The byte-pair tokenizer, which is meant where none is named, cleans texts by itself.
    name = options.get("clean") or ("whitespace" if text.get("hf_tokenizer_name") else None)
    if name is None:
        return None
    if name not in _CLEANINGS:
        known = ", ".join(_CLEANINGS)
        raise CheckpointError(
            f"{where}: clean {name!r} is not known; known: {known}", param="clean"
        )
    return name, _CLEANINGS[name]


def tokenizer_cleaning(
    config: Mapping[str, Any], model_type: object = None
) -> tuple[str, Cleaning] | None:
    """What transformers' class of a tokenizer does to a text first; None for nothing.

    Files made of that tokenizer may do it as well, which changes nothing: it is the same twice.

    Source: transformers SiglipTokenizer.canonicalize_text, Siglip2Tokenizer.

    Args:
        config: tokenizer_config.json.
        model_type: Of config.json. It decides for ``siglip2``, whatever tokenizer the files name.
    """
    if model_type == "siglip2" or config.get("tokenizer_class") == "Siglip2Tokenizer":
        return "lower", _lowered_letters
    if str(config.get("tokenizer_class")).removesuffix("Fast") != "SiglipTokenizer":
        return None
    if config.get("do_lower_case", True):
        return "lower, no punctuation", lambda text: _without_punctuation(text.lower())
    return "no punctuation", _without_punctuation


def _lowered_letters(text: str) -> str:
    # Letter by letter: Python alone looks at a sigma's neighbours.
    return "".join(map(str.lower, text))


def _without_punctuation(text: str) -> str:
    return _one_line(text.translate(_NO_PUNCTUATION))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _lowered(text: str) -> str:
    return _one_line(text).lower()


def _canonical(text: str) -> str:
    return _one_line(text.replace("_", " ").translate(_NO_PUNCTUATION).lower())


_CLEANINGS: Mapping[str, Cleaning] = {
    "whitespace": _one_line,
    "lower": _lowered,
    "canonicalize": _canonical,
}
