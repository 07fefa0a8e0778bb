"""Builds a stack from a spec as ordered nodes (embedding, layers, head), and finds its junctions and segments.

Only the spec and the donors' depths are used; `core.checks` checks shapes and configs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

from stacker.arch.files.architecture import Part
from stacker.arch.layer_names import format_tensor_name
from stacker.core.stack.ends import find_end, find_towers
from stacker.core.stack.nodes import Feed, Node, make_layers, make_outside
from stacker.core.values.donor import Donor, DonorTensor
from stacker.errors import Problem
from stacker.spec.language.stack_spec import SliceSpec, StackSpec


@dataclass(frozen=True, slots=True)
class StackGraph:
    """The nodes of a stack in order: `embed`, then `layers`, then `head`.

    `towers` is the name of the donor of a multimodal model's towers, or None if they come with the embedding.
    `template` is the name of the donor whose config the new config is made from, and `tokenizer` the name of the donor
    whose tokenizer is used. A graph with an error among its `problems` can be shown, but not built.
    """

    embed: Node
    layers: tuple[Node, ...]
    head: Node
    template: str
    tokenizer: str
    problems: tuple[Problem, ...] = field(default=(), compare=False)
    towers: str | None = None

    @property
    def nodes(self) -> tuple[Node, ...]:
        return (self.embed, *self.layers, self.head)


@dataclass(frozen=True, slots=True)
class Junction:
    """The boundary before output layer `index`, where two donor layers meet that are not consecutive in one donor.

    `before` and `after` are these two donor layers. `jump` is how many layer indices are skipped between them; it is
    negative if the indices go back or repeat.
    """

    index: int
    before: Feed
    after: Feed

    @property
    def jump(self) -> int:
        return (self.after.layer or 0) - (self.before.layer or 0) - 1


@dataclass(frozen=True, slots=True)
class Segment:
    """Output layers [start, stop) that are made from consecutive layers of one donor, or of each donor of a blend.

    `first` is the node of layer `start`.
    """

    start: int
    stop: int
    first: Node

    def __len__(self) -> int:
        return self.stop - self.start


def build_graph(spec: StackSpec, donors: Mapping[str, Donor]) -> StackGraph:
    """Build the graph of a parsed spec by resolving its slices to donor layers; `donors` has all donors of the spec.

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
    towers = spec.towers or _find_towers(embed, donors, donors[config])
    return StackGraph(embed, layers, head, config, tokenizer, tuple(dict.fromkeys(problems)), towers)


def _find_towers(embed: Node, donors: Mapping[str, Donor], template: Donor) -> str | None:
    """The template's name if it has towers and the donors of the embedding have none; otherwise None."""
    own = any(donors[feed.donor].architecture.inner for feed in embed.feeds)
    return template.name if template.architecture.inner and not own else None


def find_junctions(graph: StackGraph) -> tuple[Junction, ...]:
    """All junctions of a stack, in order; a boundary between blends is no junction if any donor continues across it.

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
    """Divide the layers of a stack into segments.

    A new segment starts where a donor's layers are not consecutive, at a hop, or where the op, the item of the spec or
    the round of a repeat changes.
    """
    starts = [node.index for before, node in pairwise(graph.layers) if not _is_continued(before, node)]
    bounds = [0, *starts, len(graph.layers)]
    return tuple(Segment(a, b, graph.layers[a]) for a, b in pairwise(bounds) if b > a)


def _is_continued(before: Node, after: Node) -> bool:
    alike = before.op == after.op and len(before.feeds) == len(after.feeds) and before.copy == after.copy
    joined = before.item == after.item and after.hop == 1.0
    return alike and joined and all(map(_are_neighbours, before.feeds, after.feeds))


def count_uses(graph: StackGraph, donors: Mapping[str, Donor]) -> dict[str, tuple[int, ...]]:
    """For each donor name, a tuple with the number of times that the stack uses each of the donor's layers."""
    counts = {name: [0] * donor.depth for name, donor in donors.items()}
    for node in graph.layers:
        for feed in node.feeds:
            counts[feed.donor][feed.layer or 0] += 1
    return {name: tuple(uses) for name, uses in counts.items()}


Table = Mapping[str, DonorTensor]
Naming = Callable[[str], str]
"""Turns the key of a tensor in a Table into the full name of the output tensor."""


def walk_tables(graph: StackGraph, donors: Mapping[str, Donor]) -> Iterator[tuple[Node, Naming, tuple[Table, ...]]]:
    """Yield (node, function that names its output tensors, tables of donor tensors) for each node of the stack.

    There is a table for each donor layer that the node is made from, then one for its base if it has one. The keys are
    tensor names, which lack the layer prefix for layers and are complete for the embedding and the head; the latter are
    those that the template's architecture gives (see `ends`).
    """
    layers = {name: donor.layers() for name, donor in donors.items()}
    template = donors[graph.template]
    for node in graph.nodes:
        if node.part is Part.LAYER:
            named = partial(format_tensor_name, template.architecture.prefix, node.index)
            yield node, named, tuple(layers[feed.donor][feed.layer or 0] for feed in list_inputs(node))
            continue
        ends = (find_end(donors[feed.donor], node.part, template, graph.towers) for feed in list_inputs(node))
        yield node, str, tuple(ends)
        if node is graph.embed and graph.towers is not None:
            towers = Node(Part.EMBED, 0, (Feed(graph.towers, None),))
            yield towers, str, (find_towers(donors[graph.towers], template),)


def list_inputs(node: Node) -> tuple[Feed, ...]:
    """The donor layers that a node is made from (`feeds`), followed by its base if it has one."""
    return (*node.feeds, node.base) if node.base else node.feeds
