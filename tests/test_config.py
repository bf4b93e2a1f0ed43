"""Settings: four sources, one winner, its origin."""

import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from polyvec.backends._base import BackendOptions, Dtype
from polyvec.config import definitions, values
from polyvec.config.compose import compose
from polyvec.config.load import Config, load_config
from polyvec.config.show import rows
from polyvec.engine.options import EngineOptions, Fuse, TokenIds
from polyvec.engine.residency import ResidencyOptions
from polyvec.errors import ConfigError
from polyvec.media.decoder_options import DecoderOptions
from polyvec.media.policy import IMAGE_FORMATS, MediaPolicy
from polyvec.models._family import Pooling
from polyvec.models._options import Convert, ModelOptions, RunnerKind
from polyvec.server.options import ServerOptions
from polyvec.types import Truncate

OPTIONS = {
    "server": ServerOptions,
    "engine": EngineOptions,
    "media": MediaPolicy,
    "decoder": DecoderOptions,
    "backend": BackendOptions,
    "residency": ResidencyOptions,
    "model": ModelOptions,
}
NOT_OF_THE_CLASS = {
    "backend.name",
    "model.served_model_name",
    "model.lazy",
    "model.pinned",
    "model.unload_idle_s",
    "model.memory_bytes",
}


def load(**arguments: object) -> Config:
    return load_config(**{"environ": {}, **arguments})  # type: ignore[arg-type]


def file_with(tmp_path: Path, text: str) -> str:
    path = tmp_path / "polyvec.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize("section", OPTIONS)
def test_definitions_match_the_options_class(section: str) -> None:
    declared = {
        one.name: one.default
        for one in definitions.DEFINITIONS
        if one.section == section and one.key not in NOT_OF_THE_CLASS
    }
    fields = {field.name: field.default for field in dataclasses.fields(OPTIONS[section])}
    assert declared == fields


def test_choices_match_the_types() -> None:
    # Only a family itself can say that it pools at its own end-of-text token.
    assert get_args(Pooling) == (*definitions.POOLINGS, "eos")
    assert get_args(Dtype) == definitions.DTYPES
    assert get_args(Truncate) == definitions.TRUNCATIONS
    assert get_args(TokenIds) == definitions.TOKEN_IDS
    assert get_args(Fuse) == definitions.FUSINGS
    assert get_args(Convert) == definitions.CONVERSIONS
    assert get_args(RunnerKind) == definitions.RUNNERS
    assert definitions.IMAGE_FORMATS == IMAGE_FORMATS


def test_names_are_unique_and_flags_are_few() -> None:
    flags = [
        name for one in definitions.DEFINITIONS if one.flag for name in (one.flag, *one.aliases)
    ]
    assert len(set(flags)) == len(flags)
    assert len(definitions.BY_VARIABLE) == len(definitions.DEFINITIONS)
    assert sum(one.flag is not None for one in definitions.DEFINITIONS) <= 60


def test_a_registered_chat_template_is_an_alias_of_its_model() -> None:
    flags = {"model.chat_template": "gme-qwen2-vl", "engine.fuse": "mean"}
    plan = compose(load_config(models=["a/b"], flags=flags, environ={}))
    assert plan.models[0].aliases == ("gme-qwen2-vl",)
    assert plan.models[0].options.chat_template == "gme-qwen2-vl"
    assert plan.run.engine.fuse == "mean"
    own = {"model.chat_template": "{{ messages[0].content }}"}
    assert compose(load_config(models=["a/b"], flags=own, environ={})).models[0].aliases == ()


@pytest.mark.parametrize(
    ("raw", "tokens"),
    [("512", 512), ("8k", 8000), ("8K", 8192), ("1.5k", 1500), ("-1", None), ("auto", None)],
)
def test_a_limit_in_tokens_may_be_written_as_for_vllm(raw: str, tokens: int | None) -> None:
    config = load_config(flags={"model.max_input_tokens": raw}, environ={})
    assert config.models[0].values["max_input_tokens"].value == tokens


