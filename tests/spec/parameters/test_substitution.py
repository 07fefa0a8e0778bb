"""Parameters in whole specs: each text is compared with the same text with the values written out."""

from __future__ import annotations

import pytest

from stacker.errors import SpecError
from stacker.spec.language.stack_spec import StackSpec
from stacker.spec.parser import list_parameters, parse_spec

NATIVE = """\
stacker: 1
name: n
parameters:
  cut: {value: 16, range: [8, 24]}
  t: 0.25
  op: slerp
  who: a
  folder: donor
donors: {a: "./${folder}-1", b: {source: "org/${folder}@main"}}
stack:
  - ${who}[0:${cut}]
  - a[${cut}:${cut+10}]
  - slice: a[30]
    scale: {attn.o: ["${t}", "${1-t}"], default: "${t}"}
    hop: ${t}
  - blend: [a, {slice: b, weight: "${t}"}]
    op: ${op}
    t: ${t}
  - repeat: b[0:2]
    times: ${cut-14}
output: {shard_size: "${cut}GB"}
chat_template: "{{ x }}${y}"
"""
WRITTEN = """\
stacker: 1
name: n
donors: {a: "./donor-1", b: {source: "org/donor@main"}}
stack:
  - a[0:16]
  - a[16:26]
  - slice: a[30]
    scale: {attn.o: [0.25, 0.75], default: 0.25}
    hop: 0.25
  - blend: [a, {slice: b, weight: 0.25}]
    op: slerp
    t: 0.25
  - repeat: b[0:2]
    times: 2
output: {shard_size: 16GB}
chat_template: "{{ x }}${y}"
"""
MERGEKIT = """\
stacker_parameters: {cut: 16, f: 0.5, method: passthrough}
merge_method: ${method}
name: m
parameters: {scale: [{filter: o_proj, value: "${f}"}, {value: 1}]}
slices:
  - sources: [{model: org/x, layer_range: [0, "${cut}"]}]
  - sources: [{model: org/x, layer_range: ["${cut-4}", 30]}]
"""
MERGEKIT_WRITTEN = """\
merge_method: passthrough
name: m
parameters: {scale: [{filter: o_proj, value: 0.5}, {value: 1}]}
slices:
  - sources: [{model: org/x, layer_range: [0, 16]}]
  - sources: [{model: org/x, layer_range: [12, 30]}]
"""


PAIRS = {"native": (NATIVE, WRITTEN), "mergekit": (MERGEKIT, MERGEKIT_WRITTEN)}


@pytest.mark.parametrize(("text", "written"), PAIRS.values(), ids=PAIRS)
def test_means_the_same(text: str, written: str) -> None:
    """A spec with parameters is the spec with their values written out, in values, slices, ops and sources."""
    assert parse_spec(text, "s.yml") == parse_spec(written, "s.yml")


def test_values_from_outside() -> None:
    """Values from outside replace those of the text everywhere, and the spec knows its parameters."""
    spec = parse_spec(NATIVE, "s.yml", {"cut": "20", "who": "b"})
    changed = WRITTEN.replace("a[0:16]", "b[0:20]").replace("a[16:26]", "a[20:30]")
    changed = changed.replace("times: 2", "times: 6").replace("16GB", "20GB")
    assert spec == parse_spec(changed, "s.yml")
    assert [(each.name, each.value, each.is_set) for each in spec.parameters][:2] == [
        ("cut", 20, True),
        ("t", 0.25, False),
    ]


def test_stages_share_parameters() -> None:
    """All documents of a mergekit file can use a parameter that one of them declares."""
    first = MERGEKIT.replace("name: m", "name: first")
    second = "merge_method: passthrough\nname: n\nslices: [{sources: [{model: first, layer_range: [0, '${cut}']}]}]\n"
    spec = parse_spec(f"{first}---\n{second}", "s.yml", {"cut": 20})
    assert [getattr(item, "stop", None) for item in spec.stack] == [20]
    stage = spec.donors[0].stage
    assert isinstance(stage, StackSpec)
    assert [(getattr(item, "start", None), getattr(item, "stop", None)) for item in stage.stack] == [(0, 20), (16, 30)]


def test_an_alias_is_substituted_where_it_is_used() -> None:
    """A text that aliases repeat has the value in each place."""
    text = 'stacker: 1\nname: n\nparameters: {c: 4}\ndonors: {a: x/y}\nstack: [&s "a[0:${c}]", *s]\n'
    assert [getattr(item, "stop", None) for item in parse_spec(text, "s.yml", {"c": 5}).stack] == [5, 5]


def test_unused_parameters_are_warnings() -> None:
    """A parameter that nothing uses is warned about, at its declaration."""
    spec = parse_spec(WRITTEN.replace("name: n", "name: n\nparameters: {cut: 3}"), "s.yml")
    assert [str(each) for each in spec.problems if "never used" in each.message] == [
        "s.yml:3:14: warning: parameter 'cut' is never used\n  hint: write ${cut} where its value belongs"
    ]


def test_unknown_values_from_outside() -> None:
    """A value for a parameter that the spec does not have is an error, with the nearest name."""
    with pytest.raises(SpecError, match=r"there is no parameter 'cutt' to set\n  hint: did you mean 'cut'"):
        parse_spec(NATIVE, "s.yml", {"cutt": 3})
    with pytest.raises(SpecError, match="declares no parameters"):
        parse_spec(WRITTEN, "s.yml", {"cut": 3})


def test_all_problems_at_once() -> None:
    """Wrong values from outside are reported together with what else is wrong, and cause no further problems."""
    with pytest.raises(SpecError) as caught:
        parse_spec(NATIVE.replace("b[0:2]", "c[${x}:2]").replace("hop: ${t}", "hpo: 3"), "s.yml", {"cut": 99})
    assert [problem.message for problem in caught.value.problems] == [
        "parameter 'cut' is 99, outside its range [8, 24]",
        "unknown key 'hpo'",
        "there is no parameter 'x'",
    ]


def test_repeated_words_stay_small() -> None:
    """Aliases of a text full of parameters share one copy, so that a small spec cannot fill the memory."""
    long = "${w}" * 20_000
    text = f'stacker: 1\nparameters: {{w: {"x" * 200}}}\nz: [&a "{long}", {", ".join(["*a"] * 5_000)}]\n'
    with pytest.raises(SpecError, match="unknown key 'z'"):
        parse_spec(text, "s.yml")


def test_parameters_of_a_wrong_spec() -> None:
    """The parameters of a text can be listed even if the rest of it is wrong."""
    text = "stacker: 7\nparameters: {a: 1, b: x}\nstack: ${c}\n"
    assert [each.name for each in list_parameters(text, "s.yml")] == ["a", "b"]
