"""A Plan as JSON and back, and its id. The JSON holds everything but the donors' bytes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from typing import Any

from stacker.core.plan.plan import Costs, DonorIdentity, Layout, Plan, Shard, Step, Unused
from stacker.core.values.expression import Blend, Cast, Columns, Concat, Copy, Expression, RowRun, Rows, Scale
from stacker.formats.json_object import Json
from stacker.formats.safetensors import make_header
from stacker.tensors import DTYPES, TensorRef, TensorSpec

FORMAT = 1


def plan_id(content: dict[str, Any]) -> str:
    """A name for what a plan's JSON says, in hex: 16 bytes of SHA-256 over its canonical form.

    Estimates and the places where donors were found are left out: the same donors elsewhere give the same plan.
    """
    said = {key: value for key, value in content.items() if key not in ("id", "costs")}
    said["donors"] = [{key: value for key, value in each.items() if key != "source"} for each in content["donors"]]
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """A plain JSON value; `plan_from_json` gives an equal plan back."""
    return {
        "format": FORMAT,
        "id": plan.id,
        "name": plan.name,
        "layout": asdict(plan.layout),
        "total_size": plan.total_size,
        "total_parameters": plan.total_parameters,
        "costs": asdict(plan.costs),
        "donors": [
            {
                "name": donor.name,
                "source": donor.source,
                "revision": donor.revision,
                "files": [{"name": name, "size": size, "header_sha256": digest} for name, size, digest in donor.files],
            }
            for donor in plan.donors
        ],
        "config": plan.config,
        "shards": [_shard_to_json(shard) for shard in plan.shards],
        "tensors": [_step_to_json(step) for step in plan.steps],
        "tied": dict(plan.tied),
        "unused": [{"tensor": str(each.tensor), "reason": each.reason} for each in plan.unused],
    }


def _shard_to_json(shard: Shard) -> dict[str, Json]:
    return {"name": shard.name, "size": shard.size, "data_start": len(shard.header)}


def _step_to_json(step: Step) -> dict[str, Any]:
    return {
        "name": step.tensor.name,
        "dtype": step.tensor.dtype.label,
        "shape": list(step.tensor.shape),
        "bytes": step.tensor.nbytes,
        "shard": step.shard,
        "offset": step.offset,
        "from": expression_to_json(step.expression),
    }


def expression_to_json(expression: Expression) -> Any:
    """A copy is the tensor's name behind its donor's; everything else an object with one verb."""
    match expression:
        case Copy(tensor):
            return str(tensor)
        case Cast(of, dtype):
            return {"cast": expression_to_json(of), "dtype": dtype.label}
        case Scale(of, factor):
            return {"scale": expression_to_json(of), "factor": factor}
        case Blend():
            said: dict[str, Any] = {"blend": [expression_to_json(each) for each in expression.of], "op": expression.op}
            said |= {"parameters": dict(expression.parameters)} if expression.parameters else {}
            said |= {"per_source": [dict(each) for each in expression.per_source]} if any(expression.per_source) else {}
            said |= {"base": expression_to_json(expression.base)} if expression.base else {}
            return said | ({"seed": expression.seed} if expression.seed else {})
        case Rows():
            return _rows_to_json(expression)
        case Columns(tensor, width, start, count):
            return {"columns": str(tensor), "width": width, "start": start, "count": count}
        case Concat(of, widths):
            return {"beside": [expression_to_json(each) for each in of], "widths": list(widths)}


def _rows_to_json(rows: Rows) -> dict[str, Any]:
    runs = [[run.to, run.source, run.start, run.count, run.factor] for run in rows.runs]
    return {"rows": [expression_to_json(each) for each in rows.of], "width": rows.width, "runs": runs}


def plan_from_json(content: dict[str, Any]) -> Plan:
    """The plan that a JSON value says; KeyError, TypeError or ValueError when it is no such value."""
    steps = tuple(_step_from_json(each) for each in content["tensors"])
    return Plan(
        id=content["id"],
        name=content["name"],
        config=content["config"],
        steps=steps,
        shards=_shards_from_json(content["shards"], steps),
        layout=Layout(**content["layout"]),
        donors=tuple(_identity_from_json(each) for each in content["donors"]),
        costs=Costs(**content["costs"]),
        unused=tuple(Unused(_ref(each["tensor"]), each["reason"]) for each in content["unused"]),
        tied=tuple(content["tied"].items()),
    )


def _shards_from_json(content: list[dict[str, Any]], steps: tuple[Step, ...]) -> tuple[Shard, ...]:
    held: list[list[Step]] = [[] for _ in content]
    for step in steps:
        held[step.shard].append(step)
    shards = []
    for said, inside in zip(content, held, strict=True):
        tensors = [step.tensor for step in sorted(inside, key=lambda step: (step.offset, step.tensor.nbytes))]
        shards.append(Shard(said["name"], make_header(tensors, residue=said["data_start"], step=0), said["size"]))
    return tuple(shards)


def _identity_from_json(content: dict[str, Any]) -> DonorIdentity:
    files = tuple((file["name"], file["size"], file["header_sha256"]) for file in content["files"])
    return DonorIdentity(content["name"], content["source"], content["revision"], files)


def _step_from_json(content: dict[str, Any]) -> Step:
    spec = TensorSpec(content["name"], DTYPES[content["dtype"]], tuple(content["shape"]))
    return Step(spec, content["shard"], content["offset"], expression_from_json(content["from"]))


def expression_from_json(said: Any) -> Expression:
    """The expression that `expression_to_json` wrote."""
    if isinstance(said, str):
        return Copy(_ref(said))
    if "cast" in said:
        return Cast(expression_from_json(said["cast"]), DTYPES[said["dtype"]])
    if "scale" in said:
        return Scale(expression_from_json(said["scale"]), said["factor"])
    if "rows" in said:
        sources = tuple(expression_from_json(each) for each in said["rows"])
        return Rows(sources, said["width"], tuple(RowRun(*run) for run in said["runs"]))
    if "columns" in said:
        return Columns(_ref(said["columns"]), said["width"], said["start"], said["count"])
    if "beside" in said:
        return Concat(tuple(map(expression_from_json, said["beside"])), tuple(said["widths"]))
    return _blend_from_json(said)


def _blend_from_json(said: dict[str, Any]) -> Blend:
    of = tuple(expression_from_json(each) for each in said["blend"])
    per_source = tuple(tuple(sorted(each.items())) for each in said.get("per_source", [{}] * len(of)))
    base = expression_from_json(said["base"]) if "base" in said else None
    return Blend(
        said["op"], of, tuple(sorted(said.get("parameters", {}).items())), per_source, base, said.get("seed", "")
    )


def _ref(text: str) -> TensorRef:
    donor, _, name = text.partition(":")
    return TensorRef(donor, name)
