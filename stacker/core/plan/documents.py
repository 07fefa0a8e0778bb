"""Makes the files that a plan determines beside the shards, and the text of a lock inside a GGUF file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from stacker.core.plan.plan import Plan
from stacker.core.plan.plan_json import SPEC, make_plan_index
from stacker.formats.index import INDEX_FILE
from stacker.formats.json_object import Json

CONFIG = "config.json"


def make_plan_documents(plan: Plan) -> dict[str, dict[str, Json]]:
    """The JSON files that a plan determines, by name: config and index; a GGUF file has none beside it."""
    if plan.metadata:
        return {}
    index = make_plan_index(plan)
    return {CONFIG: plan.config, **({INDEX_FILE: index} if index else {})}


def format_lock(lock: Mapping[str, Any], spec: bytes) -> bytes:
    """The text of a lock inside a file: it also has the spec."""
    return json.dumps({**lock, SPEC: spec.decode()}, separators=(",", ":"), ensure_ascii=False).encode()
