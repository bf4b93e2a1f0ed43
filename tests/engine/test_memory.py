"""What a model is held to take: of its tensors, of the process."""

from pathlib import Path

import pytest

from polyvec.engine.memory import estimated_bytes, give_back, measured_bytes, process_bytes
from polyvec.models._resolve import resolve
from tests.engine.doubles import make_model

MIB = 1 << 20


class Shapes:
    """Weights of one large tensor."""

    def __iter__(self) -> object:
        return iter(["w"])

    def entry(self, name: str) -> object:
        return type("Entry", (), {"shape": (1024, 20 * 1024)})


@pytest.mark.parametrize(
    ("dtype", "mib"),
    [("float32", 80), ("bfloat16", 40), ("float16", 40), ("int8", 20), ("int4", 12), ("auto", 80)],
)
def test_an_estimate_is_what_the_tensors_take_in_the_wanted_precision(dtype: str, mib: int) -> None:
    assert estimated_bytes(make_model(weights=Shapes()), dtype) == mib * MIB


def test_an_alias_may_ask_for_a_precision() -> None:
    model = make_model(weights=Shapes(), default_dtype="int8")
    assert estimated_bytes(model, "auto") == 20 * MIB
    assert estimated_bytes(model, "float32") == 80 * MIB


def test_a_converted_graph_takes_what_its_files_take(tmp_path: Path) -> None:
    (tmp_path / "openvino_model.xml").write_bytes(bytes(1000))
    (tmp_path / "openvino_model.bin").write_bytes(bytes(9 * MIB))
    model = make_model(prebuilt=tmp_path / "openvino_model.xml")
    assert estimated_bytes(model, "auto") == 9 * MIB + 1000


def test_a_real_checkpoint_has_an_estimate() -> None:
    model = resolve("polyvec-demo")
    assert estimated_bytes(model, "float32") >= 8 * MIB
    model.weights.close()


@pytest.mark.parametrize(
    ("estimate", "grown", "counted"),
    [(100, 50, 100), (100, 120, 120), (100, -5, 100), (100, 10_000, 300)],
)
def test_growth_counts_between_the_estimate_and_three_times_it(
    estimate: int, grown: int, counted: int
) -> None:
    assert measured_bytes(estimate * MIB, grown * MIB) == counted * MIB


def test_the_process_grows_by_what_it_writes_to() -> None:
    before = process_bytes()
    held = bytearray(b"x" * (64 * MIB))
    assert process_bytes() - before > 32 * MIB
    del held
    give_back()
