"""Variables and defaults of Multimodal Embedding Serving."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from polyvec.config import mmes
from polyvec.config.compose import compose
from polyvec.config.load import Config, load_config
from polyvec.errors import ConfigError


def loaded(environ: dict[str, str] | None = None, **arguments: Any) -> Config:
    return load_config(environ=environ or {}, **arguments)


def test_its_variables_are_read() -> None:
    config = loaded(
        {
            "EMBEDDING_MODEL_NAME": "CLIP/clip-vit-b-16",
            "EMBEDDING_DEVICE": "GPU",
            "EMBEDDING_USE_OV": "true",
            "EMBEDDING_OV_MODELS_DIR": "/app/ov_models",
            "EMBEDDING_SERVER_PORT": "9777",
            "DEFAULT_START_OFFSET_SEC": "1.5",
            "DEFAULT_CLIP_DURATION": "-1",
            "DEFAULT_NUM_FRAMES": "16",
        }
    )
    assert config.models[0].reference == "CLIP/clip-vit-b-16"
    assert config.models[0].origin == "EMBEDDING_MODEL_NAME"
    values = {key: found.value for key, found in config.values.items()}
    assert values["backend.device"] == "GPU"
    assert values["backend.dtype"] == "auto"
    assert values["backend.cache_dir"] == "/app/ov_models"
    assert values["server.port"] == 9777
    sampling = compose(config).run.media.default_sampling
    assert (sampling.start_s, sampling.duration_s, sampling.num_frames) == (1.5, None, 16)


def test_empty_variables_say_nothing() -> None:
    names = [mmes.MODEL_VARIABLE, *mmes.VARIABLES]
    assert loaded(dict.fromkeys(names, "")) == loaded()


@pytest.mark.parametrize("raw", ["false", "0", "No", "off"])
def test_without_openvino_means_exact_vectors(raw: str) -> None:
    assert loaded({"EMBEDDING_USE_OV": raw}).values["backend.dtype"].value == "float32"


def test_our_own_variables_and_flags_win(tmp_path: Path) -> None:
    theirs = {"EMBEDDING_SERVER_PORT": "1", "EMBEDDING_MODEL_NAME": "theirs"}
    ours = loaded({**theirs, "POLYVEC_PORT": "2", "POLYVEC_MODEL": "ours"})
    assert ours.values["server.port"].value == 2
    assert ours.models[0].reference == "ours"
    given = loaded(theirs, models=["given"], flags={"server.port": "3"})
    assert given.values["server.port"].value == 3
    assert [model.reference for model in given.models] == ["given"]
    file = tmp_path / "polyvec.toml"
    file.write_text('[server]\nport = 4\n[[model]]\ncheckpoint = "filed"\n')
    filed = loaded(theirs, file=str(file))
    assert filed.values["server.port"].value == 4
    assert [model.reference for model in filed.models] == ["filed"]


def test_a_bad_value_names_its_variable() -> None:
    with pytest.raises(ConfigError, match="DEFAULT_NUM_FRAMES must be a whole number"):
        loaded({"DEFAULT_NUM_FRAMES": "many"})


def test_its_defaults_hold_where_nothing_else_is_said() -> None:
    config = loaded({"POLYVEC_HOST": "127.0.0.1"}, mmes_defaults=True)
    assert config.values["server.host"].value == "127.0.0.1"
    assert config.values["media.urls"].value == "public"
    assert config.values["media.urls"].origin == "--mmes"
    temporary = tempfile.gettempdir()
    assert config.values["media.roots"].value == (f"{temporary}/videoQnA", temporary)
    assert loaded({"POLYVEC_MMES": "1"}).values["media.urls"].value == "public"
    assert loaded({"POLYVEC_MMES": "0"}).values["media.urls"].value == "none"


def test_the_switch_for_its_defaults_is_a_switch() -> None:
    with pytest.raises(ConfigError, match="POLYVEC_MMES must be"):
        loaded({"POLYVEC_MMES": "maybe"})


def test_a_bare_name_means_its_alias() -> None:
    (model,) = compose(loaded({"EMBEDDING_MODEL_NAME": "clip-vit-b-16"})).models
    assert (model.name, model.aliases) == ("clip-vit-b-16", ("CLIP/clip-vit-b-16",))


def test_a_model_that_was_renamed_answers_to_both_names() -> None:
    for name in ("Blip2/blip2", "Blip2/blip2_transformers"):
        (model,) = compose(loaded({"EMBEDDING_MODEL_NAME": name})).models
        assert model.name == name
        assert {model.name, *model.aliases} == {"Blip2/blip2", "Blip2/blip2_transformers"}


@pytest.mark.parametrize(
    ("raw", "kept"),
    [("", None), (",10.0.0.1", "10.0.0.1"), ("a, b,,", "a,b"), (",", None)],
)
def test_empty_proxy_exceptions_do_not_switch_the_proxy_off(raw: str, kept: str | None) -> None:
    assert mmes.proxy_exceptions({"no_proxy_env": raw}) == kept


def test_proxy_exceptions_hold_unless_others_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy_env", "minio")
    monkeypatch.setenv("no_proxy", "other")
    mmes.apply_proxy_exceptions()
    assert mmes.os.environ["no_proxy"] == "other"
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    mmes.apply_proxy_exceptions()
    assert mmes.os.environ["no_proxy"] == "minio"
    monkeypatch.delenv("no_proxy")
