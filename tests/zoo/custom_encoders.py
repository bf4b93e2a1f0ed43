"""Tiny GTE, NomicBERT and jina-embeddings-v3 checkpoints in the layouts of their repositories."""

from pathlib import Path
from typing import Any

import torch

from polyvec.models import gte, nomic_bert
from tests import tiny

TASKS = ["retrieval.query", "retrieval.passage", "separation", "classification", "text-matching"]
RANK = 4

JINA_V3 = {
    "_name_or_path": "jinaai/xlm-roberta-flash-implementation",
    "architectures": ["XLMRobertaModel"],
    "auto_map": {
        "AutoConfig": (
            "jinaai/xlm-roberta-flash-implementation--"
            "configuration_xlm_roberta.XLMRobertaFlashConfig"
        ),
        "AutoModel": "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA",
    },
    "bos_token_id": 0,
    "classifier_dropout": None,
    "emb_pooler": "mean",
    "eos_token_id": 2,
    "hidden_act": "gelu",
    "hidden_size": 32,
    "intermediate_size": 64,
    "layer_norm_eps": 1e-05,
    "load_trained_adapters": True,
    "lora_adaptations": TASKS,
    "lora_alpha": 6,
    "lora_dropout_p": 0.0,
    "lora_main_params_trainable": False,
    "lora_rank": RANK,
    "matryoshka_dimensions": [8, 16, 32],
    "max_position_embeddings": 66,
    "model_type": "xlm-roberta",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 1,
    "position_embedding_type": "rotary",
    "rotary_emb_base": 20000.0,
    "task_instructions": dict.fromkeys(TASKS, ""),
    "torch_dtype": "float32",
    "type_vocab_size": 1,
    "use_flash_attn": True,
}
NOMIC_V2 = {
    "activation_function": "gelu",
    "add_pooling_layer": False,
    "expert_choice_router": False,
    "ffn_div": 1,
    "max_trained_positions": 64,
    "mlp_fc1_bias": True,
    "mlp_fc2_bias": True,
    "moe_every_n_layers": 2,
    "moe_impl": "megablocks",
    "moe_normalize_expert_weights": False,
    "moe_resid_pdrop": 0.0,
    "moe_top_k": 2,
    "n_layer": 4,
    "num_experts": 8,
    "num_shared_experts": 0,
    "qkv_proj_bias": True,
    "rotary_emb_base": 10000,
    "type_vocab_size": 1,
}

Shapes = dict[str, tuple[int, ...]]


