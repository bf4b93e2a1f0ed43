"""tokenizer.json → openvino_tokenizer.xml, which OpenVINO Model Server cannot do without."""

import json
from pathlib import Path
from typing import Any

import openvino as ov

from polyvec.errors import ConfigError

FILE = "openvino_tokenizer.xml"
EXTRA = "polyvec[export]"

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")


def has_converter() -> bool:
    """Whether the optional packages that convert tokenizers are here."""
    from importlib.util import find_spec

    return all(find_spec(name) is not None for name in ("openvino_tokenizers", "transformers"))


def write_tokenizer(folder: Path) -> None:
    """Convert a folder's tokenizer.json.

    Texts are padded on the right: the server's LAST pooling counts from the left.

    Args:
        folder: Gets ``openvino_tokenizer.xml`` and ``.bin``.

    Raises:
        ConfigError: The optional packages are missing, or cannot convert this tokenizer.
    """
    if not has_converter():
        raise ConfigError(
            f"{FILE} needs the extra {EXTRA}: pip install '{EXTRA}'", param="tokenizer"
        )
    from openvino_tokenizers import convert_tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), padding_side="right", **_tokens(folder)
    )
    # Published files carry cutting and padding of their own; the server decides about both.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    try:
        graph = convert_tokenizer(tokenizer)
    except Exception as error:  # noqa: BLE001  (the library raises no narrower class)
        raise ConfigError(
            f"tokenizer.json cannot be converted to {FILE}: {error}", param="tokenizer"
        ) from None
    ov.save_model(graph, folder / FILE, compress_to_fp16=False)


def _tokens(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    found = {}
    for name in _SPECIAL:
        value = config.get(name)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            found[name] = value
    return found
