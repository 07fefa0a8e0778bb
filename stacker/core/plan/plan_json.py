"""Converts a Plan to JSON and back, and makes the plan id, the index of the shards and the lock file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from math import prod
from typing import Any

from stacker.core.plan.expression_json import expression_from_json, expression_to_json, parse_ref
from stacker.core.plan.metadata_json import metadata_from_json, metadata_to_json
from stacker.core.plan.packing import HeaderRequest, Packing
from stacker.core.plan.plan import Costs, DonorIdentity, Plan, Shard, Step, Unused
from stacker.core.plan.shard_layout import Layout
from stacker.core.values.expression_parts import find_tensor_refs
from stacker.formats.ggml_types import find_dtype
from stacker.formats.index import make_index
from stacker.formats.json_object import Json
from stacker.tensors import TensorSpec

FORMAT = 1
LOCK = "stacker.lock.json"
SPEC = "stacker.yml"
DIGESTS = "sha256"
"""The key of the lock file under which the digests of the shards are."""


def hash_plan(content: dict[str, Any]) -> str:
    """The first 16 bytes, in hex, of the SHA-256 of a plan's JSON in canonical form.

    Costs and the sources of donors are left out, so that copies of the same donors in another folder lead to the same
    id; `found` is where a lock file says that a donor was.
    """
    hashed = {key: value for key, value in content.items() if key not in ("id", "costs")}
    hashed["donors"] = [
        {key: value for key, value in each.items() if key not in ("source", "found")} for each in content["donors"]
    ]
    canonical = json.dumps(hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def plan_to_json(plan: Plan) -> dict[str, Any]:
    """The plan as a JSON value, from which `plan_from_json` makes an equal plan."""
    content = {
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
    return content | ({"metadata": metadata_to_json(plan)} if plan.metadata else {}) | describe_plan(plan)


def describe_plan(plan: Plan) -> dict[str, Any]:
    """The descriptions of quantised tensors as an entry of the plan's JSON, if there are any."""
    return {"descriptions": dict(plan.descriptions)} if plan.descriptions else {}


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


def plan_from_json(content: dict[str, Any]) -> Plan:
    """Make a plan from the JSON that `plan_to_json` returned.

    Raises KeyError, TypeError or ValueError if `content` is not a plan.
    """
    steps = tuple(_step_from_json(each) for each in content["tensors"])
    metadata, packing = metadata_from_json(content, len(steps))
    return Plan(
        id=content["id"],
        name=content["name"],
        config=content["config"],
        steps=steps,
        shards=_shards_from_json(content["shards"], steps, packing),
        layout=Layout(**content["layout"]),
        donors=tuple(_identity_from_json(each) for each in content["donors"]),
        costs=Costs(**content["costs"]),
        unused=tuple(Unused(parse_ref(each["tensor"]), each["reason"]) for each in content["unused"]),
        tied=tuple(content["tied"].items()),
        metadata=metadata,
        descriptions=content.get("descriptions", {}),
    )


def check_plan(plan: Plan) -> None:
    """Raise ValueError unless the parts of a plan that was read from a file fit together.

    Every step lies in one of the shards, and every tensor comes from one of the donors.
    """
    donors = {donor.name for donor in plan.donors}
    for shard in plan.shards:
        if not re.fullmatch(r"[\w.-]+\.(safetensors|gguf)", shard.name):
            raise ValueError(f"{shard.name!r} is not the name of a shard")
    for step in plan.steps:
        shard = plan.shards[step.shard]
        if step.shard < 0 or not len(shard.header) <= step.offset <= shard.size - step.tensor.nbytes:
            raise ValueError(f"tensor {step.tensor.name!r} does not lie in its shard")
        unknown = {ref.donor for ref in find_tensor_refs(step.expression)} - donors
        if unknown:
            raise ValueError(f"tensor {step.tensor.name!r} is made from an unknown donor {min(unknown)!r}")


def _shards_from_json(content: list[dict[str, Any]], steps: tuple[Step, ...], packing: Packing) -> tuple[Shard, ...]:
    """The shards of a plan; their headers are not in the JSON, so they are made again from the steps."""
    members: list[list[Step]] = [[] for _ in content]
    for step in steps:
        members[step.shard].append(step)
    shards = []
    for number, (entry, own) in enumerate(zip(content, members, strict=True)):
        tensors = [step.tensor for step in sorted(own, key=lambda step: (step.offset, step.tensor.nbytes))]
        header = packing.make_header(HeaderRequest(tensors, number, len(content), entry["data_start"], step=0))
        shards.append(Shard(entry["name"], header.raw, entry["size"], header.patches, header.lock))
    return tuple(shards)


def _identity_from_json(content: dict[str, Any]) -> DonorIdentity:
    files = tuple((file["name"], file["size"], file["header_sha256"]) for file in content["files"])
    return DonorIdentity(content["name"], content["source"], content["revision"], files)


def _step_from_json(content: dict[str, Any]) -> Step:
    shape = tuple(content["shape"])
    spec = TensorSpec(content["name"], find_dtype(content["dtype"], prod(shape), content["bytes"]), shape)
    return Step(spec, content["shard"], content["offset"], expression_from_json(content["from"]))


def make_plan_index(plan: Plan) -> dict[str, Json] | None:
    """The content of model.safetensors.index.json, as transformers writes it; None if there is only one shard."""
    if len(plan.shards) == 1 or plan.metadata:
        return None
    weight_map = {step.tensor.name: plan.shards[step.shard].name for step in plan.steps}
    return make_index(weight_map, plan.total_size, plan.total_parameters)


def make_lock(
    plan: Plan,
    version: str,
    places: Mapping[str, str | None],
    specs: Mapping[str, str],
    digests: Mapping[str, str],
) -> dict[str, Any]:
    """The content of the lock file: how the output was made, in enough detail to verify it and to make it again.

    `places` has the folder of each donor relative to the output, or None for a hub donor; `specs` has the text of each
    nested spec by path, and `digests` the SHA-256 of each shard by name, if they were computed.
    """
    content = plan_to_json(plan)
    for donor in content["donors"]:
        donor["found"] = places.get(donor["name"])
    lock = {"stacker": version, "plan": content, "specs": dict(specs)}
    return lock | {DIGESTS: dict(digests)} if digests else lock
