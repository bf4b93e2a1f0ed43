"""The one list of settings. Flags, variables, file keys, help and ``config show`` all come from it.

It repeats the defaults of the options classes, so that ``--help`` need not import what they import;
a test holds the two together.
"""

from dataclasses import dataclass
from typing import Any

from polyvec.config import values
from polyvec.config.values import Parser

POOLINGS = ("cls", "mean", "last", "max", "mean_sqrt_len", "weightedmean")
DTYPES = ("auto", "float32", "bfloat16", "float16", "int8", "int4", "int8-full")
LOG_LEVELS = ("debug", "info", "warning", "error")
TRUNCATIONS = ("end", "start", "none")
CONVERSIONS = ("auto", "embed", "classify", "none")
RUNNERS = ("auto", "pooling")
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MIB = 1 << 20
MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class Definition:
    """One setting.

    Attributes:
        section: Table of the config file, and the options class it belongs to.
        name: Field of that class, and key of that table.
        default: Value when nobody sets it.
        parse: Text or TOML value → value; ValueError says what is wanted.
        help: For people, without the default.
        flag: Name of the flag without dashes, or None for a setting without one.
        aliases: Other names of the flag, as other servers have them.
        is_switch: The flag takes no value and has a ``--no-`` form.
        is_list: The flag may be repeated and takes several values.
        is_secret: Never shown.
    """

    section: str
    name: str
    default: Any
    parse: Parser
    help: str
    flag: str | None = None
    aliases: tuple[str, ...] = ()
    is_switch: bool = False
    is_list: bool = False
    is_secret: bool = False

    @property
    def key(self) -> str:
        """Dotted name, such as ``server.port``."""
        return f"{self.section}.{self.name}"

    @property
    def variable(self) -> str:
        """Variable named after the flag, or after section and name: ``POLYVEC_MEDIA_FORMATS``."""
        return "POLYVEC_" + (self.flag or f"{self.section}_{self.name}").upper().replace("-", "_")


def _server() -> tuple[Definition, ...]:
    text, seconds = values.text, values.duration_s
    return (
        Definition("server", "host", "127.0.0.1", text, "address to listen on", "host"),
        Definition("server", "port", 8000, _port, "port to listen on, 0 for a free one", "port"),
        Definition("server", "api_keys", (), values.listing(text),
                   "key that opens every route; may be repeated", "api-key",
                   is_list=True, is_secret=True),
        Definition("server", "public_models", False, values.switch,
                   "let anyone read the model list without a key", "public-models",
                   is_switch=True),
        Definition("server", "allowed_hosts", (), values.listing(text),
                   "only answer requests for these host names; any by default", "allowed-host",
                   is_list=True),
        Definition("server", "root_path", "", values.path_prefix,
                   "prefix that a proxy puts before every path", "root-path"),
        Definition("server", "limit_body_bytes", 64 * MIB, values.size_bytes,
                   "largest request body, also after decompression", "limit-body"),
        Definition("server", "limit_header_bytes", 32 * 1024, values.size_bytes,
                   "largest request line and headers together"),
        Definition("server", "header_timeout_s", 10.0, seconds,
                   "time from a connection to complete headers"),
        Definition("server", "body_timeout_s", 30.0, seconds, "longest pause inside a body"),
        Definition("server", "keep_alive_s", 75.0, seconds,
                   "how long an idle connection stays open"),
        Definition("server", "drain_timeout_s", 30.0, seconds,
                   "how long requests may run on after a stop signal", "drain-timeout"),
        Definition("server", "access_log", True, values.switch, "log a line for each request",
                   "access-log", is_switch=True),
        Definition("log", "level", "info", values.one_of(*LOG_LEVELS), "what is worth logging",
                   "log-level"),
    )  # fmt: skip


def _engine() -> tuple[Definition, ...]:
    positive = values.positive
    return (
        Definition("engine", "max_batch_tokens", 512, positive,
                   "most tokens of one batch", "max-batch-tokens", ("max-num-batched-tokens",)),
        Definition("engine", "max_inputs_per_request", 2048, positive,
                   "most inputs of one request", "max-inputs-per-request",
                   ("max-client-batch-size",)),
        Definition("engine", "max_queue_tokens", 2_000_000, positive,
                   "most tokens of all waiting requests", "max-queue-tokens"),
        Definition("engine", "max_text_chars", 1_000_000, positive, "longest text in characters"),
        Definition("engine", "max_inline_chars", 2000, values.count,
                   "texts up to this are tokenised on the event loop"),
        Definition("engine", "max_decoded_images", 64, positive, "most decoded pictures in memory"),
        Definition("engine", "max_passed_over_batches", 16, positive,
                   "batches of better priority that may overtake in a row"),
        Definition("engine", "cache_bytes", 0, values.size_bytes,
                   "memory for finished vectors, 0 for none", "cache-size"),
        Definition("engine", "truncate", "none", values.one_of(*TRUNCATIONS),
                   "which tokens of an over-long text to drop when a request does not say; "
                   "none refuses it", "truncate"),
        Definition("engine", "self_test", True, values.switch,
                   "check every model at load: attention, batching, finite numbers", "self-test",
                   is_switch=True),
        Definition("engine", "prepare_threads", 4, positive,
                   "threads that tokenise long texts and decode pictures"),
        Definition("engine", "fetch_threads", 16, positive, "pictures downloaded at the same time"),
    )  # fmt: skip


