"""The bundled checkpoint: small, complete for transformers, and good at what it was made for."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import AutoProcessor, AutoTokenizer, CLIPModel

from training import plain_drawings
from training.evaluate import Encoder, first_rate, partial_rate, recall
from training.tokenizer import build_tokenizer

DEMO = Path(__file__).parents[2] / "src" / "polyvec" / "checkpoints" / "demo"
SHAPE_AND_COLOUR = plain_drawings.single_drawings(plain_drawings.NAMED)


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(DEMO)


def test_the_folder_is_small_and_holds_no_code() -> None:
    files = [file for file in DEMO.iterdir() if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 5_200_000
    assert {file.name for file in files} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_weights_are_float16_without_buffers() -> None:
    with safe_open(DEMO / "model.safetensors", "pt") as weights:
        for name in weights.keys():  # noqa: SIM118 - not a mapping
            assert weights.get_slice(name).get_dtype() == "F16"
            assert not name.endswith("position_ids")


def test_transformers_finds_every_weight_and_no_other() -> None:
    model, report = CLIPModel.from_pretrained(DEMO, output_loading_info=True)
    assert isinstance(model, CLIPModel)
    assert not any(report.values())
    assert model.dtype == torch.float16


def test_ids_agree_between_config_and_tokenizer() -> None:
    text = json.loads((DEMO / "config.json").read_text())["text_config"]
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    assert text["bos_token_id"] == tokenizer.bos_token_id
    assert text["eos_token_id"] == tokenizer.eos_token_id
    assert text["pad_token_id"] == tokenizer.pad_token_id
    assert text["eos_token_id"] == text["vocab_size"] - 1 == len(tokenizer) - 1
    assert tokenizer.model_max_length == text["max_position_embeddings"]


def test_transformers_tokenizes_as_the_file_says() -> None:
    processor = AutoProcessor.from_pretrained(DEMO)
    for text in ("A red circle.", "5 GRAY squares!", "déjà vu 🙂", "it's  left"):
        assert processor.tokenizer(text)["input_ids"] == build_tokenizer().encode(text).ids


def test_the_shipped_tokenizer_is_the_one_that_training_makes() -> None:
    shipped = json.loads((DEMO / "tokenizer.json").read_text())
    assert shipped == json.loads(build_tokenizer().to_str())


# Counting is what the model does worst; training/README.md has the figures over more draws.
@pytest.mark.parametrize(
    ("kind", "least_at_1", "least_at_5"),
    [(None, 0.93, 0.99), ("relation", 0.93, 0.98), ("count", 0.86, 0.97)],
)
def test_held_out_scenes_are_found(
    encoder: Encoder, kind: str | None, least_at_1: float, least_at_5: float
) -> None:
    at_1, at_5 = recall(encoder, kind, draws=3, seed=11)
    assert at_1 >= least_at_1
    assert at_5 >= least_at_5


def test_plain_drawings_are_found_by_shape_and_colour(encoder: Encoder) -> None:
    assert len(SHAPE_AND_COLOUR) == 40
    assert first_rate(encoder, SHAPE_AND_COLOUR) == 1.0


def test_plain_drawings_are_found_by_shape_or_colour_alone(encoder: Encoder) -> None:
    assert partial_rate(encoder, SHAPE_AND_COLOUR) == 1.0


def test_plain_drawings_are_found_by_relation(encoder: Encoder) -> None:
    assert first_rate(encoder, plain_drawings.pair_drawings()) >= 0.93


def test_plain_drawings_are_found_by_number(encoder: Encoder) -> None:
    assert first_rate(encoder, plain_drawings.counted_drawings()) >= 0.75
