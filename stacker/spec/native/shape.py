"""Defines a native spec as pydantic models: allowed keys, types of values, and their descriptions.

The text of slices, parameters and sizes, and references to donors and stacks, are checked elsewhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, WithJsonSchema

from stacker.spec.native.donor_shape import Donor, Shape
from stacker.spec.parameters.schema import DECLARATIONS

ITEM_KINDS = ("slice", "blend", "crossfade", "repeat", "use")
_SLICE_FORM = r"^\s*[A-Za-z0-9_.-]+\s*(\[\s*([0-9]+|[0-9]*\s*:\s*[0-9]*)\s*\]\s*)?$"
_NAME_FORM = r"^[A-Za-z0-9_.-]+$"
_VALUE = {"anyOf": [{"type": "number"}, {"type": "array", "items": {"type": "number"}, "minItems": 1}]}
_SETTING = {"anyOf": [*_VALUE["anyOf"], {"type": "boolean"}, {"type": "string"}]}


def _make_schema(value: dict[str, Any], description: str) -> dict[str, Any]:
    rules = {"type": "object", "minProperties": 1, "additionalProperties": value}
    return {"anyOf": [*value["anyOf"], rules], "description": description}


_SETTING_WORDS = (
    "A parameter of the op: a value, a gradient (a list of numbers), "
    "or a mapping from tensor roles or name patterns to values or gradients."
)
_SCALE_WORDS = (
    "Factors that multiply the weights: a number, a gradient (a list of numbers), "
    "or a mapping from tensor roles or name patterns to numbers or gradients."
)
_SETTING_SCHEMA = _make_schema(_SETTING, _SETTING_WORDS)
SliceText = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": _SLICE_FORM, "description": "Layers of a donor: xwin[0:16]."})
]
DonorName = Annotated[
    str, WithJsonSchema({"type": "string", "pattern": _NAME_FORM, "description": "The name of a donor in `donors`."})
]
Scale = Annotated[Any, WithJsonSchema(_make_schema(_VALUE, _SCALE_WORDS))]
_HOP_WORDS = "A factor above 0 on the residual stream that enters the item; it is folded into the weights."
_DONOR_WORDS = "The reference donor of ops that need one, such as ties."
_BASE_WORDS = "Reference layers for ops such as ties; default: the spec's `base` at the first source's layers."
Hop = Annotated[float | None, Field(default=None, gt=0, allow_inf_nan=False, description=_HOP_WORDS)]
OpName = Annotated[str, Field(description="How the sources are blended: linear, slerp, ... (`stacker ops` lists all).")]
BaseDonor = Annotated[DonorName | None, Field(default=None, description=_DONOR_WORDS)]
Base = Annotated[SliceText | None, Field(default=None, description=_BASE_WORDS)]


class OpShape(Shape):
    """The base class of mappings with an op. Keys that are not fields of the class are parameters of the op."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": _SETTING_SCHEMA})


class PartShape(Shape):
    """The donor of the embedding or head, written as a mapping that can also have factors on its weights."""

    slice: SliceText = Field(
        description="Layers of a donor: xwin[0:16] for layers 0 to 15, xwin[5], xwin[8:], or xwin for all."
    )
    scale: Scale = None


class SliceShape(PartShape):
    """A slice written as a mapping, which can also have factors that multiply its weights."""

    hop: Hop


class SourceShape(OpShape):
    """A source of a blend or crossfade, written as a mapping that can have parameters for this source alone."""

    slice: SliceText = Field(description="Layers of a donor: xwin[0:16].")
    scale: Scale = None


class UseShape(Shape):
    """A reference to an entry of `stacks`, whose items are put in its place."""

    use: str = Field(description="The name of an entry of `stacks`; its items are put here.")
    hop: Hop


class PartBlendShape(OpShape):
    """An embedding or head blended from several donors."""

    blend: list[Source] = Field(
        min_length=1, description="The donors to blend: each is a name or {slice: name, weight: ...}."
    )
    op: OpName
    base: BaseDonor


class BlendShape(OpShape):
    """A blend of layers: the first layers of all sources make one layer, their second layers another, and so on."""

    blend: list[Source] = Field(min_length=1, description="Slices with the same number of layers.")
    op: OpName
    hop: Hop
    base: Base


class CrossfadeShape(OpShape):
    """Slices in a row, where the last layers of each slice are blended with the first layers of the next slice."""

    crossfade: list[Source] = Field(min_length=2, description="The slices, in order.")
    over: int = Field(
        ge=1, description="How many layers at the end of each slice are blended with as many at the start of the next."
    )
    op: str = Field(description="How the overlapping layers are blended.")
    hop: Hop
    base: Base


class RepeatShape(Shape):
    """Items that are in the stack several times, one round after another."""

    repeat: Body = Field(description="An item, or a list of items.")
    times: int = Field(ge=1, description="How often the items are in the stack, the first time included.")
    scale: Scale = None
    hop: Hop


