"""The JSON Schema of the native language, for editors: the shapes of the parser, each key with a description."""

from __future__ import annotations

from typing import Any

from stacker.spec.shape import StackShape

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema as a JSON value."""
    schema = StackShape.model_json_schema()
    title = {"$schema": DIALECT, "title": "stacker spec"}
    return {**title, **{key: value for key, value in _plain(schema).items() if key != "title"}}


def _plain(value: Any) -> Any:
    """The schema without the titles and null alternatives that pydantic adds and no author of a spec needs."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _plain(below) for key, below in value.items() if not (key == "title" and isinstance(below, str))}
    if kept.get("default", ...) is None:
        del kept["default"]
    options = [option for option in kept.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del kept["anyOf"]
        return {**options[0], **kept}
    return {**kept, "anyOf": options} if options else kept
