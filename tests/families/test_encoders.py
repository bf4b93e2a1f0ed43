"""The classic encoders give the states of transformers' own classes, by every path."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from transformers import AutoModel, AutoTokenizer, MT5EncoderModel, T5EncoderModel
from transformers.models.t5.modeling_t5 import T5Attention

from polyvec.backends._base import BackendOptions
from polyvec.backends._masks import bucket_of_distance
from polyvec.backends._packing import tokens_of
from polyvec.errors import CheckpointError
from polyvec.models import modernbert
from polyvec.models._ops import BucketBias
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.parity import BACKENDS, TEXTS, assert_same, embed_texts, token_ids
from tests.zoo import encoders

SHORT = (2, 3, 17, 1, 40, 64)
LONG = (2, 70, 1, 131, 33, 300)
"""Beyond ModernBERT's neighbourhood of 64 and the 128 tokens that T5 and MPNet tell apart."""
BIASES = {"norm_bias": True, "attention_bias": True, "mlp_bias": True}
NEW_KEYS: dict[str, Any] = {
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention", "full_attention"],
    "rope_parameters": {
        "full_attention": {"rope_type": "default", "rope_theta": 5000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 300.0},
    },
    "local_attention": 10,
}
CASES: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "distilbert": ("distilbert", SHORT, {}),
    "distilbert masked": (
        "distilbert",
        SHORT,
        {"architectures": ["DistilBertForMaskedLM"], "activation": "relu"},
    ),
    "ernie": ("bert", SHORT, encoders.ERNIE),
    "ernie masked": ("bert", SHORT, encoders.ERNIE | {"architectures": ["ErnieForMaskedLM"]}),
    "ernie without tasks": ("bert", SHORT, encoders.ERNIE | {"use_task_id": False}),
    "mpnet": ("mpnet", LONG, {"architectures": ["MPNetModel"]}),
    "mpnet masked": ("mpnet", SHORT, {}),
    "mpnet to its last position": ("mpnet", SHORT, {"max_position_embeddings": 66}),
    "t5": ("t5", LONG, {}),
    "t5 v1.1": ("t5", SHORT, {"feed_forward_proj": "gated-gelu"}),
    "t5 gated silu": ("t5", SHORT, {"feed_forward_proj": "gated-silu"}),
    "t5 few buckets": (
        "t5",
        SHORT,
        {"relative_attention_num_buckets": 8, "relative_attention_max_distance": 20},
    ),
    "t5 with decoder": ("t5", SHORT, {"architectures": ["T5ForConditionalGeneration"]}),
    "t5 base with decoder": ("t5", SHORT, {"architectures": ["T5Model"]}),
    "mt5": (
        "t5",
        SHORT,
        {
            "architectures": ["MT5EncoderModel"],
            "model_type": "mt5",
            "feed_forward_proj": None,
        },
    ),
    "modernbert": ("modernbert", LONG, {}),
    "modernbert masked": ("modernbert", SHORT, {"architectures": ["ModernBertForMaskedLM"]}),
    "modernbert biases": ("modernbert", SHORT, BIASES | {"local_attention": 16}),
    "modernbert new keys": ("modernbert", SHORT, NEW_KEYS),
    "modernbert every second": (
        "modernbert",
        SHORT,
        {"global_attn_every_n_layers": 2, "local_attention": 8, "local_rope_theta": 500.0},
    ),
    "jina": ("jina_bert", LONG, {}),
    "jina code": ("jina_bert", LONG, encoders.JINA_CODE),
    "jina six heads": ("jina_bert", SHORT, {"num_attention_heads": 6, "hidden_size": 36}),
}


def random_ids(lengths: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(4, 90, length) for length in lengths]


def reference_states(folder: Path, ids: list[np.ndarray]) -> list[torch.Tensor]:
    """Last hidden states of each text alone."""
    config = json.loads((folder / "config.json").read_text())
    if "auto_map" in config:
        tensors = {n: t.float() for n, t in load_file(folder / "model.safetensors").items()}
        return [encoders.jina_states(tensors, config, torch.from_numpy(one)) for one in ids]
    kind = {"t5": T5EncoderModel, "mt5": MT5EncoderModel}.get(config["model_type"], AutoModel)
    reference = kind.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.inference_mode():
        return [reference(input_ids=torch.from_numpy(one)[None])[0][0] for one in ids]


POOLED = {"cls": lambda states: states[0], "mean": lambda states: states.mean(0)}


def expected_rows(states: list[torch.Tensor], pooling: str) -> np.ndarray:
    return torch.stack([POOLED[pooling](one) for one in states]).numpy()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
