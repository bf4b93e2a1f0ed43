"""Outputs other than a pooled vector equal the reference implementations."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from polyvec.backends._base import BackendOptions, TokenBatch
from polyvec.backends._packing import tokens_of
from polyvec.checkpoints.pair_encoding import EncodedPair, longest_first
from polyvec.engine.self_test import run_checks
from polyvec.errors import CheckpointError
from polyvec.models._late_interaction import LateText, read_late
from polyvec.models._model import Model
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny
from tests.parity import BACKENDS, MAX_DIFFERENCE, TEXTS, assert_same, embed_texts, token_ids, unit
from tests.zoo import decoders
from tests.zoo import heads as zoo

PAIRS = [
    ("the red cat", "a cat sat on the mat"),
    ("a", ""),
    ("that is a happy person!", "the dog " * 9),
    ("the blue dog " * 9, "in"),
    ("the red cat", "text of text " * 20),
    ("very long " * 20, "very long text " * 20),
]


def session_of(backend, model: Model):
    return backend.load(model, BackendOptions(dtype="float32", num_sessions=1)).session()


def batch_of(pairs: list[EncodedPair]) -> TokenBatch:
    return TokenBatch(
        np.concatenate([pair.ids for pair in pairs]),
        np.array([len(pair.ids) for pair in pairs]),
        segments=np.concatenate([pair.segments for pair in pairs]),
    )


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


# Cross-encoders.


def scores(backend, model: Model, pairs=PAIRS) -> dict[str, np.ndarray]:
    session = session_of(backend, model)
    assert model.text is not None
    assert model.text.pairs is not None
    encoded = model.text.pairs.encode(pairs, limit=model.text.max_input_tokens)
    return {
        "alone": np.concatenate([session.run("text", batch_of([pair])) for pair in encoded]),
        "batch": session.run("text", batch_of(encoded)),
        "reversed": session.run("text", batch_of(encoded[::-1]))[::-1],
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("bert", {}),
        ("bert", {"num_labels": 3}),
        ("distilbert", {}),
        ("roberta", {"num_labels": 2}),
        ("xlm-roberta", {}),
        ("modernbert", {"classifier_pooling": "cls", "max_position_embeddings": 64}),
        ("modernbert", {"max_position_embeddings": 64, "classifier_bias": True}),
    ],
)
def test_cross_encoders_equal_sentence_transformers(
    tmp_path: Path, backend, kind: str, changes: dict
) -> None:
    from sentence_transformers import CrossEncoder

    folder = zoo.cross_encoder(tmp_path, kind, **changes)
    model = resolve(str(folder))
    assert model.outputs == ("score",)
    reference = CrossEncoder(
        str(folder),
        device="cpu",
        max_length=model.text.max_input_tokens,
        model_kwargs={"dtype": torch.float32},
    )
    expected = reference.predict(PAIRS, show_progress_bar=False).reshape(len(PAIRS), -1)
    activated = model.heads["score"].activation
    assert activated == ("sigmoid" if expected.shape[1] == 1 else None)
    for found in scores(backend, model).values():
        ours = sigmoid(found) if activated else found
        np.testing.assert_allclose(ours, expected, atol=MAX_DIFFERENCE)
        assert np.ptp(found) > 0.01


@pytest.mark.parametrize(
    ("where", "value", "activation"),
    [
        ("config.json", {"sentence_transformers": {"activation_fn": "Identity"}}, None),
        ("config.json", {"sbert_ce_default_activation_function": "Identity"}, None),
        ("config_sentence_transformers.json", {"activation_fn": "Identity"}, None),
        ("config_sentence_transformers.json", {"model_type": "CrossEncoder"}, "sigmoid"),
    ],
)
def test_a_checkpoint_may_name_the_activation_of_its_scores(
    tmp_path: Path, where: str, value: dict, activation: str | None
) -> None:
    def named(found: object) -> object:
        if isinstance(found, dict):
            return {key: named(inner) for key, inner in found.items()}
        return f"torch.nn.modules.linear.{found}" if found == "Identity" else found

    changes = named(value) if where == "config.json" else {}
    folder = zoo.cross_encoder(tmp_path, "bert", **changes)
    if where != "config.json":
        tiny.write_json(folder / where, named(value))
    assert resolve(str(folder)).heads["score"].activation == activation


def test_an_unknown_activation_of_scores_is_refused(tmp_path: Path) -> None:
    folder = zoo.cross_encoder(
        tmp_path, "bert", sbert_ce_default_activation_function="torch.nn.modules.activation.Tanh"
    )
    with pytest.raises(CheckpointError, match=r"Tanh.*supported: sigmoid, identity"):
        resolve(str(folder))


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "modernbert"])
@pytest.mark.parametrize("limit", [None, 40, 12, 5])
def test_pairs_are_put_together_and_cut_like_transformers(
    tmp_path: Path, kind: str, limit: int | None
) -> None:
    from transformers import AutoTokenizer

    folder = zoo.cross_encoder(tmp_path, kind)
    model = resolve(str(folder))
    reference = AutoTokenizer.from_pretrained(folder)
    how = {"truncation": False} if limit is None else {"truncation": True, "max_length": limit}
    ours = model.text.pairs.encode(PAIRS, limit=limit)
    for (first, second), pair in zip(PAIRS, ours, strict=True):
        # As a batch: of a lone pair, transformers drops an empty second text.
        expected = reference([first], [second], return_token_type_ids=True, **how)
        assert pair.ids.tolist() == expected["input_ids"][0]
        assert pair.segments.tolist() == expected["token_type_ids"][0]


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 60))
def test_longest_first_fits_and_wastes_no_room(first: int, second: int, room: int) -> None:
    kept = longest_first(first, second, room)
    assert sum(kept) == min(first + second, room)
    assert kept[0] <= first
    assert kept[1] <= second
    if first <= room // 2:
        assert kept[0] == first


def test_a_pair_is_cut_at_its_start_when_asked(tmp_path: Path) -> None:
    model = resolve(str(zoo.cross_encoder(tmp_path, "bert")))
    (whole,) = model.text.pairs.encode([("red blue green", "cat dog mat")])
    (cut,) = model.text.pairs.encode([("red blue green", "cat dog mat")], limit=7, side="start")
    assert cut.ids.tolist() == [2, *whole.ids[2:4], 3, *whole.ids[6:8], 3]


# SPLADE.


def outputs(backend, model: Model, ids: list[np.ndarray]) -> list[dict[str, list[np.ndarray]]]:
    """Every output of each text: alone, as one batch, and in the opposite order."""
    session = session_of(backend, model)

    def split(made, found):
        lengths = np.cumsum([len(one) for one in made])[:-1]
        return {
            name: list(value) if len(value) == len(made) else np.split(value, lengths)
            for name, value in found.items()
        }

    def run(some: list[np.ndarray]):
        found = session.run_outputs(tokens_of(some), model.outputs)
        assert set(found) == set(model.outputs)
        return split(some, found)

    alone = [run([one]) for one in ids]
    opposite = run(ids[::-1])
    return [
        {name: [one[name][0] for one in alone] for name in model.outputs},
        run(ids),
        {name: values[::-1] for name, values in opposite.items()},
    ]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("kind", "pooling"),
    [
        ("bert", {"pooling_strategy": "max", "activation_function": "relu"}),
        ("bert", {"pooling_strategy": "sum", "activation_function": "log1p_relu"}),
        ("distilbert", {"pooling_strategy": "max", "activation_function": "log1p_relu"}),
        ("xlm-roberta", {"pooling_strategy": "sum"}),
        ("modernbert", {"word_embedding_dimension": None}),
    ],
)
def test_splade_equals_sentence_transformers(
    tmp_path: Path, backend, kind: str, pooling: dict
) -> None:
    from sentence_transformers import SparseEncoder

    folder = zoo.splade(tmp_path, kind, pooling=pooling)
    model = resolve(str(folder))
    assert model.outputs == ("sparse", "tokens")
    reference = SparseEncoder(
        str(folder), device="cpu", model_kwargs={"dtype": torch.float32}
    ).encode(TEXTS, convert_to_sparse_tensor=False, show_progress_bar=False)
    for found in outputs(backend, model, token_ids(model)):
        sparse = np.stack(found["sparse"])
        assert_same(sparse, reference.numpy())
        np.testing.assert_allclose(sparse, reference.numpy(), atol=1e-4, rtol=1e-5)
        assert (sparse == 0).any()


def test_unknown_splade_poolings_are_refused(tmp_path: Path) -> None:
    folder = zoo.splade(tmp_path, "bert", pooling={"pooling_strategy": "mean"})
    with pytest.raises(CheckpointError, match="'mean' is not known; known: max, sum"):
        resolve(str(folder))


def test_splade_without_a_language_model_head_is_refused(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    tiny.write_json(
        folder / "modules.json",
        [{"type": "x.Transformer", "path": ""}, {"type": "x.SpladePooling", "path": "1_S"}],
    )
    model = resolve(str(folder))
    with pytest.raises(CheckpointError, match=r"lack 'cls\.predictions"):
        session_of(BACKENDS[0].values[0], model)


def test_a_cross_encoder_without_its_classifier_is_refused(tmp_path: Path) -> None:
    folder = decoders.make(tmp_path, "Qwen3-Embedding")
    (folder / "modules.json").unlink()
    shutil.rmtree(folder / "1_Pooling")
    options = ModelOptions(architecture="Qwen3ForSequenceClassification")
    with pytest.raises(CheckpointError, match="the weights of its classifier are missing"):
        resolve(str(folder), options)


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_splade_with_a_table_of_its_own_is_refused(tmp_path: Path, kind: str) -> None:
    folder = zoo.splade(tmp_path, kind, pooling={})
    tensors = load_file(folder / "model.safetensors")
    (words,) = (name for name in tensors if name.endswith("word_embeddings.weight"))
    table = "vocab_projector.weight" if kind == "distilbert" else "cls.predictions.decoder.weight"
    tensors[table] = tensors[words].clone()
    tiny.save_weights(folder, tensors)
    assert resolve(str(folder)).outputs[0] == "sparse"
    tensors[table] = tensors[words] + 1
    tiny.save_weights(folder, tensors)
    with pytest.raises(CheckpointError, match="table of its own for vocabulary scores"):
        resolve(str(folder))


@pytest.mark.parametrize("kind", ["bert", "distilbert", "modernbert"])
def test_a_language_model_without_splade_modules_embeds(tmp_path: Path, kind: str) -> None:
    folder = zoo.splade(tmp_path, kind, pooling={})
    (folder / "modules.json").unlink()
    model = resolve(str(folder), ModelOptions(pooling="mean"))
    assert model.outputs == ("dense", "tokens")
    session_of(BACKENDS[0].values[0], model)


def test_vllms_name_makes_a_plain_language_model_sparse(tmp_path: Path) -> None:
    folder = zoo.splade(tmp_path, "bert", pooling={})
    listed = resolve(str(folder))
    (folder / "modules.json").unlink()
    name = "BertSpladeSparseEmbeddingModel"
    plain = resolve(str(folder), ModelOptions(hf_overrides={"architectures": [name]}))
    assert plain.outputs == ("sparse", "tokens")
    backend, ids = BACKENDS[0].values[0], token_ids(listed)
    for ours, theirs in zip(
        outputs(backend, plain, ids), outputs(backend, listed, ids), strict=True
    ):
        np.testing.assert_array_equal(ours["sparse"], theirs["sparse"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [("xlm-roberta", "BgeM3EmbeddingModel"), ("modernbert", "ColBERTModernBertModel")],
)
def test_vllms_names_are_read_like_the_published_ones(tmp_path: Path, kind: str, name: str) -> None:
    folder = zoo.splade(tmp_path, kind, pooling={})
    (folder / "modules.json").unlink()
    own = resolve(str(folder), ModelOptions(pooling="cls"))
    named = resolve(str(folder), ModelOptions(pooling="cls", architecture=name))
    assert named.family is own.family
    assert named.outputs == own.outputs


# bge-m3.


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("stored", ["pickle", "safetensors"])
def test_bge_m3_gives_its_three_outputs(tmp_path: Path, backend, stored: str) -> None:
    folder, layers = zoo.bge_m3(tmp_path, stored=stored)
    model = resolve(str(folder))
    assert model.outputs == ("dense", "sparse", "tokens")
    assert model.dimensions == 32
    assert model.heads["tokens"].drops_first
    assert model.heads["tokens"].normalize
    reference = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    ids = token_ids(model)
    with torch.inference_mode():
        states = [reference(input_ids=torch.from_numpy(one)[None])[0][0] for one in ids]
        sparse = [layers["sparse_linear"](one).relu().numpy() for one in states]
        tokens = [layers["colbert_linear"](one).numpy() for one in states]
    for found in outputs(backend, model, ids):
        assert_same(np.stack(found["dense"]), torch.stack([one[0] for one in states]).numpy())
        for index in range(len(ids)):
            np.testing.assert_allclose(found["sparse"][index], sparse[index], atol=1e-5)
            assert_same(found["tokens"][index], tokens[index])


def test_a_checkpoint_with_only_one_of_the_layers_is_refused(tmp_path: Path) -> None:
    folder, _layers = zoo.bge_m3(tmp_path)
    (folder / "colbert_linear.pt").unlink()
    model = resolve(str(folder))
    with pytest.raises(CheckpointError, match=r"sparse_linear\.bias"):
        session_of(BACKENDS[0].values[0], model)


# Static token vectors.


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", ["0_StaticEmbedding", "model2vec", "model2vec mapped"])
@pytest.mark.parametrize("normalize", [True, False])
def test_static_vectors_equal_sentence_transformers(
    tmp_path: Path, backend, layout: str, *, normalize: bool
) -> None:
    from sentence_transformers import SentenceTransformer

    folder = zoo.static(tmp_path, layout, normalize=normalize)
    model = resolve(str(folder))
    assert model.outputs == ("dense", "tokens")
    assert model.dimensions == 32
    assert model.normalize == normalize
    texts = [*(text for text in TEXTS if text), "unknown ☕ words"]
    reference = SentenceTransformer(str(folder), device="cpu").encode(
        texts, show_progress_bar=False
    )
    for vectors in embed_texts(backend, model, model.text.tokenizer.encode(texts)).values():
        if not normalize:
            np.testing.assert_allclose(vectors, reference, atol=1e-5)
        assert_same(vectors, reference)


def test_static_texts_have_no_special_tokens_and_no_limit(tmp_path: Path) -> None:
    model = resolve(str(zoo.static(tmp_path, "0_StaticEmbedding")))
    assert model.text.tokenizer.encode(["", "cat"])[0].size == 0
    assert len(model.text.tokenizer.encode(["cat dog"])[0]) == 2
    assert model.text.max_input_tokens == 1_000_000


def test_model2vec_without_modules_follows_its_own_flag(tmp_path: Path) -> None:
    folder = zoo.static(tmp_path, "model2vec")
    (folder / "modules.json").unlink()
    assert resolve(str(folder)).normalize
    tiny.write_json(folder / "config.json", {"model_type": "model2vec", "normalize": False})
    assert not resolve(str(folder)).normalize


def test_static_folders_without_a_table_are_refused(tmp_path: Path) -> None:
    folder = zoo.static(tmp_path, "0_StaticEmbedding")
    save_file({"x": torch.zeros(2, 2)}, folder / "0_StaticEmbedding/model.safetensors")
    with pytest.raises(CheckpointError, match="no table"):
        resolve(str(folder))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"mapping": torch.full((5,), 99)}, "points beyond the table"),
        ({"weights": torch.ones(7)}, "7 weights for"),
    ],
)
def test_damaged_model2vec_tables_are_refused(tmp_path: Path, changed: dict, named: str) -> None:
    folder = zoo.static(tmp_path, "model2vec")
    save_file({"embeddings": torch.zeros(5, 32), **changed}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=named):
        resolve(str(folder))


# Qwen3-Reranker.

BEFORE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
AFTER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
ASK = "Given a web search query, retrieve relevant passages that answer the query"
OVERRIDES = {"classifier_from_token": ["no", "yes"], "is_original_qwen3_reranker": True}


def test_qwen3_reranker_asks_as_its_authors_do(tmp_path: Path) -> None:
    model = resolve(str(zoo.qwen3_reranker(tmp_path, "original", **OVERRIDES)))
    (pair,) = model.text.pairs.encode([("What {second} is it?", "A cat.")])
    decoded = zoo.qwen3_tokenizer().decode(pair.ids.tolist(), skip_special_tokens=False)
    assert decoded == (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
        "answer the query\n<Query>: What {second} is it?\n<Document>: A cat.<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )
    assert not pair.segments.any()
    (other,) = model.text.pairs.instructed("Find pets").encode([("a", "b")])
    decoded = zoo.qwen3_tokenizer().decode(other.ids.tolist(), skip_special_tokens=False)
    assert "user\n<Instruct>: Find pets\n<Query>: a\n<Document>: b<|im_end|>" in decoded


def test_control_tokens_in_a_judged_text_stay_text(tmp_path: Path) -> None:
    model = resolve(str(zoo.qwen3_reranker(tmp_path, "original", **OVERRIDES)))
    end = zoo.qwen3_tokenizer().token_to_id("<|im_end|>")
    (plain,) = model.text.pairs.encode([("a", "b")])
    (typed,) = model.text.pairs.encode([("a", "<|im_end|>b")])
    assert (plain.ids == end).sum() == (typed.ids == end).sum() == 2


def test_a_judged_pair_that_is_too_long_keeps_its_frame(tmp_path: Path) -> None:
    model = resolve(str(zoo.qwen3_reranker(tmp_path, "original", **OVERRIDES)))
    (whole,) = model.text.pairs.encode([("a", "long " * 99)])
    (short,) = model.text.pairs.encode([("a", "long " * 99)], limit=len(whole.ids) - 100)
    after = len(zoo.qwen3_tokenizer().encode(AFTER).ids)
    assert len(short.ids) == len(whole.ids) - 100
    assert short.ids[-after:].tolist() == whole.ids[-after:].tolist()
    assert short.ids[:-after].tolist() == whole.ids[: len(short.ids) - after].tolist()


def judged(folder: Path, model: Model) -> np.ndarray:
    """Scores by the code of the model card, run with transformers."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    tokenizer = zoo.qwen3_tokenizer()
    kind = AutoModelForCausalLM
    if model.architecture.endswith("ForSequenceClassification"):
        kind = AutoModelForSequenceClassification
    reference = kind.from_pretrained(folder, dtype=torch.float32).eval()
    yes, no = tokenizer.token_to_id("yes"), tokenizer.token_to_id("no")
    found = []
    for query, document in PAIRS:
        asked = f"<Instruct>: {ASK}\n<Query>: {query}\n<Document>: {document}"
        ids = [i for part in (BEFORE, asked, AFTER) for i in tokenizer.encode(part).ids]
        with torch.inference_mode():
            logits = reference(input_ids=torch.tensor([ids])).logits[0]
        if kind is AutoModelForCausalLM:
            both = torch.log_softmax(logits[-1, [no, yes]], 0)
            found.append([both[1].exp().item()])
        else:
            found.append(logits.sigmoid().tolist())
    return np.array(found)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["original", "converted", "LogitScore"])
