"""LocalService: served names → the engines of this process."""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from polyvec.backends._base import Runner
from polyvec.engine.engine import Engine
from polyvec.engine.prompts import MAX_ECHOED_CHARS
from polyvec.engine.scoring import score
from polyvec.errors import ConfigError, ModelNotFoundError
from polyvec.media.decoders import Decoders
from polyvec.models._model import Model
from polyvec.types import EmbedRequest, EmbedResult, ModelCard, ScoreRequest, ScoreResult

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """An engine and what callers are told about it."""

    card: ModelCard
    engine: Engine


class LocalService:
    """The Service of one process.

    Args:
        served: At least one; the first answers requests that name no model.
        known_models: Alias names that this build can resolve.
        decoders: Shared by the engines, and closed with them.

    Raises:
        ConfigError: Two models share a name or an alias.
    """

    def __init__(
        self,
        served: Sequence[Served],
        *,
        known_models: Iterable[str] = (),
        decoders: Decoders | None = None,
    ) -> None:
        self._served = tuple(served)
        self._decoders = decoders
        self._known_models = tuple(known_models)
        self._by_name = names_of([one.card for one in self._served])

    async def start(self) -> None:
        """Start every engine on the running event loop."""
        if self._decoders is not None and any(one.engine.model.image for one in self._served):
            # The first picture would wait for a process; nobody waits for this.
            starting = asyncio.get_running_loop().run_in_executor(None, self._decoders.start)
            starting.add_done_callback(_log_failure)
        await asyncio.gather(*(one.engine.start() for one in self._served))

    async def close(self, *, drain: bool = True) -> None:
        """Stop every engine, finished with what was accepted if ``drain``."""
        await asyncio.gather(*(one.engine.close(drain=drain) for one in self._served))
        if self._decoders is not None:
            await asyncio.to_thread(self._decoders.close)

    async def embed(self, request: EmbedRequest) -> EmbedResult:
        """Embed with the model that the request names."""
        served = self._served[self._find(request.model)]
        embeddings = await served.engine.embed(request)
        return EmbedResult(model=served.card.name, embeddings=tuple(embeddings))

    async def score(self, request: ScoreRequest) -> ScoreResult:
        """Score with the model that the request names."""
        served = self._served[self._find(request.model)]
        found = await score(request, served.engine.model, served.engine.embed)
        return ScoreResult(served.card.name, found.scores, found.num_tokens)

    def models(self) -> tuple[ModelCard, ...]:
        """Every served model."""
        return tuple(one.card for one in self._served)

    def known_models(self) -> tuple[str, ...]:
        """Alias names that this build can resolve."""
        return self._known_models

    def is_ready(self) -> bool:
        """True when every engine is."""
        return all(one.engine.is_ready() for one in self._served)

    def engines(self) -> Mapping[str, Engine]:
        """Engines by served name, for metrics."""
        return {one.card.name: one.engine for one in self._served}

    def _find(self, name: str | None) -> int:
        if not name:
            return 0
        index = self._by_name.get(name, self._by_name.get(name.casefold()))
        if index is None:
            served = ", ".join(one.card.name for one in self._served)
            raise ModelNotFoundError(
                f"model {name[:MAX_ECHOED_CHARS]!r} is not served; served: {served}", param="model"
            )
        return index


def _log_failure(starting: "asyncio.Future[None]") -> None:
    """Decoding processes are started again when they are needed; until then it is but a remark."""
    if not starting.cancelled() and starting.exception() is not None:
        _log.info("no decoding process yet: %s", starting.exception())


def names_of(cards: Sequence[ModelCard]) -> dict[str, int]:
    """Every name that means one of the models → its index.

    A name as declared wins over the last path segment of one, and that over another case; what
    could mean two models means neither.

    Raises:
        ConfigError: Two models declare the same name.
    """
    names = check_names([(card.name, *card.aliases) for card in cards])
    for derive in (_last_segment, str.casefold):
        derived: dict[str, set[int]] = {}
        for name, index in names.items():
            derived.setdefault(derive(name), set()).add(index)
        for name, indexes in derived.items():
            if len(indexes) == 1:
                names.setdefault(name, *indexes)
    return names


def check_names(declared: Sequence[Sequence[str]]) -> dict[str, int]:
    """Every declared name → the index of its model.

    Args:
        declared: Names of each model.

    Raises:
        ConfigError: Two models declare the same name.
    """
    found: dict[str, int] = {}
    for index, names in enumerate(declared):
        for name in names:
            if found.setdefault(name, index) != index:
                raise ConfigError(f"two models are served as {name!r}", param="served_name")
    return found


def _last_segment(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2]


def card_of(
    model: Model,
    runner: Runner,
    *,
    name: str,
    aliases: tuple[str, ...],
    backend: str,
    created: int,
) -> ModelCard:
    """What callers are told about a loaded model.

    Args:
        model: What was loaded.
        runner: Says device and precision in force.
        name: Served name.
        aliases: Other names callers may use.
        backend: The runtime's name.
        created: Unix seconds of loading.
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
        device=runner.device,
        dtype=runner.dtype,
        backend=backend,
        created=created,
        settings=model.settings,
        outputs=model.outputs,
        prompts={} if model.text is None else model.text.prompts,
        tasks=model.adapters,
    )
