"""Tiny checkpoints of the classic encoders in their published layout."""

import math
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch.nn import functional

from polyvec.models import bert, distilbert, jina_bert, modernbert, mpnet, t5
from tests import tiny

FAMILIES = {
    family.name: family
    for family in (
        bert.FAMILY,
        distilbert.FAMILY,
        jina_bert.FAMILY,
        modernbert.FAMILY,
        mpnet.FAMILY,
        t5.FAMILY,
    )
}
ERNIE = {
    "architectures": ["ErnieModel"],
    "model_type": "ernie",
    "task_type_vocab_size": 3,
    "type_vocab_size": 4,
    "use_task_id": True,
}
_LETTERS = [chr(code) for code in range(97, 123)]
_SPECIAL = {
    "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "mpnet": {"bos": "<s>", "eos": "</s>", "pad": "<pad>", "unk": "[UNK]", "cls": "<s>"},
    "t5": {"eos": "</s>", "pad": "<pad>", "unk": "<unk>"},
}
_CLASSES = {
    "bert": "BertTokenizer",
    "distilbert": "DistilBertTokenizer",
    "jina_bert": "BertTokenizer",
    "modernbert": "PreTrainedTokenizerFast",
    "mpnet": "MPNetTokenizer",
    "t5": "T5Tokenizer",
}


def make(
    folder: Path,
    family: str,
    *,
    dtype: torch.dtype = torch.float32,
    extra: dict[str, torch.Tensor] | None = None,
    **changes: Any,
) -> Path:
    """A checkpoint.

    Args:
        folder: Where.
        family: Whose ``tiny`` config.
        dtype: Of the file's tensors.
        extra: Further tensors of the file.
        changes: Go into config.json; None takes a key out.
    """
    config = {k: v for k, v in {**FAMILIES[family].tiny, **changes}.items() if v is not None}
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(folder / "config.json", config)
    tensors = jina_weights(config) if family == "jina_bert" else published_weights(config)
    tiny.save_weights(folder, {n: t.to(dtype) for n, t in tensors.items()} | (extra or {}))
    _tokenizer(family, config["vocab_size"]).save(str(folder / "tokenizer.json"))
    special = {f"{k}_token": v for k, v in _SPECIAL.get(family, _SPECIAL["bert"]).items()}
    tiny.write_json(
        folder / "tokenizer_config.json", {"tokenizer_class": _CLASSES[family], **special}
    )
    return folder


def published_weights(config: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """Seeded tensors of ``architectures[0]``; of tied ones the first, as in published files."""
    kind = getattr(transformers, config["architectures"][0])
    rest = {k: v for k, v in config.items() if k not in ("torch_dtype", "model_type")}
    model = kind(kind.config_class(**rest))
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    seen = set()
    for name, value in model.state_dict().items():
        if value.is_floating_point() and value.data_ptr() not in seen:
            seen.add(value.data_ptr())
            tensors[name] = _noise(name, tuple(value.shape), generator)
    return tensors


def _noise(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    noise = torch.randn(shape, generator=generator) * 0.15
    return noise + 1 if "norm" in name.lower() and name.endswith("weight") else noise


# Tokenizers.


def _tokenizer(family: str, vocab_size: int) -> Tokenizer:
    made = {"t5": t5_tokenizer, "mpnet": mpnet_tokenizer, "modernbert": modernbert_tokenizer}
    return made[family]() if family in made else tiny.bert_tokenizer(vocab_size)


def t5_tokenizer() -> Tokenizer:
    """Unigram that ends every text with </s> and starts it with nothing."""
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [("▁" + word, -2.0 - 0.01 * i) for i, word in enumerate(tiny.WORDS)]
    pieces += [("▁", -3.0)] + [(letter, -5.0) for letter in _LETTERS]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens(["<pad>", "</s>", "<unk>"])
    return tokenizer


def mpnet_tokenizer() -> Tokenizer:
    """WordPiece with RoBERTa's first ids and ends."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "[UNK]", "<mask>"]
    pieces = special + tiny.WORDS + _LETTERS + ["##" + letter for letter in _LETTERS]
    pieces = list(dict.fromkeys(pieces))
    tokenizer = Tokenizer(
        models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=False, add_prefix_space=False
    )
    tokenizer.add_special_tokens(special)
    return tokenizer


def modernbert_tokenizer() -> Tokenizer:
    """Byte-pair without a single merge, its special tokens after the 256 bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({byte: i for i, byte in enumerate(alphabet)}, []))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 257), ("[SEP]", 258)],
    )
    return tokenizer


