"""The small files beside the shards, as values: the index, the lock file. Pure; the output folder writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacker.core.plan.plan import Plan
from stacker.core.plan.plan_json import plan_to_json
from stacker.formats.index import make_index
from stacker.formats.json_object import Json

LOCK = "stacker.lock.json"
SPEC = "stacker.yml"


def index_json(plan: Plan) -> dict[str, Json] | None:
    """The index over several shards as transformers writes it; None when there is only one."""
    if len(plan.shards) == 1:
        return None
    weight_map = {step.tensor.name: plan.shards[step.shard].name for step in plan.steps}
    return make_index(weight_map, plan.total_size, plan.total_parameters)


def lock_json(plan: Plan, version: str, places: Mapping[str, str | None], specs: Mapping[str, str]) -> dict[str, Any]:
    """How the output was made, enough to check it and to make it again.

    `places` says for each donor where it was found, relative to the output; `specs` holds the text of nested specs.
    """
    content = plan_to_json(plan)
    for donor in content["donors"]:
        donor["found"] = places.get(donor["name"])
    return {"stacker": version, "plan": content, "specs": dict(specs)}
