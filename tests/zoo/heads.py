"""Tiny checkpoints whose main output is not a pooled vector, in their published layout."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from polyvec.models import bert, decoder, distilbert, modernbert
from polyvec.models import static as static_family
from tests import tiny
from tests.zoo.encoders import modernbert_tokenizer, published_weights

_XLM_ROBERTA = {
    "model_type": "xlm-roberta",
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "vocab_size": len(tiny.roberta_tokenizer().get_vocab()),
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": dict(bert.FAMILY.tiny),
    "roberta": {**bert.FAMILY.tiny, **_XLM_ROBERTA, "model_type": "roberta"},
    "xlm-roberta": {**bert.FAMILY.tiny, **_XLM_ROBERTA},
    "modernbert": dict(modernbert.FAMILY.tiny),
    "distilbert": dict(distilbert.FAMILY.tiny),
}
_SPECIAL = {
    "bert": {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"},
    "roberta": {"bos": "<s>", "eos": "</s>", "cls": "<s>", "sep": "</s>", "pad": "<pad>"},
}


def cross_encoder(folder: Path, kind: str, *, num_labels: int = 1, **changes: Any) -> Path:
    """A ``…ForSequenceClassification`` checkpoint of a kind of `CONFIGS`."""
    names = {"bert": "Bert", "roberta": "Roberta", "xlm-roberta": "XLMRoberta"}
    names |= {"modernbert": "ModernBert", "distilbert": "DistilBert"}
    labels = {str(index): f"LABEL_{index}" for index in range(num_labels)}
    config = {
        **CONFIGS[kind],
        "architectures": [f"{names[kind]}ForSequenceClassification"],
        "id2label": labels,
        "label2id": {name: int(index) for index, name in labels.items()},
        **changes,
    }
    return _write(folder, kind, config, published_weights(_loadable(config)))


def splade(folder: Path, kind: str, *, pooling: dict[str, Any], **changes: Any) -> Path:
    """A masked language model with modules.json's MLMTransformer and SpladePooling."""
    names = {"bert": "BertForMaskedLM", "distilbert": "DistilBertForMaskedLM"}
    names |= {"xlm-roberta": "XLMRobertaForMaskedLM", "modernbert": "ModernBertForMaskedLM"}
    config = {**CONFIGS[kind], "architectures": [names[kind]], **changes}
    tensors = published_weights(_loadable(config))
    table = tensors.pop("lm_head.decoder.weight", None)  # tied; files keep it under this name
    if table is not None:
        tensors["roberta.embeddings.word_embeddings.weight"] = table
    _write(folder, kind, config, tensors)
    classes = "sentence_transformers.sparse_encoder.models"
    tiny.write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": f"{classes}.MLMTransformer"},
            {"idx": 1, "name": "1", "path": "1_SpladePooling", "type": f"{classes}.SpladePooling"},
        ],
    )
    tiny.write_json(folder / "1_SpladePooling/config.json", pooling)
    tiny.write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": 48, "do_lower_case": False}
    )
    tiny.write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "SparseEncoder",
            "prompts": {"query": "", "document": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "dot",
        },
    )
    return folder


def bge_m3(folder: Path, *, stored: str = "pickle") -> tuple[Path, dict[str, torch.nn.Linear]]:
    """XLM-RoBERTa with the two extra layers at the root, and those layers."""
    config = {**CONFIGS["xlm-roberta"], "architectures": ["XLMRobertaModel"]}
    _write(folder, "xlm-roberta", config, published_weights(_loadable(config)))
    tiny.sentence_transformers_files(folder, 32, pooling="cls")
    torch.manual_seed(5)
    layers = {"sparse_linear": torch.nn.Linear(32, 1), "colbert_linear": torch.nn.Linear(32, 32)}
    for name, layer in layers.items():
        if stored == "pickle":
            torch.save(layer.state_dict(), folder / f"{name}.pt")
        else:
            tensors = {key: value.contiguous() for key, value in layer.state_dict().items()}
            save_file(tensors, folder / f"{name}.safetensors")
    return folder, layers


def static(folder: Path, layout: str, *, normalize: bool = True) -> Path:
    """Token vectors alone, as ``0_StaticEmbedding``, ``model2vec`` or ``model2vec mapped``."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(3)
    tokenizer = tiny.bert_tokenizer(200)
    tokenizer.no_truncation()
    rows = tokenizer.get_vocab_size()
    table = torch.randn(rows, 32, generator=generator)
    kind = "sentence_transformers.models.StaticEmbedding"
    modules = [{"idx": 0, "name": "0", "path": "0_StaticEmbedding", "type": kind}]
    home, tensors = folder / "0_StaticEmbedding", {"embedding.weight": table}
    if layout.startswith("model2vec"):
        home, tensors = folder, {"embeddings": table}
        modules[0]["path"] = "."
        tiny.write_json(folder / "config.json", {**static_family.FAMILY.tiny})
    if layout == "model2vec mapped":
        tensors["mapping"] = torch.arange(rows) // 2
        tensors["weights"] = torch.rand(rows, generator=generator, dtype=torch.float64)
        tensors["embeddings"] = table[: rows // 2 + 1].clone()
    if normalize:
        kind = "sentence_transformers.models.Normalize"
        modules.append({"idx": 1, "name": "1", "path": "1_Normalize", "type": kind})
    home.mkdir(exist_ok=True)
    tiny.save_weights(home, tensors)
    tokenizer.save(str(home / "tokenizer.json"))
    tiny.write_json(folder / "modules.json", modules)
    return folder


QWEN3 = {
    **decoder.FAMILY.tiny,
    "max_position_embeddings": 1024,
    "torch_dtype": "float32",
    "pad_token_id": 256,
}


def qwen3_reranker(folder: Path, kind: str, **changes: Any) -> Path:
    """A judge of pairs, ``original`` or ``converted`` to sequence classification."""
    name = "Qwen3ForCausalLM" if kind == "original" else "Qwen3ForSequenceClassification"
    config = {**QWEN3, "architectures": [name], **changes}
    if kind == "converted":
        config |= {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}
    config["vocab_size"] = 300
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(folder / "config.json", config)
    tensors = published_weights(_loadable(config))
    tensors.pop("lm_head.weight", None)  # tied
    tiny.save_weights(folder, tensors)
    qwen3_tokenizer().save(str(folder / "tokenizer.json"))
    tiny.write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "Qwen2Tokenizer",
            "eos_token": "<|im_end|>",
            "pad_token": "<|endoftext|>",
        },
    )
    return folder


def qwen3_tokenizer() -> Tokenizer:
    """Byte-pair that knows yes and no, and Qwen's control tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("y", "e"), ("ye", "s"), ("n", "o")]
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    marks = ["<think>", "</think>"]
    pieces = letters + control + marks + [one + other for one, other in merges]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(piece, special=True) for piece in control])
    tokenizer.add_tokens([AddedToken(piece, special=False) for piece in marks])
    return tokenizer


