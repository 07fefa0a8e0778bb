"""Converts the metadata of a GGUF plan to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stacker.core.plan.packing import Packing, make_gguf_packing, make_safetensors_packing
from stacker.core.plan.plan import Plan
from stacker.core.values.metadata import Borrowed, MetadataEntry
from stacker.formats.gguf import ALIGNMENT, ALIGNMENT_KEY
from stacker.formats.json_object import Json


def metadata_to_json(plan: Plan) -> dict[str, Any]:
    """The metadata of a plan as JSON: the room for the lock, and each entry as [key, kind, value or source]."""
    return {"room": plan.shards[0].lock[1], "entries": [_entry_to_json(entry) for entry in plan.metadata]}


def _entry_to_json(entry: MetadataEntry) -> list[Json]:
    if entry.source is None:
        return [entry.key, entry.kind, entry.value]
    source = entry.source
    return [entry.key, entry.kind, {"donor": source.donor, "begin": source.begin, "nbytes": source.nbytes}, entry.count]


def metadata_from_json(content: Mapping[str, Any], tensor_count: int) -> tuple[tuple[MetadataEntry, ...], Packing]:
    """The metadata and the packing of a plan with `tensor_count` tensors, from the plan's JSON.

    KeyError, TypeError or ValueError if it is not the JSON of a plan.
    """
    stated = content.get("metadata")
    if stated is None:
        return (), make_safetensors_packing(content.get("descriptions", {}))
    entries = tuple(_entry_from_json(*each) for each in stated["entries"])
    alignment = next((each.value for each in entries if each.key == ALIGNMENT_KEY), ALIGNMENT)
    if not isinstance(alignment, int) or alignment < 1:
        raise ValueError("the alignment is not a number")
    return entries, make_gguf_packing(entries, alignment, tensor_count, stated["room"])


def _entry_from_json(key: str, kind: str, value: Any, count: int = 0) -> MetadataEntry:
    if isinstance(value, dict):
        return MetadataEntry(key, kind, None, Borrowed(value["donor"], value["begin"], value["nbytes"]), count)
    return MetadataEntry(key, kind, value, None, count)


def view_metadata(entries: tuple[MetadataEntry, ...]) -> dict[str, Json]:
    """The values of metadata by key; long lists are left out."""
    return {entry.key: entry.value for entry in entries if entry.value is not None}
