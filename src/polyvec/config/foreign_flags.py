"""Flags that people type today for other servers, and what each means here.

A row stands in the group of the first server that has the flag; the same name means the same for
all of them. Flags that are spelled as one of ours are not here: they are ours, and
`polyvec.config.definitions` reads other servers' values of them.

Sources: https://docs.vllm.ai/en/stable/cli/serve.html,
https://docs.sglang.ai/advanced_features/server_arguments.html,
https://github.com/openvinotoolkit/model_server/blob/main/docs/parameters.md,
https://huggingface.co/docs/text-embeddings-inference/cli_arguments and
https://michaelfeil.eu/infinity/latest/cli_v2/.
"""

from collections.abc import Mapping

from polyvec.config.foreign import (
    MODEL,
    SAME_MODEL,
    SOURCE,
    VARIABLE,
    Foreign,
    Settings,
    ignored,
    means,
    read_keys,
    refused,
    silent,
)

_ONE_CPU = "one process uses every core"
_GENERATION = "it is about generating text"
_NO_LORA = "adapters of a checkpoint are chosen by `task`; merge others into the weights first"
_QUANTIZE = "use --dtype int8 or int4, which quantises at load"
_TLS = "put a proxy that speaks TLS in front, and name its prefix with --root-path"
_TRUNCATES = {"true": "end", "false": "none"}

_EMBEDS = frozenset(("embed", "embedding", "embeddings", "embeddings_ov", "feature-extraction"))
_CLASSIFIES = frozenset(("classify", "score", "reward", "rerank", "rerank_ov"))


def _task(text: str) -> Settings:
    """``--task embeddings``; ``--task pooling CLS`` was meant as ``--pooling CLS``."""
    words = text.replace(",", " ").split()
    if len(words) == 2 and words[0] == "pooling":  # noqa: PLR2004
        return {"model.pooling": words[1]}
    if len(words) == 1 and words[0] in {"auto", "pooling"}:
        return {}
    if len(words) == 1 and words[0] in _EMBEDS:
        return {"model.convert": "embed"} if words[0].startswith("embed") else {}
    if len(words) == 1 and words[0] in _CLASSIFIES:
        return {} if words[0].startswith("rerank") else {"model.convert": "classify"}
    raise ValueError("only embeddings, classification and scoring are served")


def _default_prompt(text: str) -> Settings:
    return {"model.prompts": {"default": text}, "model.default_prompt_name": "default"}


