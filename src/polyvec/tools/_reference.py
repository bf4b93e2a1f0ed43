"""Vectors of the reference library, sentence-transformers; the only tool that imports torch.

Where the library is known to go wrong it is set right, and a note says so.
"""

import logging
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from polyvec.backends._torch_imports import broken_torchvision, explain_import
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._model import Model
from polyvec.tools._native_config import native_config
from polyvec.types import Float32Array, IntArray

_UNUSED = re.compile(r"(.*\.)?(pooler\..*|position_ids)")
"""Tensors that a file may lack without harm: no vector is made from them."""
_MAX_SHOWN_NAMES = 3
# Our names → theirs, where they differ. Source: sentence_transformers Pooling.
_POOLING = {"last": "lasttoken", "mean_sqrt_len": "mean_sqrt_len_tokens"}


class Reference:
    """A checkpoint in sentence-transformers, float32 on the CPU.

    Args:
        folder: The checkpoint.
        model: The same, as polyvec resolved it.
        trust_remote_code: Whether the checkpoint's own Python files may run.

    Attributes:
        title: Which libraries and classes compute it.
        notes: Where the library was set right.

    Raises:
        ConfigError: The library is not installed.
        CheckpointError: The library cannot load the checkpoint, or not all of it.
    """

    def __init__(self, folder: Path, model: Model, *, trust_remote_code: bool = False) -> None:
        library = reference_library()
        self._model = model
        native = native_config(folder, trust_remote_code=trust_remote_code)
        with native as (place, notes), _quiet(), _explained(folder):
            self._reference = library.SentenceTransformer(
                str(place),
                device="cpu",
                trust_remote_code=trust_remote_code,
                model_kwargs={"dtype": "float32"},
                local_files_only=True,
            )
            self._reference.eval()
            inner = getattr(self._reference[0], "auto_model", None)
            if inner is not None:
                self._check_weights(inner, place, trust_remote_code=trust_remote_code)
        self.title = f"{_versions()}: {_class_name(inner or self._reference[0])}, float32"
        self.notes: tuple[str, ...] = (
            *notes,
            *self._set_pooling(),
            *_own_code_note(inner, folder.name),
        )
        self._num_completed = 0

    def embed(self, texts: Sequence[str], ids: Sequence[IntArray], prompt: str) -> Float32Array:
        """One vector per text, (B, D), each computed by itself.

        Args:
            texts: Without the prompt.
            ids: What polyvec's tokenizer makes of prompt and text.
            prompt: Put before every text.
        """
        import torch

        rows = []
        with torch.inference_mode(), _quiet():
            for text, own in zip(texts, ids, strict=True):
                features = self._features(text, own, prompt)
                rows.append(self._reference(features)["sentence_embedding"][0].float().numpy())
        if self._num_completed:
            note = (
                f"the reference's tokenizer left the end token off {self._num_completed} texts; it "
                "was put there, as tokenizer.json says"
            )
            self.notes += (note,)
        return np.stack(rows).astype(np.float32)

    def reads_others(self, text: str, own: IntArray, prompt: str) -> bool:
        """Whether the library's tokenizer gives other ids, beside the end token that it leaves off.

        Args:
            text: Without the prompt.
            own: What polyvec's tokenizer makes of both.
            prompt: Put before it.
        """
        with _quiet():
            theirs = _ids(self._reference.preprocess([text], prompt=prompt))
        if theirs is None or theirs == own.tolist():
            return False
        return not self._lacks_end(theirs, own.tolist())

    def _features(self, text: str, own: IntArray, prompt: str) -> Any:
        import torch

        features = self._reference.preprocess([text], prompt=prompt)
        theirs = _ids(features)
        if theirs is None or not self._lacks_end(theirs, own.tolist()):
            return features
        self._num_completed += 1
        features["input_ids"] = torch.from_numpy(own)[None]
        features["attention_mask"] = torch.ones_like(features["input_ids"])
        if "token_type_ids" in features:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        return features

    def _lacks_end(self, theirs: list[int], own: list[int]) -> bool:
        """Whether the library read the same text without the special token that ends it.

        Some of its tokenizer classes ignore the post-processor's or the config's end token.
        """
        text = self._model.text
        if text is None or not own or own == theirs or own[-1] not in text.tokenizer.special_ids:
            return False
        return own[:-1] == theirs[: len(own) - 1] and len(theirs) <= len(own)

    def _check_weights(self, inner: Any, folder: Path, *, trust_remote_code: bool) -> None:
        """Refuse a class that has tensors the file has not, or leaves out some that it has.

        Raises:
            CheckpointError: It is no reference: it fills those at random, or computes too little.
        """
        _, info = type(inner).from_pretrained(
            folder, output_loading_info=True, trust_remote_code=trust_remote_code
        )
        ignored = re.compile(
            "|".join(f"(?:{k})" for k in self._model.family.ignored_keys) or "(?!)"
        )
        prefixes = ("", *self._model.family.key_prefixes)
        missing = [name for name in info["missing_keys"] if not _UNUSED.fullmatch(name)]
        unread = [
            name
            for name in info["unexpected_keys"]
            if not any(ignored.fullmatch(name.removeprefix(prefix)) for prefix in prefixes)
        ]
        for names, fault in ((missing, "fills at random"), (unread, "leaves out")):
            if names:
                shown = ", ".join(sorted(names)[:_MAX_SHOWN_NAMES])
                raise CheckpointError(
                    f"{_class_name(inner)} is no reference for {self._model.checkpoint}: it {fault}"
                    f" {len(names)} tensors, such as {shown}. Compare with a server instead: "
                    "--against URL"
                )

    def _set_pooling(self) -> tuple[str, ...]:
        """Pool as polyvec resolved it, where that is not what the checkpoint's modules say."""
        from sentence_transformers.sentence_transformer.modules import Pooling

        text, setting = self._model.text, self._model.settings.get("pooling")
        modules = [(i, one) for i, one in enumerate(self._reference) if isinstance(one, Pooling)]
        if text is None or setting is None or len(modules) != 1:
            return ()
        wanted = tuple(_POOLING.get(name, name) for name in text.poolings)
        index, module = modules[0]
        mode = module.pooling_mode
        if wanted == ((mode,) if isinstance(mode, str) else tuple(mode)):
            return ()
        self._reference[index] = Pooling(
            module.embedding_dimension, list(wanted), include_prompt=not text.excludes_prompt
        )
        note = (
            f"the reference pools by {' + '.join(wanted)}, as {setting.origin} says; by itself it "
            f"would take {mode}"
        )
        return (note,)


