"""What the OpenVINO backend adds to the arithmetic: refusals, precision, sessions, memory."""

import ctypes
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import openvino as ov
import pytest
from safetensors.torch import load_file, save_file

from polyvec.backends._base import BackendOptions
from polyvec.backends._openvino_device import Device
from polyvec.backends._packing import tokens_of
from polyvec.backends.openvino import BACKEND
from polyvec.errors import CheckpointError, ConfigError
from polyvec.models._resolve import ModelOptions, resolve
from tests import tiny

MEAN = ModelOptions(pooling="mean")


def change_weights(folder: Path, **changes) -> None:
    tensors = load_file(folder / "model.safetensors") | changes
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors")


def test_missing_weights_refuse_to_load(tmp_path: Path) -> None:
    folder = tiny.make_bert(tmp_path)
    change_weights(folder, **{"encoder.layer.1.output.dense.weight": None})
    with pytest.raises(CheckpointError, match=r"encoder\.layer\.1\.output\.dense\.weight"):
        BACKEND.load(resolve(str(folder), MEAN), BackendOptions())


def test_unexpected_weights_refuse_to_load(tmp_path: Path) -> None:
    import torch

    folder = tiny.make_bert(tmp_path)
    change_weights(folder, **{"linear.weight": torch.ones(4, 32)})
    with pytest.raises(CheckpointError, match=r"linear\.weight"):
        BACKEND.load(resolve(str(folder), MEAN), BackendOptions())


def test_published_prefixes_and_needless_heads_are_accepted(tmp_path: Path) -> None:
    import torch

    folder = tiny.make_bert(tmp_path, prefix="bert.")
    change_weights(folder, **{"cls.predictions.bias": torch.ones(200)})
    BACKEND.load(resolve(str(folder), MEAN), BackendOptions()).close()


def test_a_weight_of_the_wrong_shape_refuses_to_load(tmp_path: Path) -> None:
    import torch

    folder = tiny.make_bert(tmp_path)
    change_weights(folder, **{"encoder.layer.0.output.dense.weight": torch.ones(32, 63)})
    with pytest.raises(CheckpointError, match="shape"):
        BACKEND.load(resolve(str(folder), MEAN), BackendOptions())


def test_an_absent_device_is_named_with_those_that_are_here(tmp_path: Path) -> None:
    model = resolve(str(tiny.make_bert(tmp_path)), MEAN)
    with pytest.raises(ConfigError, match=r"'tpu' is not here; here are: .*cpu"):
        BACKEND.load(model, BackendOptions(device="tpu"))


def test_a_runtime_leaves_the_threads_stack_for_signals_alone() -> None:
    """Else the runtime unmaps it with the model, and the next signal ends the process."""

    def signal_stack() -> tuple[int, ...]:
        words = (ctypes.c_size_t * 3)()
        assert ctypes.CDLL(None).sigaltstack(None, words) == 0
        return tuple(words)

    before = signal_stack()
    device = Device(BackendOptions(device="cpu"))
    assert signal_stack() == before
    assert device.name == "CPU"


def test_the_precision_in_force_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = resolve(str(tiny.make_bert(tmp_path)), MEAN)
    with caplog.at_level(logging.WARNING):
        runner = BACKEND.load(model, BackendOptions(dtype="bfloat16"))
    honoured = runner.dtype == "bfloat16"
    assert honoured != ("bfloat16 was asked for" in caplog.text)


def test_sessions_in_parallel_threads_give_the_same_vectors(tmp_path: Path) -> None:
    runner = BACKEND.load(
        resolve(str(tiny.make_bert(tmp_path)), MEAN), BackendOptions(num_sessions=4)
    )
    rng = np.random.default_rng(0)
    batches = [
        tokens_of([rng.integers(5, 90, rng.integers(1, 60)) for _ in range(rng.integers(1, 6))])
        for _ in range(40)
    ]
    serial = [runner.session().run("text", batch) for batch in batches]

    def run_all(alone: bool) -> list[np.ndarray]:  # noqa: FBT001
        session = runner.session()
        return [session.run("text", batch, alone=alone) for batch in batches]

    with ThreadPoolExecutor(4) as pool:
        for rows in pool.map(run_all, [False, True, False, True]):
            for ours, expected in zip(rows, serial, strict=True):
                np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_bfloat16_is_taken_by_itself_where_the_device_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    device = Device(BackendOptions())
    for native, dtype in ((ov.Type.bf16, "bf16"), (ov.Type.f32, "f32"), (ov.Type.f16, "f16")):
        monkeypatch.setattr(device, "core", SimpleNamespace(get_property=lambda *_: native))  # noqa: B023
        assert device._native_hint() == dtype