VLLM: tuple[Foreign, ...] = (
    means("model", MODEL),
    Foreign("task", "words", _task, "embed, classify or score; embeddings as OVMS has it"),
    means("max-num-queued-tokens", "engine.max_queue_tokens"),
    means("override-pooler-config", "model.pooler_config"),
    means("uvicorn-log-level", "log.level"),
    means("disable-uvicorn-access-log", "server.access_log", "disable-access-log", kind="switch",
          reads={"true": "false", "false": "true"}),
    means("download-dir", f"{VARIABLE}HF_HUB_CACHE"),
    means("hf-token", f"{VARIABLE}HF_TOKEN", "hf-api-token"),
    means("tokenizer", SAME_MODEL, "tokenizer-path"),
    refused("tokenizer-revision", use="give --revision, which is that of the whole checkpoint"),
    refused("quantization", "q", use=_QUANTIZE, allows=("none", "auto")),
    refused("enable-lora", "lora-modules", "lora-paths", use=_NO_LORA, kind="words",
            allows=("false",)),
    refused("mm-processor-kwargs", "media-io-kwargs", allows=("{}",),
            use="the checkpoint's own settings are used; requests may bring mm_processor_kwargs"),
    refused("io-processor-plugin", "middleware", "model-impl", allows=("auto",),
            use="there are no plugins"),
    refused("hf-config-path", use="put config.json into the checkpoint's folder"),
    refused("ssl-keyfile", "ssl-certfile", "ssl-ca-certs", "ssl-cert-reqs", "enable-ssl-refresh",
            kind="words", use=_TLS),
    refused("disable-sliding-window", kind="switch", use="give --max-model-len"),
    refused("chat-template-content-format", allows=("auto",),
            use="leave it out: the template itself shows what it takes"),
    refused("tokenizer-mode", allows=("auto", "slow", "hf"), use="put tokenizer.json there"),
    refused("load-format", "config-format", allows=("auto", "hf", "safetensors"),
            use="the format is seen from the files"),
    refused("uds", use="give --host and --port"),
    refused("enable-prompt-embeds", kind="switch", use="send texts or token ids"),
    refused("rope-scaling", "rope-theta", use="write it into --hf-overrides"),
    ignored("tensor-parallel-size", "tp", "tp-size", "pipeline-parallel-size", "pp", "pp-size",
            "data-parallel-size", "dp", "dp-size", "api-server-count", "renderer-num-workers",
            "max-parallel-loading-workers", "nnodes", "node-rank", "dist-init-addr", "nccl-port",
            "base-gpu-id", "distributed-executor-backend", why=_ONE_CPU),
    ignored("max-num-seqs", "max-num-queued-reqs", "max-running-requests", "max-total-tokens",
            "max-prefill-tokens", "chunked-prefill-size", "max-num-partial-prefills",
            why="batches are bounded by --max-batch-tokens, the queue by --max-queue-tokens"),
    ignored("gpu-memory-utilization", "mem-fraction-static", "swap-space", "cpu-offload-gb",
            "block-size", "page-size", "kv-cache-dtype", "num-gpu-blocks-override",
            "mm-processor-cache-gb", "kv-cache-memory-bytes", why="there is no such cache"),
    ignored("enforce-eager", "enable-prefix-caching", "enable-chunked-prefill",
            "disable-radix-cache", "disable-cuda-graph", "enable-torch-compile",
            "disable-overlap-schedule", "enable-flash-late-interaction",
            "disable-custom-all-reduce", kind="switch",
            why="graphs are compiled as the CPU wants them"),
    ignored("compilation-config", "O", "attention-backend", "mm-attention-backend",
            "sampling-backend", "cuda-graph-max-bs", "mm-encoder-attn-backend",
            why="graphs are compiled as the CPU wants them"),
    ignored("disable-log-requests", "disable-log-stats", "enable-log-requests", "log-requests",
            "disable-frontend-multiprocessing", "enable-server-load-tracking",
            "enable-tokenizer-info-endpoint", "disable-fastapi-docs", "enable-mm-embeds",
            "enable-auto-tool-choice", "allow-credentials", "return-tokens-as-token-ids",
            "skip-server-warmup", "keep-mm-feature-on-device", "trust-request-mm-kwargs",
            kind="switch"),
    ignored("max-log-len", "max-logprobs", "generation-config", "response-role",
            "tool-call-parser", "reasoning-parser", "stream-interval", "decode-log-interval",
            why=_GENERATION),
    ignored("speculative-config", "logits-processors", "guided-decoding-backend",
            "structured-outputs-config", "max-seq-len-to-capture", why=_GENERATION),
    ignored("max-loras", "max-lora-rank", "max-cpu-loras", "lora-dtype", "max-loras-per-batch",
            "lora-backend", why="no adapters are loaded"),
    ignored("master-addr", "master-port", "data-parallel-size-local", "data-parallel-address",
            "data-parallel-rpc-port", "data-parallel-backend", "long-prefill-token-threshold",
            "max-long-partial-prefills", why=_ONE_CPU),
    ignored("async-scheduling", "disable-cascade-attn", "enable-sleep-mode", "use-tqdm-on-load",
            "enable-expert-parallel", "enable-prompt-tokens-details",
            "enable-force-include-usage", "disable-async-output-proc", "enable-log-outputs",
            kind="switch"),
    ignored("log-config-file", "model-loader-extra-config", "ignore-patterns",
            "kv-transfer-config", "observability-config", "additional-config"),
    ignored("cc", "cudagraph-capture-sizes", "optimization-level",
            why="graphs are compiled as the CPU wants them"),
    ignored("seed", "random-seed", why="nothing is random"),
    ignored("scheduling-policy", "schedule-policy", "schedule-conservativeness",
            "watchdog-timeout", "otlp-traces-endpoint", "limit-mm-per-prompt", "code-revision",
            "h11-max-incomplete-event-size", "h11-max-header-count"),
    ignored("allowed-origins", "allowed-methods", "allowed-headers", "cors-allow-origin",
            "disable-access-log-for-endpoints", kind="words",
            why="no CORS headers are sent; a proxy in front can"),
    silent("enable-request-id-headers", why="every answer has X-Request-Id"),
)  # fmt: skip

SGLANG: tuple[Foreign, ...] = (
    means("model-path", MODEL),
    means("is-embedding", "model.convert", kind="switch", reads={"true": "embed", "false": None}),
    means("context-length", "model.max_input_tokens"),
    means("allow-auto-truncate", "engine.truncate", kind="switch", reads=_TRUNCATES),
    means("json-model-override-args", "model.hf_overrides"),
    silent("enable-metrics", "metrics-enable", why="/metrics is always there"),
    refused("torchao-config", use=_QUANTIZE),
    ignored("log-level-http", why="--log-level and --access-log say what is logged"),
    ignored("tokenizer-worker-num", "load-balance-method", "dist-timeout", "gpu-id-step",
            "ep-size", "max-queued-requests", why=_ONE_CPU),
    ignored("warmups", "log-requests-level", "file-storage-path", "crash-dump-folder"),
    ignored("grammar-backend", "sampling-defaults", "completion-template",
            "preferred-sampling-params", "num-continuous-decode-steps", why=_GENERATION),
    ignored("prefill-attention-backend", "decode-attention-backend",
            why="graphs are compiled as the CPU wants them"),
    ignored("show-time-cost", "sleep-on-idle", "enable-p2p-check", "enable-dp-attention",
            "disable-cuda-graph-padding", "enable-mixed-chunk", "enable-memory-saver",
            "enable-tokenizer-batch-encode", "stream-output", kind="switch"),
    ignored("enable-multimodal", kind="switch", why="a model takes what its checkpoint can"),
    ignored("admin-api-key", why="--admin-port has the keys of --api-key"),
    refused("skip-tokenizer-init", kind="switch", use="requests may have token ids in any case"),
)  # fmt: skip