@pytest.mark.parametrize("raw", ["0", "-2", "k", "1.0001k", "eight", "1kb"])
def test_a_limit_in_tokens_that_is_none_is_refused(raw: str) -> None:
    with pytest.raises(ConfigError, match="a whole number from 1 on, such as 512 or 8k"):
        load_config(flags={"model.max_input_tokens": raw}, environ={})


def test_defaults_serve_the_demo() -> None:
    plan = compose(load())
    assert [model.reference for model in plan.models] == ["polyvec-demo"]
    assert plan.models[0].name == "polyvec-demo"
    assert (plan.server, plan.run.engine) == (ServerOptions(), EngineOptions())
    assert (plan.run.media, plan.run.decoder) == (MediaPolicy(), DecoderOptions())
    assert (plan.run.backend, plan.run.device) == ("openvino", BackendOptions())


def test_later_sources_win_and_are_named(tmp_path: Path) -> None:
    file = file_with(
        tmp_path, '[server]\nport = 1\nhost = "a"\nlimit_body_bytes = "1MiB"\nroot_path = "/f"\n'
    )
    environ = {"POLYVEC_PORT": "2", "POLYVEC_HOST": "b"}
    config = load(file=file, environ=environ, flags={"server.port": "3"})
    found = {key: (value, origin) for key, value, origin in rows(config)}
    assert found["server.port"] == (3, "--port")
    assert found["server.host"] == ("b", "POLYVEC_HOST")
    assert found["server.limit_body_bytes"] == (1 << 20, f"{file}: server.limit_body_bytes")
    assert found["server.drain_timeout_s"] == (30.0, "default")


def test_variable_names_the_file(tmp_path: Path) -> None:
    file = file_with(tmp_path, "[engine]\nmax_batch_tokens = 64\n")
    config = load(environ={"POLYVEC_CONFIG": file})
    assert config.section("engine")["max_batch_tokens"] == 64


def test_models_of_a_file_have_their_own_settings(tmp_path: Path) -> None:
    file = file_with(
        tmp_path,
        '[[model]]\ncheckpoint = "a/b"\nserved_model_name = ["x", "y"]\npooling = "cls"\n'
        '[[model]]\ncheckpoint = "c/d"\n',
    )
    first, second = compose(load(file=file)).models
    assert (first.name, first.aliases, first.options.pooling) == ("x", ("y",), "cls")
    assert (second.name, second.aliases, second.options.pooling) == ("c/d", (), None)


def test_flag_wins_over_the_only_model_of_a_file(tmp_path: Path) -> None:
    file = file_with(tmp_path, '[[model]]\ncheckpoint = "a/b"\npooling = "cls"\n')
    (model,) = load(file=file, flags={"model.pooling": "mean"}).models
    assert (model.values["pooling"].value, model.values["pooling"].origin) == ("mean", "--pooling")


def test_models_of_the_command_line_replace_all_others(tmp_path: Path) -> None:
    file = file_with(tmp_path, '[[model]]\ncheckpoint = "a/b"\n')
    config = load(file=file, environ={"POLYVEC_MODEL": "e, f"}, models=["g"])
    assert [(one.reference, one.origin) for one in config.models] == [("g", "command line")]
    config = load(file=file, environ={"POLYVEC_MODEL": "e, f"})
    assert [one.reference for one in config.models] == ["e", "f"]


