"""What SGLang's information routes say of a server and its models."""

from typing import Any

from polyvec.dialects._sglang.wire import EmbeddingInfo, ModelInfo, ServerInfo
from polyvec.types import ModelCard


def model_info(card: ModelCard) -> ModelInfo:
    """Return the answer of ``GET /model_info``. A path says no more than the served name.

    Source: ``model_info`` in ``python/sglang/srt/entrypoints/http_server.py`` of
    https://github.com/sgl-project/sglang.
    """
    return {
        "model_path": card.name,
        "served_model_name": card.name,
        "tokenizer_path": card.name,
        "is_generation": False,
        "preferred_sampling_params": None,
        "weight_version": "default",
        "has_image_understanding": "image" in card.modalities,
        "has_audio_understanding": False,
        "model_type": card.family,
        "architectures": [card.architecture],
        "embedding": _embedding(card),
    }


def server_info(card: ModelCard, *, version: str, is_ready: bool) -> ServerInfo:
    """Return the answer of ``GET /server_info``.

    Source: ``server_info`` in the same file.
    """
    return {
        "model_path": card.name,
        "served_model_name": card.name,
        "tokenizer_path": card.name,
        "is_embedding": True,
        "device": card.device,
        "dtype": card.dtype,
        "context_length": card.max_input_tokens,
        "version": version,
        "status": "ready" if is_ready else "starting",
    }


def _embedding(card: ModelCard) -> EmbeddingInfo:
    return {
        "family": card.family,
        "task": card.outputs[0] if card.outputs else "dense",
        "execution": card.backend,
        "pooling": _setting(card, "pooling", str),
        "normalize": _setting(card, "normalize", bool),
        "dimensions": card.dimensions,
        "supports_dimensions": bool(card.matryoshka),
        "matryoshka_dimensions": list(card.matryoshka),
        "supports_token_embeddings": "tokens" in card.outputs,
        "supports_multimodal": len(card.modalities) > 1,
    }


def _setting(card: ModelCard, name: str, kind: type) -> Any:
    setting = card.settings.get(name)
    return setting.value if setting is not None and isinstance(setting.value, kind) else None
