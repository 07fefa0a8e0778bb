"""A few seconds of `make fuzz`: damaged inputs are read or refused, and never end in another exception."""

from __future__ import annotations

import random

import pytest

from tools.fuzz.__main__ import CORPUS, read_corpus
from tools.fuzz.fuzzing import find_fault, fuzz
from tools.fuzz.mutations import mutate
from tools.fuzz.targets import Target, make_targets

NAMES = (
    "header",
    "index",
    "config",
    "tokenizer",
    "spec",
    "mergekit",
    "slice",
    "journal",
    "gguf",
    "lock",
    "adapter",
    "adapter-tensors",
    "search-log",
    "score-cache",
)
SECONDS = 5.0


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    """All targets, with their files in a temporary folder."""
    return make_targets(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("name", NAMES)
def test_damaged_inputs_are_refused(name: str, targets: dict[str, Target]) -> None:
    """The good inputs, those that were defects once, and some seconds of mutations."""
    tried, defect = fuzz(targets[name], read_corpus(name), SECONDS)
    assert defect is None, defect
    assert tried > 20


def test_all_targets_are_fuzzed(targets: dict[str, Target]) -> None:
    """The table above and the corpus name the targets that there are, and their seeds are good inputs."""
    assert set(targets) == set(NAMES) >= {path.name for path in CORPUS.glob("*") if path.is_dir()}
    for target in targets.values():
        for seed in target.seeds:
            target.read(seed)


def test_a_defect_is_found() -> None:
    """A target that raises anything but a StackerError is reported with its input."""
    target = Target("broken", (b"{}",), lambda data: (1 / 0, data))
    assert find_fault(target, b"x") == "ZeroDivisionError: division by zero"
    assert fuzz(target, (), 0.1)[1] is not None


def test_mutations_change_their_input() -> None:
    """Nearly every mutation differs from its input, also from an empty one."""
    source = random.Random(0)
    assert sum(mutate(b'{"a": [1, "x"]}', source) != b'{"a": [1, "x"]}' for _ in range(200)) > 190
    assert any(mutate(b"", source) for _ in range(20))
