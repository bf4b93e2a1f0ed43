"""Tiny checkpoints of architectures that polyvec does not build in, in the published layout."""

from pathlib import Path
from typing import Any

from tests import tiny

_SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "initializer_range": 0.02,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "vocab_size": 96,
    "pad_token_id": 0,
    "torch_dtype": "float32",
}
# Geometry aside, as albert-base-v2, google/electra-small-discriminator and
# microsoft/deberta-v3-small publish it.
CONFIGS: dict[str, dict[str, Any]] = {
    "albert": {
        **_SMALL,
        "architectures": ["AlbertModel"],
        "model_type": "albert",
        "hidden_act": "gelu_new",
        "embedding_size": 16,
        "inner_group_num": 1,
        "num_hidden_groups": 1,
        "classifier_dropout_prob": 0.1,
    },
    "electra": {
        **_SMALL,
        "architectures": ["ElectraModel"],
        "model_type": "electra",
        "embedding_size": 16,
        "position_embedding_type": "absolute",
        "summary_type": "first",
    },
    "deberta-v2": {
        **_SMALL,
        "architectures": ["DebertaV2Model"],
        "model_type": "deberta-v2",
        "layer_norm_eps": 1e-7,
        "type_vocab_size": 0,
        "relative_attention": True,
        "position_buckets": 8,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
        "max_relative_positions": -1,
    },
}


def make(folder: Path, kind: str = "electra", *, seed: int = 0, **changes: Any) -> Path:
    """A checkpoint with mean pooling; ``changes`` go into config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**CONFIGS[kind], **changes}
    tiny.save_weights(folder, tiny.random_weights(config, seed))
    tiny.write_json(folder / "config.json", config)
    tiny.bert_tokenizer(config["vocab_size"]).save(str(folder / "tokenizer.json"))
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
    special |= {"sep_token": "[SEP]", "mask_token": "[MASK]"}
    tiny.write_json(
        folder / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **special}
    )
    tiny.sentence_transformers_files(folder, 32)
    return folder
