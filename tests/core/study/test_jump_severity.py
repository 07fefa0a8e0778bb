"""How severe jumps are said to be, against what was measured on SmolLM2-135M and on published stacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.compose import load_text
from stacker.core.study.jump_severity import COMPARISONS, Severity
from tests.donors import write_llama


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two donors of 30 layers."""
    folder = tmp_path_factory.mktemp("donors")
    for seed, name in enumerate("ab"):
        write_llama(folder / name, layers=30, seed=seed)
    return folder


def severities(home: Path, *items: str) -> dict[int, str]:
    """The severity of each jump of a stack, by the layer after it."""
    text = "stacker: 1\ndonors: {a: ./a, b: ./b}\nstack:\n" + "".join(f"  - {item}\n" for item in items)
    found = load_text(text.encode(), home / "spec.yml").scene().severities
    return {index: row.severity if row else "none" for index, row in found.items()}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param(["a[0:15]", "a[10:30]"], {15: "moderate"}, id="five layers of the middle twice"),
        pytest.param(["a[0:20]", "a[10:30]"], {20: "moderate"}, id="ten layers twice"),
        pytest.param(["a[0:22]", "a[8:30]"], {22: "moderate"}, id="fourteen layers twice"),
        pytest.param(["a[0:20]", "a[24:30]"], {20: "severe"}, id="four layers left out"),
        pytest.param(["a[0:3]", "a"], {3: "ruinous"}, id="the first layers twice"),
        pytest.param(
            ["a[0:14]", "a[15]", "a[14]", "a[16:30]"],
            {14: "slight", 15: "slight", 16: "slight"},
            id="two layers swapped",
        ),
        pytest.param(["a[0:15]", "b[15:30]"], {15: "slight"}, id="from one fine-tune to another"),
    ],
)
def test_measured_stacks_are_rated_as_measured(home: Path, items: list[str], expected: dict[int, str]) -> None:
    """The stacks whose perplexities are known."""
    assert severities(home, *items) == expected


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param(
            ["a[0:15]", "{slice: 'a[10:15]', scale: {attn.o: 0, mlp.down: 0}}", "a[15:30]"], {15: "none"}, id="slice"
        ),
        pytest.param(
            ["a[0:10]", "{repeat: 'a[10:15]', times: 2, scale: {attn.o: 0, mlp.down: 0}}", "a[15:30]"],
            {15: "none"},
            id="repeat",
        ),
        pytest.param(
            ["a[0:15]", "{slice: 'a[10:15]', scale: {attn.o: 0}}", "a[15:30]"], {15: "moderate"}, id="only attention"
        ),
    ],
)
def test_copies_without_effect_do_no_harm(home: Path, items: list[str], expected: dict[int, str]) -> None:
    """If a layer writes nothing, the jump to it is none, and the next jump counts from the layer before it."""
    assert severities(home, *items) == expected


def test_every_level_has_an_example() -> None:
    """The table covers all words but `none`, which needs no measurement."""
    assert {row.severity for row in COMPARISONS} == {*Severity} - {Severity.NONE}
