"""Builds a checkpoint from a spec; read this module first.

Each function in this diagram makes the value after it, and (IO) marks functions that read or write files:

text → parse_spec → StackSpec → read_donor (IO) → Donors → build_graph → StackGraph
     → read_tokenizers (IO) → Tokenizers → rewrite_donors → Donors → check → Problems
     → compile_config → config.json → make_plan → Plan → execute (IO) → OUT
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from logging import getLogger
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stacker.checked import CheckedStack
from stacker.core.checks.stack import check
from stacker.core.checks.usable import check_usable
from stacker.core.config.containers import Compiled, check_containers, find_container
from stacker.core.plan.documents import format_lock
from stacker.core.plan.plan import Plan
from stacker.core.plan.plan_json import make_lock
from stacker.core.plan.planning import make_stacked_donor
from stacker.core.plan.shard_layout import BLOCK, LayoutKind
from stacker.core.plan.tensors import plan_tensors
from stacker.core.side_files.selection import select_side_files
from stacker.core.stack.dequantized import dequantize_donors
from stacker.core.stack.graph import build_graph
from stacker.core.tokens.rewriting import rewrite_donors
from stacker.core.values.donor import collect_donors
from stacker.errors import SpecError, raise_problems, select_errors, sort_problems
from stacker.io.disk.space import find_clone_block
from stacker.io.donors.local_files import check_not_overwritten, find_relative_source, list_local_files
from stacker.io.donors.nested import NestedStack, Paths, read_donors
from stacker.io.donors.reader import ReadDonor, read_donor, remember_donors
from stacker.io.donors.recorded import enter_nested, follow_lock, restore_name
from stacker.io.donors.side_files import check_side_files, read_clean_files
from stacker.io.donors.tokenizers import read_tokenizers
from stacker.io.files.paths import find_nearest_folder
from stacker.io.files.spec_files import find_spec_file, read_spec_file
from stacker.io.output.destination import open_destination
from stacker.io.output.folder import open_output
from stacker.io.speeds import learn_speeds
from stacker.live.forecast.blueprint import Blueprint, make_blueprint
from stacker.progress import Watch, ignore_watch
from stacker.run.building import DEFAULTS, SILENT, BuildOptions, Built, Listener, commit_output, write_weights
from stacker.run.preparing import Work, check_room, prepare_work
from stacker.run.shard_digests import digest_shards
from stacker.spec.language.stack_spec import DonorSpec, StackSpec
from stacker.spec.mergekit.hints import translate_errors, translate_hints
from stacker.spec.parameters.space import list_set
from stacker.spec.parser import NOTHING_GIVEN, read_spec
from stacker.version import VERSION
from stacker.view.files.documents import make_documents

if TYPE_CHECKING:
    from stacker.live.live_stack import LiveStack

_LOG = getLogger(__name__)
Given = Mapping[str, object]
Places = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, repr=False)
class Stack(CheckedStack):
    """A checked stack that can be built, run, and made again with other values of its parameters."""

    def bind(self, values: Given, read: ReadDonor = read_donor) -> Stack:
        """The stack of the same text with these values of its parameters, by name; see also `remember_donors`."""
        path, known = self.folder / Path(self.spec.source).name, list_set(self.spec.parameters)
        return load_text(self.text, path, read=read, parameters={**known, **values})

    def build(
        self, out: str | Path, options: BuildOptions = DEFAULTS, watch: Watch = ignore_watch, **more: Any
    ) -> Built:
        """Write the checkpoint to the folder `out`; `more` are fields of BuildOptions by name, such as `force=True`."""
        return build(self, Path(out), replace(options, **more), Listener(watch))

    def live(self, device: str = "cpu", dtype: str | None = None, max_memory: int | None = None) -> Any:
        """The stack as a model of transformers, loaded without writing it; its `rearranged(spec)` loads another spec.

        Layers are streamed if the weights exceed `max_memory` bytes. SpecError if transformers cannot run the stack.
        """
        return self.live_stack(device, dtype, max_memory).model

    def live_stack(self, device: str = "cpu", dtype: str | None = None, max_memory: int | None = None) -> LiveStack:
        """The model that `live` returns, together with the plan and the parameters that it was made from."""
        blueprint = draw_blueprint(self)
        from stacker.live.live_stack import Settings, make_live

        draw = partial(draw_blueprint, read=remember_donors(read_donor))
        return make_live(blueprint, Settings(device, dtype, max_memory), draw)


def load(path: str | Path, read: ReadDonor = read_donor, parameters: Given = NOTHING_GIVEN) -> Stack:
    """Read a spec file and, with the function `read`, its donors' configs and file headers; check the stack.

    `path` may also be a finished output or the name of a recipe, and `parameters` sets parameters of the spec, by name.
    SpecError if the spec is not valid, DonorError if a donor cannot be read; problems of the stack are not raised.
    """
    found = find_spec_file(Path(path))
    return load_text(read_spec_file(found), found, read=read, parameters=parameters)


def load_text(
    text: bytes, path: Path, opened: Paths = (), read: ReadDonor = read_donor, parameters: Given = NOTHING_GIVEN
) -> Stack:
    """Make the stack of the spec `text`, which is stored at `path`; the function `read` reads one donor.

    If the stack is a donor of another stack, `opened` lists the paths of the specs around it, the outermost first.
    """
    read = read if opened else follow_lock(read, path)
    spec = read_spec(text, str(path), parameters)
    spec = spec if opened else restore_name(spec, read)
    with translate_errors(spec):
        return _load_spec(spec, text, path, opened, read)


def _load_spec(spec: StackSpec, text: bytes, path: Path, opened: Paths, read: ReadDonor) -> Stack:
    donors, nested, unread = read_donors(spec, path, opened, read, partial(_load_nested, read))
    if unread or select_errors(spec.problems):
        raise_problems(sort_problems((*spec.problems, *unread, *check_usable(spec, donors, unread))))
    donors = dequantize_donors(spec, donors)
    graph = build_graph(spec, donors)
    raise_problems(check_containers(spec, graph, donors))
    tokenizers = read_tokenizers(spec, graph, donors)
    donors, carried = rewrite_donors(spec, graph, donors, tokenizers)
    warned = (each for donor in donors.values() for each in donor.warnings)
    side_files = select_side_files(graph, donors)
    problems = (*spec.problems, *warned, *carried, *check(graph, donors))
    problems = (*problems, *check_side_files(side_files, spec, graph, donors))
    container = find_container(graph, donors)
    planned = None
    if not select_errors(problems):
        planned = plan_tensors(graph, donors, spec.output.dtype, container.is_cast)
    compiled = Compiled({})
    if not select_errors(graph.problems):
        compiled = container.compile(spec, graph, donors, planned)
    problems = (*problems, *compiled.problems)
    if select_errors(graph.problems):
        problems = tuple(sort_problems((*problems, *check_usable(spec, donors, ()))))
    problems = translate_hints(spec, problems)
    config, metadata = compiled.config, compiled.metadata
    return Stack(text, path.parent, spec, donors, graph, config, planned, problems, side_files, nested, metadata)


def _load_nested(read: ReadDonor, each: DonorSpec, text: bytes, path: Path, opened: Paths) -> NestedStack:
    """Load a stack that is a donor of another, without building it; `opened` lists the paths of the specs around it."""
    read = enter_nested(read, each)
    if each.stage:
        stack = _load_spec(each.stage, text, path, opened, read)
    else:
        stack = load_text(text, path, opened, read, dict(each.parameters))
    template, files = stack.donors[stack.graph.template], tuple(file.file for file in stack.side_files.carried)
    donor = make_stacked_donor(each.name, str(each.stack), stack.plan(), template, files, stack.donors)
    return NestedStack(donor, stack.text, stack.nested)


def draw_blueprint(spec: str | Path | Stack, read: ReadDonor = read_donor) -> Blueprint:
    """What a live stack of a spec is made from, as a Blueprint; raises all errors of the stack together."""
    stack = spec if isinstance(spec, Stack) else load(spec, read)
    if stack.metadata:
        raise SpecError.of("a GGUF stack cannot be run without building it", "build it, and run it in llama.cpp")
    return make_blueprint(stack.plan(), stack.graph, stack.donors, stack.side_files)


def plan_for(stack: Stack, out: Path | None, kind: LayoutKind = LayoutKind.AUTO) -> Plan:
    """The plan of a build into the folder `out`.

    If `kind` is AUTO, shards are laid out for cloning only if `out` is not None and its filesystem can clone disk
    blocks of the donors' files.
    """
    block = None
    if kind is not LayoutKind.PLAIN and out is not None:
        block = find_clone_block(list_local_files(collect_donors(stack.donors).values()), find_nearest_folder(out))
    if kind is LayoutKind.CLONE:
        block = block or BLOCK
    return stack.plan(stack.layout(block))


def build(stack: Stack, out: Path, options: BuildOptions = DEFAULTS, listener: Listener = SILENT) -> Built:
    """Write the stack's checkpoint to the folder `out`, which appears only when complete; continue interrupted builds.

    All errors of the stack are raised together before writing; later, StorageError, LockedError, UnsafeError or
    DonorError may be raised. Once `out` is complete, the listener gets warnings instead.
    """
    raise_problems(stack.problems)
    suffix, planned = find_container(stack.graph, stack.donors).suffix, plan_for(stack, out, options.layout)
    destination = open_destination(out, planned, suffix, force=options.force)
    check_not_overwritten(out, collect_donors(stack.donors).values())
    _LOG.info("plan %s: %d tensors, %d shards", planned.id, len(planned.steps), len(planned.shards))
    work = prepare_work(stack, planned, options, listener)
    plan, how = work.plan, {"force": options.force, "restart": options.restart}
    check_room(out, work)
    with open_output(destination, plan, work.summary, work.side_names, **how) as output:
        for name, data in read_clean_files(work.side_files):
            output.write_texts({name: data})
        report = write_weights(plan, work.tasks, output, options, listener)
        _LOG.info("the weights are written")
        digests = digest_shards(output.folder, plan, listener.checking) if options.digests else {}
        lock = make_lock(plan, VERSION, locate_donors(work, destination.folder), stack.nested, digests)
        if suffix:
            output.write_lock(plan.shards[0], format_lock(lock, stack.write_spec()))
        else:
            output.write_texts(make_documents(stack.scene(plan), plan, stack.write_spec(), lock))
        commit_output(output, out, listener)
    if options.is_usual:
        learn_speeds(plan, report)
    return Built(plan, report, out)


def locate_donors(work: Work, folder: Path) -> Places:
    """Where each donor is, relative to `folder`, by name; None for a donor from elsewhere."""
    return {donor.name: find_relative_source(donor, folder) for donor in work.donors.values()}


def describe_output(stack: Stack, work: Work, found: Places, digests: Mapping[str, str]) -> dict[str, bytes]:
    """The files of an output beside shards and side files; `found` is of `locate_donors`, `digests` are the shards'."""
    lock = make_lock(work.plan, VERSION, found, stack.nested, digests)
    return make_documents(stack.scene(work.plan), work.plan, stack.write_spec(), lock)
