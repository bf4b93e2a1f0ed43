"""``/tokenize`` and ``/detokenize``: which tokens a model reads."""

from collections.abc import Mapping
from typing import Any, cast

from polyvec.dialects._base import Call, Reply
from polyvec.dialects._encode import json_reply
from polyvec.dialects._openai.input import parse_conversations
from polyvec.dialects._openai.wire import INT64_MAX, optional_bool, optional_str, wrong_type
from polyvec.errors import InvalidInputError, TokenIdError
from polyvec.service import Service
from polyvec.types import DetokenizeRequest, Input, Text, TokenizeRequest


async def tokenize(call: Call, service: Service) -> Reply:
    """Answer ``POST /tokenize``.

    Source: https://docs.vllm.ai/en/stable/serving/openai_compatible_server, "Tokenizer API".
    """
    body = call.json_object()
    request = parse_tokenize(body)
    with_texts = optional_bool(body, "return_token_strs") or False
    card = service.find(request.model)
    result = await service.tokenize(request)
    (found,) = result.inputs
    return json_reply(
        {
            "count": len(found.ids),
            "max_model_len": card.max_input_tokens,
            "tokens": found.ids,
            "token_strs": list(found.tokens) if with_texts else None,
        }
    )


async def detokenize(call: Call, service: Service) -> Reply:
    """Answer ``POST /detokenize``."""
    request = parse_detokenize(call.json_object())
    try:
        result = await service.detokenize(request)
    except TokenIdError as error:
        raise TokenIdError(error.message, param="tokens", token=error.token) from None
    return json_reply({"prompt": result.texts[0]})


def parse_tokenize(body: Mapping[str, Any]) -> TokenizeRequest:
    """Return what a body with ``prompt`` or ``messages`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.
    """
    messages = body.get("messages")
    if messages is not None:
        inputs = parse_conversations(messages, body, "messages", opens_turn=True)
        if len(inputs) != 1:
            raise InvalidInputError("messages must be one conversation", param="messages")
    else:
        inputs = (Input((Text(_prompt(body)),), param="prompt"),)
    return TokenizeRequest(
        model=optional_str(body, "model") or None,
        inputs=inputs,
        add_special_tokens=optional_bool(body, "add_special_tokens") is not False,
    )


def parse_detokenize(body: Mapping[str, Any]) -> DetokenizeRequest:
    """Return what a body with ``tokens`` asks for.

    Raises:
        InvalidInputError: ``param`` names the field.
    """
    tokens = body.get("tokens")
    if not isinstance(tokens, list):
        raise wrong_type("tokens", "an array of token ids", tokens)
    for index, token in enumerate(tokens):
        if type(token) is not int:
            raise wrong_type(f"tokens[{index}]", "an integer token id", token)
        if not 0 <= token <= INT64_MAX:
            message = f"Token id {token} is out of vocabulary"
            raise TokenIdError(message, param=f"tokens[{index}]", token=token)
    ids = tuple(cast("list[int]", tokens))
    return DetokenizeRequest(model=optional_str(body, "model") or None, ids=(ids,))


def _prompt(body: Mapping[str, Any]) -> str:
    value = body.get("prompt")
    if not isinstance(value, str):
        if value is None:
            raise InvalidInputError("prompt or messages is required", param="prompt")
        raise wrong_type("prompt", "a string", value)
    return value
