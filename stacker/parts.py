"""Builds one checkpoint in parts, which any number of processes or machines write, and closes it when all are there.

Every process makes the same plan from the spec and takes its own shards of it, so none has to know of the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stacker.checkpoint import read_lock
from stacker.compose import Stack, describe_output, locate_donors, plan_for
from stacker.core.config.containers import find_container
from stacker.core.plan.parts import Part, choose_shards, name_shards, select_shards
from stacker.core.plan.plan import Plan, Report
from stacker.core.plan.plan_json import DIGESTS, LOCK, plan_from_json
from stacker.core.values.donor import collect_donors
from stacker.errors import (
    Mark,
    SpecError,
    escape_text,
    raise_problems,
)
from stacker.formats.json_object import format_json
from stacker.io.donors.local_files import check_not_overwritten
from stacker.io.donors.side_files import read_clean_files
from stacker.io.files.paths import exists, is_folder
from stacker.io.output.lock import lock_folder
from stacker.io.output.partial_folder import drop_folder
from stacker.io.output.parts import (
    FinishedPart,
    close_parts,
    find_checkpoint_folder,
    find_parts_folder,
    gather_shards,
    list_parts,
    list_unfinished,
    make_parts_folder,
    write_checkpoint_files,
)
from stacker.io.output.placing import check_vacant, replace_file
from stacker.run.building import DEFAULTS, SILENT, BuildOptions, Listener, write_weights
from stacker.run.damage import check_shard
from stacker.run.parts import Digest, compute_none, find_finished, write_part
from stacker.run.preparing import check_room, prepare_work
from stacker.run.shard_digests import digest_shards
from stacker.run.verify import check_structure

_NAMED = 5
"""How many shards a message names."""


@dataclass(frozen=True, slots=True)
class BuiltPart:
    """The result of writing a part: the plan of its shards, and a report.

    `plan` is None for a part without shards. The report is None if the part had been finished before.
    """

    plan: Plan | None
    report: Report | None


def build_part(
    stack: Stack, out: Path, part: Part, options: BuildOptions = DEFAULTS, listener: Listener = SILENT
) -> BuiltPart:
    """Write the shards of one part of the output `out` to `OUT.parts`; an interrupted part is continued.

    Errors are raised as in `build`; LockedError also when another process is writing the same shards.
    """
    raise_problems(stack.problems)
    known = collect_donors(stack.donors)
    check_vacant(out, force=options.force)
    check_not_overwritten(out, known.values())
    check_whole_only(stack)
    plan, folder = plan_for(stack, out, options.layout), find_parts_folder(out)
    _check_same_plan(folder, plan)
    numbers = choose_shards(plan, part)
    work = prepare_work(stack, select_shards(plan, numbers), options, listener)
    target = folder / name_shards(numbers)
    if numbers and options.restart:
        drop_folder(target)
    if numbers and find_finished(target, work.plan):
        return BuiltPart(work.plan, None)
    check_room(target, work)
    make_parts_folder(folder)
    if not exists(find_checkpoint_folder(folder)):
        texts = describe_output(stack, replace(work, plan=plan), locate_donors(work, out), {})
        write_checkpoint_files(folder, dict(read_clean_files(work.side_files)) | texts)
    _check_same_plan(folder, plan)
    if not numbers:
        return BuiltPart(None, None)
    write = partial(write_weights, work.plan, work.tasks, options=options, listener=listener)
    wanted = partial(digest_shards, plan=work.plan, watch=listener.checking)
    digest: Digest = wanted if options.digests else compute_none
    report, warnings = write_part(work.plan, work.summary, target, write, restart=options.restart, digest=digest)
    listener.warn(warnings)
    return BuiltPart(work.plan, report)


def check_whole_only(stack: Stack) -> None:
    """Raise a SpecError for a stack of GGUF files, which is written in one piece."""
    if find_container(stack.graph, stack.donors).suffix:
        hint = "build it without --shards, with the executor local, into a file on this machine"
        raise SpecError.of("a GGUF stack is written in one piece", hint)


def _check_same_plan(folder: Path, plan: Plan) -> None:
    """Raise a SpecError if `folder` has parts of another plan."""
    checkpoint = find_checkpoint_folder(folder)
    if not exists(checkpoint):
        return
    other = plan_from_json(read_lock(checkpoint)["plan"])
    if other.id != plan.id:
        name = f"'{escape_text(other.name)}'" if other.name != plan.name else "another state of the spec or its donors"
        hint = "finish that build with its own spec, or delete the folder"
        raise SpecError.of(f"this folder has parts of another plan: {name}", hint, Mark(str(folder)))


def commit_parts(out: Path, listener: Listener = SILENT, *, force: bool = False) -> Plan:
    """Check that every shard of the output is written, put the output together and give it its name `out`.

    It needs no donors and reads no weights. SpecError if shards are missing, VerifyError if files are not as planned.
    """
    check_vacant(out, force=force)
    folder = find_parts_folder(out)
    if not is_folder(folder) or not exists(find_checkpoint_folder(folder)):
        hint = "write them first: stacker build SPEC OUT --shards K/N"
        raise SpecError.of("there are no parts of this output", hint, Mark(str(folder)))
    with lock_folder(folder):
        checkpoint = find_checkpoint_folder(folder)
        lock = read_lock(checkpoint)
        plan = plan_from_json(lock["plan"])
        parts = [part for part in list_parts(folder) if part.plan_id.startswith(f"{plan.id}:")]
        found = _find_shards(plan, parts, checkpoint)
        _check_complete(plan, found, folder)
        problems = (check_shard(found[shard.name], shard) for shard in plan.shards)
        raise_problems(problem for problem in problems if problem)
        gather_shards(checkpoint, found)
        _store_digests(checkpoint, lock, plan, parts)
        raise_problems(check_structure(checkpoint, plan))
        listener.warn(close_parts(folder, out, force=force))
    return plan


def _find_shards(plan: Plan, parts: Sequence[FinishedPart], checkpoint: Path) -> dict[str, Path]:
    """Where each shard is, by name: in a finished part, or where an interrupted commit has moved it."""
    places = [*(part.folder for part in parts), checkpoint]
    paths = (
        next((place / shard.name for place in places if exists(place / shard.name)), None) for shard in plan.shards
    )
    return {shard.name: path for shard, path in zip(plan.shards, paths, strict=True) if path}


def _check_complete(plan: Plan, found: Mapping[str, Path], folder: Path) -> None:
    missing = [shard.name for shard in plan.shards if shard.name not in found]
    if not missing:
        return
    names = ", ".join(missing[:_NAMED]) + (" and more" if missing[_NAMED:] else "")
    unfinished = list_unfinished(folder)
    begun = f"; begun, but not finished: {', '.join(unfinished[:_NAMED])}" if unfinished else ""
    message = f"{len(missing)} of {len(plan.shards)} shards are not written: {names}{begun}"
    raise SpecError.of(message, "give the commands that write their parts, --shards K/N, once more", Mark(str(folder)))


def _store_digests(checkpoint: Path, lock: Mapping[str, object], plan: Plan, parts: Sequence[FinishedPart]) -> None:
    """Store the SHA-256 of the shards in the lock file, if all parts have computed them."""
    digests: dict[str, str] = {}
    for part in parts:
        digests |= part.digests
    if digests.keys() >= {shard.name for shard in plan.shards}:
        ordered = {shard.name: digests[shard.name] for shard in plan.shards}
        replace_file(checkpoint / LOCK, format_json({**lock, DIGESTS: ordered}))
