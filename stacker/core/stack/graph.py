"""Builds a stack from a spec as ordered nodes (embedding, layers, head), and finds its junctions and segments.

It needs only the spec and the donors' depths; shapes and configs are checked in `core.checks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from stacker.arch.files.architecture import Part
from stacker.arch.layer_names import format_tensor_name
from stacker.core.stack.nodes import Feed, Node, make_layers, make_outside
from stacker.core.values.donor import Donor, DonorTensor
from stacker.errors import Problem
from stacker.spec.language.stack_spec import SliceSpec, StackSpec


@dataclass(frozen=True, slots=True)
class StackGraph:
    """The nodes of a stack: `embed`, then `layers` from 0, then `head`.

    The result's config is made from that of donor `template`, and its tokenizer is that of donor `tokenizer`. A graph
    with an error among its `problems` can be shown, but not built.
    """

    embed: Node
    layers: tuple[Node, ...]
    head: Node
    template: str
    tokenizer: str
    problems: tuple[Problem, ...] = field(default=(), compare=False)

    @property
    def nodes(self) -> tuple[Node, ...]:
        return (self.embed, *self.layers, self.head)


@dataclass(frozen=True, slots=True)
class Junction:
    """The boundary before output layer `index`, where two layers meet that were not neighbours in one donor.

    `before` and `after` are these donor layers. `jump` is how far the donor's layer index moves beyond the usual step
    of one; negative is backward.
    """

    index: int
    before: Feed
    after: Feed

    @property
    def jump(self) -> int:
        return (self.after.layer or 0) - (self.before.layer or 0) - 1


@dataclass(frozen=True, slots=True)
class Segment:
    """Output layers [start, stop) that follow one donor, or one blend of donors, without a junction.

    `first` is the node of layer `start`.
    """

    start: int
    stop: int
    first: Node

    def __len__(self) -> int:
        return self.stop - self.start


def build_graph(spec: StackSpec, donors: Mapping[str, Donor]) -> StackGraph:
    """Build the graph of a checked spec by resolving its slices to donor layers; `donors` has all donors of the spec.

    Mistakes in the spec are not raised but listed in `StackGraph.problems`.
    """
    problems: list[Problem] = []
    layers = tuple(make_layers(spec, {name: donor.depth for name, donor in donors.items()}, problems))
    mark = spec.mark_of("stack")
    first, last = (layers[0].feeds[0].donor, layers[-1].feeds[0].donor) if layers else (spec.donors[0].name,) * 2
    embed = make_outside(spec.embed or SliceSpec(first, mark=mark), Part.EMBED, spec, problems)
    head = make_outside(spec.head or SliceSpec(last, mark=mark), Part.HEAD, spec, problems)
    default = embed.feeds[0].donor
    config, tokenizer = spec.config or default, spec.tokenizer or default
    return StackGraph(embed, layers, head, config, tokenizer, tuple(dict.fromkeys(problems)))


def find_junctions(graph: StackGraph) -> tuple[Junction, ...]:
    """All junctions between layers, in order; a boundary between blends is one only if no donor continues across it.

    A junction between blends is reported for the two donor layers with the smallest jump, preferably of one donor.
    """
    junctions = []
    for before, after in pairwise(graph.layers):
        pairs = [Junction(after.index, one, other) for one in before.feeds for other in after.feeds]
        if not any(_are_neighbours(pair.before, pair.after) for pair in pairs):
            junctions.append(min(pairs, key=lambda pair: (pair.before.donor != pair.after.donor, abs(pair.jump))))
    return tuple(junctions)


def _are_neighbours(before: Feed, after: Feed) -> bool:
    return before.donor == after.donor and after.layer == (before.layer or 0) + 1


def find_segments(graph: StackGraph) -> tuple[Segment, ...]:
    """Divide the layers into segments.

    A new segment starts where a donor does not continue, and where the op, the item of the spec or the round of a
    repeat changes.
    """
    starts = [node.index for before, node in pairwise(graph.layers) if not _is_continued(before, node)]
    bounds = [0, *starts, len(graph.layers)]
    return tuple(Segment(a, b, graph.layers[a]) for a, b in pairwise(bounds) if b > a)


def _is_continued(before: Node, after: Node) -> bool:
    alike = before.op == after.op and len(before.feeds) == len(after.feeds) and before.copy == after.copy
    return alike and before.item == after.item and all(map(_are_neighbours, before.feeds, after.feeds))


def count_uses(graph: StackGraph, donors: Mapping[str, Donor]) -> dict[str, tuple[int, ...]]:
    """For each donor, a tuple that tells how often the stack uses each of its layers."""
    counts = {name: [0] * donor.depth for name, donor in donors.items()}
    for node in graph.layers:
        for feed in node.feeds:
            counts[feed.donor][feed.layer or 0] += 1
    return {name: tuple(uses) for name, uses in counts.items()}


Table = Mapping[str, DonorTensor]
Naming = Callable[[str], str]
"""Turns a key of a table into the full name of the output tensor."""


def walk_tables(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[tuple[Node, Naming, tuple[Table, ...]]]:
    """Yield each node, a function that names its output tensors, and the donor tensors of each feed, then of the base.

    Donor tensors are listed by name: without the layer prefix for layers, in full for the embedding and the head.
    """
    layers = {name: donor.layers() for name, donor in donors.items()}
    prefix = donors[graph.template].architecture.prefix
    for node in graph.nodes:
        named = partial(format_tensor_name, prefix, node.index) if node.part is Part.LAYER else str
        yield node, named, tuple(_find_table(node.part, feed, donors[feed.donor], layers) for feed in list_inputs(node))


def list_inputs(node: Node) -> tuple[Feed, ...]:
    """The feeds of a node, followed by its base if it has one."""
    return (*node.feeds, node.base) if node.base else node.feeds


def _find_table(
    part: Part, feed: Feed, donor: Donor, layers: Mapping[str, tuple[dict[str, DonorTensor], ...]]
) -> Table:
    return layers[feed.donor][feed.layer or 0] if part is Part.LAYER else donor.outside(part)
