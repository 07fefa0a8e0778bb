"""The whole way from a spec to a checkpoint, in order. Read this first; every arrow of it is one function.

text → parse_spec → StackSpec → read_donor (IO) → Donors → build_graph → StackGraph → check → Problems
     → compile_config → config.json → make_plan → Plan → execute (IO) → OUT
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Group

from stacker.core.checks.stack import check
from stacker.core.plan.costs import files_read
from stacker.core.plan.documents import INDEX, LOCK, SPEC, dump, index_json, lock_json
from stacker.core.plan.nested import donor_of_plan
from stacker.core.plan.plan import BLOCK, Layout, LayoutKind, Plan, Report
from stacker.core.plan.planning import config_of, make_plan
from stacker.core.plan.task_making import tasks_of
from stacker.core.plan.tensors import PlannedTensors, make_tensors
from stacker.core.stack.graph import StackGraph, build_graph
from stacker.core.values.donor import Donor, all_donors
from stacker.errors import Problem, SpecError, StackerError, errors_in, raise_problems
from stacker.formats.json_object import Json
from stacker.io.disk.space import check_space, nearest_folder
from stacker.io.donors.fetching import check_apart, fetch_all, place_from
from stacker.io.donors.reading import ReadDonor, read_donor
from stacker.io.donors.side_files import read_generation_config, read_tokenizer
from stacker.io.donors.tokenizers import carry_tokenizer
from stacker.io.files.spec_files import read_spec_file
from stacker.io.output.folder import check_vacant, open_output
from stacker.progress import Watch, ignore_watch
from stacker.run.executors import EXECUTORS, clone_block, new_bytes
from stacker.spec.language.stack_spec import DonorSpec, StackSpec
from stacker.spec.parser import parse_spec
from stacker.version import VERSION
from stacker.view.files.card import DRAWING, LARGEST_DRAWING, card_text
from stacker.view.files.svg import svg_text
from stacker.view.scene.scene import Scene, make_scene
from stacker.view.stack.preview import draw_preview

Paths = tuple[Path, ...]
Texts = dict[str, str]


@dataclass(frozen=True, slots=True)
class Stack:
    """A spec with its donors read: everything that is known before a plan.

    `problems` are all that is wrong with it; while there are errors, `makings` is None and `config` may be empty.
    `folder` is where the spec's relative paths start; `nested` holds the texts of specs that its donors are made by.
    """

    text: bytes
    folder: Path
    spec: StackSpec
    donors: Mapping[str, Donor]
    graph: StackGraph
    config: Mapping[str, Json]
    makings: PlannedTensors | None
    problems: tuple[Problem, ...]
    nested: Mapping[str, str] = field(default_factory=dict)

    def plan(self, layout: Layout | None = None) -> Plan:
        """What a build would write; raises every problem at once when it could not be built."""
        raise_problems(self.problems)
        if self.makings is None:
            raise StackerError.of("a stack without problems has no tensors")
        chosen = layout or Layout(self.spec.output.shard_size)
        return make_plan(self.spec.name, self.graph, self.donors, self.makings, dict(self.config), chosen)

    def in_shards(self, size: int) -> Stack:
        """The same stack in files of at most `size` bytes."""
        return replace(self, spec=replace(self.spec, output=replace(self.spec.output, shard_size=size)))

    def scene(self) -> Scene:
        """The stack as pictures of it want it; with errors, what can be seen all the same."""
        plan = None if errors_in(self.problems) else self.plan()
        return make_scene(self.spec, self.graph, self.donors, plan)

    def preview(self) -> Group:
        """The picture of the stack, for rich to print."""
        return draw_preview(self.scene())

    def _repr_html_(self) -> str:
        """The interactive picture, for notebooks."""
        from stacker.view.files.page import html_frame_text

        return html_frame_text(self.scene())

    def build(self, out: str | Path, options: BuildOptions | None = None, watch: Watch = ignore_watch) -> Built:
        """Write the stack; see `build`."""
        return build(self, Path(out), options or BuildOptions(), watch)


def load(path: str | Path, read: ReadDonor = read_donor) -> Stack:
    """Read a spec file and its donors' configs and headers, and check the stack; weights are not touched.

    `read` reads the donors. Raises SpecError when the text is no spec, DonorError when donors cannot be read; what is
    wrong with the stack itself is in `problems`.
    """
    return load_text(read_spec_file(Path(path)), Path(path), read=read)


def load_text(text: bytes, path: Path, opened: Paths = (), read: ReadDonor = read_donor) -> Stack:
    """The stack that a spec's text says; `path` names it, `opened` are the specs that led here, `read` reads donors."""
    return _load_spec(parse_spec(text, str(path)), text, path, opened, read)


def _load_spec(spec: StackSpec, text: bytes, path: Path, opened: Paths, read: ReadDonor) -> Stack:
    nested: Texts = {}
    donors = _read_donors(spec, path, opened, nested, read)
    graph = build_graph(spec, donors)
    donors, carried = carry_tokenizer(spec, graph, donors)
    problems = (*spec.warnings, *(each for donor in donors.values() for each in donor.warnings), *carried)
    problems = (*problems, *check(graph, donors))
    makings = None if errors_in(problems) else make_tensors(graph, donors, spec.output.dtype)
    config: dict[str, Json] = {}
    if not errors_in(graph.problems):
        config, more = config_of(spec, graph, donors, makings)
        problems = (*problems, *more)
    return Stack(text, path.parent, spec, donors, graph, config, makings, problems, nested)


