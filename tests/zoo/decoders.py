"""Tiny decoder checkpoints in the layouts of their repositories."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from tests import tiny

WINDOW = 16


@dataclass(frozen=True)
class Layout:
    """One published repository, made small.

    Attributes:
        config: config.json as published.
        tokenizer: Which of the tokenizers below.
        prefix: Of the tensors' names.
        lm_head: Whether the file holds one.
        linear: Rows of a ``linear.weight``, 0 for none.
        modules: Pooling of a Sentence-Transformers repository; None without modules.json.
        rewrite: What transformers' own class must be told to compute it.
    """

    config: Mapping[str, Any]
    tokenizer: str
    prefix: str = ""
    lm_head: bool = False
    linear: int = 0
    modules: str | None = None
    rewrite: Mapping[str, Any] = field(default_factory=dict)


_SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 300,
    "max_position_embeddings": 128,
    "initializer_range": 0.02,
    "use_cache": False,
    "torch_dtype": "float32",
}

_QWEN3 = _SMALL | {
    "model_type": "qwen3",
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 256,
    "eos_token_id": 256,
    "head_dim": 16,
    "hidden_act": "silu",
    "max_window_layers": 3,
    "rms_norm_eps": 1e-06,
    "rope_scaling": None,
    "rope_theta": 1000000,
    "sliding_window": None,
    "tie_word_embeddings": True,
    "use_sliding_window": False,
}
_QWEN2 = _SMALL | {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "attention_dropout": 0.0,
    "auto_map": {
        "AutoModel": "modeling_qwen.Qwen2Model",
        "AutoModelForCausalLM": "modeling_qwen.Qwen2ForCausalLM",
    },
    "hidden_act": "silu",
    "is_causal": False,
    "max_window_layers": 1,
    "num_attention_heads": 4,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "sliding_window": WINDOW,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
}
_MISTRAL = _SMALL | {
    "architectures": ["MistralModel"],
    "model_type": "mistral",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "hidden_act": "silu",
    "pad_token_id": 2,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": WINDOW,
    "tie_word_embeddings": False,
}
_LLAMA = _SMALL | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "head_dim": 8,
    "hidden_act": "silu",
    "mlp_bias": False,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 32.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 32,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
}
_GEMMA2 = _SMALL | {
    "architectures": ["Gemma2Model"],
    "model_type": "gemma2",
    "attention_bias": False,
    "attn_logit_softcapping": 50.0,
    "bos_token_id": 2,
    "cache_implementation": "hybrid",
    "eos_token_id": 1,
    "final_logit_softcapping": 30.0,
    "head_dim": 16,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "pad_token_id": 0,
    "query_pre_attn_scalar": 24,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": WINDOW,
    "sliding_window_size": WINDOW,
}
_GEMMA3 = _SMALL | {
    "_sliding_window_pattern": 3,
    "architectures": ["Gemma3TextModel"],
    "model_type": "gemma3_text",
    "attention_bias": False,
    "attn_logit_softcapping": None,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "final_logit_softcapping": None,
    "head_dim": 16,
    "hidden_activation": "gelu_pytorch_tanh",
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    "num_key_value_heads": 1,
    "pad_token_id": 0,
    "query_pre_attn_scalar": 24,
    "rms_norm_eps": 1e-06,
    "rope_local_base_freq": 10000.0,
    "rope_scaling": None,
    "rope_theta": 1000000.0,
    "sliding_window": WINDOW,
    "use_bidirectional_attention": True,
}

LAYOUTS: dict[str, Layout] = {
    "Qwen3-Embedding": Layout(
        _QWEN3 | {"architectures": ["Qwen3ForCausalLM"]}, "qwen", modules="lasttoken"
    ),
    "voyage-4-nano": Layout(
        _QWEN3
        | {
            "architectures": ["Qwen3ForEmbedding"],
            "auto_map": {"AutoModel": "modeling_qwen3_for_embedding.Qwen3ForEmbedding"},
            "num_labels": 56,
            "use_bidirectional_attention": True,
        },
        "qwen",
        prefix="model.",
        linear=56,
        modules="mean",
        rewrite={"is_causal": False},
    ),
    "gte-Qwen2": Layout(_QWEN2, "qwen", prefix="model.", lm_head=True, modules="lasttoken"),
    "e5-mistral": Layout(_MISTRAL, "llama", modules="lasttoken"),
    "GritLM": Layout(
        _MISTRAL
        | {
            "architectures": ["MistralForCausalLM"],
            "auto_map": {
                "AutoModel": "modeling_gritlm7b.MistralModel",
                "AutoModelForCausalLM": "modeling_gritlm7b.MistralForCausalLM",
                "AutoModelForSequenceClassification": (
                    "modeling_gritlm7b.MistralForSequenceClassification"
                ),
            },
        },
        "llama",
        prefix="model.",
        lm_head=True,
        # Its own code's mask in both directions has no window.
        rewrite={"is_causal": False, "sliding_window": None},
    ),
    "llama-nemotron-embed": Layout(
        _LLAMA
        | {
            "architectures": ["LlamaBidirectionalModel"],
            "auto_map": {
                "AutoConfig": "llama_bidirectional_model.LlamaBidirectionalConfig",
                "AutoModel": "llama_bidirectional_model.LlamaBidirectionalModel",
            },
            "model_type": "llama_bidirec",
            "pooling": "avg",
        },
        "llama",
        rewrite={"model_type": "llama", "is_causal": False},
    ),
    "Llama": Layout(_LLAMA, "llama", prefix="model."),
    "Nemotron-3-Embed": Layout(
        _SMALL
        | {
            "architectures": ["Ministral3Model"],
            "model_type": "ministral3",
            "bos_token_id": 1,
            "eos_token_id": 2,
            "head_dim": 16,
            "hidden_act": "silu",
            "is_causal": False,
            "pooling": "avg",
            "rms_norm_eps": 1e-05,
            "rope_parameters": {
                "beta_fast": 32.0,
                "beta_slow": 1.0,
                "factor": 16.0,
                "llama_4_scaling_beta": 0.1,
                "mscale": 1.0,
                "mscale_all_dim": 1.0,
                "original_max_position_embeddings": 24,
                "rope_theta": 1000000.0,
                "rope_type": "yarn",
            },
            "sliding_window": None,
            "tie_word_embeddings": False,
        },
        "llama",
    ),
    "bge-multilingual-gemma2": Layout(_GEMMA2, "gemma", modules="lasttoken"),
    "EmbeddingGemma": Layout(_GEMMA3, "gemma", modules="mean"),
}


def make(folder: Path, name: str, *, seed: int = 0, **changes: Any) -> Path:
    """A checkpoint; ``changes`` go into config.json."""
    layout = LAYOUTS[name]
    config = {**layout.config, **changes}
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(folder / "config.json", config)
    tensors = tiny.random_weights(transformers_config(name, **changes), seed)
    if layout.lm_head:
        tensors["lm_head.weight"] = torch.zeros(config["vocab_size"], config["hidden_size"])
    published = {
        tensor if tensor.startswith("lm_head") else layout.prefix + tensor: value
        for tensor, value in tensors.items()
    }
    if layout.linear:
        generator = torch.Generator().manual_seed(seed + 1)
        noise = torch.randn(layout.linear, config["hidden_size"], generator=generator)
        published["linear.weight"] = noise * 0.2
    tiny.save_weights(folder, published)
    tokenizer, special = _TOKENIZERS[layout.tokenizer]()
    tokenizer.save(str(folder / "tokenizer.json"))
    tiny.write_json(folder / "tokenizer_config.json", special)
    if layout.modules is not None:
        tiny.sentence_transformers_files(
            folder, layout.linear or config["hidden_size"], pooling=layout.modules
        )
    return folder


def transformers_config(name: str, **changes: Any) -> dict[str, Any]:
    """What transformers' own class takes: no code of the repository's own, nothing it ignores."""
    layout = LAYOUTS[name]
    config = {**layout.config, **changes, **layout.rewrite}
    return {k: v for k, v in config.items() if k not in ("auto_map", "num_labels", "torch_dtype")}


def _byte_level(special: list[str], *, after: bool) -> Tokenizer:
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = letters + special if after else special + letters
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in special])
    return tokenizer


def _template(tokenizer: Tokenizer, single: str) -> None:
    names = [piece for piece in single.split() if piece != "$A"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, special_tokens=[(name, tokenizer.token_to_id(name)) for name in names]
    )


def _qwen() -> tuple[Tokenizer, dict[str, Any]]:
    tokenizer = _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], after=True)
    _template(tokenizer, "$A <|endoftext|>")
    return tokenizer, {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 131072,
    }


def _llama() -> tuple[Tokenizer, dict[str, Any]]:
    tokenizer = _byte_level(["<unk>", "<s>", "</s>"], after=False)
    _template(tokenizer, "<s> $A </s>")
    return tokenizer, {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
        "unk_token": "<unk>",
        "model_max_length": 1000000000000000019884624838656,
    }


def _gemma() -> tuple[Tokenizer, dict[str, Any]]:
    tokenizer = _byte_level(["<pad>", "<eos>", "<bos>", "<unk>"], after=False)
    _template(tokenizer, "<bos> $A <eos>")
    return tokenizer, {
        "tokenizer_class": "GemmaTokenizer",
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }


_TOKENIZERS = {"qwen": _qwen, "llama": _llama, "gemma": _gemma}
