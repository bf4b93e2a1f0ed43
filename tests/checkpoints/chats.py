"""Chat templates of the kinds that models come with, and a tokenizer that has their tokens."""

from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import decoders, models, pre_tokenizers

CONTROLS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|start_header_id|>",
    "<|end_header_id|>", "<|eot_id|>", "<s>", "</s>", "[INST]", "[/INST]", "<|vision_start|>",
    "<|image_pad|>", "<|vision_end|>",
)  # fmt: skip

CHATML = (
    "{% for message in messages %}"
    "{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nBe helpful.<|im_end|>\\n' }}"
    "{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# With namespaces, slices, macros, tests of strings and of tool answers, as Qwen3's has them.
QWEN3_LIKE = """
{%- macro shown(content) -%}
    {%- if content is string -%}
        {{- content -}}
    {%- else -%}
        {%- for part in content -%}
            {%- if part.type == 'text' -%}{{- part.text -}}
            {%- elif part.type == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro -%}
{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=messages|length - 1, thinks=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if message.role == 'user' and not ns.thinks %}
        {%- set ns.thinks = true %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + shown(message.content) + '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set content = shown(message.content) %}
        {%- if '</think>' in content %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- generation %}{{ content }}{% endgeneration %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""

LLAMA3_LIKE = (
    "{% set loop_messages = messages %}"
    "{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"
    "{% endif %}"
)

MISTRAL_LIKE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% endfor %}"
)

LOOP_CONTROLS = (
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{% continue %}{% endif %}"
    "{% if message.role == 'stop' %}{% break %}{% endif %}"
    "{{ message.role }}: {{ message.content }}\n"
    "{% endfor %}"
    "{{ {'a': '<b> & ü', 'n': 1} | tojson }}{{ [1, 2] | tojson(indent=2) }}"
)

# One message, whose parts stand side by side; what vLLM ships for VLM2Vec does this.
ONE_MESSAGE = (
    "{%- if messages | length > 1 -%}"
    "{{ raise_exception('Embedding models should only embed one message at a time') }}"
    "{%- endif -%}"
    "{%- set vars = namespace(parts=[], images=0) -%}"
    "{%- for part in messages[0]['content'] -%}"
    "{%- if part['type'] == 'text' -%}"
    "{%- set vars.parts = vars.parts + [part['text']] -%}"
    "{%- elif part['type'] == 'image' -%}"
    "{%- set vars.images = vars.images + 1 -%}"
    "{%- set vars.parts = vars.parts + ['<|image_pad|>'] -%}"
    "{%- endif -%}"
    "{%- endfor -%}"
    "{{ vars.parts | join(' ') }}"
)

# Roles as prefixes, pictures first; what vLLM ships for Nemotron does this.
PREFIXED = (
    "{%- for message in messages -%}"
    "{%- if message['content'] is string -%}{%- set text = message['content'] -%}"
    "{%- else -%}{%- set text = message['content'] | selectattr('type', 'equalto', 'text')"
    " | map(attribute='text') | join(' ') -%}{%- endif -%}"
    "{{ bos_token }}"
    "{{ {'query': 'query: ', 'document': 'passage: '}.get(message['role'], '') }}{{ text }}"
    "{%- endfor -%}"
)

TEMPLATES = {
    "chatml": CHATML,
    "qwen3": QWEN3_LIKE,
    "llama3": LLAMA3_LIKE,
    "mistral": MISTRAL_LIKE,
    "loops": LOOP_CONTROLS,
    "prefixed": PREFIXED,
}


def build_tokenizer() -> tokenizers.Tokenizer:
    """Bytes, and the control tokens of the templates above."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(
        models.BPE(vocab={char: place for place, char in enumerate(alphabet)}, merges=[])
    )
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(
        [tokenizers.AddedToken(token, special=True, normalized=False) for token in CONTROLS]
    )
    made.add_tokens([tokenizers.AddedToken("<think>", special=False, normalized=False)])
    return made


def save(folder: Path, template: str) -> Any:
    """transformers' tokenizer with the template, whose files are in the folder."""
    from transformers import PreTrainedTokenizerFast

    made = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(),
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<|endoftext|>",
        chat_template=template,
    )
    made.save_pretrained(str(folder))
    return made
