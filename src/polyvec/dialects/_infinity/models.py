"""Models as Infinity's ``GET /models`` lists them, which OpenAI's clients read as well."""

from typing import Any, Literal

from polyvec.dialects._openai.models import ModelObject, model_object
from polyvec.types import ModelCard

Capability = Literal["embed", "image_embed", "rerank", "classify"]


class InfinityModel(ModelObject):
    """OpenAI's object of a model with Infinity's keys; its statistics are not kept here."""

    stats: dict[str, Any]
    backend: str
    capabilities: list[Capability]


def infinity_models(cards: tuple[ModelCard, ...]) -> list[InfinityModel]:
    """Return the served models under their first names.

    Source: ``ModelInfo`` of https://github.com/michaelfeil/infinity.
    """
    return [
        {
            **model_object(card, card.name),
            "stats": {},
            "backend": card.backend,
            "capabilities": _capabilities(card),
        }
        for card in cards
    ]


def _capabilities(card: ModelCard) -> list[Capability]:
    embeds = bool({"dense", "tokens"} & set(card.outputs))
    can: dict[Capability, bool] = {
        "embed": embeds and "text" in card.modalities,
        "image_embed": embeds and "image" in card.modalities,
        "rerank": card.is_pair_model,
        "classify": "score" in card.outputs and not card.is_pair_model,
    }
    return [name for name, is_so in can.items() if is_so]