OVMS: tuple[Foreign, ...] = (
    means("rest-port", "server.port"),
    means("rest-bind-address", "server.host"),
    means("source-model", SOURCE),
    means("model-name", "model.served_model_name"),
    means("num-streams", "backend.num_sessions"),
    means("target-device", "backend.device"),
    means("weight-format", "backend.dtype"),
    Foreign("api-key-file", "value", read_keys, "file with the key that opens every route"),
    refused("pull", kind="switch",
            use="use `polyvec export`; what is served is downloaded in any case"),
    refused("configure", "add-to-config", "remove-from-config", "list-models", kind="words",
            use="write config.json by hand, or use `polyvec export`"),
    refused("plugin-config", use="use --num-sessions and --dtype", allows=("{}",)),
    refused("extra-quantization-params", "gguf-filename", use=_QUANTIZE),
    refused("cpu-extension", "shape", "layout", "precision", use="checkpoints say it"),
    ignored("rest-workers", "grpc-workers", "nireq", why=_ONE_CPU),
    ignored("grpc-bind-address", "grpc-channel-arguments", "grpc-max-threads",
            "grpc-memory-quota", why="only HTTP is spoken"),
    ignored("log-path", why="logs go to stderr"),
    ignored("metrics-list", "model-version-policy", "sequence-cleaner-poll-wait-minutes",
            "custom-node-resources-cleaner-interval-seconds", "rest-max-connections"),
    ignored("overwrite-models", "idle-sequence-cleanup", kind="switch"),
)  # fmt: skip

TEI: tuple[Foreign, ...] = (
    means("model-id", MODEL),
    means("tokenization-workers", "engine.prepare_threads"),
    means("auto-truncate", "engine.truncate", kind="switch", reads=_TRUNCATES),
    Foreign("default-prompt", "value", _default_prompt, "prefix for requests that name no prompt"),
    means("hostname", "server.host"),
    means("huggingface-hub-cache", f"{VARIABLE}HF_HUB_CACHE"),
    means("payload-limit", "server.limit_body_bytes"),
    refused("dense-path", use="the modules that modules.json names are used",
            allows=("2_dense",)),
    ignored("max-concurrent-requests", "max-batch-requests",
            why="batches are bounded by --max-batch-tokens, the queue by --max-queue-tokens"),
    ignored("uds-path", "otlp-endpoint", "otlp-service-name"),
    ignored("prometheus-port", why="/metrics is on the server's own port"),
    ignored("json-output", "disable-spans", kind="switch"),
)  # fmt: skip

INFINITY: tuple[Foreign, ...] = (
    means("pooling-method", "model.pooling"),
    means("url-prefix", "server.root_path", "proxy-root-path"),
    refused("embedding-dtype", allows=("float32",),
            use="requests ask for it: embed_dtype, output_dtype or embedding_types"),
    refused("preload-only", kind="switch", use="use `polyvec models show`"),
    refused("engine", allows=("torch", "optimum", "ctranslate2", "neuron"),
            use="--backend fake gives vectors without a model"),
    ignored("batch-size", why="batches are bounded by --max-batch-tokens"),
    ignored("device-id", why="--device names one, such as GPU.1"),
    ignored("queue-size", why="the queue is bounded by --max-queue-tokens"),
    ignored("redirect-slash"),
    ignored("model-warmup", "compile", "bettertransformer", "vector-disk-cache",
            "lengths-via-tokenize", "onnx-disable-optimize", "onnx-do-not-prefer-quantized",
            "permissive-cors", kind="switch"),
)  # fmt: skip

GROUPS: Mapping[str, tuple[Foreign, ...]] = {
    "as vLLM has them": VLLM,
    "as SGLang has them": SGLANG,
    "as OpenVINO Model Server has them": OVMS,
    "as Text Embeddings Inference has them": TEI,
    "as Infinity has them": INFINITY,
}
"""Title of a group of flags → its rows."""

ROWS: Mapping[str, Foreign] = {
    name: row for rows in GROUPS.values() for row in rows for name in (row.name, *row.aliases)
}
"""Name of a flag → its row."""
