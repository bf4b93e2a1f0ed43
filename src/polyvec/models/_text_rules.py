"""How texts become token ids: tokenizer, length, prompts."""

from collections.abc import Mapping
from typing import Any

from polyvec.checkpoints.chat_template import ChatTemplate, read_chat_template, special_tokens
from polyvec.checkpoints.locate import locate_clip_tokenizer
from polyvec.checkpoints.read import Checkpoint
from polyvec.checkpoints.registered_templates import TOKENS_OF_TEMPLATES
from polyvec.checkpoints.text_cleaning import read_cleaning, tokenizer_cleaning
from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._family import Family, Pooling, Tower
from polyvec.models._model import TextRules
from polyvec.models._options import Answers, ModelOptions
from polyvec.models._padding import Padding, read_padding
from polyvec.models._poolings import Poolings
from polyvec.models._templates import DOCUMENT_NAMES, QUERY_NAMES, Usage, usage_of

_UNLIMITED_TOKENS = 10**9
"""transformers writes a larger model_max_length where a tokenizer has no limit."""
_PROMPT_FILE = "config_sentence_transformers.json"


def read_text_rules(
    checkpoint: Checkpoint,
    family: Family,
    config: Any,
    poolings: Poolings,
    options: ModelOptions,
    answers: Answers,
) -> TextRules:
    """Answer every question about texts but how they are pooled.

    Args:
        checkpoint: The files.
        family: Has a text tower.
        config: The family's own.
        poolings: Already answered.
        options: The operator's own answers.
        answers: Gets every setting.

    Raises:
        CheckpointError: A file is missing or says what cannot be served.
        ConfigError: An option contradicts the checkpoint.
    """
    tower = family.towers["text"]
    usage = usage_of(checkpoint.config)
    limit = _max_input_tokens(checkpoint, tower, config, options, answers)
    tokenizer = _tokenizer(checkpoint, family, config, poolings.modes, answers)
    _check_vocabulary(tokenizer, family.vocab_size(config))
    prompts = _prompts(checkpoint, options, usage, answers)
    return TextRules(
        tokenizer=tokenizer,
        max_input_tokens=limit,
        max_positions=None if options.max_input_tokens else tower.max_positions(config),
        prompts=prompts,
        default_prompt_name=_default_prompt(checkpoint, prompts, options, usage, answers),
        vocab_size=family.vocab_size(config),
        poolings=poolings.modes,
        excludes_prompt=poolings.excludes_prompt,
        marked_prompts=frozenset(
            prompt for prompt in prompts.values() if tokenizer.has_control_tokens(prompt)
        ),
        empty_is_zero=not tower.mixes_tokens,
        padding=_padding(checkpoint, tower.padding(config), tokenizer, answers),
        chat_template=_chat_template(checkpoint, tokenizer, options, answers),
        template_tokens=special_tokens(checkpoint.root, checkpoint.tokenizer_config),
    )


def _chat_template(
    checkpoint: Checkpoint, tokenizer: Tokenizer, options: ModelOptions, answers: Answers
) -> ChatTemplate | None:
    given = options.chat_template
    needed = TOKENS_OF_TEMPLATES.get(given or "", ())
    if not all(map(tokenizer.has_token, needed)):
        # Clients written for the template's model know it by this name, whatever model is served.
        answers.keep("chat_template", None, f"{given} needs {' '.join(needed)}; an alias only")
        given = None
    found = read_chat_template(checkpoint.root, checkpoint.tokenizer_config, given)
    if found is not None:
        answers.keep("chat_template", f"{len(found.source)} characters", found.origin)
    return found


# The tokenizer.


