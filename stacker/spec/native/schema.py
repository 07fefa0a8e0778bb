"""Makes the JSON schema of native specs, which editors use, from the pydantic models in `shape`."""

from __future__ import annotations

from typing import Any

from stacker.spec.native.shape import StackShape
from stacker.spec.parameters.schema import allow_parameters

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def make_json_schema() -> dict[str, Any]:
    """The JSON schema of native specs as a JSON value, for editors."""
    schema = allow_parameters(StackShape.model_json_schema())
    title = {"$schema": DIALECT, "title": "stacker spec"}
    return {**title, **{key: value for key, value in _simplify(schema).items() if key != "title"}}


def _simplify(value: Any) -> Any:
    """A part of the schema without the titles and null alternatives that pydantic adds and that editors do not need."""
    if isinstance(value, list):
        return [_simplify(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _simplify(below) for key, below in value.items() if not (key == "title" and isinstance(below, str))}
    if kept.get("default", ...) is None:
        del kept["default"]
    options = [option for option in kept.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del kept["anyOf"]
        return {**options[0], **kept}
    return {**kept, "anyOf": options} if options else kept
