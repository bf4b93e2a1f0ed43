"""LocalService: served names → the engines of this process."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence

from polyvec.backends._base import Runner
from polyvec.engine.engine import Engine
from polyvec.engine.roster import ModelSource, Roster
from polyvec.engine.scoring import score
from polyvec.engine.served import ModelStatus, Served
from polyvec.engine.shelf import Shelf
from polyvec.engine.tokenizing import detokenize, tokenize
from polyvec.media.decoders import Decoders
from polyvec.models._model import Model
from polyvec.types import (
    DetokenizeRequest,
    DetokenizeResult,
    EmbedRequest,
    EmbedResult,
    ModelCard,
    ScoreRequest,
    ScoreResult,
    TokenizeRequest,
    TokenizeResult,
)

_log = logging.getLogger(__name__)


class LocalService:
    """The Service of one process.

    Args:
        served: What is served; engines that are loaded already stay loaded.
        known_models: Alias names that this build can resolve.
        decoders: Shared by the engines, and closed with them.
        source: Where the list of models comes from, where it can be read again.

    Attributes:
        roster: Adds, removes and swaps models.

    Raises:
        ConfigError: Two models share a name or an alias.
    """

    def __init__(
        self,
        served: Shelf | Sequence[Served],
        *,
        known_models: Iterable[str] = (),
        decoders: Decoders | None = None,
        source: ModelSource | None = None,
    ) -> None:
        self._shelf = served if isinstance(served, Shelf) else Shelf.of(served)
        self._shelf.on_engine = self._start_decoders
        self._decoders = decoders
        self._has_decoders = False
        self._known_models = tuple(known_models)
        self._sweeping: asyncio.Task[None] | None = None
        self.roster = Roster(self._shelf, source)

    async def start(self) -> None:
        """Start every loaded engine on the running event loop."""
        await self._shelf.open()
        self._sweeping = asyncio.create_task(self._shelf.sweep_now_and_then())

    async def close(self, *, drain: bool = True) -> None:
        """Stop every engine, finished with what was accepted if ``drain``."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._shelf.close(drain=drain)
        if self._decoders is not None:
            await asyncio.to_thread(self._decoders.close)

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed with the model that the request names."""
        with self._shelf.find(request.model) as slot:
            engine = slot.engine or await self._shelf.engine_of(slot)
            embeddings = await engine.embed(request)
            return EmbedResult(model=slot.card.name, embeddings=tuple(embeddings))

    async def score(self, request: ScoreRequest) -> ScoreResult:
        """Score with the model that the request names."""
        with self._shelf.find(request.model) as slot:
            engine = slot.engine or await self._shelf.engine_of(slot)
            found = await score(request, engine.model, engine.embed)
            return ScoreResult(slot.card.name, found.scores, found.num_tokens)

    async def tokenize(self, request: TokenizeRequest) -> TokenizeResult:
        """Tokenise as the model that the request names does."""
        with self._shelf.find(request.model) as slot:
            engine = slot.engine or await self._shelf.engine_of(slot)
            found = await tokenize(request, engine.model.text, engine.options)
            return TokenizeResult(slot.card.name, found)

    async def detokenize(self, request: DetokenizeRequest) -> DetokenizeResult:
        """Put token ids of the model that the request names together to texts."""
        with self._shelf.find(request.model) as slot:
            engine = slot.engine or await self._shelf.engine_of(slot)
            texts = await detokenize(request, engine.model.text, engine.options)
            return DetokenizeResult(slot.card.name, texts)

    def models(self) -> tuple[ModelCard, ...]:
        """Every served model."""
        return tuple(slot.card for slot in self._shelf.slots)

    def statuses(self) -> tuple[ModelStatus, ...]:
        """Every served model, as the operator may see it."""
        return tuple(slot.status for slot in self._shelf.slots)

    def find(self, name: str | None) -> ModelCard:
        """The card of the model that a request of this name goes to."""
        return self._shelf.find(name).card

    async def reload(self) -> bool:
        """Read the list of models again; a model that cannot be loaded does not stop the others."""
        return await self.roster.reload()

    def known_models(self) -> tuple[str, ...]:
        """Alias names that this build can resolve."""
        return self._known_models

    def is_ready(self) -> bool:
        """True when everything that is to be in memory works."""
        return self._shelf.is_ready()

    def engines(self) -> Mapping[str, Engine]:
        """Engines in memory by served name, for metrics."""
        return {slot.card.name: slot.engine for slot in self._shelf.slots if slot.engine}

    def _start_decoders(self, engine: Engine) -> None:
        # The first picture would wait for a process; nobody waits for this.
        if self._decoders is not None and not self._has_decoders and engine.model.image:
            self._has_decoders = True
            starting = asyncio.get_running_loop().run_in_executor(None, self._decoders.start)
            starting.add_done_callback(_log_failure)


def _log_failure(starting: "asyncio.Future[None]") -> None:
    """Decoding processes are started again when they are needed; until then it is but a remark."""
    if not starting.cancelled() and starting.exception() is not None:
        _log.info("no decoding process yet: %s", starting.exception())


def card_of(
    model: Model,
    runner: Runner | None,
    *,
    name: str,
    aliases: tuple[str, ...],
    backend: str,
    created: int,
) -> ModelCard:
    """What callers are told about a model.

    Args:
        model: What its files say.
        runner: Says device and precision in force; None while it is not loaded.
        name: Served name.
        aliases: Other names callers may use.
        backend: The runtime's name.
        created: Unix seconds of loading; 0 before.
    """
    return ModelCard(
        name=name,
        aliases=aliases,
        checkpoint=model.checkpoint,
        architecture=model.architecture,
        family=model.family.name,
        modalities=model.modalities,
        dimensions=model.dimensions,
        matryoshka=model.matryoshka,
        max_input_tokens=None if model.text is None else model.text.max_input_tokens,
        device="" if runner is None else runner.device,
        dtype="" if runner is None else runner.dtype,
        backend=backend,
        created=created,
        settings=model.settings,
        outputs=model.outputs,
        prompts={} if model.text is None else model.text.prompts,
        tasks=model.adapters,
        labels=model.labels,
        vocab_size=None if model.text is None else model.text.vocab_size,
        has_chat_template=model.text is not None and model.text.chat_template is not None,
        is_pair_model="score" in model.heads and model.heads["score"].dimensions == 1,
    )
