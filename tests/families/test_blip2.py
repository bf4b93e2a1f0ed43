"""BLIP-2 scores pictures and texts as transformers does, and has the vectors behind the scores."""

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from transformers import Blip2ForImageTextRetrieval

from polyvec.backends._base import BackendOptions, ImageBatch
from polyvec.backends._packing import tokens_of
from polyvec.backends.openvino import BACKEND
from polyvec.engine.engine import Engine
from polyvec.engine.options import EngineOptions
from polyvec.engine.self_test import run_checks
from polyvec.errors import CheckpointError, ConfigError, UnsupportedInputError
from polyvec.media.policy import MediaPolicy
from polyvec.models._resolve import ModelOptions, resolve
from polyvec.types import Bytes, EmbedRequest, Image, Input, Text
from tests import tiny
from tests.engine.doubles import InProcess
from tests.parity import BACKENDS, assert_same, embed_texts, token_ids, unit
from tests.zoo import blip2 as zoo


def reference_of(folder: Path) -> Blip2ForImageTextRetrieval:
    return Blip2ForImageTextRetrieval.from_pretrained(folder, dtype=torch.float32).eval()


def padded(ids: list[np.ndarray]) -> dict[str, torch.Tensor]:
    width = max(map(len, ids))
    rows = np.stack([np.pad(one, (0, width - len(one))) for one in ids])
    mask = np.stack([np.arange(width) < len(one) for one in ids])
    return {
        "input_ids": torch.from_numpy(rows),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)),
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_texts_equal_transformers(tmp_path: Path, backend) -> None:
    folder = zoo.make_blip2(tmp_path)
    model = resolve(str(folder))
    ids = token_ids(model)
    pixels = torch.zeros(1, 3, 32, 32)
    with torch.inference_mode():
        found = reference_of(folder)(pixel_values=pixels, **padded(ids))
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, found.text_embeds.numpy())


@pytest.mark.parametrize("backend", BACKENDS)
def test_pictures_have_the_references_query_vectors_and_their_mean(tmp_path: Path, backend) -> None:
    from transformers import BlipImageProcessorPil

    folder = zoo.make_blip2(tmp_path)
    model = resolve(str(folder))
    assert model.image is not None
    assert model.image_outputs == ("dense", "tokens")
    pictures = [tiny.picture(*shape, 1) for shape in ((40, 60), (32, 32), (90, 7), (1, 50))]
    processor = BlipImageProcessorPil.from_pretrained(folder)
    pixels = processor([PIL.Image.fromarray(p) for p in pictures], return_tensors="pt")[
        "pixel_values"
    ]
    reference = reference_of(folder)
    projected = []
    reference.vision_projection.register_forward_hook(lambda *found: projected.append(found[2]))
    ids = token_ids(model)
    with torch.inference_mode():
        found = reference(pixel_values=pixels, **padded(ids))
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    ours = np.stack([model.image.transform(p) for p in pictures])
    np.testing.assert_allclose(ours, pixels.numpy(), atol=1e-6)
    made = session.run_outputs(ImageBatch(ours), ("dense", "tokens"))
    assert_same(made["tokens"], found.image_embeds.numpy())
    assert_same(made["dense"], projected[0].mean(1).numpy())
    assert_same(session.run("image", ImageBatch(ours)), made["dense"])
    back = session.run_outputs(ImageBatch(ours[::-1].copy()), ("tokens",))
    assert_same(back["tokens"][::-1], made["tokens"])
    for index in range(len(ours)):
        alone = session.run_outputs(ImageBatch(ours[index : index + 1]), ("tokens",))
        assert_same(alone["tokens"][0], made["tokens"][index])
    texts = unit(session.run("text", tokens_of(ids)))
    scores = (unit(made["tokens"]) @ texts.T).max(1)
    np.testing.assert_allclose(scores, found.logits_per_image.numpy(), atol=1e-5)


