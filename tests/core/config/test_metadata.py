"""What the metadata of a GGUF stack says of its origin and type, as the package gguf reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stacker.compose import load
from tests.gguf_donors import read_metadata, write_gguf

SAME = {"license": "mit", "source.url": "https://example.org/model", "languages": ["en"]}
WIDE = {f"ffn_{each}.weight": "F32" for each in ("up", "gate", "down")}


def build_metadata(
    home: Path, first: Mapping[str, Any], second: Mapping[str, Any], types: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The metadata of a stack of two donors, which say these things of themselves."""
    write_gguf(home / "a.gguf", seed=1, general=first, types=types)
    write_gguf(home / "b.gguf", seed=2, general=second)
    (home / "spec.yml").write_text("stacker: 1\nname: x\ndonors: {a: a.gguf, b: b.gguf}\nstack: ['a[0:2]', 'b[2:4]']\n")
    load(home / "spec.yml").build(home / "out.gguf")
    return read_metadata(home / "out.gguf")


def test_what_donors_agree_on_is_kept(tmp_path: Path) -> None:
    """Licence, languages and source are those of the donors."""
    found = build_metadata(tmp_path, SAME, SAME)
    assert {key: found.get(f"general.{key}") for key in SAME} == SAME


@pytest.mark.parametrize("other", [{}, dict.fromkeys(SAME, "another")], ids=["missing", "another"])
def test_what_donors_do_not_agree_on_is_left_out(tmp_path: Path, other: Mapping[str, Any]) -> None:
    """Nothing is said of the stack that is true of one donor only."""
    found = build_metadata(tmp_path, SAME, other)
    assert not [key for key in SAME if f"general.{key}" in found]


def test_each_donor_is_described(tmp_path: Path) -> None:
    """Author, version and addresses of a donor are those of a base model."""
    said = {"author": "Anna", "version": "1.1", "organization": "Anna Ltd", "doi": "10.1/2", "repo_url": "https://h/a"}
    found = build_metadata(tmp_path, said, {"author": "Ben"})
    assert {key: found[f"general.base_model.0.{key}"] for key in said} == said
    assert found["general.base_model.1.author"] == "Ben"
    assert "general.base_model.1.version" not in found


@pytest.mark.parametrize(
    ("first", "second", "types", "expected"),
    [
        pytest.param({"file_type": 107}, {"file_type": 107}, None, 107, id="agreed"),
        pytest.param({"file_type": 107}, {"file_type": 7}, None, 7, id="different"),
        pytest.param({"file_type": 107}, {"file_type": 107}, WIDE, 0, id="other-tensors"),
    ],
)  # fmt: skip
def test_the_file_type_is_that_of_the_donors_if_they_agree(
    tmp_path: Path, first: dict[str, int], second: dict[str, int], types: dict[str, str] | None, expected: int
) -> None:
    """A type that tensors do not tell, such as Q4_K_S, stays if it fits; else the largest part counts."""
    assert build_metadata(tmp_path, first, second, types)["general.file_type"] == expected
