"""Groups of a donor's layers that are alike, and what changes at a junction of a stack."""

from __future__ import annotations

from pathlib import Path

from stacker.core.stack.graph import find_junctions
from stacker.core.study.layer_differences import find_changes, group_layers
from stacker.io.donors.reader import read_donor
from stacker.spec.language.value_grammar import parse_source
from tests.core.stacks import graph_of, make_donor
from tests.donors import Tensors, write_llama

KINDS = ["full_attention", "sliding_attention"] * 3


def norms(layers: int) -> Tensors:
    return {f"model.layers.{n}.self_attn.{which}_norm.weight": ("BF16", (8,)) for n in range(layers) for which in "qk"}


def test_layers_that_are_all_alike(tmp_path: Path) -> None:
    """A llama's layers form one group, without a distinction."""
    write_llama(tmp_path / "a")
    (group,) = group_layers(read_donor(parse_source("a", "./a", None), tmp_path))
    assert (group.distinction, group.layers) == ("", tuple(range(6)))
    assert group.parameters == 2 * 16 + 4 * 16 * 16 + 3 * 16 * 32


def test_layers_whose_attention_differs(tmp_path: Path) -> None:
    """Per-layer config values separate groups and are their distinction."""
    write_llama(tmp_path / "a", model_type="qwen3", layer_types=KINDS, head_dim=8, sliding_window=8, extra=norms(6))
    groups = group_layers(read_donor(parse_source("a", "./a", None), tmp_path))
    assert [group.layers for group in groups] == [(0, 2, 4), (1, 3, 5)]
    assert ["full_attention" in groups[0].distinction, "sliding_attention" in groups[1].distinction] == [True, True]


def test_layers_whose_tensors_differ(tmp_path: Path) -> None:
    """A tensor that only some layers have separates them, by its role."""
    extra = {f"model.layers.{n}.self_attn.q_proj.bias": ("BF16", (16,)) for n in (4, 5)}
    write_llama(tmp_path / "a", extra=extra)
    groups = group_layers(read_donor(parse_source("a", "./a", None), tmp_path))
    assert [(group.layers, group.distinction) for group in groups] == [
        ((0, 1, 2, 3), "other shapes"),
        ((4, 5), "with attn.q.bias"),
    ]


def test_inside_one_donor_nothing_changes() -> None:
    """A jump between two layers of one donor that are alike changes nothing."""
    donors = {"a": make_donor("a")}
    (junction,) = find_junctions(graph_of("- a[0:4]\n- a[2:6]", donors))
    assert find_changes([junction], donors) == {junction.index: ()}


def test_changes_of_donor_and_rotary_base() -> None:
    """The donor and the base of its rotary embedding change."""
    donors = {"a": make_donor("a", rope_theta=1e4), "b": make_donor("b", rope_theta=5e5)}
    (junction,) = find_junctions(graph_of("- a[0:4]\n- b[3:6]", donors))
    assert find_changes([junction], donors) == {junction.index: (("donor", "a", "b"), ("rope_theta", 1e4, 5e5))}


def test_changes_of_attention() -> None:
    """With alternating attention, only a jump from one type to the other is a change."""
    donors = {"a": make_donor("a", model_type="gemma2", head_dim=8, sliding_window=4)}
    same, changed = find_junctions(graph_of("- a[0:3]\n- a[2:4]\n- a[2:6]", donors))[0], None
    assert same.before.layer == 2
    assert find_changes([same], donors) == {same.index: ()}
    (changed,) = find_junctions(graph_of("- a[0:4]\n- a[1:6]", donors))
    assert find_changes([changed], donors) == {changed.index: ()}
    (changed,) = find_junctions(graph_of("- a[0:4]\n- a[0:6]", donors))
    assert find_changes([changed], donors) == {changed.index: (("attention", "full_attention", "sliding_attention"),)}


def test_a_crossfade_is_no_junction() -> None:
    """A donor that continues into a blend or out of it makes no junction."""
    donors = {name: make_donor(name) for name in "ab"}
    graph = graph_of('- crossfade: ["a[0:4]", "b[2:6]"]\n  over: 2\n  op: slerp', donors)
    assert find_junctions(graph) == ()
    jumps = [
        each.jump for each in find_junctions(graph_of('- a[0:2]\n- blend: ["a[0:2]", "b[3:5]"]\n  op: slerp', donors))
    ]
    assert jumps == [-2]
