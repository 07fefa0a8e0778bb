"""mergekit's merge methods as rows: which op of ours each is, and how its parameters and its base are read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BaseRole(StrEnum):
    """What a method does with `base_model`: nothing; the first of its two sources; the reference beside the sources."""

    NONE = "none"
    FIRST = "first"
    REFERENCE = "reference"


@dataclass(frozen=True, slots=True)
class Method:
    """A merge method. `op` "" moves layers as they are. `most` is the largest number of models in a slice (None: any).

    `per_source` parameters may stand at a source too, `shared` ones only at slices and above.
    `defaults` are those of our op that mergekit wants written.
    """

    name: str
    op: str
    per_source: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    base: BaseRole = BaseRole.NONE
    defaults: tuple[tuple[str, float], ...] = ()
    most: int | None = None


METHODS = {
    method.name: method
    for method in (
        Method("passthrough", "", per_source=("scale",), most=1),
        Method("linear", "linear", per_source=("weight",), shared=("normalize",), defaults=(("weight", 1.0),)),
        Method("slerp", "slerp", shared=("t",), base=BaseRole.FIRST, most=2),
    )
}
