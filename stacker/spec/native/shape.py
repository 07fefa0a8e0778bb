"""The shape of a native spec as pydantic models: allowed keys and the types of their values.

Grammars inside values (slices, parameters, sizes) and references are checked elsewhere. The field descriptions
become the JSON schema for editors.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, WithJsonSchema

ITEM_KINDS = ("slice", "blend", "crossfade", "repeat", "use")
_SLICE_FORM = r"^\s*[A-Za-z0-9_.-]+\s*(\[\s*([0-9]+|[0-9]*\s*:\s*[0-9]*)\s*\]\s*)?$"
_NAME_FORM = r"^[A-Za-z0-9_.-]+$"
_VALUE = {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}, "minItems": 1}]}
_SETTING = {"anyOf": [*_VALUE["anyOf"], {"type": "boolean"}, {"type": "string"}]}


def _make_schema(value: dict[str, Any], description: str) -> dict[str, Any]:
    rules = {"type": "object", "minProperties": 1, "additionalProperties": value}
    return {"anyOf": [*value["anyOf"], rules], "description": description}


_SETTING_WORDS = (
    "A parameter of the op: a value, a gradient (list of numbers), or a mapping from role or pattern to either."
)
_SCALE_WORDS = "Factors on what is written: a number, a gradient, or a mapping from role or name pattern to either."
_SETTING_SCHEMA = _make_schema(_SETTING, _SETTING_WORDS)
SliceText = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": _SLICE_FORM, "description": "Layers of a donor: xwin[0:16]."})
]
DonorName = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": _NAME_FORM, "description": "A name of `donors`."})
]
Scale = Annotated[Any, WithJsonSchema(_make_schema(_VALUE, _SCALE_WORDS))]


class Shape(BaseModel):
    """A mapping of the text; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class OpShape(Shape):
    """A mapping whose other keys are parameters of an op."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": _SETTING_SCHEMA})


class DonorShape(Shape):
    """A donor with more keys than its source."""

    source: str | None = Field(default=None, description="Hub id, hub id@revision, or a folder.")
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub id.")
    like: str | None = Field(default=None, description="A reference config that stands in while the donor is away.")
    stack: str | None = Field(default=None, description="A spec file whose result is this donor.")


class SliceShape(Shape):
    """Layers of a donor with factors."""

    slice: SliceText = Field(description="Layers of a donor, half-open: xwin[0:16], [5], [8:], or the bare name.")
    scale: Scale = None


class SourceShape(OpShape):
    """A source of a blend with parameters of its own, such as `weight`."""

    slice: SliceText = Field(description="Layers of a donor.")
    scale: Scale = None


class UseShape(Shape):
    """A reference to a named list of items."""

    use: str = Field(description="A name of `stacks`.")


class PartBlendShape(OpShape):
    """An embedding or head blended from several donors."""

    blend: list[Source] = Field(min_length=1, description="Donors, by name, or {slice: name, weight: ...}.")
    op: str = Field(description="How they are blended: linear, slerp, ... (`stacker ops` lists all).")
    base: DonorName | None = Field(default=None, description="The reference donor of task-vector ops.")


class BlendShape(OpShape):
    """The same number of layers from each source; one output layer per position."""

    blend: list[Source] = Field(min_length=1, description="Slices of equal length.")
    op: str = Field(description="How they are blended: linear, slerp, ... (`stacker ops` lists all).")
    base: SliceText | None = Field(
        default=None, description="The reference layers of task-vector ops; default: those of `base`."
    )


class CrossfadeShape(OpShape):
    """Slices in a row that overlap."""

    crossfade: list[Source] = Field(min_length=2, description="Slices, in order.")
    over: int = Field(ge=1, description="How many layers of each slice overlap the next.")
    op: str = Field(description="How the overlapping layers are blended.")
    base: SliceText | None = Field(default=None, description="The reference layers of task-vector ops.")


class RepeatShape(Shape):
    """Items repeated several times."""

    repeat: Body = Field(description="An item, or a list of items.")
    times: int = Field(ge=1, description="How often they are in the stack, the first time included.")
    scale: Scale = None


class OutputShape(Shape):
    """How the result is stored."""

    dtype: str = Field(default="keep", description="keep (the donors' element type), bfloat16, float16, float32, ...")
    shard_size: str | int = Field(default="5GB", description="The most bytes of a file: a number, or 5GB, 800MB, 2GiB.")


class TokenShape(Shape):
    """The source of a token's row."""

    source: Any = Field(description="A donor, zero, or {donor: name, token: text} or {donor: name, token_id: number}.")
    force: bool = Field(default=False, description="In all donors, not only in those that lack the token.")


