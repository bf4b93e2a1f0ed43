"""Variables that containers of other servers are started with."""

from typing import Any

import pytest

from polyvec.config.compose import compose
from polyvec.config.load import Config, load_config
from polyvec.errors import ConfigError


def value(config: Config, key: str) -> Any:
    return config.values[key].value


def test_variables_of_text_embeddings_inference_count_where_a_model_is_named() -> None:
    environ = {
        "MODEL_ID": "BAAI/bge-m3",
        "REVISION": "main",
        "POOLING": "cls",
        "PORT": "8080",
        "MAX_BATCH_TOKENS": "4096",
        "MAX_CLIENT_BATCH_SIZE": "64",
        "AUTO_TRUNCATE": "true",
        "API_KEY": "secret",
        "SERVED_MODEL_NAME": "m3",
        "HUGGINGFACE_HUB_CACHE": "/data",
        "PAYLOAD_LIMIT": "1000000",
        "MAX_CONCURRENT_REQUESTS": "512",
        "HOSTNAME": "3f2a9c1d",
        "PROMETHEUS_PORT": "9000",
    }
    config = load_config(environ=environ)
    (model,) = compose(config).models
    assert (model.reference, model.name) == ("BAAI/bge-m3", "m3")
    assert (model.options.revision, model.options.pooling) == ("main", "cls")
    assert (value(config, "server.port"), value(config, "server.host")) == (8080, "127.0.0.1")
    assert value(config, "engine.max_batch_tokens") == 4096
    assert value(config, "engine.max_inputs_per_request") == 64
    assert value(config, "engine.truncate") == "end"
    assert value(config, "server.api_keys") == ("secret",)
    assert value(config, "server.limit_body_bytes") == 1_000_000
    assert config.variables == {"HF_HUB_CACHE": "/data"}
    assert config.values["server.port"].origin == "PORT"
    del environ["MODEL_ID"]
    untouched = load_config(environ=environ)
    assert untouched.values["server.port"].origin == "default"
    assert untouched.models[0].reference == "polyvec-demo"


def test_an_address_may_be_given_as_hostname() -> None:
    config = load_config(environ={"MODEL_ID": "a/b", "HOSTNAME": "0.0.0.0"})
    assert value(config, "server.host") == "0.0.0.0"


def test_variables_of_infinity_are_read() -> None:
    config = load_config(
        environ={
            "INFINITY_MODEL_ID": "a/b;c/d",
            "INFINITY_REVISION": "main;v2",
            "INFINITY_PORT": "7997",
            "INFINITY_URL_PREFIX": "/v1",
            "INFINITY_API_KEY": "k",
            "INFINITY_BATCH_SIZE": "64",
            "INFINITY_MAX_CLIENT_BATCH_SIZE": "100",
            "INFINITY_ANONYMOUS_USAGE_STATS": "0",
        }
    )
    found = [(one.reference, one.options.revision) for one in compose(config).models]
    assert found == [("a/b", "main"), ("c/d", "v2")]
    assert (value(config, "server.port"), value(config, "server.root_path")) == (7997, "/v1")
    assert value(config, "engine.max_inputs_per_request") == 100


def test_flags_and_our_own_variables_win() -> None:
    environ = {"MODEL_ID": "a/b", "PORT": "80", "POLYVEC_PORT": "81", "DTYPE": "float16"}
    config = load_config(environ=environ, models=["c/d"], flags={"backend.dtype": "int8"})
    assert config.models[0].reference == "c/d"
    assert (value(config, "server.port"), value(config, "backend.dtype")) == (81, "int8")


def test_a_variable_that_cannot_be_obeyed_is_named() -> None:
    with pytest.raises(ConfigError, match="DENSE_PATH other: the modules"):
        load_config(environ={"MODEL_ID": "a/b", "DENSE_PATH": "other"})
    with pytest.raises(ConfigError, match="INFINITY_EMBEDDING_DTYPE"):
        load_config(environ={"INFINITY_EMBEDDING_DTYPE": "int8"})
