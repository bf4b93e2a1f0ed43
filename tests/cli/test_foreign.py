"""Command lines that people type for other servers today, and what they come to here."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from polyvec.cli import build_parser
from polyvec.cli._flags import load_given
from polyvec.cli._spellings import plain
from polyvec.config.compose import Plan, compose
from polyvec.config.definitions import DEFINITIONS
from polyvec.config.foreign_flags import GROUPS, ROWS
from polyvec.config.load import Config
from polyvec.errors import ConfigError

REFUSED = sorted(name for name, row in ROWS.items() if row.help.startswith("refused"))
IGNORED = sorted(name for name, row in ROWS.items() if row.is_noted)
SAMPLES = {
    "task": "embed",
    "max-num-queued-tokens": "1000",
    "override-pooler-config": "{}",
    "uvicorn-log-level": "debug",
    "context-length": "64",
    "json-model-override-args": "{}",
    "rest-port": "1",
    "num-streams": "2",
    "target-device": "GPU",
    "weight-format": "int8",
    "tokenization-workers": "2",
    "payload-limit": "1000",
    "url-prefix": "/v1",
    "proxy-root-path": "/v1",
    "pooling-method": "mean",
}


def given(command: str) -> Config:
    arguments = shlex.split(command)
    return load_given(build_parser().parse_args(plain(["serve", *arguments])))


def value(config: Config, key: str) -> Any:
    if key.startswith("model."):
        return config.models[0].values[key.removeprefix("model.")].value
    return config.values[key].value


@pytest.mark.parametrize(
    ("command", "models", "expected"),
    [
        (  # vLLM
            (
                "TIGER-Lab/VLM2Vec-Full --runner pooling --trust-remote-code --max-model-len 4096 "
                "--chat-template examples/template_vlm2vec.jinja"
            ),
            ["TIGER-Lab/VLM2Vec-Full"],
            {"model.max_input_tokens": 4096, "model.trust_remote_code": True},
        ),
        (
            (
                "Snowflake/snowflake-arctic-embed-m-v1.5 "
                """--hf-overrides '{"matryoshka_dimensions":[256]}'"""
            ),
            ["Snowflake/snowflake-arctic-embed-m-v1.5"],
            {"model.hf_overrides": {"matryoshka_dimensions": [256]}},
        ),
        (
            (
                "org/m --served-model-name a b --dtype half --host 0.0.0.0 --port 8001 -tp 2 "
                "--gpu-memory-utilization 0.9 --enforce-eager --uvicorn-log-level warning "
                "--disable-uvicorn-access-log --api-key secret --allowed-media-domains a.com b.com"
            ),
            ["org/m"],
            {
                "model.served_model_name": ("a", "b"),
                "backend.dtype": "float16",
                "server.host": "0.0.0.0",
                "server.port": 8001,
                "log.level": "warning",
                "server.access_log": False,
                "server.api_keys": ("secret",),
                "media.allowed_domains": ("a.com", "b.com"),
            },
        ),
        (
            (
                "--model org/m --task embed --tokenizer org/m --override-pooler-config "
                """'{"pooling_type": "MEAN"}'"""
            ),
            ["org/m"],
            {"model.convert": "embed", "model.pooler_config": {"pooling_type": "MEAN"}},
        ),
        (  # SGLang
            "--model-path Qwen/Qwen3-Embedding-4B --is-embedding --host 0.0.0.0 --port 30000",
            ["Qwen/Qwen3-Embedding-4B"],
            {"model.convert": "embed", "server.host": "0.0.0.0", "server.port": 30000},
        ),
        (
            (
                "--is-embedding --model-path Alibaba-NLP/gme-Qwen2-VL-2B-Instruct "
                "--chat-template gme-qwen2-vl --mem-fraction-static 0.8 --allow-auto-truncate "
                """--context-length 512 --json-model-override-args '{"is_matryoshka": true}'"""
            ),
            ["Alibaba-NLP/gme-Qwen2-VL-2B-Instruct"],
            {
                "model.chat_template": "gme-qwen2-vl",
                "engine.truncate": "end",
                "model.max_input_tokens": 512,
                "model.hf_overrides": {"is_matryoshka": True},
            },
        ),
        (  # OpenVINO Model Server
            (
                "--source_model OpenVINO/bge-base-en-v1.5-int8-ov --task pooling CLS "
                "--task embeddings "
                "--rest_port 8000 --rest_bind_address 0.0.0.0 --target_device GPU --cache_dir /c"
            ),
            ["OpenVINO/bge-base-en-v1.5-int8-ov"],
            {
                "model.pooling": "cls",
                "model.convert": "embed",
                "server.port": 8000,
                "server.host": "0.0.0.0",
                "backend.device": "GPU",
                "backend.cache_dir": "/c",
            },
        ),
        (
            (
                "--model_path /models/m --model_name n --port 9000 --rest_port 8000 "
                "--log_level DEBUG "
                "--pooling LAST --normalize false --truncate true --num_streams 4 "
                "--target_device CPU"
            ),
            ["/models/m"],
            {
                "model.served_model_name": ("n",),
                "server.port": 8000,
                "log.level": "debug",
                "model.pooling": "last",
                "model.normalize": False,
                "engine.truncate": "end",
                "backend.num_sessions": 4,
                "backend.device": "CPU",
            },
        ),
        (  # Text Embeddings Inference
            (
                "--model-id BAAI/bge-large-en-v1.5 --revision refs/pr/5 --dtype float16 --port 80 "
                "--pooling last-token --max-batch-tokens 16384 --max-client-batch-size 32 "
                "--auto-truncate --hostname 0.0.0.0 --payload-limit 2000000 --json-output "
                "--default-prompt 'query: ' --max-concurrent-requests 512"
            ),
            ["BAAI/bge-large-en-v1.5"],
            {
                "model.revision": "refs/pr/5",
                "backend.dtype": "float16",
                "server.port": 80,
                "model.pooling": "last",
                "engine.max_batch_tokens": 16384,
                "engine.max_inputs_per_request": 32,
                "engine.truncate": "end",
                "server.limit_body_bytes": 2_000_000,
                "model.prompts": {"default": "query: "},
                "model.default_prompt_name": "default",
            },
        ),
        (
            "--model-id naver/splade --pooling splade --auto-truncate false",
            ["naver/splade"],
            {"model.architecture": "BertSpladeSparseEmbeddingModel", "engine.truncate": "none"},
        ),
        (  # Infinity
            (
                "--model-id michaelfeil/bge-small-en-v1.5 --engine torch --batch-size 64 "
                "--url-prefix /v1 --device auto --pooling-method auto --no-bettertransformer "
                "--log-level critical --embedding-dtype float32 --compile"
            ),
            ["michaelfeil/bge-small-en-v1.5"],
            {
                "server.root_path": "/v1",
                "backend.device": "cpu",
                "model.pooling": None,
                "log.level": "error",
            },
        ),
    ],
)
def test_a_command_of_another_server_means_the_same_here(
    command: str, models: list[str], expected: dict[str, Any]
) -> None:
    config = given(command)
    assert [model.reference for model in config.models] == models
    assert {key: value(config, key) for key in expected} == expected
    plan: Plan = compose(config)
    assert len(plan.models) == len(models)


def test_several_models_of_infinity_have_their_own_settings() -> None:
    config = given(
        "--model-id 'org/a;org/b' --model-id org/c --served-model-name 'x;y;z' "
        "--revision 'main;v1;v2' --dtype 'float16;float16;float16' --trust-remote-code"
    )
    found = [(one.name, one.options.revision) for one in compose(config).models]
    assert found == [("x", "main"), ("y", "v1"), ("z", "v2")]
    assert all(one.options.trust_remote_code for one in compose(config).models)
    assert value(config, "backend.dtype") == "float16"
    with pytest.raises(ConfigError, match="--revision has 2 values for 3 models"):
        given("--model-id 'a/a;a/b;a/c' --revision 'x;y'")
    with pytest.raises(ConfigError, match="--dtype: one value holds for all"):
        given("--model-id 'a/a;a/b' --dtype 'float16;int8'")


def test_a_model_that_was_pulled_is_served_from_the_repository(tmp_path: Path) -> None:
    folder = tmp_path / "org/m"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    config = given(f"--source_model org/m --model_repository_path {tmp_path} --task embeddings")
    (model,) = compose(config).models
    assert (model.name, model.reference) == ("org/m", str(folder))
    config = given(f"--source_model org/other --model_repository_path {tmp_path} --model_name n")
    (model,) = compose(config).models
    assert (model.name, model.reference) == ("n", "org/other")
    config = given(f"--model_name org/m --model_repository_path {tmp_path}")
    assert compose(config).models[0].reference == str(folder)
    assert compose(config).models[0].name == "org/m"


def test_keys_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("one\ntwo\n")
    assert value(given(f"--api_key_file {file}"), "server.api_keys") == ("one", "two")
    with pytest.raises(ConfigError, match="a file that can be read"):
        given(f"--api_key_file {tmp_path / 'none'}")


def test_variables_of_the_process_are_kept_for_the_start() -> None:
    config = given("--model-id a/b --huggingface-hub-cache /data --hf-api-token t")
    assert config.variables == {"HF_HUB_CACHE": "/data", "HF_TOKEN": "t"}


@pytest.mark.parametrize("name", sorted(set(ROWS) - set(REFUSED) - set(IGNORED)))
def test_every_flag_that_means_something_is_read(name: str) -> None:
    row = ROWS[name]
    if name == "api-key-file":
        return
    text = "" if row.kind == "switch" else SAMPLES.get(name, "a/b")
    config = given(f"{row.flags[[row.name, *row.aliases].index(name)]} {text}")
    assert config.notes == ()


@pytest.mark.parametrize("name", IGNORED)
def test_a_flag_that_changes_no_vector_is_accepted_and_said_to_have_no_effect(name: str) -> None:
    flag = f"--{name}" if len(name) > 1 else f"-{name}"
    config = given(f"m/m {flag} {'' if ROWS[name].kind == 'switch' else '1'}")
    assert len(config.notes) == 1
    assert f"{flag} has no effect" in config.notes[0]
    assert [model.reference for model in config.models] == ["m/m"]


@pytest.mark.parametrize("name", REFUSED)
def test_a_flag_that_cannot_be_obeyed_is_refused_with_what_to_use(name: str) -> None:
    flag = f"--{name}" if len(name) > 1 else f"-{name}"
    text = "" if ROWS[name].kind == "switch" else "x"
    with pytest.raises(ConfigError) as caught:
        given(f"m/m {flag} {text}")
    assert caught.value.message.startswith(flag)
    assert ROWS[name].help.removeprefix("refused: ") in caught.value.message


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("--task text_generation", "only embeddings"),
        ("--task pooling", None),
        ("--tokenizer other/m m/m", "the tokenizer is that of the checkpoint"),
        ("a/a --model-id b/b", "name different models"),
        ("--hostname a --rest-bind-address b", "--hostname and --rest-bind-address disagree"),
        ("--host a --hostname b", "--host and --hostname disagree"),
        ("--embedding-dtype int8", "embedding_types"),
        ("--embedding-dtype 'float32;int8;'", "embedding_types"),
        ("--embedding-dtype 'float32;float32;'", None),
        ("m/m --enable-lora --lora-modules a=b", "--enable-lora: adapters"),
        ("m/m --lora-modules a=b c=d", "adapters"),
        ("--list_models", "--list-models: write config.json"),
        ("m/m --rope-scaling '{}'", "--hf-overrides"),
        ("m/m --limit-mm-per-prompt.image 4", None),
        ("--model-id a/a --model-id b/b --dtype int8 --dtype float32", "holds for all models"),
        ("--engine debugengine", "--backend fake"),
        ("--pull --source_model a/b", "polyvec export"),
        ("--quantization awq", "--dtype int8"),
        ("--quantization none", None),
        ("--pooling nonsense", "must be one of cls, mean"),
        ("a/a --config-path c.json", "exclude each other"),
    ],
)
def test_contradictions_are_refused(command: str, message: str | None) -> None:
    if message is None:
        given(command)
        return
    with pytest.raises(ConfigError, match=message):
        given(command)


def test_a_repeated_flag_of_one_model_is_meant_for_each_in_turn() -> None:
    config = given(
        "--model-id a/a --revision x --pooling cls --served-model-name A "
        "--model-id b/b --revision y --pooling mean --served-model-name B"
    )
    keys = ("revision", "pooling", "served_model_name")
    found = [[model.values[key].value for key in keys] for model in config.models]
    assert found == [["x", "cls", ("A",)], ["y", "mean", ("B",)]]
    assert value(given("m/m --pooling cls --pooling mean"), "model.pooling") == "mean"


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ("serve M --served-model-name a b", "serve M --served-model-name=a,b"),
        ("serve --served-model-name a M", "serve --served-model-name=a M"),
        ("serve --is-embedding M", "serve --is-embedding=true M"),
        ("serve --no-compile M", "serve --compile=false M"),
        ("serve --normalize true M", "serve --normalize M"),
        ("serve --no-normalize false", "serve --normalize"),
        ("serve --normalize FALSE --x", "serve --no-normalize --x"),
        (
            "serve --task pooling CLS --task embeddings",
            "serve --task=pooling,CLS --task=embeddings",
        ),
        ("serve M --api-key a b", "serve M --api-key=a,b"),
        ("serve --api-key a M", "serve --api-key=a M"),
        ("serve M -- --is-embedding a", "serve M -- --is-embedding a"),
        ("config show M --served_model_name a b", "config show M --served-model-name=a,b"),
        ("export --truncate --pooling CLS M", "export --truncate --pooling CLS M"),
    ],
)
def test_every_flag_gets_one_value(arguments: str, written: str) -> None:
    assert plain(arguments.split()) == written.split()


def test_every_command_and_flag_of_the_page_on_migrating_is_known() -> None:
    page = (Path(__file__).parents[2] / "docs/migrating.md").read_text()
    commands = re.findall(r"^polyvec serve +(.+)$", page, re.MULTILINE)
    assert len(commands) == len(GROUPS) + 1
    for command in commands:
        if "--config_path" not in command:  # which reads a file
            assert given(command).models
    ours = {name for one in DEFINITIONS if one.flag for name in (one.flag, *one.aliases)}
    known = {*ROWS, *ours, *(f"no-{name}" for name in ours), "config-path", "model-repository-path"}
    written = {name.replace("_", "-") for name in re.findall(r"--([a-z][\w-]+)", page)}
    assert written - known == {"help", "ssl-"}


def test_other_servers_flags_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["serve", "--help"])
    shown = capsys.readouterr().out
    for title in GROUPS:
        assert f"{title}:" in shown
    for flag in ("--rest-port", "--is-embedding", "--model-id", "--url-prefix", "--max-num-seqs"):
        assert flag in shown


def test_shortened_flags_are_not_guessed() -> None:
    with pytest.raises(SystemExit):
        given("--max-mod 5")