class TokenizerShape(Shape):
    """A tokenizer that the rows of embedding and head follow."""

    source: str | None = Field(default=None, description="A donor, or union: all donors' added tokens.")
    tokens: dict[str, TokenShape] = Field(default={}, description="Rows of single tokens, by token.")
    pad_to_multiple_of: int | None = Field(default=None, ge=1, description="Rows are filled up to a multiple of it.")


class StackShape(Shape):
    """A stacker spec: which layers of which donors make up a new model."""

    model_config = ConfigDict(json_schema_extra={"required": ["stacker", "donors", "stack"]})

    stacker: Literal[1] = Field(default=1, description="The version of this language.")
    name: str | None = Field(default=None, description="The name of the result; default: the spec file's.")
    donors: dict[str, Donor] = Field(
        default={},
        min_length=1,
        description="Where layers come from: hub ids, folders, or other specs, each by a name.",
    )
    stack: list[Item] = Field(default=[], min_length=1, description="The layers of the result, from first to last.")
    stacks: dict[str, Items] = Field(default={}, description="Named runs of items for `use`.")
    base: DonorName | None = Field(default=None, description="The reference donor of task-vector ops.")
    embed: EmbedPart | None = Field(default=None, description="Donor of the embedding; default: the first layer's.")
    head: EmbedPart | None = Field(default=None, description="Donor of final norm and head; default: the last layer's.")
    tokenizer: TokenizerIn | None = Field(
        default=None, description="Donor of the tokenizer files; default: the embedding's. A mapping moves rows too."
    )
    chat_template: str | None = Field(default=None, description="A chat template in Jinja; default: the tokenizer's.")
    config: DonorName | None = Field(
        default=None, description="Donor whose config is the template; default: the embedding's."
    )
    output: OutputShape = Field(default=OutputShape(), description="Element type and shard size of the result.")


def find_item_kind(value: object) -> str | None:
    """The union tag of an item; tags are in angle brackets so that they differ from all keys."""
    if isinstance(value, str):
        return "<text>"
    keys = value if isinstance(value, dict) else ()
    return next((f"<{kind}>" for kind in ITEM_KINDS if kind in keys), None)


def _find_source_kind(value: object) -> str | None:
    kind = find_item_kind(value)
    return kind if kind in ("<text>", "<slice>") else None


def _find_part_kind(value: object) -> str | None:
    kind = find_item_kind(value)
    return kind if kind in ("<text>", "<slice>", "<blend>") else None


def _find_donor_kind(value: object) -> str | None:
    return "<text>" if isinstance(value, str) else "<donor>" if isinstance(value, dict) else None


def _find_tokenizer_kind(value: object) -> str | None:
    return "<text>" if isinstance(value, str) else "<tokenizer>" if isinstance(value, dict) else None


def _find_body_kind(value: object) -> str:
    return "<list>" if isinstance(value, list) else "<one>"


TokenizerIn = Annotated[
    Annotated[DonorName, Tag("<text>")] | Annotated[TokenizerShape, Tag("<tokenizer>")],
    Discriminator(_find_tokenizer_kind),
]
Donor = Annotated[
    Annotated[str, Tag("<text>"), Field(description="Hub id, hub id@revision, or a folder.")]
    | Annotated[DonorShape, Tag("<donor>")],
    Discriminator(_find_donor_kind),
]
Source = Annotated[
    Annotated[SliceText, Tag("<text>")] | Annotated[SourceShape, Tag("<slice>")], Discriminator(_find_source_kind)
]
EmbedPart = Annotated[
    Annotated[DonorName, Tag("<text>")]
    | Annotated[SliceShape, Tag("<slice>")]
    | Annotated[PartBlendShape, Tag("<blend>")],
    Discriminator(_find_part_kind),
]
Item = Annotated[
    Annotated[SliceText, Tag("<text>")]
    | Annotated[SliceShape, Tag("<slice>")]
    | Annotated[BlendShape, Tag("<blend>")]
    | Annotated[CrossfadeShape, Tag("<crossfade>")]
    | Annotated["RepeatShape", Tag("<repeat>")]
    | Annotated[UseShape, Tag("<use>")],
    Discriminator(find_item_kind),
]
Items = Annotated[list[Item], Field(min_length=1)]
Body = Annotated[Annotated[Items, Tag("<list>")] | Annotated[Item, Tag("<one>")], Discriminator(_find_body_kind)]


DIALECT = "https://json-schema.org/draft/2020-12/schema"


def make_json_schema() -> dict[str, Any]:
    """The JSON schema as a JSON value."""
    schema = StackShape.model_json_schema()
    title = {"$schema": DIALECT, "title": "stacker spec"}
    return {**title, **{key: value for key, value in _simplify(schema).items() if key != "title"}}


def _simplify(value: Any) -> Any:
    """The schema without titles and null alternatives, which pydantic adds and editors do not need."""
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
