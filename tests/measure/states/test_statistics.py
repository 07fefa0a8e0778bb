"""Figures of layers are those of their definitions, computed another way from transformers' own hidden states."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from stacker.live.live_stack import LiveStack
from stacker.measure.mapping.maps import prepare
from stacker.measure.probes.results import Survey
from stacker.measure.states.statistics import WRITE_WINDOWS, survey_layers
from stacker.measure.texts import Window
from tests.measure.prepared import live_of, prepared_of, windows_of


def survey_of(live: LiveStack) -> Survey:
    return survey_layers("x", prepared_of(live).walks)


def hidden_states(live: LiveStack) -> torch.Tensor:
    """The states of all scored tokens [layers + 1, tokens, hidden] in fp64; the last is before the final norm."""
    caught: list[torch.Tensor] = []
    hook = live.layers[-1].register_forward_hook(lambda _module, _inputs, output: caught.append(output))
    tokens = torch.tensor([window.tokens for window in windows_of(live)])
    with torch.no_grad():
        states = [*live.model(tokens, output_hidden_states=True, use_cache=False).hidden_states[:-1], *caught]
    hook.remove()
    return torch.stack(states)[:, :, :-1].flatten(1, 2).double()


def test_distances_and_influence(tmp_path: Path) -> None:
    """Angular distances and block influence equal a plain computation in fp64."""
    live = live_of(tmp_path)
    survey, states = survey_of(live), hidden_states(live)
    for one in range(7):
        for other in range(7):
            cosines = torch.cosine_similarity(states[one], states[other], dim=-1).clamp(-1, 1)
            wanted = 0.0 if one == other else float(cosines.acos().mean() / math.pi)
            assert survey.distances[one][other] == pytest.approx(wanted, abs=2e-4)
    for layer in survey.layers:
        cosines = torch.cosine_similarity(states[layer.index], states[layer.index + 1], dim=-1)
        assert layer.influence == pytest.approx(1 - float(cosines.mean()), abs=1e-6)
        assert layer.norm == pytest.approx(float(states[layer.index + 1].norm(dim=-1).median()), rel=1e-5)


def test_sublayers_are_told_apart(tmp_path: Path) -> None:
    """What attention and MLP add is what their modules put out."""
    live = live_of(tmp_path)
    caught: dict[str, torch.Tensor] = {}
    layer: Any = live.layers[2]
    layer.self_attn.register_forward_hook(lambda _m, _i, output: caught.update(attention=output[0]))
    layer.mlp.register_forward_hook(lambda _m, _i, output: caught.update(mlp=output))
    states = hidden_states(live)
    found = survey_of(live).layers[2]
    with torch.no_grad():
        live.model(torch.tensor([window.tokens for window in windows_of(live)]), use_cache=False)
    for part, name in ((found.attention, "attention"), (found.mlp, "mlp")):
        written = caught[name][:, :-1].flatten(0, 1).double().norm(dim=-1) / states[2].norm(dim=-1)
        written = written[: WRITE_WINDOWS * 11]
        assert part == pytest.approx(float(written.median()), rel=1e-4)


def test_sublayers_that_do_not_add_up_are_not_told(tmp_path: Path) -> None:
    """Where the outputs of a layer's modules are multiplied before they are added, nothing is said about them."""
    live = live_of(tmp_path)
    plain = live.layers[2].forward

    def doubled(state: torch.Tensor, *arguments: object, **keywords: object) -> torch.Tensor:
        result: torch.Tensor = plain(state, *arguments, **keywords)
        return state + 3 * (result - state)

    live.layers[2].forward = doubled
    layers = survey_of(live).layers
    assert (layers[2].attention, layers[2].mlp) == (None, None)
    assert layers[1].attention is not None


def test_the_lens_at_the_end_is_the_model(tmp_path: Path) -> None:
    """Behind the last layer, the lens has the model's own loss, and always agrees with it."""
    live = live_of(tmp_path)
    tokens = torch.tensor([window.tokens for window in windows_of(live)])
    with torch.no_grad():
        wanted = live.model(tokens, labels=tokens, use_cache=False).loss.item()
    survey = survey_of(live)
    assert survey.layers[-1].lens_loss == pytest.approx(wanted, rel=1e-5)
    assert survey.layers[-1].lens_agreement == 1.0
    assert survey.layers[0].lens_loss != survey.layers[-1].lens_loss


def test_a_random_layer_turns_the_stream(tmp_path: Path) -> None:
    """A layer that writes noise has the largest influence, and no run of one layer around it is the nearest."""
    live = live_of(tmp_path)
    layer: Any = live.layers[3]
    torch.manual_seed(0)
    layer.mlp.down_proj.weight = torch.nn.Parameter(torch.randn_like(layer.mlp.down_proj.weight) * 30)
    survey = survey_of(live)
    assert max(survey.layers, key=lambda layer: layer.influence).index == 3
    assert survey.find_nearest(1)[0] != 3


def test_runs_that_turn_least(tmp_path: Path) -> None:
    """The nearest run of each length is the smallest distance on its diagonal."""
    survey = survey_of(live_of(tmp_path))
    for length in range(1, 6):
        start, distance = survey.find_nearest(length)
        assert distance == min(survey.distances[each][each + length] for each in range(7 - length))
        assert distance == survey.distances[start][start + length]


def test_batches_change_nothing(tmp_path: Path) -> None:
    """One window alone gives the same first states as among others; figures do not depend on batches."""
    live = live_of(tmp_path)
    windows = [*windows_of(live)] * 20
    many = survey_layers("x", prepare(live, [Window(n, each.tokens, 1) for n, each in enumerate(windows)]).walks)
    few = survey_of(live)
    for one, other in zip(many.layers, few.layers, strict=True):
        assert one.influence == pytest.approx(other.influence, abs=1e-6)
        assert one.norm == pytest.approx(other.norm, rel=1e-5)