async def started(folder: Path) -> Engine:
    model = resolve(str(folder))
    runner = BACKEND.load(model, BackendOptions(dtype="float32", num_sessions=1))
    checks = run_checks(model, runner)
    assert checks["check: attention"].value == "bidirectional"
    engine = Engine(model, runner, EngineOptions(), MediaPolicy(), InProcess())
    await engine.start()
    return engine


def png(seed: int) -> Image:
    file = io.BytesIO()
    PIL.Image.fromarray(tiny.picture(30, 40, seed)).save(file, "PNG")
    return Image(Bytes(file.getvalue()))


async def test_a_request_gets_the_vectors_whose_largest_product_is_the_references_score(
    tmp_path: Path,
) -> None:
    folder = zoo.make_blip2(tmp_path)
    engine = await started(folder)
    pictures = [png(1), png(2), png(1)]
    try:
        both = EmbedRequest(
            None,
            tuple(Input((part,)) for part in (*pictures, Text("the cat"))),
            outputs=("dense", "tokens"),
        )
        *found, text = await engine.embed(both)
        plain = await engine.embed(EmbedRequest(None, (Input((png(2),)),)))
        for outputs in (("sparse",), ("dense", "score")):
            with pytest.raises(UnsupportedInputError, match="of pictures; it gives dense, tokens"):
                await engine.embed(EmbedRequest(None, (Input((png(1),)),), outputs=outputs))
    finally:
        await engine.close()
    model = resolve(str(folder))
    assert model.text is not None
    assert model.image is not None
    pixels = np.stack([model.image.transform(tiny.picture(30, 40, seed)) for seed in (1, 2, 1)])
    with torch.inference_mode():
        expected = reference_of(folder)(
            pixel_values=torch.from_numpy(pixels),
            **padded(model.text.tokenizer.encode(["the cat"])),
        )
    tokens = np.stack([each.token_vectors for each in found])
    np.testing.assert_allclose(tokens, expected.image_embeds.numpy(), atol=1e-5)
    scores = (tokens @ text.vector).max(1)
    np.testing.assert_allclose(scores, expected.logits_per_image[:, 0].numpy(), atol=1e-5)
    np.testing.assert_allclose(found[1].vector, plain[0].vector, atol=1e-6)
    assert plain[0].token_vectors is None
    assert (text.num_tokens, found[0].num_tokens) == (4, 0)


def test_text_limit_is_that_of_the_files_unless_a_flag_lowers_it(tmp_path: Path) -> None:
    folder = str(zoo.make_blip2(tmp_path))
    text = resolve(folder).text
    lower = resolve(folder, ModelOptions(max_input_tokens=32)).text
    assert text is not None
    assert lower is not None
    assert (text.max_input_tokens, lower.max_input_tokens) == (40, 32)


def test_tokens_beyond_the_models_vocabulary_are_no_words_of_it(tmp_path: Path) -> None:
    model = resolve(str(zoo.make_blip2(tmp_path)))
    assert model.text is not None
    (ids,) = model.text.tokenizer.encode(["the <image> cat"])
    assert ids.max() < zoo.blip2.FAMILY.tiny["qformer_config"]["vocab_size"]


def test_pooling_is_not_a_choice(tmp_path: Path) -> None:
    folder = str(zoo.make_blip2(tmp_path))
    with pytest.raises(ConfigError, match="pools in its own way"):
        resolve(folder, ModelOptions(pooling="mean"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_querying_transformer_without_text_is_refused(tmp_path: Path, backend) -> None:
    config = zoo.blip2.FAMILY.tiny
    qformer = config["qformer_config"] | {"use_qformer_text_input": False}
    model = resolve(str(zoo.make_blip2(tmp_path, qformer_config=qformer)))
    with pytest.raises(CheckpointError, match=r"lack 'qformer.encoder.layer.0.intermediate"):
        backend.load(model, BackendOptions(dtype="float32", num_sessions=1))