def dense_folder(folder: Path, width: int, out: int, *, bias: bool, activation: str) -> None:
    """A ``2_Dense`` folder between the pooling and the Normalize that modules.json lists."""
    tiny.write_json(
        folder / "2_Dense/config.json",
        {
            "in_features": width,
            "out_features": out,
            "bias": bias,
            "activation_function": f"torch.nn.modules.{activation}",
        },
    )
    generator = torch.Generator().manual_seed(1)
    tensors = {"linear.weight": torch.randn(out, width, generator=generator) * 0.2}
    if bias:
        tensors["linear.bias"] = torch.randn(out, generator=generator) * 0.2
    save_file(tensors, folder / "2_Dense/model.safetensors")


# jina-embeddings-v2, which transformers has no class for.

JINA_CODE = {
    "auto_map": {"AutoModel": "jinaai/jina-bert-v2-qk-post-norm--modeling_bert.JinaBertModel"}
}


def jina_weights(config: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """Tensors under the published names."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        "pooler.dense.weight": (width, width),
        "pooler.dense.bias": (width,),
    }
    norms = ["embeddings.LayerNorm"]
    for index in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{index}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            shapes[f"{name}.attention.{part}.weight"] = (width, width)
            shapes[f"{name}.attention.{part}.bias"] = (width,)
        is_code = config["auto_map"] == JINA_CODE["auto_map"]
        up, down = ("up_gated_layer", "down_layer") if is_code else ("gated_layers", "wo")
        shapes[f"{name}.mlp.{up}.weight"] = (2 * inner, width)
        shapes[f"{name}.mlp.{down}.weight"] = (width, inner)
        shapes[f"{name}.mlp.{down}.bias"] = (width,)
        own = ("attention.self.layer_norm_q", "attention.self.layer_norm_k")
        own = (*own, "layer_norm_1", "layer_norm_2") if is_code else ("mlp.layernorm",)
        norms += [f"{name}.{norm}" for norm in ("attention.output.LayerNorm", *own)]
    for norm in norms:
        shapes |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
    generator = torch.Generator().manual_seed(seed)
    return {name: _noise(name, shape, generator) for name, shape in shapes.items()}


def jina_slopes(heads: int) -> list[float]:
    """The recursive rule of the ALiBi paper's code."""
    if math.log2(heads).is_integer():
        start = 2 ** (-(2 ** -(math.log2(heads) - 3)))
        return [start * start**i for i in range(heads)]
    closest = 2 ** math.floor(math.log2(heads))
    return jina_slopes(closest) + jina_slopes(2 * closest)[0::2][: heads - closest]


def jina_states(
    tensors: dict[str, torch.Tensor], config: dict[str, Any], ids: torch.Tensor
) -> torch.Tensor:
    """Last hidden states (L, D) of one text, by the paper: written without polyvec's operations."""
    heads, width = config["num_attention_heads"], config["hidden_size"]
    eps = config["layer_norm_eps"]

    def linear(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"))

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
        return functional.layer_norm(x, (width,), weight, bias, eps)

    place = torch.arange(len(ids))
    distance = (place[None] - place[:, None]).abs()
    alibi = -torch.tensor(jina_slopes(heads))[:, None, None] * distance
    x = tensors["embeddings.word_embeddings.weight"][ids]
    x = norm(x + tensors["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for index in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{index}"
        is_code = f"{name}.layer_norm_1.weight" in tensors
        q, k, v = (linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        if is_code:
            q = norm(q, f"{name}.attention.self.layer_norm_q")
            k = norm(k, f"{name}.attention.self.layer_norm_k")
        q, k, v = (part.view(len(ids), heads, -1).transpose(0, 1) for part in (q, k, v))
        scores = q @ k.transpose(1, 2) / math.sqrt(width // heads) + alibi
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(len(ids), width)
        mixed = linear(mixed, f"{name}.attention.output.dense")
        mixed = norm(x + mixed, f"{name}.attention.output.LayerNorm")
        if is_code:
            x = norm(x + mixed, f"{name}.layer_norm_1")
            up, gate = linear(x, f"{name}.mlp.up_gated_layer").chunk(2, -1)
            inner = linear(functional.gelu(gate) * up, f"{name}.mlp.down_layer")
            x = norm(x + inner, f"{name}.layer_norm_2")
        else:
            gate, up = linear(mixed, f"{name}.mlp.gated_layers").chunk(2, -1)
            inner = linear(functional.gelu(gate) * up, f"{name}.mlp.wo")
            x = norm(mixed + inner, f"{name}.mlp.layernorm")
    return x
