"""Formats parts of a stack as text: ranges of layers, donor slices, ops with their parameters, and junctions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stacker.core.stack.graph import Segment, StackGraph
from stacker.core.stack.nodes import Feed, Node
from stacker.core.study.layer_differences import Change
from stacker.core.values.parameters import Bound, BoundSetting
from stacker.formats.json_object import Json
from stacker.spec.language.stack_spec import Gradient, Parameter, Value


def span_text(start: int, stop: int) -> str:
    """The half-open range [start, stop) as text, from its first to its last number: `0–15`, or `7` for one number."""
    return f"{start}–{stop - 1}" if stop - start > 1 else f"{start}"


def source_text(segment: Segment) -> str:
    """The donor slices that a segment is made from, as text: `xwin[0:16]`, or `a[6:14] + b[6:14]` for a blend."""
    return " + ".join(text for text, _ in list_sources(segment))


def list_sources(segment: Segment) -> list[tuple[str, Feed]]:
    """A pair for each donor slice of a segment: its text, such as `xwin[0:16]`, and the Feed of its first layer."""
    return [(_slice_text(feed.donor, feed.layer or 0, len(segment)), feed) for feed in segment.first.feeds]


def _slice_text(donor: str, start: int, count: int) -> str:
    return f"{donor}[{start}:{start + count}]" if count > 1 else f"{donor}[{start}]"


def method_text(graph: StackGraph, segment: Segment) -> str:
    """The hop, op, scale factors and copy number of a segment as text: `slerp t 0.5`, `hop 0.7; scaled 0.9; copy 2`.

    A segment is a run of output layers made from consecutive donor layers. The text is empty if the layers are moved
    unchanged and are not a second or later copy that a repeat makes.
    """
    first, last = segment.first, graph.layers[segment.stop - 1]
    parts = (_hop_text(first), _op_text(first, last), _scales_text(first), _copy_text(first))
    return "; ".join(part for part in parts if part)


def node_source_text(node: Node) -> str:
    """The donor layers that a node is made from, as text: `a[3] + b[3]`.

    For the embedding and the head, only the names of the donors: `a + b`.
    """
    return " + ".join(feed.donor if feed.layer is None else f"{feed.donor}[{feed.layer}]" for feed in node.feeds)


def node_method_text(node: Node) -> str:
    """The hop, op, scale factors and copy number of a node as text: `slerp t 0.5`, `hop 0.7; scaled 0.9; copy 2`.

    A node is an output layer, the embedding or the head. The text is empty if the node is moved unchanged and is not a
    second or later copy that a repeat makes.
    """
    parts = (_hop_text(node), _op_text(node, node), _scales_text(node), _copy_text(node))
    return "; ".join(part for part in parts if part)


def _hop_text(node: Node) -> str:
    """The factor on what enters a layer, and the product of all hops up to it if there are others: `hop 0.7`."""
    if node.hop == 1.0:
        return ""
    return f"hop {node.hop:.4g}" + (f" ({node.hops:.4g} in all)" if node.hops != node.hop else "")


def _op_text(first: Node, last: Node) -> str:
    if first.op is None:
        return ""
    settings = [*_settings_texts(first.settings, last.settings)]
    for feed, end in zip(first.feeds, last.feeds, strict=True):
        settings += [f"{feed.donor} {text}" for text in _settings_texts(feed.settings, end.settings)]
    base = [f"base {first.base.donor}"] if first.base else []
    return " ".join([first.op, ", ".join([*base, *settings])]).strip()


def _settings_texts(first: Iterable[BoundSetting], last: Iterable[BoundSetting]) -> Iterator[str]:
    """Yield each op parameter as text: `t 0.5`, or `t 0 to 1` if the value changes from the first layer to the last.

    `first` and `last` are the op parameters, with values, of the first and the last layer of a run of output layers.
    """
    for setting, end in zip(first, last, strict=False):
        value, last_value = (parameter_text(each.bound.parameter) for each in (setting, end))
        yield f"{setting.name} {value}" + (f" to {last_value}" if value != last_value else "")


def _scales_text(node: Node) -> str:
    scales = (*node.scales, *(scale for feed in node.feeds for scale in feed.scales))
    return ", ".join(_scale_text(scale) for scale in scales)


def _scale_text(scale: Bound) -> str:
    return "scaled " + parameter_text(scale.parameter)


def _copy_text(node: Node) -> str:
    return f"copy {node.copy + 1}" if node.copy else ""


def parameter_text(parameter: Parameter) -> str:
    """An op parameter or a scale factor as text: `0.5`, or `[0, 1]` for a value that changes over the layers.

    If the value depends on the tensor, the text has a value for each group of tensors: `attn 0.3, else 0.5`.
    """
    if [rule.match for rule in parameter.rules] == ["*"]:
        return _value_text(parameter.rules[0].value)
    words = (("else" if rule.match == "*" else rule.match, _value_text(rule.value)) for rule in parameter.rules)
    return ", ".join(f"{match} {value}" for match, value in words)


def _value_text(value: Gradient | Value) -> str:
    if isinstance(value, Gradient):
        knots = ", ".join(f"{knot:.4g}" for knot in value.knots)
        return knots if len(value.knots) == 1 else f"[{knots}]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def changes_text(changes: Iterable[Change]) -> str:
    """What differs between the donor layers before and after a junction: `xwin to euryale, rope_theta 10000 to 500000`.

    Empty if nothing differs.
    """
    return ", ".join(_change_text(*change) for change in changes)


def _change_text(name: str, before: Json, after: Json) -> str:
    values = " to ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in (before, after))
    return values if name == "donor" else f"{name} {values}"
