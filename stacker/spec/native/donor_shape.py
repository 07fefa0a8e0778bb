"""Defines a donor and its adapters in a native spec as pydantic models, on the base class of all mappings of a spec."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag


class Shape(BaseModel):
    """The base class of all mappings of a native spec. Unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class AdapterShape(Shape):
    """A LoRA written as a mapping; it can also be written as its source alone."""

    source: str = Field(description="Hub id, hub id@revision, or a folder, with an adapter as peft saves it.")
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub id.")
    weight: float = Field(default=1.0, allow_inf_nan=False, description="Multiplies the change that the LoRA makes.")


class DonorShape(Shape):
    """A donor written as a mapping; a donor can also be written as its source alone."""

    source: str | None = Field(default=None, description="Hub id, hub id@revision, or a folder.")
    revision: str | None = Field(default=None, description="Branch, tag or commit of a hub id.")
    like: str | None = Field(
        default=None, description="A reference config that is used while the donor's weights are missing."
    )
    stack: str | None = Field(default=None, description="A spec file whose result is this donor.")
    adapters: list[Adapter] = Field(
        default=[], min_length=1, description="LoRAs that are folded into the donor's weights as they are read."
    )
    parameters: dict[str, Any] | None = Field(
        default=None, description="Values of the parameters of the spec in `stack`, by name."
    )


def _find_donor_kind(value: object) -> str | None:
    return "<text>" if isinstance(value, str) else "<donor>" if isinstance(value, dict) else None


def _find_adapter_kind(value: object) -> str | None:
    return "<text>" if isinstance(value, str) else "<adapter>" if isinstance(value, dict) else None


Adapter = Annotated[
    Annotated[str, Tag("<text>"), Field(description="Hub id, hub id@revision, or a folder.")]
    | Annotated[AdapterShape, Tag("<adapter>")],
    Discriminator(_find_adapter_kind),
]
Donor = Annotated[
    Annotated[str, Tag("<text>"), Field(description="Hub id, hub id@revision, or a folder.")]
    | Annotated[DonorShape, Tag("<donor>")],
    Discriminator(_find_donor_kind),
]
