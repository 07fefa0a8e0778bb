"""The JSON Schema for editors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from stacker.spec.native.schema import make_json_schema


def mappings(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for below in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from mappings(below)


def test_every_key_is_described() -> None:
    """Each key of each mapping of the language has a description."""
    keys = [(name, key) for part in mappings(make_json_schema()) for name, key in part.get("properties", {}).items()]
    assert len(keys) > 30
    assert [name for name, key in keys if not key.get("description")] == []


def test_required_keys() -> None:
    """Version, donors and stack are required; unknown keys are not allowed at the top."""
    schema = make_json_schema()
    assert schema["required"] == ["stacker", "donors", "stack"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["stacker"]["const"] == 1


def test_parameters_are_allowed() -> None:
    """Where a number or a slice is allowed, `${...}` is too, except in the declarations of parameters themselves."""
    schema = make_json_schema()
    declared = schema["properties"].pop("parameters")
    for part in mappings(schema):
        for options in (part["anyOf"],) if "anyOf" in part else ():
            if any(option.get("type") in ("integer", "number", "boolean") for option in options):
                assert any(re.search(option.get("pattern", "$^"), "${cut+1}") for option in options)
    numbers = [part for part in mappings(schema) if part.get("type") in ("integer", "number")]
    assert len(numbers) > 10
    slices = [part["pattern"] for part in mappings(schema) if str(part.get("description")).startswith("Layers of a")]
    assert all(re.search(pattern, "a[${cut}:8]") for pattern in slices)
    assert not any(re.search(pattern, "a[cut:8]") for pattern in slices)
    assert declared["additionalProperties"]["anyOf"][1]["required"] == ["value"]


def test_references_lead_somewhere() -> None:
    """Every reference inside the schema has a definition, and the schema is plain JSON."""
    schema = json.loads(json.dumps(make_json_schema()))
    references = {part["$ref"].removeprefix("#/$defs/") for part in mappings(schema) if "$ref" in part}
    assert references == set(schema["$defs"])


def test_no_library_noise() -> None:
    """The schema has no generated titles and no null alternatives."""
    schema = make_json_schema()
    assert not any(isinstance(part.get("title"), str) for part in mappings(schema) if part is not schema)
    assert not any(part.get("type") == "null" for part in mappings(schema))
