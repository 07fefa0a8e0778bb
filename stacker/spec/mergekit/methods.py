"""Lists mergekit's merge methods: the op for each method, its parameters, and how it uses the base model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from stacker.spec.language.parameter_grammar import EVERYTHING
from stacker.spec.language.stack_spec import BlendSpec, Parameter, Rule, SliceOrBlend, SliceSpec


class BaseRole(StrEnum):
    """How a merge method uses `base_model`.

    NONE ignores it, FIRST takes it as the first of the two sources, and REFERENCE compares the sources with it.
    OPTIONAL acts like REFERENCE if the file has a `base_model`, and like NONE if it has not.
    """

    NONE = "none"
    FIRST = "first"
    REFERENCE = "reference"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Method:
    """A merge method of mergekit and stacker's `op` for it ("" copies slices).

    `per_source` and `shared` name the method's parameters; those in `shared` cannot be set for a single source.
    `defaults` are parameters that mergekit requires, with the values that they have in stacker by default, and `most`
    is the largest number of models in a slice (None: no limit).
    """

    name: str
    op: str
    per_source: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    base: BaseRole = BaseRole.NONE
    defaults: tuple[tuple[str, float], ...] = ()
    most: int | None = None


_WEIGHT = (("weight", 1.0),)


def _make_task_vector_method(name: str, *per_source: str, rescale: bool = True) -> Method:
    """A method of the task-vector family, such as `ties`; `rescale` says whether it has a parameter `rescale`.

    `per_source` are the parameters that can differ between sources, besides `weight`.
    """
    shared = ("normalize", "lambda", *(("rescale",) if rescale else ()))
    weighted = ("weight", *per_source)
    return Method(name, name, weighted, shared, BaseRole.REFERENCE, _WEIGHT)


METHODS = {
    method.name: method
    for method in (
        Method("passthrough", "", per_source=("scale",), most=1),
        Method("linear", "linear", per_source=("weight",), shared=("normalize",), defaults=_WEIGHT),
        Method("slerp", "slerp", shared=("t",), base=BaseRole.FIRST, most=2),
        Method(
            "nuslerp", "nuslerp", ("weight",), ("nuslerp_flatten", "nuslerp_row_wise"), BaseRole.OPTIONAL, _WEIGHT, 3
        ),
        Method("multislerp", "multislerp", ("weight",), ("normalize_weights", "eps"), BaseRole.OPTIONAL, _WEIGHT),
        Method("karcher", "karcher", shared=("max_iter", "tol")),
        _make_task_vector_method("task_arithmetic", rescale=False),
        _make_task_vector_method("ties", "density"),
        _make_task_vector_method("dare_linear", "density"),
        _make_task_vector_method("dare_ties", "density"),
        _make_task_vector_method("della", "density", "epsilon"),
        _make_task_vector_method("della_linear", "density", "epsilon"),
        _make_task_vector_method("breadcrumbs", "density", "gamma"),
        _make_task_vector_method("breadcrumbs_ties", "density", "gamma"),
        Method("sce", "sce", shared=("select_topk",), base=BaseRole.REFERENCE),
        Method("model_stock", "model_stock", shared=("filter_wise",), base=BaseRole.REFERENCE),
        Method("nearswap", "nearswap", shared=("t",), base=BaseRole.REFERENCE, most=2),
        Method("arcee_fusion", "arcee_fusion", base=BaseRole.REFERENCE, most=2),
        Method("ram", "ram", shared=("epsilon",), base=BaseRole.REFERENCE),
        Method("ramplus_tl", "ramplus_tl", shared=("epsilon", "r", "alpha"), base=BaseRole.REFERENCE),
    )
}

_OUTER_ROLES = ("embed", "head", "norm")


def make_outer_part(run: SliceSpec | BlendSpec) -> SliceOrBlend:
    """The embedding or head that mergekit makes for a slice or blend: the same op and parameters on whole donors."""
    if isinstance(run, SliceSpec):
        return replace(run, start=None, stop=None)
    sources = tuple(replace(source, start=None, stop=None) for source in run.sources)
    return replace(run, sources=sources, base=replace(run.base, start=None, stop=None) if run.base else None)


def is_same_part(one: SliceOrBlend, other: SliceOrBlend) -> bool:
    """Whether two embeddings or heads are made the same way. Rules that select only tensors of layers are ignored."""
    return _normalize(one) == _normalize(other)


def _normalize(part: SliceOrBlend) -> object:
    if isinstance(part, SliceSpec):
        scale = _keep_outer(part.scale)
        neutral = scale is None or all(rule.value == 1.0 for rule in scale.rules)
        return (part.donor, None if neutral else scale, _outer_settings(part))
    return (part.op, tuple(map(_normalize, part.sources)), part.base and _normalize(part.base), _outer_settings(part))


def _outer_settings(part: SliceOrBlend) -> frozenset[tuple[str, Parameter | None]]:
    return frozenset((setting.name, _keep_outer(setting.parameter)) for setting in part.settings)


def _keep_outer(parameter: Parameter | None) -> Parameter | None:
    """The parameter with only the rules that can select a tensor outside the layers; None if `parameter` is None."""
    return None if parameter is None else Parameter(tuple(filter(_may_select_outside, parameter.rules)))


def _may_select_outside(rule: Rule) -> bool:
    return EVERYTHING in rule.match or rule.match.partition(".")[0] in _OUTER_ROLES
