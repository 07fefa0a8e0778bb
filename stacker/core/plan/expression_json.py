"""Converts expressions to JSON and back."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

from stacker.core.values.expression import (
    Blend,
    Cast,
    Columns,
    Concat,
    Copy,
    Decoded,
    Expression,
    LowRank,
    Rescale,
    Rows,
    Scale,
)
from stacker.core.values.matrix_parts import RowRun, Strides
from stacker.formats.ggml_types import find_dtype
from stacker.tensors import TensorRef


def expression_to_json(expression: Expression) -> Any:
    """An expression as JSON.

    A copy becomes the string `donor:tensor`; any other kind of expression becomes an object whose first key names the
    kind.
    """
    match expression:
        case Copy(tensor):
            return str(tensor)
        case Decoded(of, scheme, shape, settings, kept):
            entries = {"decoded": [str(part.tensor) for part in of], "scheme": scheme, "shape": list(shape)}
            return entries | {"settings": list(settings), "kept": kept}
        case Cast(of, dtype):
            return {"cast": expression_to_json(of), "dtype": dtype.label}
        case Scale(of, factor, offset):
            return {"scale": expression_to_json(of), "factor": factor, **({"offset": offset} if offset else {})}
        case Blend():
            return _blend_to_json(expression)
        case Rows(of, width, runs):
            table = [[run.to, run.source, run.start, run.count, run.factor] for run in runs]
            return {"rows": [expression_to_json(source) for source in of], "width": width, "runs": table}
        case Columns(tensor, width, start, count):
            return {"columns": str(tensor), "width": width, "start": start, "count": count}
        case Concat(of, widths):
            return {"concat": [expression_to_json(part) for part in of], "widths": list(widths)}
        case LowRank() | Rescale():
            return _adapted_to_json(expression)


def _adapted_to_json(expression: LowRank | Rescale) -> dict[str, Any]:
    """A tensor that an adapter changes as a JSON object."""
    match expression:
        case LowRank(of, left, right, factor, shape, strides):
            sides = {
                "left": str(left.tensor),
                "right": str(right.tensor),
                "strides": [list(astuple(s)) for s in strides],
            }
            return {"low_rank": expression_to_json(of), "factor": factor, "shape": list(shape), **sides}
        case Rescale(of, lengths, rows, width, columns):
            entries = {"rescale": expression_to_json(of), "lengths": str(lengths.tensor), "shape": [rows, width]}
            return entries | ({"by_columns": True} if columns else {})


def _blend_to_json(blend: Blend) -> dict[str, Any]:
    """A blend as a JSON object; empty fields are left out."""
    entries: dict[str, Any] = {"blend": [expression_to_json(source) for source in blend.of], "op": blend.op}
    if blend.parameters:
        entries["parameters"] = dict(blend.parameters)
    if any(blend.per_source):
        entries["per_source"] = [dict(values) for values in blend.per_source]
    if blend.base:
        entries["base"] = expression_to_json(blend.base)
    if blend.seed:
        entries["seed"] = blend.seed
    return entries


def expression_from_json(content: Any) -> Expression:
    """Make an expression from the JSON that `expression_to_json` returned; other JSON raises KeyError or TypeError."""
    if isinstance(content, str):
        return Copy(parse_ref(content))
    if "decoded" in content:
        parts = tuple(Copy(parse_ref(each)) for each in content["decoded"])
        blocks, rows, width = _parse_sizes(content["shape"], 3)
        return Decoded(parts, content["scheme"], (blocks, rows, width), tuple(content["settings"]), content["kept"])
    if "cast" in content:
        return Cast(expression_from_json(content["cast"]), find_dtype(content["dtype"], 0, 0))
    if "scale" in content:
        return Scale(expression_from_json(content["scale"]), content["factor"], content.get("offset", 0.0))
    if "rows" in content:
        sources = tuple(map(expression_from_json, content["rows"]))
        return Rows(sources, content["width"], tuple(RowRun(*run) for run in content["runs"]))
    if "low_rank" in content:
        left, right = (Copy(parse_ref(content[side])) for side in ("left", "right"))
        one, other = (Strides(*_parse_sizes(steps, 4)) for steps in content["strides"])
        blocks, rows, rank, width = _parse_sizes(content["shape"], 4)
        of, factor = expression_from_json(content["low_rank"]), float(content["factor"])
        return LowRank(of, left, right, factor, (blocks, rows, rank, width), (one, other))
    if "rescale" in content:
        of, lengths = expression_from_json(content["rescale"]), Copy(parse_ref(content["lengths"]))
        rows, width = _parse_sizes(content["shape"], 2)
        return Rescale(of, lengths, rows, width, content.get("by_columns", False))
    if "columns" in content:
        return Columns(parse_ref(content["columns"]), content["width"], content["start"], content["count"])
    if "concat" in content:
        return Concat(tuple(map(expression_from_json, content["concat"])), tuple(content["widths"]))
    return _blend_from_json(content)


def _parse_sizes(values: Any, count: int) -> list[int]:
    """The values, if they are `count` whole numbers of at least 0; else ValueError."""
    if type(values) is not list or len(values) != count or any(type(each) is not int or each < 0 for each in values):
        raise ValueError(f"{values!r} are not {count} sizes")
    return values


def _blend_from_json(content: dict[str, Any]) -> Blend:
    sources = tuple(map(expression_from_json, content["blend"]))
    per_source = tuple(tuple(sorted(values.items())) for values in content.get("per_source", [{}] * len(sources)))
    parameters = tuple(sorted(content.get("parameters", {}).items()))
    base = expression_from_json(content["base"]) if "base" in content else None
    return Blend(content["op"], sources, parameters, per_source, base, content.get("seed", ""))


def parse_ref(text: str) -> TensorRef:
    """The tensor that `donor:tensor` refers to."""
    donor, _, name = text.partition(":")
    return TensorRef(donor, name)
