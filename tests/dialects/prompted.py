"""A service whose models have prompts and adapters, and refuse others as the engine does."""

from dataclasses import dataclass, replace

from polyvec.errors import PromptNotFoundError
from polyvec.types import EmbedRequest, EmbedResult
from tests.dialects.stub import CARD, StubService


@dataclass
class PromptedService(StubService):
    """Knows the prompts and tasks of its first card, and no other names for them."""

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        card = self.cards[0]
        for name, known in ((request.prompt_name, card.prompts), (request.task, card.tasks)):
            if name is not None and name not in {*known, *card.prompts}:
                raise PromptNotFoundError("no such", param="prompt_name", name=name)
        return await super().embed(request)


def prompted(*prompts: str, tasks: tuple[str, ...] = (), **changes: object) -> PromptedService:
    """Return a service of one model with these prompts."""
    known = {name: f"{name}: " for name in prompts}
    return PromptedService((replace(CARD, prompts=known, tasks=tasks, **changes),))
