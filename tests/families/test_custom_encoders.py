"""GTE, NomicBERT and jina-embeddings-v3 give the vectors of the reference implementations."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (torch's own convention)
from safetensors.torch import load_file, save_file
from transformers import AutoModel, GteForSequenceClassification

from polyvec.backends._base import BackendOptions, TokenBatch
from polyvec.backends._packing import tokens_of
from polyvec.errors import CheckpointError
from polyvec.models import jina_v3, nomic_bert
from polyvec.models._registry import claimant
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.parity import BACKENDS, assert_same, embed_texts, token_ids
from tests.zoo import custom_encoders as zoo

Tensors = dict[str, torch.Tensor]
Forward = Callable[[torch.Tensor], torch.Tensor]
POOLINGS = {"cls": lambda states: states[0], "mean": lambda states: states.mean(0)}
GTE_LAYOUTS = {
    "gte-base-en-v1.5": {},
    "gte-large-en-v1.5": {
        "type_vocab_size": 2,
        "rope_theta": 160000,
        "rope_scaling": {"type": "ntk", "factor": 2.0},
    },
    "gte-multilingual-base": {
        "architectures": ["NewForTokenClassification"],
        "prefix": "new.",
        "type_vocab_size": 1,
        "rope_theta": 20000,
        "rope_scaling": {"type": "ntk", "factor": 8.0},
        "id2label": {"0": "LABEL_0"},
    },
}


def expected_vectors(forward: Forward, ids: list[np.ndarray], pooling: str) -> np.ndarray:
    with torch.inference_mode():
        rows = [POOLINGS[pooling](forward(torch.from_numpy(one))) for one in ids]
    return torch.stack(rows).numpy()


def check_parity(backend, folder: Path, forward: Forward, pooling: str) -> None:
    model = resolve(str(folder), ModelOptions(pooling=pooling))
    ids = token_ids(model)
    expected = expected_vectors(forward, ids, pooling)
    for vectors in embed_texts(backend, model, ids).values():
        assert_same(vectors, expected)


# Oracles, each written from the published description alone.


def rotated(x: torch.Tensor, frequencies: torch.Tensor) -> torch.Tensor:
    """(L, heads, width), number i with number i + width / 2."""
    angles = torch.arange(len(x))[:, None] * frequencies
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def attended(
    x: torch.Tensor, w: Tensors, fused: str, out: str, frequencies: torch.Tensor
) -> torch.Tensor:
    """Bidirectional attention with a fused projection."""
    heads = 4
    qkv = F.linear(x, w[f"{fused}.weight"], w.get(f"{fused}.bias"))
    q, k, v = (part.unflatten(-1, (heads, -1)) for part in qkv.chunk(3, -1))
    q, k = rotated(q, frequencies), rotated(k, frequencies)
    shares = torch.softmax(torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5, -1)
    mixed = torch.einsum("hqk,khd->qhd", shares, v).flatten(1)
    return F.linear(mixed, w[f"{out}.weight"], w.get(f"{out}.bias"))


def norm(x: torch.Tensor, w: Tensors, name: str, eps: float) -> torch.Tensor:
    if f"{name}.bias" not in w:
        return x * (x.square().mean(-1, keepdim=True) + eps).rsqrt() * w[f"{name}.weight"]
    return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)


def frequencies(theta: float, width: int) -> torch.Tensor:
    return theta ** (-torch.arange(0, width, 2) / width)


def gte_forward(folder: Path) -> Forward:
    """GTE as its authors' code computes it."""
    config = json.loads((folder / "config.json").read_text())
    w = {k.removeprefix("new."): v for k, v in load_file(folder / "model.safetensors").items()}
    theta, factor = config["rope_theta"], (config["rope_scaling"] or {}).get("factor", 1.0)
    turns = frequencies(theta * factor, 8) / factor ** (2 / 8)
    inner = config["intermediate_size"]

    def forward(ids: torch.Tensor) -> torch.Tensor:
        x = w["embeddings.word_embeddings.weight"][ids]
        if config["type_vocab_size"]:
            x = x + w["embeddings.token_type_embeddings.weight"][0]
        x = norm(x, w, "embeddings.LayerNorm", 1e-12)
        for i in range(config["num_hidden_layers"]):
            name = f"encoder.layer.{i}"
            fused, out = f"{name}.attention.qkv_proj", f"{name}.attention.o_proj"
            x = norm(x + attended(x, w, fused, out, turns), w, f"{name}.attn_ln", 1e-12)
            up, gate = (x @ w[f"{name}.mlp.up_gate_proj.weight"].T).split(inner, -1)
            down = w[f"{name}.mlp.down_proj.weight"], w[f"{name}.mlp.down_proj.bias"]
            x = norm(x + F.linear(F.gelu(gate) * up, *down), w, f"{name}.mlp_ln", 1e-12)
        return x

    return forward