def random_tensors(shapes: Shapes, seed: int) -> dict[str, torch.Tensor]:
    """Seeded tensors; scales of norms are near 1."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator) * 0.15
        is_scale = name.endswith(("norm1.weight", "norm2.weight", "ln.weight", "LayerNorm.weight"))
        made[name] = noise + 1 if is_scale else noise
    return made


def _affine(name: str, *shape: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": shape} | ({f"{name}.bias": shape[:1]} if bias else {})


def _tokenizer(folder: Path, *, roberta: bool, vocab_size: int) -> None:
    tokenizer = tiny.roberta_tokenizer() if roberta else tiny.bert_tokenizer(vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    ends = ("<s>", "</s>", "<pad>", "<unk>") if roberta else ("[CLS]", "[SEP]", "[PAD]", "[UNK]")
    names = ("cls_token", "sep_token", "pad_token", "unk_token")
    kind = "XLMRobertaTokenizer" if roberta else "BertTokenizer"
    tokens = dict(zip(names, ends, strict=True))
    tiny.write_json(folder / "tokenizer_config.json", {"tokenizer_class": kind, **tokens})


def _save(
    folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor], *, roberta: bool
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(folder / "config.json", config)
    tiny.save_weights(folder, tensors)
    _tokenizer(folder, roberta=roberta, vocab_size=config["vocab_size"])
    return folder


def make_gte(folder: Path, *, prefix: str = "", seed: int = 0, **changes: Any) -> Path:
    """Alibaba's GTE; with ``NewForTokenClassification`` it has gte-multilingual-base's head."""
    config = {**gte.FAMILY.tiny, **changes}
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {"embeddings.word_embeddings.weight": (config["vocab_size"], width)}
    if config["type_vocab_size"]:
        shapes["embeddings.token_type_embeddings.weight"] = (config["type_vocab_size"], width)
    shapes |= _affine("embeddings.LayerNorm", width)
    for index in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{index}"
        shapes |= _affine(f"{name}.attention.qkv_proj", 3 * width, width)
        shapes |= _affine(f"{name}.attention.o_proj", width, width)
        shapes |= _affine(f"{name}.mlp.up_gate_proj", 2 * inner, width, bias=False)
        shapes |= _affine(f"{name}.mlp.down_proj", width, inner)
        bias = config["layer_norm_type"] == "layer_norm"
        shapes |= _affine(f"{name}.attn_ln", width, bias=bias)
        shapes |= _affine(f"{name}.mlp_ln", width, bias=bias)
    if config["architectures"][0].endswith("ForSequenceClassification"):
        shapes |= _affine("pooler.dense", width, width)
    shapes = {prefix + name: shape for name, shape in shapes.items()}
    if config["architectures"][0].endswith("Classification"):
        shapes |= _affine("classifier", 1, width)
    return _save(folder, config, random_tensors(shapes, seed), roberta=False)


def make_nomic(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """NomicBERT with the keys of GPT-2; `NOMIC_V2` makes it a mixture of experts."""
    config = {**nomic_bert.FAMILY.tiny, **changes}
    width = config["n_embd"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
    } | _affine("emb_ln", width)
    for index in range(config["n_layer"]):
        name = f"encoder.layers.{index}"
        bias = config["qkv_proj_bias"]
        shapes |= _affine(f"{name}.attn.Wqkv", 3 * width, width, bias=bias)
        shapes |= _affine(f"{name}.attn.out_proj", width, width, bias=bias)
        shapes |= _nomic_inner(config, index, f"{name}.mlp")
        shapes |= _affine(f"{name}.norm1", width) | _affine(f"{name}.norm2", width)
    return _save(folder, config, random_tensors(shapes, seed), roberta=False)


def _nomic_inner(config: dict[str, Any], index: int, name: str) -> Shapes:
    width, inner = config["n_embd"], config["n_inner"]
    if "moe_every_n_layers" in config and index % config["moe_every_n_layers"] == 1:
        count = config["num_experts"]
        return {
            f"{name}.router.layer.weight": (count, width),
            f"{name}.experts.mlp.w1": (count * inner, width),
            f"{name}.experts.mlp.w2": (count * inner, width),
            f"{name}.experts.bias": (width,),
        }
    ups = ("fc11", "fc12") if config["activation_function"] == "swiglu" else ("fc1",)
    shapes = _affine(f"{name}.fc2", width, inner, bias=config["mlp_fc2_bias"])
    for up in ups:
        shapes |= _affine(f"{name}.{up}", inner, width, bias=config["mlp_fc1_bias"])
    return shapes


def _flash_layers(config: dict[str, Any]) -> Shapes:
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.token_type_embeddings.weight": (1, width),
    } | _affine("emb_ln", width)
    for index in range(config["num_hidden_layers"]):
        name = f"encoder.layers.{index}"
        shapes |= _affine(f"{name}.mixer.Wqkv", 3 * width, width)
        shapes |= _affine(f"{name}.mixer.out_proj", width, width)
        shapes |= _affine(f"{name}.mlp.fc1", inner, width)
        shapes |= _affine(f"{name}.mlp.fc2", width, inner)
        shapes |= _affine(f"{name}.norm1", width) | _affine(f"{name}.norm2", width)
    return shapes


def _with_adapters(shapes: Shapes, count: int) -> Shapes:
    """The names and shapes that torch's parametrizations give every table and linear layer."""
    made: Shapes = {}
    for name, shape in shapes.items():
        if not name.endswith(".weight") or len(shape) == 1:
            made[name] = shape
            continue
        stored = f"{name.removesuffix('.weight')}.parametrizations.weight"
        made[f"{stored}.original"] = shape
        if "embeddings" in name:
            made[f"{stored}.0.lora_A"] = (count, shape[0], RANK)
            made[f"{stored}.0.lora_B"] = (count, RANK, shape[1])
        else:
            made[f"{stored}.0.lora_A"] = (count, RANK, shape[1])
            made[f"{stored}.0.lora_B"] = (count, shape[0], RANK)
    return made


def make_jina_v3(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """jina-embeddings-v3 as its authors publish it: adapters inside, XLM-RoBERTa by name."""
    config = {**JINA_V3, "vocab_size": len(tiny.roberta_tokenizer().get_vocab()), **changes}
    width = config["hidden_size"]
    shapes = _flash_layers(config) | _affine("pooler.dense", width, width)
    shapes = _with_adapters(shapes, len(config["lora_adaptations"]))
    shapes = {f"roberta.{name}": shape for name, shape in shapes.items()}
    return _save(folder, config, random_tensors(shapes, seed), roberta=True)


def make_jina_v3_native(folder: Path, *, seed: int = 0, **changes: Any) -> Path:
    """The re-upload for transformers, without adapters."""
    config = {
        "architectures": ["JinaEmbeddingsV3Model"],
        "model_type": "jina_embeddings_v3",
        "vocab_size": len(tiny.roberta_tokenizer().get_vocab()),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "hidden_act": "gelu",
        "max_position_embeddings": 66,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-05,
        "pad_token_id": 1,
        "rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"},
        "dtype": "float32",
    } | changes
    width = config["hidden_size"]
    shapes = _flash_layers(config) | _affine("pooler.dense", width, width)
    return _save(folder, config, random_tensors(shapes, seed), roberta=True)


def merged(
    tensors: dict[str, torch.Tensor], task: int | None, scale: float
) -> dict[str, torch.Tensor]:
    """jina-embeddings-v3's weights with one task's adapter worked in, under plain names."""
    mark = ".parametrizations.weight"
    made = {}
    for full, tensor in tensors.items():
        name = full.removeprefix("roberta.")
        if mark not in name:
            made[name] = tensor
        elif name.endswith(".original"):
            stored = full.removesuffix(".original")
            a, b = tensors[f"{stored}.0.lora_A"], tensors[f"{stored}.0.lora_B"]
            update = torch.zeros_like(tensor)
            if task is not None:
                update = a[task] @ b[task] if "embeddings" in name else b[task] @ a[task]
            made[name.removesuffix(f"{mark}.original") + ".weight"] = tensor + update * scale
    return made
