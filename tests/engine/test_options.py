from dataclasses import fields
from typing import Any

import pytest

from polyvec.engine.options import EngineOptions
from polyvec.errors import ConfigError

WORDS = ("truncate", "fuse", "token_ids")
LIMITS = [option.name for option in fields(EngineOptions) if option.name not in WORDS]


@pytest.mark.parametrize("name", LIMITS)
def test_a_negative_limit_is_refused_by_name(name: str) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        EngineOptions(**{name: -1})
    assert caught.value.param == name


@pytest.mark.parametrize("name", sorted(set(LIMITS) - {"cache_bytes", "max_inline_chars"}))
def test_zero_is_refused_where_it_would_stall_the_engine(name: str) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        EngineOptions(**{name: 0})


@pytest.mark.parametrize("name", ["cache_bytes", "max_inline_chars"])
def test_zero_turns_a_habit_off(name: str) -> None:
    assert getattr(EngineOptions(**{name: 0}), name) == 0


@pytest.mark.parametrize("name", WORDS)
def test_an_unknown_word_is_refused_naming_the_known_ones(name: str) -> None:
    known = {"truncate": "end, start or none", "fuse": "none or mean"}
    wrong: Any = {name: "middle"}
    with pytest.raises(ConfigError, match=known.get(name, "auto, model or cl100k")) as caught:
        EngineOptions(**wrong)
    assert caught.value.param == name