def test_model_setting_for_several_models_is_refused() -> None:
    with pytest.raises(ConfigError, match="--pooling is about one model, but 2 are served"):
        load(models=["a", "b"], flags={"model.pooling": "cls"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[server]\nprot = 1\n", "unknown key prot in .*; did you mean port?"),
        ("[sever]\nport = 1\n", "unknown table sever in .*; did you mean server?"),
        ("[server]\nport = 99999\n", "server.port must be a port from 0 to 65535, not 99999"),
        ("[server]\nport = true\n", "must be a port"),
        ("server = 1\n", "server must be a table"),
        ("[model]\npooling = 'cls'\n", r"array: \[\[model\]\]"),
        ("[[model]]\npooling = 'cls'\n", "needs a checkpoint"),
        ("[[model]]\ncheckpoint = 'a'\npoling = 'cls'\n", "did you mean pooling?"),
        ("[backend]\ndtype = 'int3'\n", "auto, float32, .*, int8, int4, int8-full, not 'int3'"),
        ("[engine]\ncache_bytes = '1 zb'\n", "a size such as 64MiB"),
        ("[server\n", "is not a TOML file"),
    ],
)
def test_errors_of_a_file_say_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(file=file_with(tmp_path, text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load(file=str(tmp_path / "none.toml"))


def test_unknown_variable_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown variable POLYVEC_PRT in the environment; did"):
        load(environ={"POLYVEC_PRT": "1"})


def test_variables_of_kubernetes_and_others_are_left_alone() -> None:
    config = load(
        environ={
            "POLYVEC_SERVICE_HOST": "10.0.0.1",
            "POLYVEC_PORT": "tcp://10.0.0.1:8000",
            "POLYVEC_PORT_8000_TCP_ADDR": "10.0.0.1",
            "POLYVEC_GATEWAY_SERVICE_PORT_HTTP": "80",
            "POLYVEC_GATEWAY_PORT": "tcp://10.0.0.2:80",
            "POLYVEC_HOST": "",
            "PORT": "1",
        }
    )
    assert {found.origin for found in config.values.values()} == {"default"}


def test_keys_are_never_shown() -> None:
    config = load(environ={"POLYVEC_API_KEY": "secret-one,secret-two"})
    assert compose(config).server.api_keys == ("secret-one", "secret-two")
    assert ("server.api_keys", "2 set", "POLYVEC_API_KEY") in list(rows(config))
    with pytest.raises(ConfigError) as caught:
        load(flags={"server.api_keys": object()})
    assert "object" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "number"),
    [("64MiB", 64 << 20), ("2GB", 2 * 10**9), ("4096", 4096), ("1.5 KiB", 1536), (7, 7), ("0", 0)],
)
def test_sizes(text: str | int, number: int) -> None:
    assert values.size_bytes(text) == number


@pytest.mark.parametrize(
    ("text", "number"), [("30s", 30.0), ("250ms", 0.25), ("5m", 300.0), ("1.5", 1.5), (2, 2.0)]
)
def test_durations(text: str | int, number: float) -> None:
    assert values.duration_s(text) == number


@pytest.mark.parametrize("value", ["", "x", "-1", "1 parsec", "64MiBs", True, None, "inf", "1e3"])
def test_what_is_no_measure_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a size such as"):
        values.size_bytes(value)
    with pytest.raises(ValueError, match="a time such as"):
        values.duration_s(value)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("OFF", False), ("1", True)])
def test_switches(text: str, value: bool) -> None:  # noqa: FBT001
    assert values.switch(text) is value


@pytest.mark.parametrize("value", ["maybe", 1, None])
def test_what_is_no_switch_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="true or false"):
        values.switch(value)


def test_media_sources_are_closed_by_default() -> None:
    policy = compose(load()).run.media
    assert not policy.fetches_urls
    assert not policy.trust_env_proxies
    assert policy.roots == ()


