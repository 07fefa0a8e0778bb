"""Probes of a real model: the map agrees with what is known of it, and planted faults are found."""

from __future__ import annotations

import json
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch

from stacker.compose import load_text
from stacker.live.live_stack import LiveStack
from stacker.measure.mapping.maps import Losses, judge_map, measure_losses, prepare
from stacker.measure.mapping.session import choose_passages
from stacker.measure.probes.edits import Edit, Way, order_edits
from stacker.measure.probes.proposals import Origin, write_edit
from stacker.measure.probes.settings import ProbeSettings
from stacker.measure.states.likeness import compare_streams
from stacker.measure.states.statistics import survey_layers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """English text: all chapters of Python's language reference that come with Python."""
    path = tmp_path_factory.mktemp("text") / "english.txt"
    path.write_text("\n\n".join(topics[name] for name in sorted(topics)), encoding="utf-8")
    return path


def live_of(donor: Path, dtype: str) -> LiveStack:
    spec = {"stacker": 1, "name": "smollm2", "donors": {"donor": str(donor)}, "stack": ["donor"]}
    return load_text(json.dumps(spec).encode(), donor.parent / "spec.yml").live_stack(dtype=dtype)


def nothing(_losses: Losses, _edit: Edit) -> None: ...


def test_the_map_agrees_with_what_is_known(donor: Path, text: Path) -> None:
    """Front layers are fatal, middle ones mild, and each change is that of the rearranged live stack, in fp32."""
    live = live_of(donor, "float32")
    windows = choose_passages(ProbeSettings((text,), passages=8, window=64), live).measured
    prepared = prepare(live, windows)
    edits = (Edit(Way.REPEAT, 0, 3), Edit(Way.REPEAT, 10, 15), Edit(Way.DROP, 20, 24), Edit(Way.DROP, 14, 15))
    losses = measure_losses(prepared, edits, None, nothing)
    changes = {str(change.edit): change.alone for change in judge_map("x", prepared, losses, 4).changes}
    assert changes["repeat 0:3"].mean > 3
    assert abs(changes["repeat 10:15"].mean) < 0.6
    assert 0.5 < changes["drop 20:24"].mean < 3
    assert changes["drop 14:15"].mean < 0.3
    tokens = torch.tensor([window.tokens for window in windows])
    for edit in edits:
        other = live.rearranged(load_text(write_edit(Origin("x", str(donor), 30), edit).encode(), donor / "edit.yml"))
        with torch.no_grad():
            loss = other.model(tokens, labels=tokens, use_cache=False).loss.item()
        assert sum(losses.edited[edit]) / prepared.tokens.sum() == pytest.approx(loss, rel=1e-5)


def test_a_random_layer_is_found(donor: Path, text: Path) -> None:
    """In a donor whose layer 12 was replaced by noise, it turns the stream most, and dropping it gains the most."""
    live = live_of(donor, "bfloat16")
    torch.manual_seed(0)
    for name, parameter in live.layers[12].named_parameters():
        if parameter.ndim == 2:
            module, _, attribute = name.rpartition(".")
            noise = torch.randn_like(parameter) * parameter.std() * 3
            setattr(live.layers[12].get_submodule(module), attribute, torch.nn.Parameter(noise))
    prepared = prepare(live, choose_passages(ProbeSettings((text,), passages=8, window=64), live).measured)
    survey = survey_layers("x", prepared.walks)
    inner = survey.layers[2:-2]
    assert max(inner, key=lambda layer: layer.influence).index == 12
    edits = order_edits([Edit(Way.DROP, layer, layer + 1) for layer in range(8, 18)], survey.distances)
    assert edits[-1] == Edit(Way.DROP, 12, 13)
    found = judge_map("x", prepared, measure_losses(prepared, edits, None, nothing), len(edits))
    best = min(found.changes, key=lambda change: change.alone.mean)
    assert best.edit == Edit(Way.DROP, 12, 13)
    assert best.among.is_gain
    assert found.chance is not None
    assert found.chance.probability < 0.05


def test_layers_are_most_like_themselves(donor: Path, text: Path) -> None:
    """Compared with itself, each layer is best followed by the next one."""
    live = live_of(donor, "bfloat16")
    walks = prepare(live, choose_passages(ProbeSettings((text,), passages=8, window=64), live).measured).walks
    likeness = compare_streams(("a", "b"), walks, walks)
    assert likeness.distances is not None
    for matrix, best in ((likeness.distances, min), (likeness.rotated, max), (likeness.cka, max)):
        for state, row in enumerate(matrix):
            assert row[state] == pytest.approx(best(row), abs=1e-3)
