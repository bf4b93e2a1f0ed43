"""References → a service: what is in memory at the start, and what is known of the rest."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from polyvec.backends._base import BackendOptions
from polyvec.engine.load import RunOptions, load_service
from polyvec.engine.local import LocalService
from polyvec.engine.options import EngineOptions
from polyvec.engine.residency import ResidencyOptions
from polyvec.engine.served import ServedModel
from polyvec.errors import CheckpointError, ConfigError, NotReadyError
from polyvec.media.policy import MediaPolicy
from polyvec.models._options import ModelOptions
from polyvec.types import EmbedRequest, Input, Text

MIB = 1 << 20


def demo(name: str, **changes: Any) -> ServedModel:
    return dataclasses.replace(ServedModel("polyvec-demo", name, (), ModelOptions()), **changes)


def loaded(*models: ServedModel, **residency: Any) -> LocalService:
    engine = EngineOptions(self_test=False)
    options = RunOptions("fake", BackendOptions(), engine, MediaPolicy())
    options = dataclasses.replace(options, residency=ResidencyOptions(**residency))
    return load_service(models, options)


def states(service: LocalService) -> dict[str, str]:
    return {card.name: card.state for card in service.models()}


def ask(model: str) -> EmbedRequest:
    return EmbedRequest(model=model, inputs=(Input((Text("a"),)),))


async def test_models_are_loaded_at_the_start_unless_they_are_lazy() -> None:
    service = loaded(demo("a"), demo("b", lazy=True))
    assert states(service) == {"a": "ready", "b": "unloaded"}
    await service.start()
    assert (await service.embed(ask("b"))).model == "b"
    assert states(service) == {"a": "ready", "b": "ready"}
    await service.close()


def test_all_are_lazy_where_that_is_asked_for_but_for_those_that_are_not() -> None:
    service = loaded(demo("a"), demo("b", lazy=False), lazy=True)
    assert states(service) == {"a": "unloaded", "b": "ready"}


def test_a_lazy_models_card_says_what_its_files_say() -> None:
    lazy, eager = loaded(demo("a", lazy=True), demo("b")).models()
    assert (lazy.dimensions, lazy.modalities, lazy.created) == (128, ("text", "image"), 0)
    known = ("architecture", "max_input_tokens", "max_inputs", "outputs", "vocab_size", "labels")
    assert [getattr(lazy, name) for name in known] == [getattr(eager, name) for name in known]


def test_what_is_not_on_this_machine_is_not_fetched_before_it_is_asked_for() -> None:
    (card,) = loaded(demo("a", lazy=True, reference="nobody/has-this")).models()
    assert (card.state, card.checkpoint, card.dimensions) == ("unloaded", "nobody/has-this", 0)


def test_models_that_no_longer_fit_wait_for_their_first_request() -> None:
    big = {"memory_bytes": 100 * MIB}
    service = loaded(demo("a", **big), demo("b", **big), memory_budget_bytes=150 * MIB)
    assert states(service) == {"a": "ready", "b": "unloaded"}
    assert [one.num_bytes for one in service.statuses()] == [100 * MIB, 0]


async def test_an_optional_model_that_cannot_be_loaded_leaves_the_others(tmp_path: Path) -> None:
    broken = demo("broken", reference=str(tmp_path), is_optional=True)
    service = loaded(broken, demo("a"))
    assert states(service) == {"broken": "failed", "a": "ready"}
    await service.start()
    with pytest.raises(NotReadyError):
        await service.embed(ask("broken"))
    await service.close()


@pytest.mark.parametrize("lazy", [False, True])
def test_any_other_that_cannot_be_loaded_ends_the_start(tmp_path: Path, lazy: bool) -> None:  # noqa: FBT001
    with pytest.raises(CheckpointError, match=r"config\.json"):
        loaded(demo("a", reference=str(tmp_path), lazy=lazy))


def test_of_several_the_one_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        loaded(demo("a", lazy=True), demo("broken", reference=str(tmp_path)))
    assert caught.value.message.startswith("broken: ")


def test_two_models_of_one_name_are_refused_before_anything_is_loaded() -> None:
    with pytest.raises(ConfigError, match="two models are served as 'a'"):
        loaded(demo("a", reference="nobody/has-this"), demo("b", aliases=("a",)))
