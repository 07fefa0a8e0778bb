"""The tokenizer of a spec as text, in either dialect."""

from __future__ import annotations

from collections.abc import Callable

from stacker.spec.language.stack_spec import StackSpec, TokenRow
from stacker.spec.language.tokenizer import UNION
from stacker.text.emitter import Flow, Tree


def shown_tokenizer(spec: StackSpec) -> Tree:
    """The native `tokenizer`; None where it is the default."""
    return spec.tokenizer if spec.vocabulary is None else _mapping(spec, spec.tokenizer, str, _native)


def mergekit_tokenizer(spec: StackSpec, source: Tree, named: Callable[[str], Tree]) -> Tree:
    """mergekit's `tokenizer` of a spec whose rows follow it; `named` is what a donor is called there."""
    return _mapping(spec, source, named, _mergekit)


def _mapping(spec: StackSpec, source: Tree, named: Callable[[str], Tree], shown: Callable[..., Tree]) -> Tree:
    wanted = spec.vocabulary
    if wanted is None:
        return None
    said: dict[str, Tree] = {"source": UNION if wanted.union else source}
    if wanted.tokens:
        said["tokens"] = {
            row.token: Flow({"source": shown(row, named), **({"force": True} if row.force else {})})
            for row in wanted.tokens
        }
    said["pad_to_multiple_of"] = wanted.pad_to_multiple_of
    return {key: value for key, value in said.items() if value is not None}


def _native(row: TokenRow, named: Callable[[str], Tree]) -> Tree:
    if row.donor is None:
        return "zero"
    return Flow({"donor": named(row.donor), **_which(row)}) if _which(row) else named(row.donor)


def _mergekit(row: TokenRow, named: Callable[[str], Tree]) -> Tree:
    if row.donor is None:
        return Flow({"kind": "zero"})
    if not _which(row):
        return named(row.donor)
    return Flow({"kind": "model_token", "model": named(row.donor), **_which(row)})


def _which(row: TokenRow) -> dict[str, Tree]:
    found: dict[str, Tree] = {"token": row.like, "token_id": row.number}
    return {key: value for key, value in found.items() if value is not None}
