"""Why rows of an embedding or a head cannot follow a tokenizer, each reason in words."""

from __future__ import annotations

from collections.abc import Iterator

from stacker.core.values.donor import Donor
from stacker.errors import Blame, Mark, Problem
from stacker.tensors import TensorSpec

BY_TOKEN = ("embed", "head", "head.bias")
"""The roles of tensors with a row for each token."""
_SHOWN = 3


def in_blocks(donor: Donor, size: int) -> Iterator[Problem]:
    """Where embedding or head is quantised in blocks, its rows do not stand by themselves."""
    by_token = (tensor.spec for tensor in donor.tensors.values() if tensor.role in BY_TOKEN)
    odd = [spec.name for spec in by_token if spec.shape[:1] != (size,)]
    if donor.quantized and odd:
        message = f"the rows of {odd[0]} of '{donor.name}' cannot be taken apart: it is quantised ({donor.quantized})"
        yield Problem(message, "carry its tokenizer along as it is: `tokenizer: <donor>`", blame=Blame.DONOR)


def strangers(chosen: str, name: str, tokens: list[str], mark: Mark | None) -> Problem:
    """Words of one base vocabulary that the other lacks."""
    shown = ", ".join(map(repr, tokens[:_SHOWN])) + (" …" if len(tokens) > _SHOWN else "")
    message = f"the vocabularies of '{chosen}' and '{name}' cannot be united: '{name}' has {len(tokens)} more ({shown})"
    hint = "only added tokens can; the others work by their tokenizer's merges. Name one donor as the source"
    return Problem(message, hint, mark)


def blended(donor: str, name: str) -> Problem:
    """An op may look at the whole tensor, so its rows cannot be made one by one, in another order."""
    message = f"the rows of {name} of '{donor}' cannot be put into another order: that stack blends them"
    hint = "give that stack this `tokenizer`, so that its rows are in order already; or build it, and name the result"
    return Problem(message, hint, blame=Blame.DONOR)


def misfit(donor: str, other: str, name: str) -> Problem:
    """Rows of other widths, or none."""
    message = f"'{other}' has no rows of {name} that fit '{donor}'"
    return Problem(
        message, "donors of one stack need the same widths, and a head of their own or none", blame=Blame.DONOR
    )


def packed(donor: str, tensor: TensorSpec) -> Problem:
    """Elements that share bytes do not come apart."""
    message = f"the rows of {tensor.name} of '{donor}' cannot be taken apart: it is packed ({tensor.dtype.label})"
    return Problem(message, "take the donor in full precision", blame=Blame.DONOR)
