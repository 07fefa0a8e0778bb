"""The JSON schema of parameters: how they are declared, and that `${…}` may stand where a number does."""

from __future__ import annotations

from typing import Any

_VALUE: dict[str, Any] = {"type": ["number", "string", "boolean"]}
_NAME_FORM = r"^[A-Za-z_][A-Za-z0-9_]*$"
_SUM_FORM = r"\$\{[^{}]+\}"
_WORDS = {
    "value": "The value, which -p NAME=VALUE replaces.",
    "range": "The lowest and the highest value; sweeps and searches move between them.",
    "step": "The distance of the values that a sweep or search tries in the range.",
    "choices": "All values that the parameter can have, instead of a range.",
}
_DECLARED = {
    "type": "object",
    "required": ["value"],
    "additionalProperties": False,
    "properties": {
        "value": {**_VALUE, "description": _WORDS["value"]},
        "range": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2,
                  "description": _WORDS["range"]},
        "step": {"type": "number", "exclusiveMinimum": 0, "description": _WORDS["step"]},
        "choices": {"type": "array", "items": _VALUE, "minItems": 1, "description": _WORDS["choices"]},
    },
}  # fmt: skip
DECLARATIONS = {
    "type": "object",
    "propertyNames": {"pattern": _NAME_FORM},
    "additionalProperties": {"anyOf": [_VALUE, _DECLARED]},
    "description": "Named numbers and words; ${name}, or a sum such as ${name+8}, stands for one in values and slices.",
}
"""The schema of the top-level key `parameters`."""
_USE = {"type": "string", "pattern": _SUM_FORM}
_REPLACED = ("integer", "number", "boolean")


def allow_parameters(schema: Any) -> Any:
    """A schema in which `${…}` may stand for every number and boolean, and inside every text that has a pattern."""
    if isinstance(schema, list):
        return [allow_parameters(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in _REPLACED and "const" not in schema:
        kept = {key: schema[key] for key in ("description", "default") if key in schema}
        return {"anyOf": [{key: value for key, value in schema.items() if key not in kept}, _USE], **kept}
    if schema.get("type") == "string" and "pattern" in schema:
        return schema | {"pattern": f"{schema['pattern']}|{_SUM_FORM}"}
    return {key: value if value is DECLARATIONS else allow_parameters(value) for key, value in schema.items()}