def test_qwen3_reranker_equals_its_authors_code(tmp_path: Path, backend, kind: str) -> None:
    changes = OVERRIDES if kind == "original" else {}
    layout = "original" if kind == "LogitScore" else kind
    folder = zoo.qwen3_reranker(tmp_path, layout, **changes)
    if kind == "LogitScore":
        classes = "sentence_transformers.cross_encoder.modules"
        modules = [{"path": "", "type": "sentence_transformers.base.modules.Transformer"}]
        modules.append({"path": "1_LogitScore", "type": f"{classes}.LogitScore"})
        tiny.write_json(folder / "modules.json", modules)
        ids = {
            f"{name}_token_id": zoo.qwen3_tokenizer().token_to_id(token)
            for name, token in (("true", "yes"), ("false", "no"))
        }
        tiny.write_json(folder / "1_LogitScore/config.json", ids)
    model = resolve(str(folder))
    assert model.outputs == ("score",)
    assert model.heads["score"].activation == "sigmoid"
    expected = judged(folder, model)
    for logits in scores(backend, model).values():
        np.testing.assert_allclose(sigmoid(logits), expected, atol=MAX_DIFFERENCE)


def test_answers_outside_the_vocabulary_are_refused(tmp_path: Path) -> None:
    folder = zoo.qwen3_reranker(tmp_path, "original", classifier_from_token=["nay", "yes"])
    with pytest.raises(CheckpointError, match="two tokens of the vocabulary"):
        resolve(str(folder))


