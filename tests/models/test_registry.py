"""A model file is found by being there, and every file declares what the others rely on."""

import pytest

from polyvec.models._family import Family
from polyvec.models._registry import alias_dtype, alias_groups, aliases, families, family_of


@pytest.mark.parametrize("family", families(), ids=lambda family: family.name)
def test_every_family_is_complete(family: Family) -> None:
    assert family.architectures
    assert family.towers
    assert family.source.startswith("https://")
    assert family.tiny["architectures"][0] in family.architectures
    config = family.read_config(family.tiny)
    for tower in family.towers.values():
        assert tower.dimensions(config) > 0
        assert tower.max_positions(config) > 0


def test_no_two_families_answer_to_one_architecture() -> None:
    names = [name for family in families() for name in family.architectures]
    assert len(names) == len(set(names))
    assert all(family_of(name).name for name in names)


def test_aliases_lead_to_hub_ids() -> None:
    assert aliases()["CLIP/clip-vit-b-16"] == "openai/clip-vit-base-patch16"


def test_names_of_one_hub_id_are_together_and_the_documented_one_is_first() -> None:
    assert [names for names in alias_groups() if len(names) > 1] == [
        ("Blip2/blip2_transformers", "Blip2/blip2")
    ]
    assert {name for names in alias_groups() for name in names} == set(aliases())
    assert len(alias_groups()) == 19


def test_an_alias_may_stand_for_a_precision_as_well() -> None:
    assert aliases()["QwenText/qwen3-embedding-0.6b"] == "Qwen/Qwen3-Embedding-0.6B"
    assert alias_dtype("qwentext/Qwen3-Embedding-0.6B") == "int8"
    assert alias_dtype("Qwen/Qwen3-Embedding-0.6B") is None