def _tokenizer(
    checkpoint: Checkpoint,
    family: Family,
    config: Any,
    modes: tuple[Pooling, ...],
    answers: Answers,
) -> Tokenizer:
    lower = bool(checkpoint.text_config.value.get("do_lower_case", False))
    if lower:
        answers.keep("lower_case", True, f"{checkpoint.text_config.origin}: do_lower_case")
    tokenizer = Tokenizer.of(
        checkpoint.root if checkpoint.has_tokenizer else locate_clip_tokenizer(),
        checkpoint.tokenizer_config,
        lower_case=lower,
        special_tokens=family.towers["text"].special_tokens,
    ).within(family.vocab_size(config))
    cleaning = read_cleaning(checkpoint.config)
    origin = f"{checkpoint.config_origin}: text_cfg"
    if cleaning is None and not checkpoint.is_open_clip:
        model_type = checkpoint.config.get("model_type")
        cleaning = tokenizer_cleaning(checkpoint.tokenizer_config, model_type)
        by_model = tokenizer_cleaning({}, model_type) is not None
        origin = "config.json: model_type" if by_model else "tokenizer_config.json: tokenizer_class"
    if cleaning is not None:
        answers.keep("text_cleaning", cleaning[0], origin)
        tokenizer = tokenizer.cleaning(cleaning[1])
    eos = _end_token(checkpoint, tokenizer, modes)
    if eos is None:
        return tokenizer
    answers.keep("appended_token", *eos)
    return tokenizer.ending_in(eos[0])


def _check_vocabulary(tokenizer: Tokenizer, vocab_size: int) -> None:
    """Refuse a table without the tokens that stand around every text."""
    needed = int(max((*tokenizer.prefix, *tokenizer.suffix), default=0))
    if needed >= vocab_size:
        raise CheckpointError(
            f"config.json: vocab_size {vocab_size} leaves out token id {needed}, which "
            "tokenizer.json puts into every text",
            param="vocab_size",
        )


def _end_token(
    checkpoint: Checkpoint, tokenizer: Tokenizer, modes: tuple[Pooling, ...]
) -> tuple[str, str] | None:
    """The token to put after every text, and why; None where the tokenizer ends texts itself.

    Last-token pooling of a model that was trained on texts with an end reads a wrong token without
    it, and newer tokenizer classes no longer heed ``add_eos_token``.
    """
    config = checkpoint.tokenizer_config
    asked = "last" in modes and config.get("add_eos_token") is True
    # The tokenizer class that came with gte-Qwen2 appends it whatever settings and pooling say;
    # models that pool otherwise were made from it.
    has_own_class = "tokenization_qwen" in str(config.get("auto_map"))
    if tokenizer.suffix.size or not (asked or has_own_class):
        return None
    origin = f"tokenizer_config.json: {'add_eos_token' if asked else 'auto_map'}"
    token = config.get("eos_token")
    token = token.get("content") if isinstance(token, Mapping) else token
    if not isinstance(token, str) or not tokenizer.has_token(token):
        raise CheckpointError(
            f"{origin} asks for an end token, but eos_token {token!r} is not in the vocabulary"
        )
    return token, origin


def _padding(
    checkpoint: Checkpoint, declared: Padding | None, tokenizer: Tokenizer, answers: Answers
) -> Padding | None:
    # open_clip fills up with the declared token where it does not use the files' tokenizer.
    own = {} if checkpoint.has_clip_tokenizer else checkpoint.tokenizer_config
    padding = read_padding(declared, tokenizer, own)
    if padding is not None:
        answers.keep("padded_to", padding.length, "family")
    return padding


# Lengths.


