"""How language models that judge pairs want to be asked, as their authors publish it.

An architecture is known by its config.json, never by a repository's name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from polyvec.checkpoints.pair_encoding import EncodedPair, Side, cut
from polyvec.checkpoints.tokenizer import Tokenizer
from polyvec.models._templates import SEARCH_TASK
from polyvec.types import IntArray


@dataclass(frozen=True, slots=True)
class JudgeTemplate:
    """A question about a pair.

    Attributes:
        before: Stands before everything; control tokens in it are control tokens.
        question: ``{instruction}``, ``{first}`` and ``{second}`` are filled in; what a caller wrote
            stays text.
        after: Stands behind everything and is never cut.
        instruction: Used where a request gives none.
        answers: What the model says of a pair that does not fit, and of one that does.
    """

    before: str
    question: str
    after: str
    instruction: str
    answers: tuple[str, str]

    def ask(self, instruction: str, first: str, second: str) -> str:
        """The question, each place filled in once."""
        values = {"{instruction}": instruction, "{first}": first, "{second}": second}
        text, rest = "", self.question
        for place, value in values.items():
            head, _, rest = rest.partition(place)
            text += head + value
        return text + rest


QWEN3 = JudgeTemplate(
    before=(
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n"
    ),
    question="<Instruct>: {instruction}\n<Query>: {first}\n<Document>: {second}",
    after="<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    instruction=SEARCH_TASK,
    answers=("no", "yes"),
)
"""Source: https://huggingface.co/Qwen/Qwen3-Reranker-0.6B."""

_TEMPLATES = {"Qwen3ForCausalLM": QWEN3, "Qwen3ForSequenceClassification": QWEN3}


def judge_template(config: Mapping[str, Any]) -> JudgeTemplate | None:
    """The template of a config.json's architecture, or None."""
    names = config.get("architectures")
    return _TEMPLATES.get(names[0]) if isinstance(names, list) and names else None


@dataclass(frozen=True, slots=True)
class JudgePairs:
    """Pairs as a judging language model reads them; see `PairEncoding`.

    Attributes:
        tokenizer: The model's.
        template: The model's.
        instruction: What the judge is to look for; None for the template's own.
    """

    tokenizer: Tokenizer
    template: JudgeTemplate
    instruction: str | None = None

    def instructed(self, instruction: str) -> "JudgePairs":
        """The same with another instruction."""
        return replace(self, instruction=instruction)

    def encode(
        self, pairs: Sequence[tuple[str, str]], *, limit: int | None = None, side: Side = "end"
    ) -> list[EncodedPair]:
        """Tokenise pairs; only the question is cut. See `PairEncoding`."""
        instruction = self.template.instruction if self.instruction is None else self.instruction
        before, after = (
            self.tokenizer.encode_frame(text)
            for text in (self.template.before, self.template.after)
        )
        room = None if limit is None else max(limit - len(before) - len(after), 0)
        questions = [self.template.ask(instruction, first, second) for first, second in pairs]

        def framed(ids: IntArray) -> EncodedPair:
            kept = ids if room is None else cut(ids, room, side)
            whole = np.concatenate([before, kept, after])
            return EncodedPair(whole, np.zeros(len(whole), np.int64))

        return [framed(ids) for ids in self.tokenizer.encode_bare(questions)]
