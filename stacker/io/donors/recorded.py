"""Finds the donors of a finished output by its lock file, so that its spec can be used from where it lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from stacker.core.plan.plan_json import LOCK, SPEC
from stacker.core.values.donor import Donor
from stacker.io.donors.location import is_local
from stacker.io.donors.reader import ReadDonor
from stacker.io.files.paths import is_file
from stacker.io.files.regular_files import read_stored
from stacker.spec.language.stack_spec import Dialect, DonorSpec, StackSpec


@dataclass(frozen=True, slots=True)
class RecordedReader:
    """Reads a donor from where the spec says or, if it is not there, from where the lock file says that it was.

    `name` is the name of the stack. `places` maps names of donors to folders relative to `out`, and `specs` the paths
    of nested specs to their texts.
    `prefix` and `within` come before the names of donors and the paths of specs inside a nested spec.
    """

    read: ReadDonor
    out: Path
    name: str
    places: Mapping[str, str]
    specs: Mapping[str, str]
    prefix: str = ""
    within: str = ""

    def __call__(self, spec: DonorSpec, folder: Path, dialect: Dialect) -> Donor:
        """Read the donor; relative paths in the spec start at `folder`."""
        place = self.places.get(self.prefix + spec.name)
        if place is not None and not is_local(spec, folder, dialect):
            moved = replace(spec, source=place)
            if is_local(moved, self.out, Dialect.NATIVE):
                return self.read(moved, self.out, Dialect.NATIVE)
        return self.read(spec, folder, dialect)

    def enter(self, donor: DonorSpec) -> RecordedReader:
        """The reader for the donors of a donor that is itself a stack."""
        return replace(self, prefix=f"{self.prefix}{donor.name}/", within=f"{self.within}{donor.stack}/")

    def find_spec(self, donor: DonorSpec) -> bytes | None:
        """The recorded text of the spec of a donor that is a stack; None if there is none."""
        text = self.specs.get(f"{self.within}{donor.stack}")
        return None if text is None else text.encode()


def follow_lock(read: ReadDonor, path: Path) -> ReadDonor:
    """A RecordedReader if the spec at `path` is that of a finished output, whose lock file lies beside it; else `read`.

    A damaged lock file is ignored.
    """
    lock = path.parent / LOCK
    if path.name != SPEC or not is_file(lock):
        return read
    try:
        content = json.loads(read_stored(lock))
        donors = {each["name"]: each["found"] for each in content["plan"]["donors"] if each.get("found")}
        places = {str(name): str(place) for name, place in donors.items()}
        specs = {str(name): str(text) for name, text in content.get("specs", {}).items()}
        return RecordedReader(read, path.parent, str(content["plan"]["name"]), places, specs)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return read


def restore_name(spec: StackSpec, read: ReadDonor) -> StackSpec:
    """The spec of a finished output with the name that the stack had, if the text has none; other specs unchanged."""
    written = any(key == "name" for key, _ in spec.marks)
    return replace(spec, name=read.name) if isinstance(read, RecordedReader) and not written else spec


def enter_nested(read: ReadDonor, donor: DonorSpec) -> ReadDonor:
    """The function that reads the donors of a donor that is itself a stack."""
    return read.enter(donor) if isinstance(read, RecordedReader) else read