def mixture(x: torch.Tensor, w: Tensors, name: str, top_k: int) -> torch.Tensor:
    """Nomic's experts, token by token; the bias is added once."""
    count = len(w[f"{name}.router.layer.weight"])
    w1 = w[f"{name}.experts.mlp.w1"].unflatten(0, (count, -1))
    w2 = w[f"{name}.experts.mlp.w2"].unflatten(0, (count, -1))
    rows = []
    for token in x:
        shares = torch.softmax(w[f"{name}.router.layer.weight"] @ token, 0)
        best = shares.topk(top_k)
        parts = [
            share * (F.gelu(w1[expert] @ token) @ w2[expert])
            for share, expert in zip(best.values, best.indices, strict=True)
        ]
        rows.append(torch.stack(parts).sum(0) + w[f"{name}.experts.bias"])
    return torch.stack(rows)


def nomic_forward(folder: Path) -> Forward:
    """NomicBERT as its authors' code computes it, with experts or gated."""
    config = json.loads((folder / "config.json").read_text())
    w = load_file(folder / "model.safetensors")
    turns = frequencies(config["rotary_emb_base"], 8)

    def inner(x: torch.Tensor, name: str) -> torch.Tensor:
        if f"{name}.router.layer.weight" in w:
            return mixture(x, w, name, config["moe_top_k"])
        first = "fc11" if config["activation_function"] == "swiglu" else "fc1"
        up = F.linear(x, w[f"{name}.{first}.weight"], w.get(f"{name}.{first}.bias"))
        if first == "fc11":
            up = up * F.silu(F.linear(x, w[f"{name}.fc12.weight"], w.get(f"{name}.fc12.bias")))
        else:
            up = F.gelu(up)
        return F.linear(up, w[f"{name}.fc2.weight"], w.get(f"{name}.fc2.bias"))

    def forward(ids: torch.Tensor) -> torch.Tensor:
        eps = config["layer_norm_epsilon"]
        x = w["embeddings.word_embeddings.weight"][ids]
        x = norm(x + w["embeddings.token_type_embeddings.weight"][0], w, "emb_ln", eps)
        for i in range(config["n_layer"]):
            name = f"encoder.layers.{i}"
            mixed = attended(x, w, f"{name}.attn.Wqkv", f"{name}.attn.out_proj", turns)
            x = norm(x + mixed, w, f"{name}.norm1", eps)
            x = norm(x + inner(x, f"{name}.mlp"), w, f"{name}.norm2", eps)
        return x

    return forward


def native_forward(folder: Path) -> Forward:
    reference = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    return lambda ids: reference(input_ids=ids[None])[0][0]


# GTE.


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("layout", GTE_LAYOUTS)
def test_gte_equals_its_published_arithmetic(
    tmp_path: Path, backend, layout: str, pooling: str
) -> None:
    folder = zoo.make_gte(tmp_path, **GTE_LAYOUTS[layout])
    check_parity(backend, folder, gte_forward(folder), pooling)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_arctic_v2_equals_transformers(tmp_path: Path, backend, pooling: str) -> None:
    folder = zoo.make_gte(
        tmp_path,
        architectures=["GteModel"],
        model_type="gte",
        type_vocab_size=1,
        rope_theta=160000,
    )
    check_parity(backend, folder, native_forward(folder), pooling)


def test_ntk_scaling_equals_transformers_linear_scaling(tmp_path: Path) -> None:
    changes = {"rope_theta": 20000, "type_vocab_size": 1}
    published = {"rope_scaling": {"type": "ntk", "factor": 8.0}}
    ours = resolve(str(zoo.make_gte(tmp_path / "new", **changes, **published)))
    native = {
        "architectures": ["GteModel"],
        "model_type": "gte",
        "rope_scaling": None,
        "rope_parameters": {
            "rope_type": "linear",
            "rope_theta": 20000.0 * 8,
            "factor": 8.0 ** (2 / 8),
        },
    }
    folder = zoo.make_gte(tmp_path / "gte", **{**changes, **native})
    ids = token_ids(ours)
    expected = expected_vectors(native_forward(folder), ids, "cls")
    for backend in BACKENDS:
        assert_same(embed_texts(backend.values[0], ours, ids)["batch"], expected)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gte_multilingual_weighs_tokens_beside_the_dense_vector(tmp_path: Path, backend) -> None:
    folder = zoo.make_gte(tmp_path, **GTE_LAYOUTS["gte-multilingual-base"])
    model = resolve(str(folder))
    assert model.outputs == ("dense", "sparse", "tokens")
    ids = token_ids(model)
    w = load_file(folder / "model.safetensors")
    forward = gte_forward(folder)
    with torch.inference_mode():
        states = torch.cat([forward(torch.from_numpy(one)) for one in ids])
        expected = torch.relu(F.linear(states, w["classifier.weight"], w["classifier.bias"]))
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    weights = session.run_outputs(tokens_of(ids), ("dense", "sparse"))["sparse"]
    assert (expected > 0).any()
    np.testing.assert_allclose(weights, expected.numpy(), atol=1e-5)