def _read_donors(spec: StackSpec, path: Path, opened: Paths, nested: Texts, read: ReadDonor) -> dict[str, Donor]:
    """All donors by name; the problems of all that cannot be read are raised together."""
    donors: dict[str, Donor] = {}
    problems: list[Problem] = []
    for each in spec.donors:
        try:
            stacked = each.stack and _read_stacked(each, path, opened, nested, read)
            donors[each.name] = stacked or read(each, path.parent, spec.dialect)
        except StackerError as error:
            problems += error.problems
    raise_problems(problems)
    return donors


def _read_stacked(each: DonorSpec, path: Path, opened: Paths, nested: Texts, read: ReadDonor) -> Donor:
    """A donor that is itself a stack: planned, not built."""
    if each.stage:
        return _as_donor(each, _load_spec(each.stage, b"", path, opened, read))
    inner = path.parent / str(each.stack)
    chain = (*opened, path.resolve())
    if inner.resolve() in chain:
        names = " → ".join(step.name for step in (*chain, inner))
        raise SpecError.of(f"donor '{each.name}' is made of itself: {names}", "", each.mark)
    stack = load_text(read_spec_file(inner), inner, chain, read)
    nested[str(each.stack)] = stack.text.decode()
    nested |= {f"{each.stack}/{name}": text for name, text in stack.nested.items()}
    return _as_donor(each, stack)


def _as_donor(each: DonorSpec, stack: Stack) -> Donor:
    graph, donors = stack.graph, stack.donors
    template, tokenizer = donors[graph.template], donors[graph.tokenizer]
    return donor_of_plan(each.name, str(each.stack), stack.plan(), template, tokenizer, donors)


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How to build; but for rounding on another `device`, none of it changes a tensor. `max_memory` is in bytes."""

    force: bool = False
    restart: bool = False
    workers: int | None = None
    max_memory: int | None = None
    layout: LayoutKind = LayoutKind.AUTO
    device: str = "cpu"
    executor: str = "local"


@dataclass(frozen=True, slots=True)
class Built:
    """What was built, from which plan, and how the bytes came there."""

    plan: Plan
    report: Report


def plan_for(stack: Stack, out: Path | None, kind: LayoutKind = LayoutKind.AUTO) -> Plan:
    """The plan of a build into `out`, whose filesystem decides how shards are laid out where `kind` leaves it open."""
    block = None
    if kind is not LayoutKind.PLAIN and out is not None:
        block = clone_block(_files(stack), nearest_folder(out))
    if kind is LayoutKind.CLONE:
        block = block or BLOCK
    return stack.plan(Layout(stack.spec.output.shard_size, block))


def _files(stack: Stack) -> list[Path]:
    """A file of each donor, from the place where its weights are or, fetched from the hub, will be."""
    known = all_donors(stack.donors).values()
    paths = (next((file.path for file in donor.files if file.path), donor.anchor) for donor in known)
    return [Path(path) for path in paths if path]


def build(
    stack: Stack,
    out: Path,
    options: BuildOptions = BuildOptions(),
    watch: Watch = ignore_watch,
    fetching: Watch = ignore_watch,
) -> Built:
    """Write the stack to `out`, which appears whole or not at all; an interrupted build is taken up again.

    `watch` is told how many bytes are done, and of how many; `fetching` the same of what comes from the hub. Raises
    every problem of the stack at once, then what can only be seen while writing: StorageError, LockedError, DonorError.
    """
    raise_problems(stack.problems)
    known = all_donors(stack.donors)
    check_vacant(out, force=options.force)
    check_apart(out, known.values())
    plan = plan_for(stack, out, options.layout)
    donors = fetch_all(known, files_read(plan, known), fetching)
    tasks = tasks_of(plan, donors)
    check_space(out, new_bytes(tasks, nearest_folder(out), plan.layout.block))
    execute = EXECUTORS[options.executor]
    summary = {"name": plan.name, "layers": str(len(stack.graph.layers)), "donors": ", ".join(stack.donors)}
    with open_output(out, plan.id, summary, force=options.force, restart=options.restart) as output:
        how = {"workers": options.workers, "max_memory": options.max_memory}
        report = execute(plan, tasks, output, **how, device=options.device, watch=watch)
        for name, data in documents(stack, plan, donors, out).items():
            output.write_text(name, data)
        output.commit()
    return Built(plan, report)


def documents(stack: Stack, plan: Plan, donors: Mapping[str, Donor], out: Path) -> dict[str, bytes]:
    """Every file of the output but the shards, by name."""
    index = index_json(plan)
    scene = make_scene(stack.spec, stack.graph, stack.donors, plan)
    drawing = svg_text(scene).encode()
    pictures = {DRAWING: drawing} if len(drawing) <= LARGEST_DRAWING else {}
    found = {donor.name: place_from(donor, out) for donor in donors.values()}
    return {
        **read_generation_config(donors[stack.graph.template].side_files),
        **read_tokenizer(donors[stack.graph.tokenizer].side_files),
        "config.json": dump(plan.config),
        **({INDEX: dump(index)} if index else {}),
        "README.md": card_text(scene, stack.text.decode(), next(iter(pictures), None)).encode(),
        **pictures,
        SPEC: stack.text,
        LOCK: dump(lock_json(plan, VERSION, found, stack.nested)),
    }
