"""A caller's own template cannot hurt the server, whatever it does."""

import pytest

from polyvec.checkpoints.template_conversation import Conversation, Limits, Turn
from polyvec.checkpoints.template_process import MAX_TEMPLATE_CHARS, render_apart
from polyvec.errors import TemplateError

pytestmark = pytest.mark.whole

CONVERSATION = Conversation(
    (Turn("user", ({"type": "text", "text": "hi 猫 <"},)),),
    add_generation_prompt=True,
    variables={"bos_token": "<s>", "deep": {"a": [1, None]}},
)


def test_it_renders_as_in_the_server() -> None:
    source = (
        "{{ bos_token }}{% for m in messages %}{{ m.role }}={{ m.content }}{% endfor %}"
        "{{ add_generation_prompt }}{{ deep.a[0] }}"
    )
    assert render_apart(source, CONVERSATION, Limits()) == "<s>user=hi 猫 <True1"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('boo') }}", "^boo$"),
        ("{% if %}", "^Expected an expression, got 'end of statement block'$"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
         "takes too long"),
        ("{% set x = ['a' * 99999999] * 9 %}{{ x | join | upper }}", "too much memory"),
        ("{% for a in range(99999) %}{{ 'aaaaaaaaaaaaaaaa' }}{% endfor %}", "more than"),
        ("{{ cycler.__init__.__globals__.os.listdir('/') }}", "unsafe"),
        ("x" * (MAX_TEMPLATE_CHARS + 1), "more than 100000 characters"),
    ],
)  # fmt: skip
def test_what_it_may_not_do_is_an_error_and_ends_soon(source: str, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        render_apart(source, CONVERSATION, Limits())


def test_processor_time_is_bounded_by_the_kernel() -> None:
    with pytest.raises(TemplateError, match="takes too long"):
        render_apart("{{ (9 ** 9999999) ** 9 }}", CONVERSATION, Limits())
