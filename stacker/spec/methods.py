"""mergekit's merge methods as rows: which op of ours each is, and how its parameters and its base are read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BaseRole(StrEnum):
    """What a method does with `base_model`: nothing; the first of its two sources; the reference beside the sources.

    The reference may be OPTIONAL: without a `base_model` all are sources.
    """

    NONE = "none"
    FIRST = "first"
    REFERENCE = "reference"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Method:
    """A merge method. `op` "" moves layers as they are. `most` is the largest number of models in a slice (None: any).

    `per_source` parameters may stand at a source too, `shared` ones only at slices and above.
    `defaults` are those of our op that mergekit wants written, `ramp` is the parameter that a crossfade drives.
    """

    name: str
    op: str
    per_source: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    base: BaseRole = BaseRole.NONE
    defaults: tuple[tuple[str, float], ...] = ()
    most: int | None = None
    ramp: str = ""


_WEIGHT = (("weight", 1.0),)


def _family(name: str, *each: str, rescale: bool = True) -> Method:
    """A method of the task-vector family; `each` are its parameters of a source beside the weight."""
    shared = ("normalize", "lambda", *(("rescale",) if rescale else ()))
    return Method(name, name, ("weight", *each), shared, BaseRole.REFERENCE, _WEIGHT)


METHODS = {
    method.name: method
    for method in (
        Method("passthrough", "", per_source=("scale",), most=1),
        Method("linear", "linear", per_source=("weight",), shared=("normalize",), defaults=_WEIGHT, ramp="weight"),
        Method("slerp", "slerp", shared=("t",), base=BaseRole.FIRST, most=2, ramp="t"),
        Method(
            "nuslerp",
            "nuslerp",
            ("weight",),
            ("nuslerp_flatten", "nuslerp_row_wise"),
            BaseRole.OPTIONAL,
            _WEIGHT,
            3,
            "weight",
        ),
        Method(
            "multislerp",
            "multislerp",
            ("weight",),
            ("normalize_weights", "eps"),
            BaseRole.OPTIONAL,
            _WEIGHT,
            ramp="weight",
        ),
        Method("karcher", "karcher", shared=("max_iter", "tol")),
        _family("task_arithmetic", rescale=False),
        _family("ties", "density"),
        _family("dare_linear", "density"),
        _family("dare_ties", "density"),
        _family("della", "density", "epsilon"),
        _family("della_linear", "density", "epsilon"),
        _family("breadcrumbs", "density", "gamma"),
        _family("breadcrumbs_ties", "density", "gamma"),
        Method("sce", "sce", shared=("select_topk",), base=BaseRole.REFERENCE),
        Method("model_stock", "model_stock", shared=("filter_wise",), base=BaseRole.REFERENCE),
        Method("nearswap", "nearswap", shared=("t",), base=BaseRole.REFERENCE, most=2),
        Method("arcee_fusion", "arcee_fusion", base=BaseRole.REFERENCE, most=2),
        Method("ram", "ram", shared=("epsilon",), base=BaseRole.REFERENCE),
        Method("ramplus_tl", "ramplus_tl", shared=("epsilon", "r", "alpha"), base=BaseRole.REFERENCE),
    )
}