def _media() -> tuple[Definition, ...]:
    return (
        Definition("media", "limit_bytes", 20 * MIB, values.size_bytes,
                   "largest encoded picture", "limit-image"),
        Definition("media", "max_pixels", 40_000_000, values.positive,
                   "largest width x height of a picture", "max-image-pixels"),
        Definition("media", "max_side_px", 65_535, values.positive, "longest side of a picture"),
        Definition("media", "max_jpeg_scans", 100, values.positive,
                   "most passes over a progressive JPEG"),
        Definition("media", "formats", IMAGE_FORMATS,
                   values.listing(values.one_of(*IMAGE_FORMATS)), "accepted picture formats"),
    )  # fmt: skip


def _backend() -> tuple[Definition, ...]:
    return (
        Definition("backend", "name", "openvino", values.text, "runtime", "backend"),
        Definition("backend", "device", "cpu", values.text,
                   "where to run, such as cpu or GPU.1", "device"),
        Definition("backend", "dtype", "auto", values.one_of(*DTYPES),
                   "precision; auto is bfloat16 where the CPU has it, else float32; int8 and int4 "
                   "quantise weights, int8-full activations too", "dtype"),
        Definition("backend", "num_sessions", None, values.positive,
                   "batches that run at the same time; one per core by default", "num-sessions"),
        Definition("backend", "activation_group_size", 128, values.count,
                   "activations that share a scale when int8 and int4 round them to 8 bits; "
                   "0 for exact ones", "activation-group-size"),
        Definition("backend", "cache_dir", None, values.folder,
                   "where quantised weights are kept, off for nowhere; ~/.cache/polyvec by default",
                   "cache-dir"),
        Definition("backend", "calibration_file", None, values.text,
                   "texts, one a line, for int8-full; built-in ones by default"),
        Definition("backend", "verify_precision", False, values.switch,
                   "compare reduced precisions with float32 at load", "verify-precision",
                   is_switch=True),
    )  # fmt: skip


def _model() -> tuple[Definition, ...]:
    text = values.text
    return (
        Definition("model", "served_model_name", (), values.listing(text),
                   "name that callers use, then its aliases; hub id or folder name by default",
                   "served-model-name", is_list=True),
        Definition("model", "revision", None, text, "branch, tag or commit on the hub", "revision"),
        Definition("model", "pooling", None, values.one_of(*POOLINGS),
                   "token states to one vector; by default what the checkpoint says", "pooling"),
        Definition("model", "normalize", None, values.switch,
                   "unit-length vectors; by default what the checkpoint says", "normalize",
                   is_switch=True),
        Definition("model", "max_input_tokens", None, values.positive,
                   "longest text in tokens; by default what the checkpoint says",
                   "max-input-tokens", ("max-model-len",)),
        Definition("model", "default_prompt_name", None, text,
                   "prompt of the checkpoint for requests that name none", "default-prompt-name"),
        Definition("model", "prompts", None, values.texts_by_name,
                   "JSON of prompt names and prefixes, beside and before the checkpoint's",
                   "prompts"),
        Definition("model", "matryoshka", (), values.listing(values.positive),
                   "shorter vector lengths that callers may ask for", "matryoshka-dimensions",
                   is_list=True),
        Definition("model", "architecture", None, text,
                   "class name to use instead of the one in config.json", "architecture"),
        *_as_vllm_has_them(),
    )  # fmt: skip


def _as_vllm_has_them() -> tuple[Definition, ...]:
    one_of = values.one_of
    return (
        Definition("model", "pooler_config", None, values.json_object,
                   'JSON such as {"pooling_type": "MEAN", "use_activation": true}',
                   "pooler-config"),
        Definition("model", "hf_overrides", None, values.json_object,
                   "JSON put over config.json before it is read", "hf-overrides"),
        Definition("model", "convert", "auto", one_of(*CONVERSIONS),
                   "what the model must be good for; causal models embed without it", "convert"),
        Definition("model", "runner", "auto", one_of(*RUNNERS),
                   "accepted for command lines of vLLM: only pooling is served", "runner"),
        Definition("model", "trust_remote_code", False, values.switch,
                   "let another engine run a checkpoint's own code; our graphs never do",
                   "trust-remote-code", is_switch=True),
    )  # fmt: skip


def _port(value: Any) -> int:
    try:
        port = values.count(value)
    except ValueError:
        port = -1
    if not 0 <= port <= MAX_PORT:
        raise ValueError(f"a port from 0 to {MAX_PORT}")
    return port


DEFINITIONS: tuple[Definition, ...] = (
    *_server(),
    *_engine(),
    *_media(),
    *_backend(),
    *_model(),
)
BY_KEY = {definition.key: definition for definition in DEFINITIONS}
BY_VARIABLE = {definition.variable: definition for definition in DEFINITIONS}
