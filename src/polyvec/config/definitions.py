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
TOKEN_IDS = ("auto", "model", "cl100k")
FUSINGS = ("none", "mean")
CONVERSIONS = ("auto", "embed", "classify", "none")
RUNNERS = ("auto", "pooling")
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
URL_ACCESS = ("none", "public")
_DTYPE_NAMES = {
    "half": "float16",
    "float": "float32",
    "fp32": "float32",
    "fp16": "float16",
    "bf16": "bfloat16",
}
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
        Definition("server", "admin_port", None, _port,
                   "port on 127.0.0.1 where models are added, loaded and removed; none by default",
                   "admin-port"),
        Definition("server", "root_path", "", values.path_prefix,
                   "prefix that a proxy puts before every path", "root-path"),
        Definition("server", "predict_route", "", values.path_prefix,
                   "one more path that is answered as /invocations is, and as /vertex where the "
                   "body has instances"),
        Definition("server", "health_route", "", values.path_prefix,
                   "one more path that is answered as /ready is, without a key"),
        Definition("server", "limit_body_bytes", 64 * MIB, values.size_bytes,
                   "largest request body, also after decompression", "limit-body"),
        Definition("server", "limit_header_bytes", 32 * 1024, values.size_bytes,
                   "largest request line and headers together"),
        Definition("server", "header_timeout_s", 10.0, seconds,
                   "time from a first byte to complete headers"),
        Definition("server", "body_timeout_s", 30.0, seconds, "longest pause inside a body"),
        Definition("server", "keep_alive_s", 75.0, seconds,
                   "how long an idle connection stays open"),
        Definition("server", "drain_timeout_s", 30.0, seconds,
                   "how long requests may run on after a stop signal", "drain-timeout"),
        Definition("server", "access_log", True, values.switch, "log a line for each request",
                   "access-log", is_switch=True),
        Definition("log", "level", "info", _log_level, "what is worth logging",
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
        Definition("engine", "max_videos", 2, positive, "videos decoded at the same time",
                   "max-videos"),
        Definition("engine", "max_passed_over_batches", 16, positive,
                   "batches of better priority that may overtake in a row"),
        Definition("engine", "cache_bytes", 0, values.size_bytes,
                   "memory for finished vectors, 0 for none", "cache-size"),
        Definition("engine", "truncate", "none", _truncate,
                   "which tokens of an over-long text to drop when a request does not say; "
                   "none refuses it", "truncate"),
        Definition("engine", "token_ids", "auto", values.one_of(*TOKEN_IDS),
                   "what token ids in requests are: the model's own, or OpenAI's cl100k, which is "
                   "put back to text; auto reads those of OpenAI clients as cl100k unless they are "
                   "evidently the model's", "token-ids"),
        Definition("engine", "fuse", "none", values.one_of(*FUSINGS),
                   "texts and pictures in one input of a two-tower model: none refuses them, mean "
                   "is the mean of their vectors", "fuse"),
        Definition("engine", "trust_request_chat_template", False, values.switch,
                   "let requests bring chat templates of their own",
                   "trust-request-chat-template", is_switch=True),
        Definition("engine", "self_test", True, values.switch,
                   "check every model at load: attention, batching, finite numbers", "self-test",
                   is_switch=True),
        Definition("engine", "prepare_threads", 4, positive,
                   "threads that tokenise long texts and decode pictures"),
        Definition("engine", "fetch_threads", 16, positive, "pictures downloaded at the same time"),
    )  # fmt: skip


