"""Chat templates that operators name instead of writing them."""

GME_QWEN2_VL = "gme-qwen2-vl"

REGISTERED_TEMPLATES = {
    # Source: SGLang's conversation template of this name, for which GME's clients are written.
    GME_QWEN2_VL: (
        "{%- if messages[0]['role'] != 'system' -%}"
        "{{ '<|im_start|>system\\nYou are a helpful assistant.<|im_end|>\\n' }}"
        "{%- endif -%}"
        "{%- for message in messages -%}"
        "{{ '<|im_start|>' + message['role'] + '\\n' }}"
        "{%- if message['content'] is string -%}{{ message['content'] }}"
        "{%- else -%}"
        "{%- for part in message['content'] -%}"
        "{%- if part['type'] == 'text' -%}{{ part['text'] }}"
        "{%- elif part['type'] == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>"
        "{%- elif part['type'] == 'video' -%}<|vision_start|><|video_pad|><|vision_end|>"
        "{%- endif -%}"
        "{%- endfor -%}"
        "{%- endif -%}"
        "{{ '<|im_end|>\\n' }}"
        "{%- endfor -%}"
        "{{ '<|im_start|>assistant\\n<|endoftext|>' }}"
    ),
}
"""Name → Jinja."""

TOKENS_OF_TEMPLATES = {GME_QWEN2_VL: ("<|im_start|>", "<|im_end|>")}
"""Name → control tokens without which the template's text means nothing to a model."""
