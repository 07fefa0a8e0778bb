"""Verifies that an output that stacker wrote agrees with the plan in its lock file and with the donors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stacker.core.plan.plan import Plan
from stacker.core.plan.plan_json import LOCK, check_plan, hash_plan, plan_from_json
from stacker.core.plan.planning import find_files, identify_donor
from stacker.core.values.donor import Donor
from stacker.core.values.expression import find_tensor_refs
from stacker.errors import Blame, Mark, Problem, SpecError, StackerError, VerifyError, escape_text, raise_problems
from stacker.io.disk.storage import make_storage_error
from stacker.io.donors.local_files import fetch_donor
from stacker.io.donors.reader import read_donor
from stacker.progress import Watch, ignore_watch
from stacker.run.verify import compare
from stacker.spec.language.stack_spec import Dialect, DonorSpec


@dataclass(frozen=True, slots=True)
class Verified:
    """The result of verifying an output: the number of tensors and bytes in the output, and the problems found.

    An intact output has no problems.
    """

    tensors: int
    nbytes: int
    problems: tuple[Problem, ...]


def verify(out: Path, donors: Mapping[str, str] = MappingProxyType({}), watch: Watch = ignore_watch) -> Verified:
    """Compare every byte of the output in `out` with the plan in its lock file and with the donors.

    For a donor that is no longer where it was, `donors` maps the donor's name to its new folder or hub id. DonorError
    when a donor is missing or differs from the donor that the output was made from.
    """
    lock = _read_lock(out)
    plan = plan_from_json(lock["plan"])
    sources = {donor["name"]: donor.get("found") for donor in lock["plan"]["donors"]}
    known = _read_donors(plan, {**sources, **donors}, out)
    _check_sources(out, plan, known)
    needed = find_files(plan, known)
    known = {name: fetch_donor(donor, needed[name]) for name, donor in known.items()}
    problems = tuple(compare(out, plan, known, watch))
    return Verified(len(plan.steps), plan.total_size, problems)


def _read_donors(plan: Plan, sources: Mapping[str, str | None], out: Path) -> dict[str, Donor]:
    """Read the donors whose files a plan uses; returns a dict from a donor's name to the donor.

    `sources` maps donors' names to folders or hub ids; a donor without an entry is read from the source in the plan.
    DonorError when a donor cannot be read, or when its headers differ from the headers that the plan was made from.
    """
    donors: dict[str, Donor] = {}
    problems: list[Problem] = []
    for used in plan.donors:
        if not used.files:
            continue
        spec = DonorSpec(used.name, sources.get(used.name) or used.source, used.revision)
        try:
            donor = donors[used.name] = read_donor(spec, out, Dialect.NATIVE)
        except StackerError as error:
            problems += error.problems
            continue
        if identify_donor(donor).files != used.files:
            hint = f"say where the right one is: stacker verify --donor {used.name}=FOLDER"
            message = f"donor '{used.name}' at {donor.source} is not the one that was used: its headers differ"
            problems.append(Problem(message, hint, blame=Blame.DONOR))
    raise_problems(problems)
    return donors


def _check_sources(out: Path, plan: Plan, donors: Mapping[str, Donor]) -> None:
    """Raise a VerifyError if a tensor of the plan is made from one that its donor does not have."""
    for step in plan.steps:
        for ref in find_tensor_refs(step.expression):
            if ref.name not in donors[ref.donor].tensors:
                message = f"the lock file is damaged: donor '{ref.donor}' has no tensor '{escape_text(ref.name)}'"
                raise VerifyError.of(message, _REPAIR, Mark(str(out / LOCK)))


_REPAIR = "build the stack again, or restore the file"


def _read_lock(out: Path) -> dict[str, Any]:
    """The content of the lock file in folder `out`; SpecError when there is none, VerifyError when it is damaged.

    StorageError when it cannot be read.
    """
    path = out / LOCK
    try:
        lock = json.loads(path.read_bytes())
        check_plan(plan_from_json(lock["plan"]))
        if hash_plan(lock["plan"]) != lock["plan"]["id"]:
            raise ValueError("its plan is not the one that its id was made from")
    except FileNotFoundError as error:
        raise SpecError.of("this is not an output of stacker: it has no lock file", "", Mark(str(path))) from error
    except OSError as error:
        raise make_storage_error(error, path, "read the lock file") from error
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise VerifyError.of(f"the lock file is damaged: {reason}", _REPAIR, Mark(str(path))) from error
    return dict(lock)