def _media() -> tuple[Definition, ...]:
    positive, size = values.positive, values.size_bytes
    return (
        Definition("media", "limit_bytes", 20 * MIB, size, "largest encoded picture",
                   "limit-image"),
        Definition("media", "limit_video_bytes", 512 * MIB, size, "largest encoded video",
                   "limit-video"),
        Definition("media", "limit_manifest_bytes", 8 * MIB, size, "largest manifest of frames"),
        Definition("media", "max_pixels", 40_000_000, positive,
                   "largest width x height of a picture", "max-image-pixels"),
        Definition("media", "max_side_px", 65_535, positive, "longest side of a picture"),
        Definition("media", "max_jpeg_scans", 100, positive,
                   "most passes over a progressive JPEG"),
        Definition("media", "formats", IMAGE_FORMATS,
                   values.listing(values.one_of(*IMAGE_FORMATS)), "accepted picture formats"),
        Definition("media", "draft_jpeg", False, values.switch,
                   "decode JPEGs that are shrunk sixfold or more at a fraction of their size: "
                   "faster, slightly other vectors", "draft-jpeg", is_switch=True),
        Definition("media", "max_frames", 4096, positive,
                   "most frames of one video that are embedded", "max-frames"),
        Definition("media", "max_video_s", 4 * 3600.0, values.duration_s, "longest video"),
        *_media_sources(),
    )  # fmt: skip


def _media_sources() -> tuple[Definition, ...]:
    seconds = values.duration_s
    return (
        Definition("media", "urls", "none", values.one_of(*URL_ACCESS),
                   "fetch pictures and videos from URLs of any public host", "allow-media-urls"),
        Definition("media", "allowed_domains", (), values.listing(values.host_pattern),
                   "fetch from this host only, such as example.com, *.example.com or minio:9000; "
                   "may be repeated", "allowed-media-domain", ("allowed-media-domains",),
                   is_list=True),
        Definition("media", "allowed_networks", (), values.listing(values.network),
                   "fetch from addresses of this network although they are not public, such as "
                   "10.0.0.0/8; may be repeated", "allowed-media-network", is_list=True),
        Definition("media", "allowed_ports", (80, 443), values.listing(_port),
                   "ports that URLs may name, beside those of allowed hosts"),
        Definition("media", "roots", (), values.listing(values.existing_folder),
                   "let callers name files below this folder; may be repeated", "media-root",
                   ("allowed-local-media-path",), is_list=True),
        Definition("media", "trust_env_proxies", False, values.switch,
                   "fetch through the proxies of http_proxy, https_proxy and no_proxy"),
        Definition("media", "connect_timeout_s", 5.0, seconds,
                   "longest time to look a host up and connect"),
        Definition("media", "first_byte_timeout_s", 15.0, seconds,
                   "longest wait for the first byte of an answer"),
        Definition("media", "fetch_timeout_s", 60.0, seconds, "longest time of a whole fetch",
                   "media-fetch-timeout"),
        Definition("media", "max_redirects", 3, values.count, "most redirects of a fetch"),
        Definition("media", "default_start_s", 0.0, values.duration_s,
                   "where a video begins when a request does not say"),
        Definition("media", "default_duration_s", None, values.span_s,
                   "how much of a video is embedded when a request does not say, -1 for all"),
        Definition("media", "default_num_frames", 64, values.count,
                   "frames of a video when a request does not say, 0 for all"),
    )  # fmt: skip


def _decoder() -> tuple[Definition, ...]:
    positive, seconds = values.positive, values.duration_s
    return (
        Definition("decoder", "image_processes", None, positive,
                   "processes that decode pictures; one per core by default, 2 to 8",
                   "decoder-processes"),
        Definition("decoder", "video_processes", 2, positive, "processes that decode videos"),
        Definition("decoder", "limit_memory_bytes", 2048 * MIB, values.size_bytes,
                   "address space of one decoding process", "decoder-memory"),
        Definition("decoder", "image_timeout_s", 30.0, seconds, "longest time for one picture"),
        Definition("decoder", "video_timeout_s", 60.0, seconds,
                   "longest time between two frames of a video"),
        Definition("decoder", "video_cpu_s", 600.0, seconds,
                   "most processor time for one video"),
        Definition("decoder", "max_jobs", 1000, positive,
                   "pictures or videos after which a decoding process is replaced"),
    )  # fmt: skip