def test_media_sources_are_opened_by_flags_variables_and_files(tmp_path: Path) -> None:
    flags = {
        "media.urls": "public",
        "media.allowed_domains": ["example.com,*.example.org", "minio:9000"],
        "media.allowed_networks": ["10.0.0.0/8", "fd00::/8,127.0.0.1"],
        "media.roots": [str(tmp_path)],
    }
    policy = compose(load(flags=flags)).run.media
    assert policy.urls == "public"
    assert policy.allowed_domains == ("example.com", "*.example.org", "minio:9000")
    assert policy.allowed_networks == ("10.0.0.0/8", "fd00::/8", "127.0.0.1/32")
    assert policy.roots == (str(tmp_path),)
    environ = {"POLYVEC_ALLOWED_MEDIA_DOMAIN": "a.com,b.com", "POLYVEC_MEDIA_ROOT": str(tmp_path)}
    policy = compose(load(environ=environ)).run.media
    assert (policy.allowed_domains, policy.roots) == (("a.com", "b.com"), (str(tmp_path),))
    file = file_with(
        tmp_path, "[media]\nallowed_ports = [80, 9000]\ntrust_env_proxies = true\nmax_redirects = 0"
    )
    policy = compose(load(file=file)).run.media
    assert (policy.allowed_ports, policy.max_redirects) == ((80, 9000), 0)
    assert policy.trust_env_proxies


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("media.urls", "private", "--allow-media-urls must be one of none, public"),
        ("media.allowed_domains", "https://a.com", "a host such as example.com"),
        ("media.allowed_domains", "a.com/x", "a host such as"),
        ("media.allowed_domains", "u@a.com", "a host such as"),
        ("media.allowed_domains", "a.*.com", "a host such as"),
        ("media.allowed_domains", "*", "a host such as"),
        ("media.allowed_networks", "10.0.0.1/8", "a network such as 10.0.0.0/8"),
        ("media.allowed_networks", "minio", "a network such as"),
        ("media.roots", "/no/such/folder", "--media-root must be a folder that exists"),
        ("media.roots", "/", "other than /"),
        ("media.allowed_ports", "99999", "a port from"),
    ],
)
def test_a_media_source_that_cannot_be_is_refused(key: str, text: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=wanted):
        load(flags={key: text})


def test_a_policy_made_by_hand_refuses_what_is_no_network() -> None:
    with pytest.raises(ConfigError, match="host bits"):
        MediaPolicy(allowed_networks=("10.0.0.1/8",))


@pytest.mark.parametrize("value", [1.5, True, None, {}, [["a"]], [{}]])
def test_what_is_no_list_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a list"):
        values.listing(values.text)(value)


@pytest.mark.parametrize("value", ["emb", "/emb/", 1])
def test_root_path_has_one_spelling(value: object) -> None:
    with pytest.raises(ValueError, match="begins with /"):
        values.path_prefix(value)


def test_options_in_json_come_from_flags_variables_and_files(tmp_path: Path) -> None:
    flags = {"model.pooler_config": '{"pooling_type": "MEAN"}'}
    environ = {"POLYVEC_HF_OVERRIDES": '{"is_matryoshka": true}'}
    (model,) = compose(load(flags=flags, environ=environ)).models
    assert model.options.pooler_config == {"pooling_type": "MEAN"}
    assert model.options.hf_overrides == {"is_matryoshka": True}
    file = file_with(
        tmp_path,
        '[[model]]\ncheckpoint = "a/b"\nprompts = { query = "q: " }\n'
        'hf_overrides = { matryoshka_dimensions = [256] }\nconvert = "embed"\n',
    )
    (model,) = compose(load(file=file)).models
    assert model.options.prompts == {"query": "q: "}
    assert model.options.hf_overrides == {"matryoshka_dimensions": [256]}
    assert model.options.convert == "embed"
    shown = {key: (value, origin) for key, value, origin in rows(load(file=file))}
    assert shown["model[0].prompts"] == ({"query": "q: "}, f"{file}: model.prompts")


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("model.pooler_config", "MEAN", "a JSON object"),
        ("model.hf_overrides", "[1]", "a JSON object"),
        ("model.prompts", '{"query": 3}', "whose values are texts"),
        ("model.runner", "generate", "one of auto, pooling"),
        ("model.convert", "reward", "one of auto, embed, classify, none"),
    ],
)
def test_an_option_that_cannot_be_read_says_what_is_wanted(
    key: str, text: str, wanted: str
) -> None:
    with pytest.raises(ConfigError, match=wanted):
        load(flags={key: text})
