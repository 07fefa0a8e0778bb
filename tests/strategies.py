"""Hypothesis strategies for specs: any valid spec, and specs that mergekit can express."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from stacker.spec.language.stack_spec import (
    AdapterSpec,
    BlendSpec,
    CrossfadeSpec,
    DonorSpec,
    Gradient,
    Item,
    NamedStack,
    OutputSpec,
    Parameter,
    RepeatSpec,
    Rule,
    Setting,
    SliceOrBlend,
    SliceSpec,
    StackSpec,
    UseSpec,
)
from stacker.tensors import CONFIG_DTYPES

DEPTH = 12
"""The number of layers of every donor in these specs."""

NAMES = st.sampled_from(["a", "b-2", "no", "8", "1e3", "x.y", "_", "-z", "xwin", "8.24"])
WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=8)
NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 0.5, 1e-5, 1e30])
GRADIENTS = st.builds(Gradient, st.lists(NUMBERS, min_size=1, max_size=4).map(tuple))
ROLES = st.sampled_from(["attn", "attn.o", "mlp.down", "norm.input", "embed", "head", "router"])
PATTERNS = st.sampled_from(["*o_proj*", "*.mlp.*", "model.layers.*", "*norm*"])
VALUES = NUMBERS | GRADIENTS | st.booleans() | WORDS
HOPS = st.just(1.0) | st.floats(1e-6, 64, exclude_min=True)
DTYPES = st.none() | st.sampled_from(list(CONFIG_DTYPES.values()))
SETTING_NAMES = st.sampled_from(["t", "weight", "density", "normalize", "no", "x-y"])


@st.composite
def parameters(
    draw: st.DrawFn, matches: st.SearchStrategy[str] = ROLES | PATTERNS, values: st.SearchStrategy[object] = VALUES
) -> Parameter:
    """Rules with different matches; a rule for everything comes last."""
    chosen = draw(st.lists(matches, unique=True, max_size=3))
    if not chosen or draw(st.booleans()):
        chosen.append("*")
    return Parameter(tuple(Rule(match, draw(values)) for match in chosen))  # type: ignore[arg-type]  # a mixed strategy


SCALES = parameters(values=NUMBERS | GRADIENTS)


@st.composite
def settings(draw: st.DrawFn) -> tuple[Setting, ...]:
    """Parameters of an op with different names."""
    names = draw(st.lists(SETTING_NAMES, unique=True, max_size=2))
    return tuple(Setting(name, draw(parameters())) for name in names)


@st.composite
def slices(draw: st.DrawFn, donors: list[str], length: int | None = None) -> SliceSpec:
    """A slice of one of the donors, with `length` layers if given."""
    donor = draw(st.sampled_from(donors))
    if length is not None:
        first = draw(st.integers(0, DEPTH - length))
        return SliceSpec(donor, first, first + length)
    start = draw(st.none() | st.integers(0, DEPTH - 1))
    stop = draw(st.none() | st.integers((start or 0) + 1, DEPTH))
    return SliceSpec(donor, start, stop)


@st.composite
def sources(draw: st.DrawFn, donors: list[str], length: int | None, fewest: int) -> tuple[SliceSpec, ...]:
    """Slices of equal length (None: whole donors), each with its own factors and parameters."""
    pieces = slices(donors, length) if length else st.builds(SliceSpec, st.sampled_from(donors))
    drawn = draw(st.lists(pieces, min_size=fewest, max_size=3))
    return tuple(replace(piece, scale=draw(st.none() | SCALES), settings=draw(settings())) for piece in drawn)


@st.composite
def blends(draw: st.DrawFn, donors: list[str], length: int | None) -> BlendSpec:
    """A blend of slices of equal length, with or without a base."""
    pieces = slices(donors, length) if length else st.builds(SliceSpec, st.sampled_from(donors))
    base = draw(st.none() | pieces)
    return BlendSpec(
        draw(sources(donors, length, 1)), draw(st.sampled_from(["slerp", "linear"])), draw(settings()), base
    )


def entered(item: Item, hop: float) -> Item:
    """The item behind a hop."""
    return replace(item, hop=hop)


@st.composite
def crossfades(draw: st.DrawFn, donors: list[str]) -> CrossfadeSpec:
    """A crossfade of slices that overlap by at most half of their length."""
    length = draw(st.integers(2, 6))
    over = draw(st.integers(1, length // 2))
    return CrossfadeSpec(draw(sources(donors, length, 2)), over, "linear", draw(settings()))


def items(donors: list[str], uses: list[str]) -> st.SearchStrategy[Item]:
    """Any item over these donors and named stacks, including repeats of items."""
    scaled = st.builds(lambda piece, scale: replace(piece, scale=scale), slices(donors), st.none() | SCALES)
    blended = st.none() | st.integers(1, 6)
    plain = scaled | blended.flatmap(lambda length: blends(donors, length)) | crossfades(donors)
    leaves = st.builds(entered, plain | st.builds(UseSpec, st.sampled_from(uses)) if uses else plain, HOPS)
    repeat = st.builds(
        RepeatSpec, st.lists(leaves, min_size=1, max_size=2).map(tuple), st.integers(1, 3), st.none() | SCALES, HOPS
    )
    return leaves | repeat


def parts(donors: list[str]) -> st.SearchStrategy[SliceOrBlend | None]:
    """A valid value of `embed` or `head`."""
    whole = st.builds(SliceSpec, st.sampled_from(donors), scale=st.none() | SCALES)
    return st.none() | whole | blends(donors, None)


@st.composite
def donor_specs(draw: st.DrawFn, name: str) -> DonorSpec:
    """A folder, a hub id with or without a revision, or a nested stack; with or without adapters."""
    like = draw(st.none() | WORDS)
    sources = st.sampled_from(["org/name", "./folder", "/a b/c", "gpt2", "~/m", "naïve"])
    revisions = st.none() | st.sampled_from(["main", "v1.0", "refs/pr/1", "a b"])
    adapter = st.builds(AdapterSpec, sources, revisions, st.sampled_from([1.0, 0.5, -2.0, 0.0]))
    adapters = draw(st.lists(adapter, max_size=2).map(tuple))
    if draw(st.booleans()):
        return DonorSpec(name, stack=draw(WORDS), like=like, adapters=adapters)
    return DonorSpec(name, draw(sources), draw(revisions), like, adapters=adapters)


@st.composite
def specs(draw: st.DrawFn) -> StackSpec:
    """Any valid native spec; every form of the language can occur."""
    donors = draw(st.lists(NAMES, unique=True, min_size=1, max_size=3))
    stacks = draw(st.lists(st.sampled_from(["tail", "no", "mid part", "0"]), unique=True, max_size=3))
    named = [
        NamedStack(name, tuple(draw(st.lists(items(donors, stacks[at + 1 :]), min_size=1, max_size=2))))
        for at, name in enumerate(stacks)
    ]
    donor = st.none() | st.sampled_from(donors)
    return StackSpec(
        name=draw(WORDS),
        donors=tuple(draw(donor_specs(name)) for name in donors),
        stack=tuple(draw(st.lists(items(donors, stacks), min_size=1, max_size=4))),
        stacks=tuple(named),
        base=draw(donor),
        embed=draw(parts(donors)),
        head=draw(parts(donors)),
        tokenizer=draw(donor),
        config=draw(donor),
        ignored_keys=draw(st.sampled_from([(), ("moe_idx",), ("a_1", "b-2")])),
        output=OutputSpec(
            draw(st.none() | st.sampled_from(list(CONFIG_DTYPES.values()))), draw(st.integers(1, 10**13))
        ),
    )


FILTERS = st.sampled_from(["*o_proj*", "*mlp*", "*self_attn*", "*norm*"])
LAYER_ROLES = st.sampled_from(["attn.o", "mlp"])


@st.composite
def stacked(draw: st.DrawFn) -> StackSpec:
    """A passthrough spec that mergekit can express: slices scaled by role, repeats of a slice, named stacks."""
    donors = ["a", "b", "c"]
    scale = st.none() | parameters(LAYER_ROLES, NUMBERS | GRADIENTS).filter(lambda p: p.rules[-1].match != "*")
    constant = st.none() | st.builds(lambda factor: Parameter((Rule("mlp", factor),)), NUMBERS)
    piece = st.builds(lambda piece, scale: replace(piece, scale=scale), slices(donors), scale)
    repeat = st.builds(
        lambda piece, times, scale: RepeatSpec((piece,), times, scale), slices(donors), st.integers(1, 3), constant
    )
    item = piece | repeat | st.just(UseSpec("tail"))
    donor = st.none() | st.sampled_from(donors)
    return StackSpec(
        name="s",
        donors=tuple(DonorSpec(name, f"org/{name}") for name in donors),
        stack=tuple(draw(st.lists(item, min_size=1, max_size=4))),
        stacks=(NamedStack("tail", (draw(piece), draw(slices(donors)))),),
        tokenizer=draw(donor),
        config=draw(donor),
        output=OutputSpec(draw(DTYPES)),
    )


@st.composite
def blended(draw: st.DrawFn) -> StackSpec:
    """A slerp or linear spec that mergekit can express: only blends, with embedding and head blended as well."""
    donors = ["a", "b", "c"]
    op = draw(st.sampled_from(["slerp", "linear"]))
    name = {"slerp": "t", "linear": "weight"}[op]

    def blend(length: int) -> BlendSpec:
        pair = draw(st.permutations(donors))[:2]
        starts = [draw(st.integers(0, DEPTH - length)) for _ in pair]
        pieces = [SliceSpec(donor, start, start + length) for donor, start in zip(pair, starts, strict=True)]
        if op == "linear":
            own = st.builds(lambda value: (Setting("weight", value),), parameters(FILTERS, NUMBERS))
            pieces = [replace(piece, settings=draw(st.just(()) | own)) for piece in pieces]
        shared = draw(parameters(FILTERS | LAYER_ROLES, NUMBERS | GRADIENTS))
        return BlendSpec(tuple(pieces), op, (Setting(name, shared),))

    runs = tuple(blend(draw(st.integers(1, 6))) for _ in range(draw(st.integers(1, 3))))
    outside = [replace(run, sources=tuple(replace(s, start=None, stop=None) for s in run.sources)) for run in runs]
    spec_donors = tuple(DonorSpec(name, f"org/{name}") for name in donors)
    return StackSpec("s", spec_donors, runs, embed=outside[0], head=outside[-1], config=draw(st.sampled_from(donors)))