def _backend() -> tuple[Definition, ...]:
    return (
        Definition("backend", "name", "openvino", values.text, "runtime", "backend"),
        Definition("backend", "device", "cpu", _device,
                   "where to run, such as cpu or GPU.1", "device"),
        Definition("backend", "dtype", "auto", _dtype,
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


def _residency() -> tuple[Definition, ...]:
    return (
        Definition("residency", "lazy", False, values.switch,
                   "load a model by its first request instead of at the start", "lazy",
                   is_switch=True),
        Definition("residency", "unload_idle_s", 0.0, values.duration_s,
                   "time without requests after which a model leaves memory, 0 for never",
                   "unload-idle"),
        Definition("residency", "memory_budget_bytes", 0, values.size_bytes,
                   "memory of all models together, 0 for no limit; those that are not in use leave "
                   "it, the least recently used first", "memory-budget"),
        Definition("residency", "keep", (), values.listing(values.text),
                   "model that never leaves memory once it is loaded; may be repeated", "keep",
                   is_list=True),
        Definition("residency", "watch_config_s", 0.0, values.duration_s,
                   "how often to look whether the list of models has changed, 0 for never",
                   "watch-config", ("file-system-poll-wait-seconds",)),
    )  # fmt: skip


def _model_residency() -> tuple[Definition, ...]:
    return (
        Definition("model", "lazy", None, values.switch,
                   "whether its first request loads it; by default as for all models"),
        Definition("model", "pinned", False, values.switch,
                   "whether it never leaves memory once it is loaded"),
        Definition("model", "unload_idle_s", None, values.duration_s,
                   "time without requests after which it leaves memory, 0 for never; by default "
                   "as for all models"),
        Definition("model", "memory_bytes", None, values.size_bytes,
                   "what it takes of the memory budget; estimated and measured by default"),
    )  # fmt: skip


def _model() -> tuple[Definition, ...]:
    text = values.text
    return (
        Definition("model", "served_model_name", (), values.listing(text),
                   "name that callers use, then its aliases; hub id or folder name by default",
                   "served-model-name", is_list=True),
        Definition("model", "revision", None, text, "branch, tag or commit on the hub", "revision"),
        Definition("model", "pooling", None, _pooling,
                   "token states to one vector; by default what the checkpoint says", "pooling"),
        Definition("model", "normalize", None, values.switch,
                   "unit-length vectors; by default what the checkpoint says", "normalize",
                   is_switch=True),
        Definition("model", "max_input_tokens", None, values.tokens,
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
        Definition("model", "chat_template", None, text,
                   "template for conversations: a file, Jinja itself, or gme-qwen2-vl; by default "
                   "the checkpoint's", "chat-template"),
        *_as_vllm_has_them(),
        *_model_residency(),
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


def _pooling(value: Any) -> Any:
    """In any case, as OpenVINO Model Server and vLLM write it; TEI's and Infinity's names too."""
    word = value.lower() if isinstance(value, str) else value
    if word == "auto":
        return None
    return values.one_of(*POOLINGS)({"last-token": "last", "lasttoken": "last"}.get(word, word))


def _dtype(value: Any) -> Any:
    """Takes others' names too."""
    return values.one_of(*DTYPES)(_DTYPE_NAMES.get(str(value).lower(), value))


def _device(value: Any) -> Any:
    """``auto`` is the CPU, which every machine has."""
    device = values.text(value)
    return "cpu" if device.lower() == "auto" else device


def _truncate(value: Any) -> Any:
    """Also true or false, as OpenVINO Model Server has it."""
    word = str(value).lower()
    return values.one_of(*TRUNCATIONS)({"true": "end", "false": "none"}.get(word, value))


def _log_level(value: Any) -> Any:
    """In any case; what others call finer or coarser is the nearest of ours."""
    word = str(value).lower()
    return values.one_of(*LOG_LEVELS)({"trace": "debug", "critical": "error"}.get(word, word))


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
    *_decoder(),
    *_backend(),
    *_residency(),
    *_model(),
)
BY_KEY = {definition.key: definition for definition in DEFINITIONS}
BY_VARIABLE = {definition.variable: definition for definition in DEFINITIONS}
