"""A checkpoint's class of transformers: loaded whole, or refused."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers

from polyvec.backends._torch_imports import broken_torchvision
from polyvec.errors import CheckpointError
from polyvec.models._foreign import ForeignConfig

_log = logging.getLogger(__name__)

_UNUSED = re.compile(r"(.*\.)?(pooler\..*|position_ids|contact_head\..*)")
"""Tensors that a file may lack without harm: no state is made from them."""
_MAX_SHOWN_NAMES = 3


class States(torch.nn.Module):  # type: ignore[misc]
    """A class's last hidden states alone.

    Args:
        encoder: What transformers loaded.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(B, L) ids and mask → (B, L, D)."""
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def load_states(config: ForeignConfig, architecture: str) -> States:
    """Load a checkpoint's encoder, float32, on the CPU.

    Args:
        config: Says where it lies, and whether its own Python files may run.
        architecture: Class name in config.json.

    Raises:
        CheckpointError: transformers has no class for it, or the file lacks tensors of the class.
    """
    with quiet(), _explained(architecture, config):
        kind: Any = transformers.AutoModel
        if architecture.endswith("EncoderModel"):  # the first half of an encoder-decoder alone
            kind = getattr(transformers, architecture, kind)
        settings = transformers.AutoConfig.from_pretrained(
            config.folder,
            trust_remote_code=config.trust_remote_code,
            local_files_only=True,
            **_overrides(config),
        )
        encoder, info = kind.from_pretrained(
            config.folder,
            config=settings,
            dtype=torch.float32,
            attn_implementation="eager",  # sdpa turns rows that are masked as a whole into NaN
            trust_remote_code=config.trust_remote_code,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
        )
    missing = sorted(name for name in info["missing_keys"] if not _UNUSED.fullmatch(name))
    if missing:
        raise CheckpointError(
            f"the weights lack {len(missing)} tensors of {type(encoder).__name__}, such as "
            f"{', '.join(missing[:_MAX_SHOWN_NAMES])}: transformers would fill them with random "
            "numbers"
        )
    if config.published.get("auto_map") and not config.trust_remote_code:
        _log.warning(
            "the checkpoint names Python files of its own (auto_map); transformers' own %s is "
            "used, which may not compute the same",
            type(encoder).__name__,
        )
    if getattr(encoder.config, "is_encoder_decoder", False) and hasattr(encoder, "get_encoder"):
        encoder = encoder.get_encoder()
    return States(encoder.eval())


def check_reads_texts(states: States, architecture: str) -> None:
    """Run a class on one token.

    Raises:
        CheckpointError: It cannot do with a text alone, as classes that want a picture.
    """
    one = torch.ones((1, 1), dtype=torch.int64)
    try:
        with torch.inference_mode():
            states(one, one)
    except Exception as error:
        said = " ".join(str(error).split())
        raise CheckpointError(
            f"architecture {architecture!r} gives no states of a text alone: {said}",
            param="architectures",
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Keep remarks and progress bars of transformers out of a server's log."""
    logger = logging.getLogger("transformers")
    level = logger.level
    transformers.logging.disable_progress_bar()
    try:
        logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _overrides(config: ForeignConfig) -> dict[str, Any]:
    """What the operator changed in config.json."""
    skipped = {"architectures", "auto_map", "model_type", "torch_dtype", "dtype"}
    kept, _ = transformers.PretrainedConfig.get_config_dict(config.folder, local_files_only=True)
    return {
        key: value
        for key, value in config.published.items()
        if key not in skipped and kept.get(key) != value
    }


@contextmanager
def _explained(architecture: str, config: ForeignConfig) -> Iterator[None]:
    """Turn what transformers raises into what an operator can do."""
    try:
        yield
    except Exception as error:
        # Its classes of errors are many, and the message is what tells.
        said = " ".join(str(error).split())
        if "trust_remote_code" in said:
            reason = (
                "it is computed by the checkpoint's own Python files, which do not run unless "
                "--trust-remote-code allows them"
            )
        elif "does not recognize this architecture" in said:
            reason = (
                f"transformers {transformers.__version__} has no model type "
                f"{config.published.get('model_type')!r} either"
            )
        else:
            reason = broken_torchvision(error) or said
        raise CheckpointError(
            f"architecture {architecture!r} is not built in, and transformers cannot load it: "
            f"{reason}",
            param="architectures",
        ) from error