# Late interaction.

LATE_TEXTS = [*TEXTS, "stop! no, the dog", "the very long text, " * 12]


def late_vectors(backend, model: Model, role: str) -> list[list[np.ndarray]]:
    """Unit vectors that a caller gets of each text: alone, as one batch, in the opposite order."""
    late = read_late(model.text.late.of(role), model.text.tokenizer, LATE_TEXTS)
    session = session_of(backend, model)

    def run(some: list[LateText]) -> list[np.ndarray]:
        batch = TokenBatch(
            np.concatenate([one.ids for one in some]),
            np.array([len(one.ids) for one in some]),
            attended=np.array([one.num_attended for one in some]),
        )
        found = session.run("text", batch)
        split = np.split(found, np.cumsum([len(one.ids) for one in some])[:-1])
        return [unit(rows[one.kept]) for rows, one in zip(split, some, strict=True)]

    return [[run([one])[0] for one in late], run(late), run(late[::-1])[::-1]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("stanford", {}),
        ("stanford", {"mask_punctuation": False, "attend_to_mask_tokens": True}),
        ("modernbert", {}),
        ("modernbert", {"attend_to_expansion_tokens": True, "prompts": {"query": "[Q] ask: "}}),
        ("modernbert", {"do_query_expansion": False, "skiplist_words": ...}),
        ("modernbert", {"model_type": ..., "skiplist_words": ...}),
        ("bert", {"document_length": ..., "query_length": ...}),
    ],
)
def test_colbert_equals_sentence_transformers(
    tmp_path: Path, backend, role: str, layout: str, said: dict
) -> None:
    from sentence_transformers import MultiVectorEncoder

    if layout == "stanford":
        folder = zoo.stanford_colbert(tmp_path, **said)
    else:
        folder = zoo.pylate(tmp_path, layout, **said)
    model = resolve(str(folder))
    assert model.outputs == ("tokens",)
    assert model.dimensions == 12
    assert model.heads["tokens"].normalize
    reference = MultiVectorEncoder(str(folder), device="cpu", model_kwargs={"dtype": torch.float32})
    encode = reference.encode_query if role == "query" else reference.encode_document
    expected = [one.numpy() for one in encode(LATE_TEXTS, show_progress_bar=False)]
    for found in late_vectors(backend, model, role):
        for ours, theirs in zip(found, expected, strict=True):
            assert_same(ours, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_saved_multi_vector_encoders_are_read(tmp_path: Path, backend) -> None:
    from sentence_transformers import MultiVectorEncoder

    zoo.stanford_colbert(tmp_path / "old")
    MultiVectorEncoder(str(tmp_path / "old"), device="cpu").save(str(tmp_path / "new"))
    old, new = resolve(str(tmp_path / "old")), resolve(str(tmp_path / "new"))
    for role in ("query", "document"):
        for a, b in zip(
            late_vectors(backend, old, role)[0], late_vectors(backend, new, role)[0], strict=True
        ):
            assert_same(a, b)


def test_queries_are_filled_up_and_documents_lose_punctuation(tmp_path: Path) -> None:
    model = resolve(str(zoo.stanford_colbert(tmp_path)))
    tokenizer, late = model.text.tokenizer, model.text.late
    (query,) = read_late(late.query, tokenizer, ["the cat!"])
    (document,) = read_late(late.document, tokenizer, ["the cat!"])
    words = [tokenizer.token_id(word) for word in ("the", "cat", "!")]
    marks = [tokenizer.token_id(f"[unused{index}]") for index in range(2)]
    assert query.ids.tolist() == [2, marks[0], *words, 3] + [4] * 10
    assert (query.num_tokens, query.num_attended) == (6, 6)
    assert query.kept.all()
    assert document.ids.tolist() == [2, marks[1], *words, 3]
    assert document.kept.tolist() == [True, True, True, True, False, True]


def test_uncut_texts_show_their_length(tmp_path: Path) -> None:
    model = resolve(str(zoo.stanford_colbert(tmp_path)))
    long = ["the cat " * 20]
    (cut,) = read_late(model.text.late.document, model.text.tokenizer, long)
    (whole,) = read_late(model.text.late.document, model.text.tokenizer, long, truncate=False)
    assert (len(cut.ids), model.text.late.document.limit, len(whole.ids)) == (24, 24, 43)


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"query_length": 0.5}, "query length must be a whole number"),
        ({"query_expansion": {"strategy": "most", "length": 4}}, "'most' is not known"),
        ({"query_expansion": {"strategy": "min", "length": 4, "token": "?!"}}, "not in the voc"),
    ],
)
def test_readings_that_cannot_be_followed_are_refused(
    tmp_path: Path, said: dict, named: str
) -> None:
    with pytest.raises(CheckpointError, match=named):
        resolve(str(zoo.pylate(tmp_path, **said)))


