"""Models as Infinity lists them, on the path that MMES lists its own on."""

from dataclasses import replace

import pytest

from polyvec.dialects._infinity.models import infinity_models
from tests.dialects.stub import CARD, TEXT_CARD, StubService, get


@pytest.mark.parametrize(
    ("card", "capabilities"),
    [
        (CARD, ["embed", "image_embed"]),
        (TEXT_CARD, ["embed"]),
        (replace(TEXT_CARD, outputs=("tokens",)), ["embed"]),
        (replace(TEXT_CARD, outputs=("score",), is_pair_model=True), ["rerank"]),
        (replace(TEXT_CARD, outputs=("score",), labels=("joy",)), ["classify"]),
    ],
)
def test_a_model_says_what_it_can_do(card, capabilities):
    (shown,) = infinity_models((card,))
    assert shown["capabilities"] == capabilities
    assert (shown["id"], shown["object"], shown["backend"]) == (card.name, "model", card.backend)


def test_the_list_has_the_keys_of_three_apis():
    _, body = get("/models", StubService((CARD, TEXT_CARD)))
    assert body["object"] == "list"
    assert [shown["id"] for shown in body["data"]] == [CARD.name, "minilm"]
    assert body["current_model"] == CARD.name
    assert all(isinstance(shown["stats"], dict) for shown in body["data"])


def test_the_other_list_is_as_it_was():
    _, body = get("/model/list")
    assert set(body) == {"current_model", "available_models", "total_models"}
