"""Rewrites the keys of stacker's own language in hints to those of mergekit, for the problems of a mergekit file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from stacker.errors import Problem, StackerError
from stacker.spec.language.stack_spec import Dialect, StackSpec

_DONOR = r"(?P<donor>[^`]+)"
_EMPTY = "`- sources: [{model: $donor, layer_range: [0, 0]}]`"
_PHRASES = {
    rf"`(?:config|base): {_DONOR}`": "`base_model: $donor`",
    rf"`tokenizer: {_DONOR}`": "`tokenizer_source: $donor`",
    rf"`embed: {_DONOR}`": f"the first slice {_EMPTY}",
    rf"`head: {_DONOR}`": f"the last slice {_EMPTY}",
    r"`output: \{dtype: (?P<dtype>\w+)\}`": "`out_dtype: $dtype`",
    r"the `dtype` of `output`": "`dtype` and `out_dtype`",
    r"write (?P<keys>`(?:config_keys: [^`]+|output: \{dequantize: true\})`)": (
        "convert the file with `stacker convert` and write $keys there"
    ),
}
"""Patterns for what hints say in stacker's language, and what they say in mergekit's; `$` stands before group names."""


def translate_hints(spec: StackSpec, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """The problems of a spec, with hints in the language that the spec is written in."""
    if spec.dialect is not Dialect.MERGEKIT:
        return tuple(problems)
    sources = {donor.name: donor.source or donor.name for donor in spec.donors} | {"<donor>": "<model>"}
    return tuple(replace(problem, hint=_translate(problem.hint, sources)) for problem in problems)


@contextmanager
def translate_errors(spec: StackSpec) -> Iterator[None]:
    """Translate the hints of an error that is raised inside the `with` block."""
    try:
        yield
    except StackerError as error:
        raise type(error)(*translate_hints(spec, error.problems)) from error


def _translate(hint: str, sources: Mapping[str, str]) -> str:
    for pattern, form in _PHRASES.items():
        hint = re.sub(pattern, partial(_fill, form, sources), hint)
    return hint


def _fill(form: str, sources: Mapping[str, str], found: re.Match[str]) -> str:
    for name, text in found.groupdict().items():
        form = form.replace(f"${name}", sources.get(text, text))
    return form