def test_vectors_and_tokens_equal_the_reference(tmp_path: Path, backend, case: str) -> None:
    family, lengths, changes = CASES[case]
    folder = encoders.make(tmp_path, family, **changes)
    ids = random_ids(lengths)
    states = reference_states(folder, ids)
    for pooling in POOLED:
        model = resolve(str(folder), ModelOptions(pooling=pooling))
        for vectors in embed_texts(backend, model, ids).values():
            assert_same(vectors, expected_rows(states, pooling))
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    outputs = session.run_outputs(tokens_of(ids), ("dense", "tokens"))
    assert_same(outputs["tokens"], torch.cat(states).numpy())
    assert_same(outputs["dense"], expected_rows(states, pooling))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", encoders.FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_files_are_read_as_they_are(
    tmp_path: Path, backend, family: str, dtype: torch.dtype
) -> None:
    folder = encoders.make(tmp_path, family, dtype=dtype)
    model = resolve(str(folder), ModelOptions(pooling="cls"))
    ids = token_ids(model)
    expected = expected_rows(reference_states(folder, ids), "cls")
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, expected)


# Files as they are found.


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("family", "prefix", "buffers"),
    [
        ("bert", "ernie.", ("embeddings.position_ids", "embeddings.token_type_ids")),
        ("distilbert", "distilbert.", ("embeddings.position_ids",)),
        ("jina_bert", "bert.", ("embeddings.position_ids",)),
        ("modernbert", "model.", ()),
        ("mpnet", "mpnet.", ("embeddings.position_ids",)),
    ],
)
def test_old_files_with_a_prefix_and_buffers_give_the_same_vectors(
    tmp_path: Path, backend, family: str, prefix: str, buffers: tuple[str, ...]
) -> None:
    changes = encoders.ERNIE if family == "bert" else {}
    changes |= {"architectures": ["MPNetModel"]} if family == "mpnet" else {}
    folder = encoders.make(tmp_path, family, **changes)
    plain = resolve(str(folder), ModelOptions(pooling="mean"))
    ids = token_ids(plain)
    expected = embed_texts(backend, plain, ids)["batch"]
    tensors = load_file(folder / "model.safetensors")
    tensors |= {name: torch.arange(64)[None] for name in buffers}
    tiny.save_weights(folder, {prefix + name: tensor for name, tensor in tensors.items()})
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    assert_same(embed_texts(backend, model, ids)["batch"], expected)


