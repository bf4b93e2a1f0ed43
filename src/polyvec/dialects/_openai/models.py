"""``GET /v1/models``: what is served, one entry for every name that a model answers to."""

import hashlib
from typing import Any, TypedDict

from polyvec.dialects._base import Call, Reply
from polyvec.dialects._encode import json_reply
from polyvec.service import Service
from polyvec.types import ModelCard


class ModelLimits(TypedDict):
    """How much one request may hold."""

    max_inputs: int
    max_input_tokens: int | None


class ModelObject(TypedDict):
    """One served name: OpenAI's four keys, vLLM's four, and what callers ask of an embedder."""

    id: str
    object: str
    created: int
    owned_by: str
    root: str
    parent: str | None
    max_model_len: int | None
    permission: list[dict[str, Any]]
    dimensions: int
    matryoshka: list[int]
    modalities: list[str]
    outputs: list[str]
    prompts: list[str]
    tasks: list[str]
    labels: list[str]
    limits: ModelLimits
    state: str


class ModelList(TypedDict):
    """Answer to ``GET /v1/models``."""

    object: str
    data: list[ModelObject]


async def list_models(_call: Call, service: Service) -> Reply:
    """Answer with every served name, aliases too, as vLLM does; but not with a folder's path."""
    data = [
        model_object(card, name)
        for card in service.models()
        for name in dict.fromkeys((card.name, *card.aliases))
        if name == card.name or name != card.checkpoint
    ]
    return json_reply(ModelList(object="list", data=data))


async def get_model(call: Call, service: Service) -> Reply:
    """Answer with one of them, under the name that was asked for where that is one of its own."""
    name = call.path_params["model"]
    card = service.find(name)
    return json_reply(model_object(card, name if name in card.aliases else card.name))


def model_object(card: ModelCard, name: str) -> ModelObject:
    """Return what the list says of a model under one of its names.

    ``root`` is the first name: where the checkpoint lies is nobody's business.

    Source: https://platform.openai.com/docs/api-reference/models/object; ``root``, ``parent``,
    ``max_model_len`` and ``permission`` are vLLM's.
    """
    return {
        "id": name,
        "object": "model",
        "created": card.created,
        "owned_by": "polyvec",
        "root": card.name,
        "parent": None,
        "max_model_len": card.max_input_tokens,
        "permission": [_permission(name, card.created)],
        "dimensions": card.dimensions,
        "matryoshka": list(card.matryoshka),
        "modalities": list(card.modalities),
        "outputs": list(card.outputs),
        "prompts": list(card.prompts),
        "tasks": list(card.tasks),
        "labels": list(card.labels),
        "limits": {"max_inputs": card.max_inputs, "max_input_tokens": card.max_input_tokens},
        "state": card.state,
    }


def _permission(name: str, created: int) -> dict[str, Any]:
    """An object that OpenAI took away and vLLM still gives; its id is always the same."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    return {
        "id": f"modelperm-{digest[:32]}",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
