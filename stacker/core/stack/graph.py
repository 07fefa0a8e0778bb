"""The stack as a line of nodes on the residual stream, each with the donor layers that feed it.

Built from the spec and the donors' depths; shapes and configs are for `checks`. A networkx picture of it is `network`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from stacker.arch.files.architecture import Part
from stacker.arch.layer_names import layer_tensor_name
from stacker.core.stack.nodes import Feed, Node, make_layers, make_outside
from stacker.core.values.donor import Donor, DonorTensor
from stacker.errors import Problem
from stacker.spec.language.stack_spec import SliceSpec, StackSpec


@dataclass(frozen=True, slots=True)
class StackGraph:
    """The nodes of a stack, `embed` first, then `layers` from 0, then `head`.

    `template` is the donor whose config the result's starts from, `tokenizer` the one whose tokenizer it gets.
    `problems` are what could not be resolved; a graph with an error among them is for showing, not for building.
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
    """The boundary before output layer `index` whose two layers were not neighbours in one donor.

    `jump` is how many layers the donor index moves beyond the natural step of one: negative is backward.
    """

    index: int
    before: Feed
    after: Feed

    @property
    def jump(self) -> int:
        return (self.after.layer or 0) - (self.before.layer or 0) - 1


@dataclass(frozen=True, slots=True)
class Segment:
    """Output layers [start, stop) that run through a donor (or through the same donors, blended) without a junction."""

    start: int
    stop: int
    first: Node

    def __len__(self) -> int:
        return self.stop - self.start


def build_graph(spec: StackSpec, donors: Mapping[str, Donor]) -> StackGraph:
    """Resolve every slice of a checked spec against the donors' depths and lay the nodes in a line.

    `donors` are all those of the spec. Never raises for a spec's fault.
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
    """Every boundary inside the stack where the residual stream meets a layer that it was not trained to meet there.

    Where layers are blended, a boundary that any of the donors runs across is none; else the shortest way counts.
    """
    found = []
    for before, after in pairwise(graph.layers):
        pairs = [Junction(after.index, one, other) for one in before.feeds for other in after.feeds]
        if not any(_are_neighbours(pair.before, pair.after) for pair in pairs):
            found.append(min(pairs, key=lambda pair: (pair.before.donor != pair.after.donor, abs(pair.jump))))
    return tuple(found)


def _are_neighbours(before: Feed, after: Feed) -> bool:
    return before.donor == after.donor and after.layer == (before.layer or 0) + 1


def find_segments(graph: StackGraph) -> tuple[Segment, ...]:
    """The stack cut at its junctions and wherever the way its layers are made changes."""
    starts = [node.index for before, node in pairwise(graph.layers) if not _is_continued(before, node)]
    bounds = [0, *starts, len(graph.layers)]
    return tuple(Segment(a, b, graph.layers[a]) for a, b in pairwise(bounds) if b > a)


def _is_continued(before: Node, after: Node) -> bool:
    alike = before.op == after.op and len(before.feeds) == len(after.feeds) and before.copy == after.copy
    return alike and before.item == after.item and all(map(_are_neighbours, before.feeds, after.feeds))


def count_uses(graph: StackGraph, donors: Mapping[str, Donor]) -> dict[str, tuple[int, ...]]:
    """How often each layer of each donor is used, by donor and layer."""
    counts = {name: [0] * donor.depth for name, donor in donors.items()}
    for node in graph.layers:
        for feed in node.feeds:
            counts[feed.donor][feed.layer or 0] += 1
    return {name: tuple(uses) for name, uses in counts.items()}


Table = Mapping[str, DonorTensor]
Naming = Callable[[str], str]
"""The full name in the output of what a table has under a key."""


def walk_tables(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[tuple[Node, Naming, tuple[Table, ...]]]:
    """Each node with the names it gives and the tensors of its feeds, last of its base if it has one.

    Tensors of a layer go by what follows the layer prefix, those outside the layers by their full names.
    """
    layers = {name: donor.layers() for name, donor in donors.items()}
    prefix = donors[graph.template].architecture.prefix
    for node in graph.nodes:
        named = partial(layer_tensor_name, prefix, node.index) if node.part is Part.LAYER else str
        yield node, named, tuple(_find_table(node.part, feed, donors[feed.donor], layers) for feed in list_inputs(node))


def list_inputs(node: Node) -> tuple[Feed, ...]:
    """What a node reads: its feeds, and last its base if it has one."""
    return (*node.feeds, node.base) if node.base else node.feeds


def _find_table(
    part: Part, feed: Feed, donor: Donor, layers: Mapping[str, tuple[dict[str, DonorTensor], ...]]
) -> Table:
    return layers[feed.donor][feed.layer or 0] if part is Part.LAYER else donor.outside(part)
