"""The memory of a live stack is known before it is loaded, and too little memory is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from stacker.compose import draw_blueprint
from stacker.errors import SpecError
from stacker.live.forecast.memory import LiveMemory, check_available, choose_streaming, predict_memory
from tests.live.lives import SHARED, distinct_bytes, stack_of, write_donors

MEMORY = LiveMemory(40, 30, 270_000_000, 70_000_000, 200_000_000, 80_000_000, 2048, 60_000_000)


@pytest.mark.parametrize("dtype", [None, "float32"])
def test_weights_are_those_of_the_loaded_model(tmp_path: Path, dtype: str | None) -> None:
    """The predicted bytes of distinct weights are exactly the parameters', and layers that repeat are counted."""
    stack = stack_of(write_donors(tmp_path), SHARED)
    memory = predict_memory(draw_blueprint(stack), dtype)
    assert memory.weights == distinct_bytes(stack.live_stack(dtype=dtype).model)
    assert (memory.layers, memory.distinct) == (11, 9)
    assert memory.repeated == 2 * (memory.weights - _outside(stack_of(tmp_path, SHARED), dtype)) // 9


def _outside(stack: object, dtype: str | None) -> int:
    layers = stack.live_stack(dtype=dtype)  # type: ignore[attr-defined]
    return distinct_bytes(layers.model) - distinct_bytes(layers.layers)


def test_only_copies_are_mapped(tmp_path: Path) -> None:
    """Weights of another type than the donor's, and blends, need memory of their own."""
    home = write_donors(tmp_path)
    copied = predict_memory(draw_blueprint(stack_of(home, ["a"])))
    assert copied.mapped == copied.weights
    assert predict_memory(draw_blueprint(stack_of(home, ["a"])), "float32").mapped == 0
    blended = predict_memory(
        draw_blueprint(stack_of(home, [{"blend": ["a[0:3]", "b[0:3]"], "op": "linear"}, "a[3:6]"]))
    )
    assert 0 < blended.mapped < blended.weights


def test_streaming_takes_three_layers_and_the_ends(tmp_path: Path) -> None:
    """The least that streaming needs does not grow with the depth."""
    home = write_donors(tmp_path)
    low, high = (predict_memory(draw_blueprint(stack_of(home, ["a"] * times))) for times in (1, 4))
    assert low.streamed == high.streamed < high.weights + high.repeated


@pytest.mark.parametrize(("limit", "streams"), [(None, False), (270_000_000, False), (269_000_000, True)])
def test_layers_are_streamed_if_they_must_be(limit: int | None, streams: bool) -> None:
    """Without a limit, or with one that is large enough, all layers stay in memory."""
    assert choose_streaming(MEMORY, limit) is streams


def test_the_least_memory_is_named() -> None:
    """A limit below what streaming needs is refused with the least that would do."""
    with pytest.raises(SpecError, match="79 MB are too few") as caught:
        choose_streaming(MEMORY, 79_999_999)
    assert "--max-memory 80MB" in caught.value.problems[0].hint


def test_what_does_not_fit_is_refused() -> None:
    """Weights that are not mapped must fit into the memory that is available."""
    check_available(MEMORY, 70_000_000)
    check_available(replace(MEMORY, mapped=0), None)
    with pytest.raises(SpecError, match="70 MB of memory, and 69 MB are available"):
        check_available(MEMORY, 69_999_999)


def test_saying_it_needs_no_torch(tmp_path: Path) -> None:
    """The statement imports neither torch nor transformers nor numpy."""
    stack_of(write_donors(tmp_path), SHARED)
    code = (
        "import sys; from stacker.compose import draw_blueprint\n"
        "from stacker.live.forecast.memory import predict_memory\n"
        f"print(predict_memory(draw_blueprint({str(tmp_path / 'spec.yml')!r})).layers)\n"
        "print({'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["11", "set()"]
