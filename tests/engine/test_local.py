from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from polyvec.checkpoints.chat_template import ChatTemplate
from polyvec.engine.local import LocalService, card_of
from polyvec.engine.served import Served
from polyvec.errors import ConfigError, ModelNotFoundError
from polyvec.types import EmbedRequest, Input, ModelCard, Text
from tests.engine.doubles import (
    VOCAB,
    FakeRunner,
    expected_row,
    ids,
    make_engine,
    make_model,
    make_text_rules,
)

NAMES = {
    "org/Mini-LM": ("mini", "small"),
    "other/clip": ("CLIP",),
    "one/same": (),
    "two/same": (),
}


def card(name: str, aliases: tuple[str, ...] = ()) -> ModelCard:
    return card_of(
        make_model(), FakeRunner(), name=name, aliases=aliases, backend="fake", created=7
    )


def service(names: dict[str, tuple[str, ...]] = NAMES, **options: Any) -> LocalService:
    return LocalService(
        [Served(card(name, aliases), make_engine()) for name, aliases in names.items()], **options
    )


def request(model: str | None) -> EmbedRequest:
    return EmbedRequest(model=model, inputs=(Input((Text("w10"),)),))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, "org/Mini-LM"),
        ("", "org/Mini-LM"),
        ("other/clip", "other/clip"),
        ("small", "org/Mini-LM"),
        ("SMALL", "org/Mini-LM"),
        ("ORG/MINI-LM", "org/Mini-LM"),
        ("Mini-LM", "org/Mini-LM"),
        ("mini-lm", "org/Mini-LM"),
        ("CLIP", "other/clip"),
        ("clip", "other/clip"),
        ("two/same", "two/same"),
    ],
)
async def test_a_model_answers_to_its_names(asked: str | None, found: str) -> None:
    served = service()
    await served.start()
    result = await served.embed(request(asked))
    await served.close()
    assert result.model == found
    np.testing.assert_array_equal(result.embeddings[0].vector, expected_row(ids(10)))
    assert result.num_tokens == 3


@pytest.mark.parametrize("asked", ["x", "same", "mini/"])
async def test_an_unknown_or_ambiguous_name_is_refused_naming_the_served_ones(asked: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await service().embed(request(asked))
    assert caught.value.message == (
        f"model '{asked}' is not served; served: org/Mini-LM, other/clip, one/same, two/same"
    )
    assert caught.value.param == "model"


async def test_an_exact_name_wins_over_another_models_last_segment() -> None:
    served = service({"org/base": (), "base": ()})
    await served.start()
    assert (await served.embed(request("base"))).model == "base"
    await served.close()


async def test_an_endless_model_name_is_not_echoed_whole() -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await service().embed(request("a" * 100_000))
    assert len(caught.value.message) < 1000


def test_two_models_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="'b'"):
        service({"a": ("b",), "b": ()})


def test_a_card_tells_what_was_loaded() -> None:
    found = card("name", ("alias",))
    assert (found.name, found.aliases, found.family) == ("name", ("alias",), "some")
    assert (found.dimensions, found.matryoshka, found.max_input_tokens) == (4, (2,), 16)
    assert (found.modalities, found.device, found.dtype) == (("text", "image"), "cpu", "float32")
    assert (found.backend, found.created) == ("fake", 7)


def test_a_card_without_a_text_tower_has_no_text_length() -> None:
    model = make_model(text=None)
    found = card_of(model, FakeRunner(), name="n", aliases=(), backend="b", created=0)
    assert found.max_input_tokens is None


def test_a_card_tells_of_templates_labels_and_pairs() -> None:
    rules = make_text_rules(chat_template=ChatTemplate("{{ 1 }}", origin="file"))
    head: Any = SimpleNamespace(dimensions=1)
    model = make_model(text=rules, heads={"score": head}, labels=("yes",))
    found = card_of(model, FakeRunner(), name="n", aliases=(), backend="b", created=0)
    assert (found.has_chat_template, found.labels, found.is_pair_model) == (True, ("yes",), True)
    assert found.vocab_size == VOCAB
    plain = card("name", ())
    assert (plain.has_chat_template, plain.labels, plain.is_pair_model) == (False, (), False)


def test_models_are_listed_in_serving_order() -> None:
    assert [found.name for found in service().models()] == list(NAMES)


def test_known_models_are_those_it_was_given() -> None:
    assert service(known_models=["a", "b"]).known_models() == ("a", "b")


async def test_it_is_ready_between_start_and_close() -> None:
    served = service()
    assert not served.is_ready()
    await served.start()
    assert served.is_ready()
    await served.close()
    assert not served.is_ready()


def test_one_engine_that_is_not_ready_makes_the_service_not_ready() -> None:
    engines: Any = [SimpleNamespace(is_ready=lambda: True), SimpleNamespace(is_ready=lambda: False)]
    served = LocalService([Served(card(str(n)), engine) for n, engine in enumerate(engines)])
    assert not served.is_ready()


def test_engines_are_found_by_served_name() -> None:
    assert list(service().engines()) == list(NAMES)
