"""Parses packaged recipes, which are published stacks as spec files, and replaces their donors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from stacker.spec.language.stack_spec import DonorSpec
from stacker.spec.language.value_grammar import format_source
from stacker.text.emitter import Flow, Tree, write_yaml

_HEAD = ("Source", "Licence", "Published")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A published stack: `text` is its whole spec file.

    The fields from `summary` to `notes` are taken from comments at the top of that file.
    """

    name: str
    summary: str
    source: str
    licence: str
    published: str
    notes: tuple[str, ...]
    text: str


def parse_recipe(name: str, text: str) -> Recipe:
    """The recipe `name` from the text of its spec file.

    The text begins with comments: a summary line, Source, Licence, Published, then notes.
    """
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")]
    fields = dict(line.split(": ", 1) for line in lines[1:4])
    source, licence, published = (fields[key] for key in _HEAD)
    return Recipe(name, lines[0], source, licence, published, tuple(lines[4:]), text)


def replace_donors(text: str, donors: Mapping[str, DonorSpec]) -> str:
    """A recipe's text with new values for the donors that are keys of `donors`. Comments are kept."""
    for name, donor in donors.items():
        line = format_donor_line(donor).replace("\\", r"\\")
        text = re.sub(rf"(?m)^  {re.escape(name)}: \{{.*\}}$", line, text, count=1)
    return text


def format_donor_line(donor: DonorSpec) -> str:
    """A donor as one line of YAML under the key `donors` of a recipe."""
    entry: dict[str, Tree] = {"source": format_source(donor)}
    if donor.like is not None:
        entry["like"] = donor.like
    value: Tree = Flow(entry) if donor.like else entry["source"]
    return f"  {write_yaml({donor.name: value})}".rstrip("\n")