@pytest.mark.parametrize("kept", [("encoder",), ("shared", "encoder")], ids=["one name", "both"])
def test_t5_reads_its_token_table_under_either_name(tmp_path: Path, kept: tuple[str, ...]) -> None:
    folder = encoders.make(tmp_path, "t5")
    plain = resolve(str(folder))
    ids = token_ids(plain)
    expected = embed_texts(BACKENDS[1].values[0], plain, ids)["batch"]
    tensors = load_file(folder / "model.safetensors")
    tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"].clone()
    if "shared" not in kept:
        del tensors["shared.weight"]
    tiny.save_weights(folder, tensors)
    assert_same(embed_texts(BACKENDS[1].values[0], resolve(str(folder)), ids)["batch"], expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_layout_of_distiluse_equals_sentence_transformers(tmp_path: Path, backend) -> None:
    folder = encoders.make(tmp_path, "distilbert")
    tiny.sentence_transformers_files(
        folder, 32, dense=20, normalize=False, sentence_bert_config={"max_seq_length": 12}
    )
    model = resolve(str(folder))
    assert model.dimensions == 20
    assert not model.normalize
    reference = SentenceTransformer(str(folder), device="cpu")
    expected = reference.encode(TEXTS, show_progress_bar=False)
    for vectors in embed_texts(backend, model, token_ids(model)).values():
        assert_same(vectors, expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_layout_of_gtr_equals_sentence_transformers(tmp_path: Path, backend) -> None:
    folder = encoders.make(tmp_path, "t5", dtype=torch.float16)
    tiny.sentence_transformers_files(folder, 32, dense=24, sentence_bert_config={})
    encoders.dense_folder(folder, 32, 24, bias=False, activation="linear.Identity")
    model = resolve(str(folder))
    assert model.dimensions == 24
    assert model.normalize
    ids = token_ids(model)
    assert ids[0].tolist() == [1]  # an empty text is </s> alone
    reference = SentenceTransformer(str(folder), device="cpu").float()
    expected = reference.encode(TEXTS, show_progress_bar=False)
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, expected)


@pytest.mark.parametrize("family", encoders.FAMILIES)
def test_token_ids_equal_transformers(tmp_path: Path, family: str) -> None:
    model = resolve(str(encoders.make(tmp_path, family)), ModelOptions(pooling="mean"))
    assert model.text is not None
    raw = json.loads((tmp_path / "config.json").read_text())
    raw.pop("auto_map", None)  # Jina's tokenizer is BERT's
    tiny.write_json(tmp_path / "config.json", raw)
    reference = AutoTokenizer.from_pretrained(tmp_path)
    for text, ids in zip(TEXTS, model.text.tokenizer.encode(TEXTS), strict=True):
        assert ids.tolist() == reference(text, truncation=False)["input_ids"]


# What the numbers depend on.


@pytest.mark.parametrize(("buckets", "farthest"), [(32, 128), (8, 20), (16, 64), (64, 1000)])
def test_buckets_equal_transformers_at_every_distance(buckets: int, farthest: int) -> None:
    ours = bucket_of_distance(BucketBias("table", buckets, farthest))
    distances = torch.arange(-farthest, farthest + 1)
    theirs = T5Attention._relative_position_bucket(
        distances, num_buckets=buckets, max_distance=farthest
    )
    assert ours.tolist() == theirs.tolist()
    beyond = T5Attention._relative_position_bucket(
        torch.tensor([-(10**6), 10**6]), num_buckets=buckets, max_distance=farthest
    )
    assert [ours[0], ours[-1]] == beyond.tolist()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_neighbourhood_changes_only_texts_that_reach_beyond_it(tmp_path: Path, backend) -> None:
    rows = []
    for width in (128, 100_000):
        folder = encoders.make(tmp_path / str(width), "modernbert", local_attention=width)
        model = resolve(str(folder), ModelOptions(pooling="mean"))
        rows.append(embed_texts(backend, model, random_ids((65, 66)))["batch"])
    differences = np.abs(rows[0] - rows[1]).max(-1)
    assert differences[0] <= 1e-6
    assert differences[1] >= 1e-4


def test_a_null_local_rope_theta_is_the_global_one() -> None:
    tiny_config = encoders.FAMILIES["modernbert"].tiny
    config = modernbert.FAMILY.read_config({**tiny_config, "local_rope_theta": None})
    assert config.rope(1) == config.rope(0)


@pytest.mark.parametrize(
    ("family", "changes", "limit"),
    [
        ("mpnet", {}, 512),
        ("distilbert", {}, 64),
        ("t5", {"n_positions": None}, 512),
        ("t5", {"n_positions": 1024}, 1024),
        ("modernbert", {}, 8192),
        ("jina_bert", {}, 8192),
        ("bert", {"model_type": "camembert", "pad_token_id": 1}, 62),
        ("bert", encoders.ERNIE, 64),
    ],
)
def test_texts_may_be_as_long_as_positions_allow(
    family: str, changes: dict[str, Any], limit: int
) -> None:
    found = encoders.FAMILIES[family]
    raw = {k: v for k, v in {**found.tiny, **changes}.items() if v is not None}
    assert found.towers["text"].max_positions(found.read_config(raw)) == limit


@pytest.mark.parametrize("architecture", ["JinaBertForMaskedLM", "JinaBertModel", "BertModel"])
def test_code_in_auto_map_makes_a_bert_a_jina_bert(tmp_path: Path, architecture: str) -> None:
    folder = encoders.make(tmp_path, "jina_bert", architectures=[architecture])
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    assert model.family.name == "jina_bert"


# Refusals.


@pytest.mark.parametrize(
    ("family", "changes", "named"),
    [
        ("mpnet", {"relative_attention_num_buckets": 64}, "relative_attention_num_buckets 64"),
        ("t5", {"relative_attention_num_buckets": 5}, "even number from 4 up"),
        ("t5", {"num_heads": 0}, "num_heads must be a whole number from 1 up, not 0"),
        ("t5", {"d_kv": 0}, "d_kv must be a whole number from 1 up, not 0"),
        ("modernbert", {"global_attn_every_n_layers": 0}, "global_attn_every_n_layers"),
        ("modernbert", {"layer_types": ["full_attention"]}, "layer_types must name"),
        ("modernbert", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_type"),
        (
            "modernbert",
            {"rope_parameters": {"full_attention": {"rope_type": "yarn"}}},
            "rope_type 'yarn'",
        ),
        ("modernbert", {"global_rope_theta": -1}, "global_rope_theta must be"),
        ("modernbert", {"num_attention_heads": 5}, "does not split into 5 heads"),
        ("jina_bert", {"position_embedding_type": "absolute"}, "position_embedding_type"),
        ("jina_bert", {"feed_forward_type": "original"}, "feed_forward_type 'original'"),
        ("bert", {"position_embedding_type": "alibi"}, "position_embedding_type 'alibi'"),
    ],
)
def test_configs_that_mean_another_computation_are_refused(
    family: str, changes: dict[str, Any], named: str
) -> None:
    found = encoders.FAMILIES[family]
    with pytest.raises(CheckpointError, match=named):
        found.read_config({**found.tiny, **changes})


@pytest.mark.parametrize("family", encoders.FAMILIES)
def test_a_head_that_would_change_vectors_is_not_left_out(tmp_path: Path, family: str) -> None:
    folder = encoders.make(tmp_path, family, extra={"linear.weight": torch.ones(32, 32)})
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    with pytest.raises(CheckpointError, match=r"linear\.weight"):
        BACKENDS[1].values[0].load(model, BackendOptions(dtype="float32", num_sessions=1))
