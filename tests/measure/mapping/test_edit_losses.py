"""What an edit is said to change is what the edited stack computes, as transformers computes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stacker.compose import load_text
from stacker.live.live_stack import LiveStack
from stacker.measure.mapping.ledger import Ledger
from stacker.measure.mapping.maps import Losses, confirm_changes, judge_map, measure_losses
from stacker.measure.probes.edits import Edit, Way, list_edits
from stacker.measure.probes.proposals import Origin, write_damped, write_edit
from tests.live.lives import write_spec
from tests.measure.prepared import live_of, prepared_of, windows_of

EDITS = (
    Edit(Way.REPEAT, 2, 4),
    Edit(Way.REPEAT, 0, 6),
    Edit(Way.REPEAT, 5, 6),
    Edit(Way.DROP, 0, 1),
    Edit(Way.DROP, 2, 5),
    Edit(Way.DROP, 4, 6),
    Edit(Way.HOP, 1, 3, 0.7),
    Edit(Way.DAMP, 1, 3, 0.25),
    Edit(Way.DAMP, 5, 6, 0.3),
)
WRITERS = ("attn.o", "mlp.down")


def nothing(_losses: Losses, _edit: Edit) -> None: ...


def transformers_losses(live: LiveStack) -> list[float]:
    """The summed loss of each window, computed by transformers from labels."""
    found = []
    for window in windows_of(live):
        tokens = torch.tensor([window.tokens])
        with torch.no_grad():
            found.append(live.model(tokens, labels=tokens, use_cache=False).loss.item() * (tokens.shape[1] - 1))
    return found


@pytest.mark.parametrize("home_spec", ["donor", "stack"])
def test_edits_are_what_their_specs_compute(tmp_path: Path, home_spec: str) -> None:
    """Each edit's losses are those of the stack of its spec, of a donor and of a stack with layers of two donors."""
    items = ["a"] if home_spec == "donor" else ["a[0:3]", "b[3:6]"]
    live = live_of(tmp_path, *items)
    donor = {"source": "./a"} if home_spec == "donor" else {"stack": "./spec.yml"}
    origin = Origin("x", donor, 6, WRITERS)
    damps = {edit.factor for edit in EDITS if edit.way is Way.DAMP}
    copies = {
        each: live.rearranged(load_text(write_damped(origin, each).encode(), tmp_path / "d.yml")) for each in damps
    }
    losses = measure_losses(prepared_of(live), EDITS, None, nothing, copies)
    np.testing.assert_allclose(losses.unchanged, transformers_losses(live), rtol=1e-5)
    for edit in EDITS:
        stack = load_text(write_edit(origin, edit).encode(), tmp_path / "edit.yml")
        expected = transformers_losses(live.rearranged(stack))
        np.testing.assert_allclose(losses.edited[edit], expected, rtol=1e-4 if edit.way is Way.HOP else 1e-6)
        assert not np.allclose(losses.edited[edit], losses.unchanged, rtol=1e-6)


def test_equal_models_differ_by_nothing(tmp_path: Path) -> None:
    """Layers that add nothing can be repeated and dropped: every difference and every interval is exactly 0."""
    live = live_of(tmp_path)
    for name, parameter in live.model.named_parameters():
        if "o_proj" in name or "down_proj" in name:
            parameter.data = torch.zeros_like(parameter)
    prepared = prepared_of(live)
    edits = list_edits(6, 2, [(Way.REPEAT, 1.0), (Way.DROP, 1.0)])
    found = judge_map("x", prepared, measure_losses(prepared, edits, None, nothing), len(edits))
    for change in found.changes:
        for interval in (change.alone, change.among):
            assert (interval.mean, interval.low, interval.high) == (0.0, 0.0, 0.0)
    assert found.chance is not None
    assert found.chance.probability == 1.0


def test_a_random_layer_is_found(tmp_path: Path) -> None:
    """Of six layers, the one that writes noise into the stream is the one whose loss is least worth repeating."""
    live = live_of(tmp_path)
    layer: Any = live.layers[3]
    torch.manual_seed(0)
    layer.mlp.down_proj.weight = torch.nn.Parameter(torch.randn_like(layer.mlp.down_proj.weight) * 30)
    prepared = prepared_of(live)
    repeats = list_edits(6, 1, [(Way.REPEAT, 1.0)])
    losses = measure_losses(prepared, repeats, None, nothing)
    moved = np.abs(losses.compare(repeats)).sum(axis=0)
    assert int(moved.argmax()) == 3


def test_an_interrupted_map_goes_on(tmp_path: Path) -> None:
    """What has been measured is read from the ledger; the figures are the same as without an interruption."""
    live = live_of(tmp_path)
    prepared = prepared_of(live)
    edits = EDITS[:6]
    expected = measure_losses(prepared, edits, None, nothing)
    ledger = Ledger(tmp_path / "cache" / "ledger.jsonl", 8)
    seen: list[Edit] = []

    def interrupt(_losses: Losses, edit: Edit) -> None:
        seen.append(edit)
        if len(seen) == 3:
            raise KeyboardInterrupt

    partial = measure_losses(prepared, edits, ledger, interrupt)
    assert [*partial.edited] == [*edits[:3]]
    seen.clear()
    assert measure_losses(prepared, edits, ledger, lambda _losses, edit: seen.append(edit)) == expected
    assert seen == [*edits[3:]]
    assert len(ledger.path.read_text().splitlines()) == 7


def test_confirmation_is_on_the_given_passages(tmp_path: Path) -> None:
    """The confirmed change is the mean difference on these passages, inside its interval."""
    live = live_of(tmp_path)
    prepared = prepared_of(live)
    (interval,) = confirm_changes(prepared, EDITS[:1])
    losses = measure_losses(prepared, EDITS[:1], None, nothing)
    mean = (sum(losses.edited[EDITS[0]]) - sum(losses.unchanged)) / (8 * 11)
    assert interval.mean == pytest.approx(mean, rel=1e-12)
    assert interval.low <= interval.mean <= interval.high


def test_specs_name_their_donor(tmp_path: Path) -> None:
    """A proposed spec is a complete spec of the donor that it was made from."""
    live_of(tmp_path)
    write_spec(tmp_path, ["a"])
    text = write_edit(Origin("x", {"stack": "./spec.yml"}, 6), Edit(Way.DROP, 2, 3))
    stack = load_text(text.encode(), tmp_path / "edit.yml")
    assert len(stack.graph.layers) == 5
    assert json.loads(json.dumps(stack.spec.name)) == "x-drop-2-3"
