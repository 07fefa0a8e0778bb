"""What a stream meets anew at a junction."""

from __future__ import annotations

from stacker.core.stack.graph import find_junctions
from stacker.core.study.layer_kinds import crossed
from tests.core.stacks import graph_of, make_donor


def test_inside_one_donor_nothing_differs() -> None:
    """Two layers of one kind of one donor differ in nothing but their place."""
    donors = {"a": make_donor("a")}
    (junction,) = find_junctions(graph_of("- a[0:4]\n- a[2:6]", donors))
    assert crossed(junction, donors) == ()


def test_donor_and_rotation() -> None:
    """Another donor, and another base of its rotary embedding."""
    donors = {"a": make_donor("a", rope_theta=1e4), "b": make_donor("b", rope_theta=5e5)}
    (junction,) = find_junctions(graph_of("- a[0:4]\n- b[3:6]", donors))
    assert crossed(junction, donors) == (("donor", "a", "b"), ("rope_theta", 1e4, 5e5))


def test_kinds_of_layers() -> None:
    """From a sliding layer to another sliding one, where the donor takes turns: said, when the kind changes."""
    donors = {"a": make_donor("a", model_type="gemma2", head_dim=8, sliding_window=4)}
    same, changed = find_junctions(graph_of("- a[0:3]\n- a[2:4]\n- a[2:6]", donors))[0], None
    assert same.before.layer == 2
    assert crossed(same, donors) == ()
    (changed,) = find_junctions(graph_of("- a[0:4]\n- a[1:6]", donors))
    assert crossed(changed, donors) == ()
    (changed,) = find_junctions(graph_of("- a[0:4]\n- a[0:6]", donors))
    assert crossed(changed, donors) == (("attention", "full_attention", "sliding_attention"),)


def test_a_crossfade_is_no_junction() -> None:
    """A donor that goes on through a blend, or out of it, is not interrupted."""
    donors = {name: make_donor(name) for name in "ab"}
    graph = graph_of('- crossfade: ["a[0:4]", "b[2:6]"]\n  over: 2\n  op: slerp', donors)
    assert find_junctions(graph) == ()
    jumps = [
        each.jump for each in find_junctions(graph_of('- a[0:2]\n- blend: ["a[0:2]", "b[3:5]"]\n  op: slerp', donors))
    ]
    assert jumps == [-2]