def _max_input_tokens(
    checkpoint: Checkpoint, tower: Tower, config: Any, options: ModelOptions, answers: Answers
) -> int:
    """The smallest of all limits that exist; a flag may set any that positions allow."""
    positions = tower.max_positions(config)
    if positions < 1:
        raise CheckpointError(
            f"config.json leaves {positions} positions for tokens, and 1 is the least: see "
            "max_position_embeddings",
            param="max_position_embeddings",
        )
    if options.max_input_tokens is not None:
        if not 1 <= options.max_input_tokens <= positions:
            raise ConfigError(
                f"--max-input-tokens must be from 1 to {positions}, the model's positions",
                param="max_input_tokens",
            )
        return int(answers.keep("max_input_tokens", options.max_input_tokens, "--max-input-tokens"))
    limits = [(positions, f"{checkpoint.config_origin}: positions")]
    if tower.trained_tokens is not None:
        limits.append((tower.trained_tokens, "family: as trained"))
    seq_length = checkpoint.text_config.value.get("max_seq_length")
    if seq_length is not None:
        if type(seq_length) is not int or seq_length < 1:
            raise CheckpointError(
                f"{checkpoint.text_config.origin}: max_seq_length must be a whole number from 1 "
                f"up, not {seq_length!r}"
            )
        limits.append((seq_length, f"{checkpoint.text_config.origin}: max_seq_length"))
    model_max = checkpoint.tokenizer_config.get("model_max_length")
    if isinstance(model_max, int | float) and 0 < model_max < _UNLIMITED_TOKENS:
        limits.append((int(model_max), "tokenizer_config.json: model_max_length"))
    limit, origin = min(limits)
    return int(answers.keep("max_input_tokens", limit, origin))


# Prompts.


def _prompts(
    checkpoint: Checkpoint, options: ModelOptions, usage: Usage | None, answers: Answers
) -> Mapping[str, str]:
    """Prompts by name: the operator's before the files', and a usage's where there are none."""
    sources: list[tuple[Any, str]] = [
        (checkpoint.config.get("task_instructions"), "config.json: task_instructions"),
        (checkpoint.prompt_config.get("prompts"), f"{_PROMPT_FILE}: prompts"),
        (options.prompts, "--prompts"),
    ]
    declared = any(found for found, _ in sources[:2])
    if usage is not None and (not declared or usage.default is not None):
        sources.insert(0, (usage.prompts(), f"usage of {usage.name}"))
    prompts: dict[str, str] = {}
    origins = []
    for found, origin in sources:
        if found:
            prompts |= _checked_prompts(found, origin)
            origins.append(origin)
    if _leaves_documents_bare(checkpoint, prompts, usage):
        prompts["document"] = ""
    if prompts:
        answers.keep("prompts", prompts, ", ".join(reversed(origins)))
    return prompts


def _leaves_documents_bare(
    checkpoint: Checkpoint, prompts: Mapping[str, str], usage: Usage | None
) -> bool:
    """Whether the files have a prompt for queries alone, as those of most instructed models have.

    Source: sentence_transformers encode_document, which then puts nothing before a text.
    """
    if usage is not None and any(map(usage.templates.get, DOCUMENT_NAMES)):
        return False
    declared = checkpoint.prompt_config.get("prompts") or {}
    return any(map(declared.get, QUERY_NAMES)) and prompts.keys().isdisjoint(DOCUMENT_NAMES)


def _checked_prompts(prompts: Any, origin: str) -> dict[str, str]:
    if not isinstance(prompts, Mapping) or not all(isinstance(p, str) for p in prompts.values()):
        raise CheckpointError(f"{origin} must map names to texts")
    return dict(prompts)


def _default_prompt(
    checkpoint: Checkpoint,
    prompts: Mapping[str, str],
    options: ModelOptions,
    usage: Usage | None,
    answers: Answers,
) -> str | None:
    name, origin = options.default_prompt_name, "--default-prompt-name"
    if name is None:
        name = checkpoint.prompt_config.get("default_prompt_name")
        origin = f"{_PROMPT_FILE}: default_prompt_name"
    if name is None and usage is not None:
        name, origin = usage.default, f"{usage.name}'s format"
    if name is None:
        return None
    if name not in prompts:
        known = ", ".join(prompts) or "none"
        raise ConfigError(f"{origin} {name!r} is not one of the checkpoint's prompts: {known}")
    return str(answers.keep("default_prompt_name", name, origin))