def test_gte_multilingual_weighs_tokens_when_its_class_is_listed_second(tmp_path: Path) -> None:
    folder = zoo.make_gte(tmp_path, **GTE_LAYOUTS["gte-multilingual-base"])
    config = json.loads((folder / "config.json").read_text())
    for names in (["NewModel", "NewForTokenClassification"], ["NewModel"]):
        tiny.write_json(folder / "config.json", {**config, "architectures": names})
        assert ("sparse" in resolve(str(folder)).outputs) is (len(names) == 2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gte_reranker_equals_transformers(tmp_path: Path, backend) -> None:
    kept = {"type_vocab_size": 2, "id2label": {"0": "LABEL_0"}}
    names = {"architectures": ["NewForSequenceClassification"], "prefix": "new."}
    model = resolve(str(zoo.make_gte(tmp_path / "new", **names, **kept)))
    native = {"architectures": ["GteForSequenceClassification"], "model_type": "gte"}
    folder = zoo.make_gte(tmp_path / "gte", prefix="new.", **native, **kept)
    reference = GteForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    pairs = [([2, 9, 10, 3], [11, 3]), ([2, 7, 3], [8, 8, 12, 13, 3])]
    ids = [np.array(first + second) for first, second in pairs]
    segments = [np.array([0] * len(first) + [1] * len(second)) for first, second in pairs]
    with torch.inference_mode():
        expected = torch.cat(
            [
                reference(
                    input_ids=torch.from_numpy(one)[None],
                    token_type_ids=torch.from_numpy(two)[None],
                ).logits
                for one, two in zip(ids, segments, strict=True)
            ]
        )
    assert model.outputs[0] == "score"
    batch = replace(tokens_of(ids), segments=np.concatenate(segments))
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()
    np.testing.assert_allclose(session.run("text", batch), expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gte_with_rms_norm_equals_its_published_arithmetic(tmp_path: Path, backend) -> None:
    folder = zoo.make_gte(tmp_path, layer_norm_type="rms_norm")
    check_parity(backend, folder, gte_forward(folder), "cls")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "absolute"),
        ("layer_norm_type", "other"),
        ("logn_attention_scale", True),
        ("rope_scaling", {"type": "ntk", "factor": 2.0, "mixed_b": 0.5}),
    ],
)
def test_gte_refuses_what_it_does_not_compute(tmp_path: Path, key: str, value: object) -> None:
    folder = zoo.make_gte(tmp_path, **{key: value})
    with pytest.raises(CheckpointError, match="not supported"):
        resolve(str(folder))


# NomicBERT.


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_nomic_v1_equals_transformers(tmp_path: Path, backend, pooling: str) -> None:
    folder = zoo.make_nomic(tmp_path / "old")
    native = tmp_path / "native"
    native.mkdir()
    config = {
        "architectures": ["NomicBertModel"],
        "model_type": "nomic_bert",
        "vocab_size": 200,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "hidden_act": "silu",
        "max_position_embeddings": 64,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "rope_parameters": {"rope_theta": 1000.0, "rope_type": "default"},
    }
    tiny.write_json(native / "config.json", config)
    for file in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        (native / file).write_bytes((folder / file).read_bytes())
    reference = native_forward(native)
    check_parity(backend, folder, reference, pooling)
    check_parity(backend, native, reference, pooling)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_nomic_v2_equals_its_published_arithmetic(tmp_path: Path, backend, pooling: str) -> None:
    folder = zoo.make_nomic(tmp_path, **zoo.NOMIC_V2)
    check_parity(backend, folder, nomic_forward(folder), pooling)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nomic_with_biases_and_gates_equals_its_published_arithmetic(
    tmp_path: Path, backend
) -> None:
    folder = zoo.make_nomic(tmp_path, qkv_proj_bias=True, mlp_fc1_bias=True, mlp_fc2_bias=True)
    check_parity(backend, folder, nomic_forward(folder), "mean")


