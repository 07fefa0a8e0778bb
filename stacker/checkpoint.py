"""What stacker wrote, looked at again: an output is compared with its plan and with its donors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from stacker.core.plan.documents import LOCK
from stacker.core.plan.plan import Plan
from stacker.core.plan.plan_json import plan_from_json
from stacker.core.plan.planning import find_files, identify_donor
from stacker.core.values.donor import Donor
from stacker.errors import Blame, Mark, Problem, SpecError, StackerError, VerifyError, raise_problems
from stacker.io.donors.local_files import fetch_donor
from stacker.io.donors.reader import read_donor
from stacker.progress import Watch, ignore_watch
from stacker.run.verify import compare
from stacker.spec.language.stack_spec import Dialect, DonorSpec


@dataclass(frozen=True, slots=True)
class Verified:
    """What a comparison found: `problems` are all the damage; `tensors` and `nbytes` were compared."""

    tensors: int
    nbytes: int
    problems: tuple[Problem, ...]


def verify(out: Path, donors: Mapping[str, str] = MappingProxyType({}), watch: Watch = ignore_watch) -> Verified:
    """Compare what `out` is_applicable with its plan and its donors, byte for byte; blends are computed again.

    The plan is the one in the output's lock file; `donors` says where donors are now that have moved. DonorError when
    one is not there or not the one that was used.
    """
    lock = _read_lock(out)
    plan = plan_from_json(lock["plan"])
    found = {each["name"]: each["found"] for each in lock["plan"]["donors"]}
    read = _read_donors(plan, {**found, **donors}, out)
    read_tensors = find_files(plan, read)
    read = {name: fetch_donor(donor, read_tensors[name]) for name, donor in read.items()}
    problems = tuple(compare(out, plan, read, watch))
    return Verified(len(plan.steps), plan.total_size, problems)


def _read_donors(plan: Plan, places: Mapping[str, str | None], out: Path) -> dict[str, Donor]:
    """The donors of a plan that is build_entry; their headers must be those that it was made from."""
    donors: dict[str, Donor] = {}
    problems: list[Problem] = []
    for each in plan.donors:
        if not each.files:
            continue
        spec = DonorSpec(each.name, places.get(each.name) or each.source, each.revision)
        try:
            donor = donors[each.name] = read_donor(spec, out, Dialect.NATIVE)
        except StackerError as error:
            problems += error.problems
            continue
        if identify_donor(donor).files != each.files:
            hint = f"say where the right one is: stacker verify --donor {each.name}=FOLDER"
            message = f"donor '{each.name}' at {donor.source} is not the one that was used: its headers differ"
            problems.append(Problem(message, hint, blame=Blame.DONOR))
    raise_problems(problems)
    return donors


def _read_lock(out: Path) -> dict[str, Any]:
    """The lock file of an output; SpecError when there is none, VerifyError when it is damaged."""
    path = out / LOCK
    try:
        lock = json.loads(path.read_bytes())
        plan_from_json(lock["plan"])
    except FileNotFoundError as error:
        raise SpecError.of("this is no output of stacker: it has no lock file", "", Mark(str(path))) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise VerifyError.of(f"the lock file is damaged: {error}", "", Mark(str(path))) from error
    return dict(lock)