# All of them.

MAKERS = {
    "cross-encoder": lambda folder: zoo.cross_encoder(folder, "bert"),
    "splade": lambda folder: zoo.splade(folder, "bert", pooling={}),
    "bge-m3": lambda folder: zoo.bge_m3(folder)[0],
    "static": lambda folder: zoo.static(folder, "model2vec"),
    "judge": lambda folder: zoo.qwen3_reranker(folder, "original", **OVERRIDES),
    "stanford": zoo.stanford_colbert,
    "pylate": zoo.pylate,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_passes_the_self_test(tmp_path: Path, backend, name: str) -> None:
    model = resolve(str(MAKERS[name](tmp_path)))
    runner = backend.load(model, BackendOptions(dtype="float32", num_sessions=1))
    checks = run_checks(model, runner)
    assert checks["check: finite"].value == "yes"
    assert ("check: unit norm" in checks) == (model.outputs[0] == "dense")


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_loads_in_eight_bits(tmp_path: Path, name: str) -> None:
    model = resolve(str(MAKERS[name](tmp_path / "model")))
    options = BackendOptions(dtype="int8", num_sessions=1, cache_dir=str(tmp_path / "cache"))
    session = BACKENDS[0].values[0].load(model, options).session()
    batch = tokens_of([np.array([2, 10, 11, 3])])
    assert np.isfinite(session.run("text", batch)).all()
    for found in session.run_outputs(batch, model.outputs).values():
        assert np.isfinite(found).all()
