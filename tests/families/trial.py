"""Tests a family: two tiny donors, whose stacks are built, loaded by transformers and compared with rearranged layers.

What comes out is a word for each stack: `right`, `refused: why (what works)`, or `wrong: how`.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

from stacker.compose import build
from stacker.compose import load as load_stack
from stacker.errors import StackerError, select_errors
from tests.families.cases import Case, Pick
from tests.families.oracle import (
    depth_of,
    greedy_tokens,
    load,
    logits_of,
    rearranged,
    text_config_of,
    uncached_tokens,
    write_donor,
)
from tests.families.stacks import BLEND, BLENDED, DEEP_STACKS, STACKS, layers

RIGHT = "right"
Trial = tuple[list[Any], list[Pick], Mapping[int, Pick]]
"""The spec's items, the layers they select, and those blended into them with equal weights."""
TRIALS: dict[str, Trial] = {
    **{name: (items, picks, {}) for name, (items, picks) in STACKS.items()},
    "blend": (BLEND, *BLENDED),
}
DEEP_TRIALS: dict[str, Trial] = {name: (items, picks, {}) for name, (items, picks) in DEEP_STACKS.items()}
"""The stacks of a case that `deep.deepen` made deeper."""
_HINTED = re.compile(r"a stack that works: ((?:\w\[\d+:\d+\](?:, )?)+)")


class NotMadeError(Exception):
    """A tiny donor cannot be made, or transformers cannot load or run its own checkpoint."""


def leave_as_is(_: Path) -> None:
    """Change nothing in a donor's folder."""


def try_family(
    case: Case,
    home: Path,
    trials: Mapping[str, Trial] = TRIALS,
    change: Callable[[Path], None] = leave_as_is,
) -> dict[str, str]:
    """The result of each stack of `trials`; NotMadeError if the donors cannot be made.

    `change` may change the folder of each donor after transformers has loaded the donor.
    """
    models = _donors(case, home)
    for name in models:
        change(home / name)
    case = _with_lists(case, models)
    return {name: _try_stack(case, home, models, name, trial) for name, trial in trials.items()}


def try_hints(case: Case, home: Path) -> dict[str, str]:
    """The result of each stack that the hint of a refusal proposes, by that stack."""
    models = _donors(case, home)
    case = _with_lists(case, models)
    words = (_try_stack(case, home, models, name, trial) for name, trial in TRIALS.items())
    stacks = dict.fromkeys(found[1] for word in words if (found := _HINTED.search(word)))
    return {stack: _try_stack(case, home, models, str(number), _trial(stack)) for number, stack in enumerate(stacks)}


def _trial(stack: str) -> Trial:
    """The stack of slices such as `a[0:2], b[2:5]`."""
    slices = re.findall(r"(\w)\[(\d+):(\d+)\]", stack)
    items = [f"{donor}[{start}:{stop}]" for donor, start, stop in slices]
    return items, [pick for donor, start, stop in slices for pick in layers(donor, int(start), int(stop))], {}


def _with_lists(case: Case, models: Mapping[str, PreTrainedModel]) -> Case:
    config = text_config_of(models["a"])
    depth = depth_of(config)
    lists = tuple(key for key, value in vars(config).items() if isinstance(value, list) and len(value) == depth)
    return replace(case, lists=case.lists or lists)


def _donors(case: Case, home: Path) -> dict[str, PreTrainedModel]:
    try:
        models = {name: load(write_donor(case, home / name, seed), case.auto) for seed, name in enumerate("ab")}
        for model in models.values():
            greedy_tokens(copy.deepcopy(model))  # some scale their weights when they first run
    except Exception as error:
        raise NotMadeError(_short(error)) from error
    return models


def _try_stack(case: Case, home: Path, models: Mapping[str, PreTrainedModel], name: str, trial: Trial) -> str:
    items, picks, blended = trial
    spec = home / "spec.yml"
    spec.write_text(f"stacker: 1\nname: test\ndonors: {{a: ./a, b: ./b}}\nstack: {json.dumps(items)}\n")
    try:
        stack = load_stack(spec)
        problems = select_errors(stack.problems)
        if problems:
            return f"refused: {problems[0].message} ({problems[0].hint})"
        build(stack, home / name)
    except StackerError as error:
        return f"refused: {error.problems[0].message} ({error.problems[0].hint})"
    try:
        return _compare(load(home / name, case.auto), rearranged(case, models, picks, blended))
    except Exception as error:  # whatever transformers raises says that the stack is not right
        return f"wrong: {_short(error)}"


def _compare(built: PreTrainedModel, expected: PreTrainedModel) -> str:
    mine, theirs = logits_of(built), logits_of(expected)
    if not torch.equal(mine, theirs):
        return f"wrong: logits differ by {(mine - theirs).abs().max().item():.2g}"
    tokens = greedy_tokens(built)
    alike = tokens == uncached_tokens(expected) or tokens == greedy_tokens(expected)
    return RIGHT if alike else "wrong: other tokens"


def _short(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:160]}"