def stanford_colbert(folder: Path, **metadata: Any) -> Path:
    """``HF_ColBERT``: BERT, its projection in the same file, and artifact.metadata."""
    config = {**CONFIGS["bert"], "architectures": ["HF_ColBERT"]}
    tensors = published_weights({**config, "architectures": ["BertModel"]})
    generator = torch.Generator().manual_seed(8)
    tensors = {f"bert.{name}": tensor for name, tensor in tensors.items()}
    tensors["linear.weight"] = torch.randn(12, 32, generator=generator) * 0.2
    _write(folder, "bert", config, tensors)
    _with_markers().save(str(folder / "tokenizer.json"))
    said = {
        "query_token_id": "[unused0]",
        "doc_token_id": "[unused1]",
        "query_token": "[Q]",
        "doc_token": "[D]",
        "dim": 12,
        "similarity": "cosine",
        "query_maxlen": 16,
        "doc_maxlen": 24,
        "mask_punctuation": True,
        "attend_to_mask_tokens": False,
    }
    tiny.write_json(folder / "artifact.metadata", {**said, **metadata})
    return folder


def _with_markers() -> Tokenizer:
    """BERT's tokenizer with unused entries, which no text can spell."""
    found = json.loads(tiny.bert_tokenizer(200).to_str())
    vocab = found["model"]["vocab"]
    vocab |= {f"[unused{index}]": len(vocab) + index for index in range(2)}
    return Tokenizer.from_str(json.dumps(found))


def pylate(folder: Path, kind: str = "modernbert", **said: Any) -> Path:
    """A PyLate checkpoint: Transformer and Dense, everything else in the ST json."""
    config = {**CONFIGS[kind], "max_position_embeddings": 64}
    _write(folder, kind, config, published_weights(_loadable(config)))
    if kind == "modernbert":
        tokenizer = modernbert_tokenizer()
        tokenizer.add_tokens(["[Q] ", "[D] "])
        tokenizer.save(str(folder / "tokenizer.json"))
    dense = {
        "in_features": 32,
        "out_features": 12,
        "bias": False,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    tiny.write_json(folder / "1_Dense/config.json", dense)
    generator = torch.Generator().manual_seed(9)
    save_file(
        {"linear.weight": torch.randn(12, 32, generator=generator) * 0.2},
        folder / "1_Dense/model.safetensors",
    )
    tiny.write_json(
        folder / "modules.json",
        [
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"},
        ],
    )
    tiny.write_json(
        folder / "sentence_bert_config.json", {"max_seq_length": 29, "do_lower_case": False}
    )
    found = {
        "model_type": "ColBERT",
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "MaxSim",
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 16,
        "document_length": 30,
        "attend_to_expansion_tokens": False,
        "skiplist_words": ["!", ",", "e", "the"],
    }
    found |= said
    settings = {key: value for key, value in found.items() if value is not ...}
    tiny.write_json(folder / "config_sentence_transformers.json", settings)
    return folder


def _loadable(config: dict[str, Any]) -> dict[str, Any]:
    """The keys as transformers' classes take them when they are made from Python."""
    labels = {int(index): name for index, name in config.get("id2label", {}).items()}
    return {**config, "id2label": labels} if labels else config


def _write(
    folder: Path, kind: str, config: dict[str, Any], tensors: dict[str, torch.Tensor]
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_json(folder / "config.json", config)
    tiny.save_weights(folder, tensors)
    tokenizer, special, name = _tokenizer(kind, config["vocab_size"])
    tokenizer.save(str(folder / "tokenizer.json"))
    tiny.write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": name, **{f"{key}_token": token for key, token in special.items()}},
    )
    return folder


def _tokenizer(kind: str, vocab_size: int) -> tuple[Tokenizer, dict[str, str], str]:
    if kind == "modernbert":
        return modernbert_tokenizer(), _SPECIAL["bert"], "PreTrainedTokenizerFast"
    if kind in ("bert", "distilbert"):
        name = "BertTokenizer" if kind == "bert" else "DistilBertTokenizer"
        return tiny.bert_tokenizer(vocab_size), _SPECIAL["bert"], name
    tokenizer = tiny.roberta_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return tokenizer, _SPECIAL["roberta"], "XLMRobertaTokenizer"