def test_nomic_cuts_where_its_positions_would_depend_on_the_batch() -> None:
    plain = nomic_bert.FAMILY.read_config(nomic_bert.FAMILY.tiny)
    scaled = {**nomic_bert.FAMILY.tiny, "rotary_scaling_factor": 2}
    assert plain.max_positions == 64
    assert nomic_bert.FAMILY.read_config(scaled).max_positions == 48


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("prenorm", True),
        ("use_rms_norm", True),
        ("causal", True),
        ("rotary_emb_fraction", 0.0),
        ("rotary_emb_scale_base", 512),
        ("moe_normalize_expert_weights", True),
        ("num_shared_experts", 1),
    ],
)
def test_nomic_refuses_what_it_does_not_compute(key: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=key):
        nomic_bert.FAMILY.read_config({**nomic_bert.FAMILY.tiny, key: value})


# jina-embeddings-v3.


def jina_forward(folder: Path, native: Path, task: int | None) -> Forward:
    """Transformers' own class on weights that one task's adapter was worked into."""
    zoo.make_jina_v3_native(native)
    config = json.loads((folder / "config.json").read_text())
    tensors = load_file(folder / "model.safetensors")
    scale = config["lora_alpha"] / config["lora_rank"]
    save_file(
        zoo.merged(tensors, task, scale), native / "model.safetensors", metadata={"format": "pt"}
    )
    return native_forward(native)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_adapter_of_jina_v3_equals_transformers(
    tmp_path: Path, backend, pooling: str
) -> None:
    folder = zoo.make_jina_v3(tmp_path / "published")
    model = resolve(str(folder), ModelOptions(pooling=pooling))
    assert model.adapters == tuple(zoo.TASKS)
    ids = token_ids(model)
    session = backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()

    def run(texts: list[np.ndarray], adapter: int | None) -> np.ndarray:
        batch: TokenBatch = replace(tokens_of(texts), adapter=adapter)
        return session.run("text", batch)

    seen = []
    for adapter in (None, *range(len(zoo.TASKS)), None):
        forward = jina_forward(folder, tmp_path / "native", adapter)
        expected = expected_vectors(forward, ids, pooling)
        assert_same(np.concatenate([run([one], adapter) for one in ids]), expected)
        assert_same(run(ids, adapter), expected)
        assert_same(run(ids[::-1], adapter)[::-1], expected)
        seen.append(expected)
    for other in seen[1:-1]:
        assert np.abs(other - seen[0]).max() > 1e-2


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_jina_v3_for_transformers_equals_transformers(
    tmp_path: Path, backend, pooling: str
) -> None:
    folder = zoo.make_jina_v3_native(tmp_path)
    assert resolve(str(folder)).adapters == ()
    check_parity(backend, folder, native_forward(folder), pooling)


def test_jina_v3_is_not_taken_for_a_plain_xlm_roberta(tmp_path: Path) -> None:
    jina = resolve(str(zoo.make_jina_v3(tmp_path / "jina")))
    plain = resolve(str(tiny.make_bert(tmp_path / "plain", architecture="XLMRobertaModel")))
    assert jina.architecture == plain.architecture == "XLMRobertaModel"
    assert jina.family.name == "jina_v3"
    assert plain.family.name == "bert"
    assert str(jina.settings["family"].origin).endswith("auto_map")


def test_jina_v3_is_known_by_what_its_code_is_not_by_its_name() -> None:
    renamed = {**zoo.JINA_V3, "_name_or_path": "somebody/else"}
    assert claimant(renamed) is jina_v3.FAMILY
    assert claimant({key: value for key, value in renamed.items() if key != "auto_map"}) is None


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "tensor",
    ["encoder.layers.0.mlp.fc1", "embeddings.word_embeddings"],
    ids=["linear", "table"],
)
def test_jina_v3_with_fewer_adapters_than_config_says_is_refused(
    tmp_path: Path, backend, tensor: str
) -> None:
    folder = zoo.make_jina_v3(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    for part in ("lora_A", "lora_B"):
        name = f"roberta.{tensor}.parametrizations.weight.0.{part}"
        tensors[name] = tensors[name][:3].clone()
    tiny.save_weights(folder, tensors)
    with pytest.raises(CheckpointError, match=r"has 3 rows and should have 5"):
        backend.load(resolve(str(folder)), BackendOptions(dtype="float32", num_sessions=1))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position_embedding_type", "absolute"),
        ("lora_rank", 0),
        ("lora_adaptations", "retrieval.query"),
    ],
)
def test_jina_v3_refuses_what_it_does_not_compute(key: str, value: object) -> None:
    with pytest.raises(CheckpointError, match=key):
        jina_v3.FAMILY.read_config({**zoo.JINA_V3, "vocab_size": 50, key: value})