class OutputShape(Shape):
    """How the result is stored."""

    dtype: str = Field(
        default="keep",
        description="The element type: bfloat16, float16, float32, ... or keep (each tensor keeps its donor's).",
    )
    shard_size: str | int = Field(
        default="5GB", description="The largest size of a file in bytes: a number, or 5GB, 800MB, 2GiB."
    )
    dequantize: bool = Field(
        default=False,
        description="Whether to read quantised weights as plain numbers, so that they can be blended, scaled and cast.",
    )


class TokenShape(Shape):
    """Where the embedding and head rows of one token come from."""

    source: Any = Field(
        description="A donor's name, zero, {donor: name, token: text} or {donor: name, token_id: number}."
    )
    force: bool = Field(
        default=False, description="Use this source for every donor's row, even where the donor has the token."
    )


class TokenizerShape(Shape):
    """The tokenizer of the result. The rows of embedding and head are arranged to match this tokenizer."""

    source: str | None = Field(
        default=None,
        description="A donor whose tokenizer is used, or union: one tokenizer with the added tokens of all donors.",
    )
    tokens: dict[str, TokenShape] = Field(
        default={}, description="Where the rows of single tokens come from, by token."
    )
    pad_to_multiple_of: int | None = Field(
        default=None, ge=1, description="The number of rows is padded up to a multiple of this number."
    )


class StackShape(Shape):
    """A stacker spec: which layers of which donors make up a new model."""

    model_config = ConfigDict(json_schema_extra={"required": ["stacker", "donors", "stack"]})

    stacker: Literal[1] = Field(default=1, description="The version of this language.")
    name: str | None = Field(default=None, description="The name of the result; default: the spec file's name.")
    donors: dict[str, Donor] = Field(
        default={},
        min_length=1,
        description="The models that layers come from, by short names: hub ids, folders, or other specs.",
    )
    parameters: Annotated[Any, WithJsonSchema(DECLARATIONS)] = None
    stack: list[Item] = Field(default=[], min_length=1, description="The layers of the result, from first to last.")
    stacks: dict[str, Items] = Field(default={}, description="Named lists of items, which `use` puts into the stack.")
    base: BaseDonor
    embed: EmbedPart | None = Field(
        default=None, description="The donor of the embedding; default: the first layer's donor."
    )
    head: EmbedPart | None = Field(
        default=None, description="The donor of the final norm and the head; default: the last layer's donor."
    )
    towers: DonorName | None = Field(default=None, description="The donor of a vision tower; default: see `embed`.")
    tokenizer: TokenizerIn | None = Field(
        default=None,
        description="The donor of the tokenizer files; default: the embedding's donor. "
        "A mapping also rearranges the rows of embedding and head.",
    )
    chat_template: str | None = Field(
        default=None, description="A chat template in Jinja; default: the tokenizer's own."
    )
    config: DonorName | None = Field(
        default=None,
        description="The donor whose config.json is the template for the result's; default: the embedding's donor.",
    )
    config_keys: dict[str, Literal["ignore"]] = Field(
        default={},
        description="Config entries to keep unchanged because they do not depend on a layer's position, "
        "for example {moe_idx: ignore}.",
    )
    output: OutputShape = Field(
        default=OutputShape(), description="The element type and the largest file size of the result."
    )


def find_item_kind(value: object) -> str | None:
    """The tag, such as `<blend>`, by which pydantic chooses the model for an item; None if `value` cannot be an item.

    Tags are in angle brackets so that they differ from all keys of a spec.
    """
    if isinstance(value, str):
        return "<text>"
    keys = value if isinstance(value, dict) else ()
    return next((f"<{kind}>" for kind in ITEM_KINDS if kind in keys), None)


def _find_source_kind(value: object) -> str | None:
    kind = find_item_kind(value)
    return kind if kind in ("<text>", "<slice>") else None


def _find_part_kind(value: object) -> str | None:
    return {"<text>": "<text>", "<slice>": "<part>", "<blend>": "<blend>"}.get(find_item_kind(value) or "")


def _find_tokenizer_kind(value: object) -> str | None:
    return "<text>" if isinstance(value, str) else "<tokenizer>" if isinstance(value, dict) else None


def _find_body_kind(value: object) -> str:
    return "<list>" if isinstance(value, list) else "<one>"


TokenizerIn = Annotated[
    Annotated[DonorName, Tag("<text>")] | Annotated[TokenizerShape, Tag("<tokenizer>")],
    Discriminator(_find_tokenizer_kind),
]
Source = Annotated[
    Annotated[SliceText, Tag("<text>")] | Annotated[SourceShape, Tag("<slice>")], Discriminator(_find_source_kind)
]
EmbedPart = Annotated[
    Annotated[DonorName, Tag("<text>")]
    | Annotated[PartShape, Tag("<part>")]
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
