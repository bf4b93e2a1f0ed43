"""transformers: classes that no model file computes, converted to OpenVINO or run by torch."""

import logging
import tempfile
import weakref
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from polyvec.backends._base import BackendOptions, Runner
from polyvec.backends._transformers_class import States, check_reads_texts, load_states
from polyvec.backends._transformers_convert import Conversion, converted
from polyvec.backends._transformers_eager import EagerRunner
from polyvec.backends._weight_cache import cache_folder
from polyvec.backends.openvino import BACKEND as OPENVINO
from polyvec.errors import ConfigError
from polyvec.models._foreign import ForeignConfig
from polyvec.models._model import Model
from polyvec.types import Setting

_log = logging.getLogger(__name__)


class TransformersBackend:
    """Serves what the other backends have no graph for (an extra)."""

    name = "transformers"

    def load(self, model: Model, options: BackendOptions) -> Runner:
        """Convert the class, or take it from the cache; run it by torch where that goes wrong.

        Raises:
            CheckpointError: transformers cannot load the checkpoint as a whole.
            ConfigError: The model is computed by another backend.
        """
        config = model.config
        if not isinstance(config, ForeignConfig):
            raise ConfigError(
                f"backend transformers is for architectures that are not built in; "
                f"{model.architecture} is: use backend openvino or torch",
                param="backend",
            )

        @cache
        def load() -> States:
            return load_states(config, model.architecture)

        folder, temporary = cache_folder(options.cache_dir), None
        if folder is None:
            temporary = tempfile.TemporaryDirectory(prefix="polyvec-")
            folder = Path(temporary.name)
        graph, conversion = converted(config, model.weights.fingerprint(), folder, load)
        if graph is not None:
            runner: Any = OPENVINO.load(replace(model, prebuilt=graph), options)
        else:
            check_reads_texts(load(), model.architecture)
            _log.warning(
                "%s cannot be converted and is run by torch, which is slower: %s",
                model.architecture,
                "; ".join(conversion.tried),
            )
            runner = EagerRunner(model, options, load())
        if temporary is not None:  # the graph is read again when other outputs are asked for
            weakref.finalize(runner, temporary.cleanup)
        runner.settings = {**runner.settings, "engine": _engine(conversion)}
        ready: Runner = runner
        return ready


def _engine(conversion: Conversion) -> Setting:
    if not conversion.route:
        return Setting("torch", "no conversion equals it: " + "; ".join(conversion.tried))
    shown = f"openvino, within {conversion.max_difference:.1e} of torch"
    return Setting(shown, f"converted by {conversion.route}")


BACKEND = TransformersBackend()
