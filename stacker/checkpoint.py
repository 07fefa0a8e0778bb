"""Verifies that an output that stacker wrote agrees with the plan in its lock file, and with the donors or digests."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stacker.core.lineage.origins import TensorOrigins, trace_tensors
from stacker.core.plan.plan import Plan
from stacker.core.plan.plan_json import DIGESTS
from stacker.core.plan.planning import find_files, identify_donor
from stacker.core.values.donor import Donor
from stacker.core.values.expression_parts import find_tensor_refs
from stacker.errors import (
    Blame,
    DonorError,
    Mark,
    Problem,
    Severity,
    SpecError,
    StackerError,
    VerifyError,
    escape_text,
    raise_problems,
)
from stacker.io.donors.adapters import is_adapter, read_stored_adapter
from stacker.io.donors.gguf_headers import fill_headers
from stacker.io.donors.location import is_path
from stacker.io.donors.reader import read_donor
from stacker.io.donors.streaming import OBTAIN, DonorAccess
from stacker.progress import Watch, ignore_watch
from stacker.run.shard_digests import check_digests, digest_shards
from stacker.run.verify import check_structure, compare
from stacker.run.written import REPAIR, open_written
from stacker.spec.language.stack_spec import Dialect, DonorSpec


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of verifying an output: the number of tensors and bytes in the output, and the problems found.

    An intact output has no errors among its problems. A note says if it was checked without the donors, by digests.
    """

    tensors: int
    nbytes: int
    problems: tuple[Problem, ...]


def verify(
    out: Path,
    donors: Mapping[str, str] = MappingProxyType({}),
    watch: Watch = ignore_watch,
    access: DonorAccess = DonorAccess.FETCH,
) -> Verified:
    """Compare every byte of the output in `out` with the plan in its lock file and with the donors.

    For a donor that is no longer where it was, `donors` maps the donor's name to its new folder or hub id. A relative
    path in `donors` starts at the current folder, and one in the lock file at `out`. `access` says how weights that are
    only on the hub are read. If `donors` is empty, a donor is
    not on this machine, and the lock file has digests of the shards, the shards are compared with these. Otherwise,
    DonorError when a donor is missing or differs from the one that the output was made from.
    """
    written = open_written(out)
    lock, plan = written.lock, written.plan
    sources = {donor["name"]: donor.get("found") for donor in lock["plan"]["donors"]}
    try:
        known = _read_donors(plan, sources, donors, written.folder)
        needed = find_files(plan, known)
        if lock.get(DIGESTS) and not donors:
            _check_at_hand(known, needed)
    except (DonorError, SpecError) as error:
        if donors or not lock.get(DIGESTS):
            raise
        found = tuple(check_digests(written.folder, plan, written.digests(), watch))
        return Verified(len(plan.steps), plan.total_size, (*found, _note_digests(out, error)))
    _check_sources(out, plan, known)
    known = OBTAIN[access](known, needed, ignore_watch)
    problems = tuple(compare(written.folder, fill_headers(plan, known), known, watch))
    return Verified(len(plan.steps), plan.total_size, problems)


def verify_at_hand(out: Path, watch: Watch = ignore_watch) -> Verified:
    """Verify the output in `out` as `verify` does, but without fetching anything from the hub.

    If donors are not on this machine and there are no digests, only the names, sizes and headers of its files are
    compared with the plan, and a note says so.
    """
    written = open_written(out)
    lock, plan = written.lock, written.plan
    if lock.get(DIGESTS):
        found = tuple(check_digests(written.folder, plan, written.digests(), watch))
        return Verified(len(plan.steps), plan.total_size, found)
    sources = {donor["name"]: donor.get("found") for donor in lock["plan"]["donors"]}
    try:
        known = _read_donors(plan, sources, {}, written.folder)
        _check_at_hand(known, find_files(plan, known))
    except (DonorError, SpecError) as error:
        return Verified(
            len(plan.steps), plan.total_size, (*check_structure(written.folder, plan), _note_structure(out, error))
        )
    return verify(out, watch=watch)


def write_digests(out: Path, watch: Watch = ignore_watch) -> None:
    """Store the SHA-256 of every shard of the output in its lock file; StorageError when that fails."""
    written = open_written(out)
    digests = digest_shards(written.folder, written.plan, watch)
    written.write_digests(digests)


