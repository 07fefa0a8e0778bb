"""Hints about a mergekit file use mergekit's keys."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stacker.compose import load
from stacker.errors import Problem
from stacker.spec.mergekit.hints import translate_hints
from stacker.spec.parser import parse_spec
from tests.donors import write_llama
from tests.house import ROOT

FILE = """
merge_method: passthrough
slices:
  - sources: [{model: org/a, layer_range: [0, 4]}]
  - sources: [{model: org/b, layer_range: [0, 4]}]
"""
OWN_KEYS = re.compile(r"`(base|config|config_keys|embed|head|output|stack|tokenizer):")


def translated(hint: str, text: str = FILE) -> str:
    return translate_hints(parse_spec(text, "s.yml"), [Problem("message", hint)])[0].hint


@pytest.mark.parametrize(
    ("hint", "expected"),
    [
        ("start from `config: b`", "start from `base_model: org/b`"),
        ("name it: `base: <donor>`", "name it: `base_model: <model>`"),
        ("`tokenizer: a` chooses", "`tokenizer_source: org/a` chooses"),
        ("`output: {dtype: bfloat16}` casts", "`out_dtype: bfloat16` casts"),
        ("leave out the `dtype` of `output`", "leave out `dtype` and `out_dtype`"),
        ("take `head: a`", "take the last slice `- sources: [{model: org/a, layer_range: [0, 0]}]`"),
        (
            "if not, write `config_keys: {x: ignore}`",
            "if not, convert the file with `stacker convert` and write `config_keys: {x: ignore}` there",
        ),
        ("did you mean 'attn.o'?", "did you mean 'attn.o'?"),
    ],
)
def test_words(hint: str, expected: str) -> None:
    """Each key of stacker's language is replaced by what has the same effect in mergekit's."""
    assert translated(hint) == expected
    assert translated(hint, "stacker: 1\ndonors: {a: org/a}\nstack: ['a[0:4]']\n") == hint


def hints_in_code() -> list[str]:
    """The lines of stacker.core whose texts name keys of stacker's language."""
    lines = (line for path in (ROOT / "stacker/core").rglob("*.py") for line in path.read_text().splitlines())
    return sorted({found[0] for line in lines if (found := re.search(r'"[^"]*`\w+: [^"]*"', line))})


@pytest.mark.parametrize("line", hints_in_code())
def test_all_hints_have_words(line: str) -> None:
    """No hint in the code keeps a key that mergekit does not have."""
    hint = re.sub(r"\{[\w.]+\[?\w*\]?\}", "a", line).replace("{{", "{").replace("}}", "}")
    words = translated(hint)
    assert not OWN_KEYS.search(re.sub("convert the file with `stacker convert` and write `[^`]*`", "", words)), words


def test_problems_of_a_mergekit_file(tmp_path: Path) -> None:
    """The problems of a loaded file have translated hints."""
    write_llama(tmp_path / "a", rope_theta=1e4)
    write_llama(tmp_path / "b", rope_theta=1e6)
    spec = tmp_path / "s.yml"
    spec.write_text(FILE.replace("org/", f"{tmp_path}/").replace("4]", "2]"))
    hints = [problem.hint for problem in load(spec).problems if "rotary embedding" in problem.message]
    assert hints == [f"the result gets the value of 'a'; `base_model: {tmp_path}/b` chooses the other"]
