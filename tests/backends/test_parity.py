"""Every family on every lowering of `ops` gives the vectors of the reference implementation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoTokenizer, CLIPModel

from polyvec.backends import openvino as openvino_backend
from polyvec.backends._base import BackendOptions, ImageBatch
from polyvec.backends._packing import tokens_of
from polyvec.errors import CheckpointError
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.parity import BACKENDS, TEXTS, assert_same, embed_texts, token_ids, unit

POOLINGS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "cls": lambda states: states[0],
    "mean": lambda states: states.mean(0),
    "max": lambda states: states.amax(0),
    "last": lambda states: states[-1],
    "mean_sqrt_len": lambda states: states.sum(0) / len(states) ** 0.5,
    "weightedmean": lambda states: (
        (states * torch.arange(1, len(states) + 1)[:, None]).sum(0) / sum(range(1, len(states) + 1))
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("architecture", ["BertModel", "XLMRobertaModel"])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_text_encoders_equal_transformers_alone_and_in_any_batch(
    tmp_path: Path, backend, architecture: str, pooling: str
) -> None:
    folder = tiny.make_bert(tmp_path, architecture=architecture)
    model = resolve(str(folder), ModelOptions(pooling=pooling))
    reference = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = token_ids(model)
    with torch.inference_mode():
        states = [reference(input_ids=torch.from_numpy(one)[None])[0][0] for one in ids]
    expected = torch.stack([POOLINGS[pooling](one) for one in states]).numpy()
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, expected)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("legacy", [True, False], ids=["eos id 2", "eos id 199"])
def test_clip_texts_equal_transformers(tmp_path: Path, backend, *, legacy: bool) -> None:
    text_config = tiny.clip.FAMILY.tiny["text_config"] | ({"eos_token_id": 2} if legacy else {})
    folder = tiny.make_clip(tmp_path, text_config=text_config)
    model = resolve(str(folder))
    reference = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = token_ids(model)
    with torch.inference_mode():
        expected = torch.cat(
            [reference.get_text_features(torch.from_numpy(one)[None]).pooler_output for one in ids]
        ).numpy()
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_clip_images_equal_transformers(tmp_path: Path, backend) -> None:
    from transformers import CLIPImageProcessorPil

    folder = tiny.make_clip(tmp_path)
    model = resolve(str(folder))
    assert model.image is not None
    pictures = [tiny.picture(40, 60, 1), tiny.picture(32, 32, 2), tiny.picture(90, 33, 3)]
    reference = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval()
    processor = CLIPImageProcessorPil.from_pretrained(folder)
    pixels = processor([Image.fromarray(p) for p in pictures], return_tensors="pt")
    with torch.inference_mode():
        expected = reference.get_image_features(pixels["pixel_values"]).pooler_output.numpy()
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    ours = np.stack([model.image.transform(p) for p in pictures])
    assert_same(session.run("image", ImageBatch(ours)), expected)
    alone = np.concatenate([session.run("image", ImageBatch(one[None])) for one in ours])
    assert_same(alone, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_dense_modules_and_half_precision_shards_equal_sentence_transformers(
    tmp_path: Path, backend
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = tiny.make_bert(tmp_path, dtype=torch.float16, shards=3)
    tiny.sentence_transformers_files(folder, 32, pooling="mean", dense=12)
    model = resolve(str(folder))
    reference = SentenceTransformer(str(folder), device="cpu").float()
    for vectors in embed_texts(backend, model, token_ids(model)).values():
        assert_same(vectors, reference.encode(TEXTS, show_progress_bar=False))


@pytest.mark.parametrize("backend", BACKENDS)
def test_bfloat16_weights_are_read_as_they_are(tmp_path: Path, backend) -> None:
    folder = tiny.make_bert(tmp_path, dtype=torch.bfloat16)
    model = resolve(str(folder), ModelOptions(pooling="cls"))
    reference = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = token_ids(model)
    with torch.inference_mode():
        states = [reference(input_ids=torch.from_numpy(one)[None])[0][0, 0] for one in ids]
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, torch.stack(states).numpy())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_lower_precision_stays_close_to_float32(tmp_path: Path, backend, dtype: str) -> None:
    model = resolve(str(tiny.make_bert(tmp_path)), ModelOptions(pooling="mean"))
    ids = token_ids(model)
    exact = embed_texts(backend, model, ids)["batch"]
    runner = backend.load(
        resolve(str(tmp_path), ModelOptions(pooling="mean")), BackendOptions(dtype=dtype)
    )
    assert runner.dtype in (dtype, "float32")
    close = runner.session().run("text", tokens_of(ids))
    assert (unit(close) * unit(exact)).sum(-1).min() >= 0.9999


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_a_poisoned_text_leaves_its_neighbours_as_they_are(
    tmp_path: Path, backend, pooling: str
) -> None:
    folder = tiny.make_bert(tmp_path)
    poisoned = 40
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    tensors["embeddings.word_embeddings.weight"][poisoned] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model = resolve(str(folder), ModelOptions(pooling=pooling))
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    healthy = [np.array([2, 10, 11, 3]), np.array([2, 12, 3])]
    bad = np.array([2, poisoned, 13, 14, 15, 16, 17, 3])
    expected = np.concatenate([session.run("text", tokens_of([one])) for one in healthy])
    for order in ([bad, *healthy], [healthy[0], bad, healthy[1]], [*healthy, bad]):
        rows = session.run("text", tokens_of(order))
        at = next(i for i, one in enumerate(order) if one is bad)
        assert not np.isfinite(rows[at]).all()
        np.testing.assert_allclose(np.delete(rows, at, 0), expected, atol=1e-6)


def test_genuine_minilm_equals_sentence_transformers(minilm: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = resolve(str(minilm))
    texts = ["That is a happy person", "", "naïve café ☕", "word " * 400, *TEXTS]
    reference = SentenceTransformer(str(minilm), device="cpu").encode(
        texts, show_progress_bar=False
    )
    text = model.text
    assert text is not None
    ids = [
        text.tokenizer.truncate(i, text.max_input_tokens, "end")
        for i in text.tokenizer.encode(texts)
    ]
    for vectors in embed_texts(openvino_backend.BACKEND, model, ids).values():
        assert_same(vectors, reference)


def test_genuine_minilm_gives_its_published_numbers(minilm: Path) -> None:
    model = resolve(str(minilm))
    assert model.text is not None
    ids = model.text.tokenizer.encode(["That is a happy person"])
    vector = unit(embed_texts(openvino_backend.BACKEND, model, ids)["alone"])[0]
    np.testing.assert_allclose(vector[:4], [-0.03388, 0.09194, 0.04870, -0.03488], atol=2e-5)


def test_tokenizer_ids_equal_transformers(tmp_path: Path) -> None:
    for architecture in ("BertModel", "XLMRobertaModel"):
        folder = tiny.make_bert(tmp_path / architecture, architecture=architecture)
        model = resolve(str(folder), ModelOptions(pooling="mean"))
        assert model.text is not None
        reference = AutoTokenizer.from_pretrained(folder)
        for text, ids in zip(TEXTS, model.text.tokenizer.encode(TEXTS), strict=True):
            assert ids.tolist() == reference(text, truncation=False)["input_ids"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"vocab_size": 500}, "word_embeddings has 200 rows and should have 500"),
        ({"max_position_embeddings": 128}, "position_embeddings has 64 rows and should have 128"),
        ({"hidden_size": 64}, "vectors of 32 numbers, the files say 64"),
    ],
)
def test_weights_smaller_than_the_config_says_refuse_to_load(
    tmp_path: Path, backend, change: dict[str, int], named: str
) -> None:
    folder = tiny.make_bert(tmp_path)
    tiny.write_json(folder / "config.json", {**tiny.bert.FAMILY.tiny, **change})
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    with pytest.raises(CheckpointError, match=named):
        backend.load(model, BackendOptions(dtype="float32", num_sessions=1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_weights_of_whole_numbers_refuse_to_load(tmp_path: Path, backend) -> None:
    from safetensors.torch import load_file

    folder = tiny.make_bert(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("intermediate.dense.weight"))
    tensors[name] = tensors[name].to(torch.int8)
    tiny.save_weights(folder, tensors)
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    with pytest.raises(CheckpointError, match="has dtype I8; quantised checkpoints"):
        backend.load(model, BackendOptions(dtype="float32", num_sessions=1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_tensorflow_names_of_norms_are_read(tmp_path: Path, backend) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny.make_bert(tmp_path)
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    expected = embed_texts(backend, model, token_ids(model))["batch"]
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        ending = next((new for new in old if name.endswith(new)), None)
        renamed = name if ending is None else name.removesuffix(ending) + old[ending]
        tensors[f"bert.{renamed}"] = tensor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    assert_same(embed_texts(backend, model, token_ids(model))["batch"], expected)