def trace_origins(out: Path, layer: int | None = None, tensor: str | None = None) -> tuple[TensorOrigins, ...]:
    """Where the tensors of a layer of the output in `out`, or the tensor called `tensor`, come from.

    Donors that cannot be read are only named.
    """
    written = open_written(out)
    lock, plan = written.lock, written.plan
    own = read_donor(DonorSpec("out", str(out.absolute())), Path())
    wanted = {name for name, each in own.tensors.items() if each.layer == layer} if tensor is None else {tensor}
    steps = [step for step in plan.steps if step.tensor.name in wanted]
    used = {ref.donor for step in steps for ref in find_tensor_refs(step.expression)}
    donors = {}
    for each in (donor for donor in lock["plan"]["donors"] if donor["name"] in used):
        source = each["source"] if each["revision"] else each.get("found") or each["source"]
        with suppress(StackerError):
            donors[each["name"]] = read_donor(DonorSpec(each["name"], source, each["revision"]), written.folder)
    return tuple(trace_tensors(steps, donors))


def read_lock(out: Path) -> dict[str, Any]:
    """The content of the lock of the output at `out`; errors as in `open_written`."""
    return open_written(out).lock


def _check_at_hand(donors: Mapping[str, Donor], needed: Mapping[str, Collection[str]]) -> None:
    """Raise a DonorError if files of a donor would have to be fetched from the hub."""
    for name, donor in donors.items():
        if any(file.path is None for file in donor.files if file.name in needed[name]):
            raise DonorError.of(f"donor '{name}' has not been fetched from the hub")


def _note_structure(out: Path, error: StackerError) -> Problem:
    message = f"only names, sizes and headers of its files were checked: {error.problems[0].message}"
    return Problem(message, "", Mark(str(out)), Severity.NOTE, Blame.VERIFY)


def _note_digests(out: Path, error: StackerError) -> Problem:
    message = f"compared with the SHA-256 in the lock file, not with the donors: {error.problems[0].message}"
    return Problem(message, "", Mark(str(out)), Severity.NOTE, Blame.VERIFY)


def _read_donors(
    plan: Plan, sources: Mapping[str, str | None], moved: Mapping[str, str], out: Path
) -> dict[str, Donor]:
    """Read the donors whose files a plan uses; returns a dict from a donor's name to the donor.

    `moved` and `sources` map donors' names to folders or hub ids, relative to the current folder and to `out`. A donor
    that is in neither is read from the source in the plan.
    DonorError when a donor cannot be read, or when its headers differ from the headers that the plan was made from.
    """
    donors: dict[str, Donor] = {}
    problems: list[Problem] = []
    for used in plan.donors:
        if not used.files:
            continue
        source = moved.get(used.name) or sources.get(used.name) or used.source
        spec = DonorSpec(used.name, source, used.revision)
        try:
            read = read_stored_adapter if is_adapter(used.name) else read_donor
            donor = donors[used.name] = read(spec, Path() if used.name in moved else out, Dialect.NATIVE)
        except StackerError as error:
            problems += _ask_for_folder(spec, error)
            continue
        if identify_donor(donor).files != used.files:
            hint = f"say where the right one is: stacker verify --donor {used.name}=FOLDER"
            message = f"donor '{used.name}' at {donor.source} is not the one that was used: its headers differ"
            problems.append(Problem(message, hint, blame=Blame.DONOR))
    raise_problems(problems)
    return donors


def _ask_for_folder(spec: DonorSpec, error: StackerError) -> Iterator[Problem]:
    """The problems of a donor that cannot be read, with the option that says where it is now as their hint.

    The hints of a hub id stay, because they say why the hub does not answer.
    """
    ask = f"if it is elsewhere now, say where: stacker verify OUT --donor {spec.name}=FOLDER"
    for problem in error.problems:
        hints = (ask,) if is_path(str(spec.source)) else (problem.hint, ask)
        yield replace(problem, hint="\n".join(filter(None, hints)))


def _check_sources(out: Path, plan: Plan, donors: Mapping[str, Donor]) -> None:
    """Raise a VerifyError if a tensor of the plan is made from one that its donor does not have."""
    for step in plan.steps:
        for ref in find_tensor_refs(step.expression):
            if ref.name not in donors[ref.donor].tensors:
                message = f"the lock file is damaged: donor '{ref.donor}' has no tensor '{escape_text(ref.name)}'"
                raise VerifyError.of(message, REPAIR, Mark(str(out)))