def reference_library() -> Any:
    """sentence-transformers, or why it cannot be had.

    Raises:
        ConfigError: It is missing or broken.
    """
    try:
        with _quiet():
            import sentence_transformers
    except ModuleNotFoundError as error:
        if (broken := broken_torchvision(error)) is not None:
            raise ConfigError(broken) from None
        raise ConfigError(
            f"the reference library needs {error.name}; install it with: "
            "pip install 'polyvec[verify]', or compare with a server: --against URL"
        ) from None
    except (ImportError, RuntimeError) as error:
        raise ConfigError(explain_import(error)) from None
    return sentence_transformers


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn the library's errors into ones that say what to do."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        # The libraries raise any class; what they say is worth more than where.
        said = " ".join(str(error).split())
        if "trust_remote_code" in said or "third-party code" in said:
            why = (
                "it wants to run the checkpoint's own Python files (--trust-remote-code allows it)"
            )
        elif "does not recognize this architecture" in said or "model type" in said:
            why = f"transformers has no class for it: {said}"
        else:
            why = broken_torchvision(error) or said
        raise CheckpointError(
            f"sentence-transformers cannot load {folder.name}: {why}. Compare with a server "
            "instead: --against URL"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the libraries' remarks and progress bars out of the report."""
    loggers = [logging.getLogger(name) for name in ("transformers", "sentence_transformers")]
    levels = [one.level for one in loggers]
    if (transformers := sys.modules.get("transformers")) is not None:
        transformers.logging.disable_progress_bar()
    try:
        for one in loggers:
            one.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


def _own_code_note(inner: Any, name: str) -> tuple[str, ...]:
    config = getattr(inner, "config", None)
    declared = getattr(config, "auto_map", None) or {}
    if not declared or type(inner).__module__.startswith("transformers_modules"):
        return ()
    note = (
        f"{name} names Python files of its own (auto_map); the reference is "
        f"{_class_name(inner)} of transformers, which may not compute the same"
    )
    return (note,)


def _versions() -> str:
    import sentence_transformers
    import torch
    import transformers

    libraries = (
        ("sentence-transformers", sentence_transformers),
        ("transformers", transformers),
        ("torch", torch),
    )
    return ", ".join(f"{name} {library.__version__}" for name, library in libraries)


def _class_name(model: Any) -> str:
    return type(model).__name__


def _ids(features: Any) -> list[int] | None:
    if "attention_mask" not in features or features["input_ids"].ndim == 1:
        return None
    found: list[int] = features["input_ids"][0].tolist()
    return found
