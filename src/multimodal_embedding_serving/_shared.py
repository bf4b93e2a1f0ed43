"""One loaded model for all handlers of one configuration."""

import atexit
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from multimodal_embedding_serving._wanted import Wanted
from polyvec.errors import PolyvecError
from polyvec.models._model import Model
from polyvec.models._options import ModelOptions
from polyvec.models._resolve import resolve
from polyvec.offline import Embedder

T = TypeVar("T")

_NO_PROMPT = "multimodal_embedding_serving: none"


class SharedModel:
    """A checkpoint, read when it is first asked about, and the model once it is loaded.

    Attributes:
        wanted: Which model, and how it runs.
        embedder: None until it is loaded.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.embedder: Embedder | None = None
        self._model: Model | None = None
        self._lock = threading.RLock()

    @property
    def model(self) -> Model:
        """What is known of the model without loading it.

        Raises:
            RuntimeError: The checkpoint cannot be found, read or served.
        """
        with self._lock:
            if self._model is None:
                self._model = _or_runtime_error(lambda: _resolved(self.wanted))
            return self._model

    @property
    def no_prompt(self) -> str | None:
        """Name of the prompt that adds nothing, where the checkpoint would add its own."""
        text = self.model.text
        return _NO_PROMPT if text is not None and _NO_PROMPT in text.prompts else None

    def load(self) -> None:
        """Load the model, once.

        Raises:
            RuntimeError: It cannot be loaded.
        """
        with self._lock:
            if self.embedder is not None:
                return
            options = _options(self.wanted, self.model)
            self.embedder = _or_runtime_error(
                lambda: Embedder(
                    self.wanted.reference,
                    options=options,
                    backend=self.wanted.backend,
                    device=self.wanted.device,
                    media=self.wanted.media,
                )
            )
            # At the end of the process `_close_all` does it.
            weakref.finalize(self, _let_go, self.embedder).atexit = False

    def close(self) -> None:
        """Let the model go."""
        with self._lock:
            if self.embedder is not None:
                self.embedder.close()


_all: "weakref.WeakValueDictionary[str, SharedModel]" = weakref.WeakValueDictionary()
_choosing = threading.Lock()


def shared_model(wanted: Wanted) -> SharedModel:
    """The one of this configuration; it lives for as long as somebody holds it."""
    key = repr(wanted)
    with _choosing:
        found = _all.get(key)
        if found is None:
            found = _all[key] = SharedModel(wanted)
        return found


def _close_all() -> None:
    for one in list(_all.values()):
        one.close()


# With atexit alone it would run when executors take no work any more, and closing needs them.
getattr(threading, "_register_atexit", atexit.register)(_close_all)


def _let_go(embedder: Embedder) -> None:
    # Garbage may be collected in the embedder's own thread, which cannot wait for itself.
    threading.Thread(target=embedder.close, name="polyvec-sdk-close").start()


def _resolved(wanted: Wanted) -> Model:
    model = resolve(wanted.reference, wanted.options)
    options = _options(wanted, model)
    return model if options is wanted.options else resolve(wanted.reference, options)


def _options(wanted: Wanted, model: Model) -> ModelOptions:
    """The operator's, with a prompt of no text where the checkpoint has a default one."""
    if model.text is None or model.text.default_prompt_name is None:
        return wanted.options
    prompts = {**(wanted.options.prompts or {}), _NO_PROMPT: ""}
    return replace(wanted.options, prompts=prompts)


def _or_runtime_error(work: Callable[[], T]) -> T:
    try:
        return work()
    except PolyvecError as error:
        raise RuntimeError(f"Failed to load model: {error.message}") from error
