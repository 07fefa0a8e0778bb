"""Tokenizers of several donors in one stack, built and read back with the safetensors and tokenizers libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

from stacker.checkpoint import verify
from stacker.compose import Stack, load
from stacker.core.plan.plan_json import plan_from_json, plan_to_json
from stacker.core.tokens.tokenizer_files import parse_tokens
from stacker.errors import DonorError, Severity, SpecError, raise_problems, select_errors
from stacker.io.donors import tokenizers
from stacker.spec.generators import GENERATORS, write_generated
from stacker.spec.language.stack_spec import DonorSpec
from tests.donors import write_llama
from tests.ops.test_slerp import reference
from tests.tokenizers import write_tokenizer

WORDS = [f"w{number}" for number in range(20)]
EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Three donors with the same 20 base tokens: `a` adds none, `b` adds <s> and <e>, `c` adds <e> and <x>."""
    write_llama(tmp_path / "a", seed=1, layers=2, vocab=20, dtype="F32")
    write_llama(tmp_path / "b", seed=2, layers=2, vocab=22, dtype="F32")
    write_llama(tmp_path / "c", seed=3, layers=2, vocab=22, dtype="F32")
    write_tokenizer(tmp_path / "a", WORDS)
    write_tokenizer(tmp_path / "b", WORDS, ["<s>", "<e>"])
    write_tokenizer(tmp_path / "c", WORDS, ["<e>", "<x>"])
    return tmp_path


def stack_of(home: Path, tokenizer: str, op: str = "weight: 1", donors: str = "abc") -> Stack:
    """A blend of all donors with a tokenizer."""
    names = ", ".join(f"{name}: ./{name}" for name in donors)
    blend = f"blend: [{', '.join(donors)}]\n    op: linear\n    {op}"
    part = f"{{blend: [{', '.join(donors)}], op: linear, {op}}}"
    text = f"stacker: 1\ndonors: {{{names}}}\nstack:\n  - {blend}\nembed: {part}\nhead: {part}\n{tokenizer}\n"
    (home / "s.yml").write_text(text)
    return load(home / "s.yml")


def built(home: Path, tokenizer: str, **more: str) -> dict[str, torch.Tensor]:
    """The tensors of such a stack, built."""
    stack_of(home, tokenizer, **more).build(home / "out")
    return load_file(home / "out/model.safetensors")


def rows(home: Path, name: str, tensor: str = EMBED) -> torch.Tensor:
    return load_file(home / name / "model.safetensors")[tensor].double()


@pytest.mark.parametrize("tensor", [EMBED, HEAD])
def test_a_union_has_all_added_tokens(home: Path, tensor: str) -> None:
    """In a donor that lacks a token, its row is the mean over the donors that have it."""
    out = built(home, "tokenizer: {source: union}")[tensor]
    a, b, c = (rows(home, name, tensor) for name in "abc")
    tokenizer = Tokenizer.from_file(str(home / "out/tokenizer.json"))
    assert tokenizer.get_vocab() == {word: n for n, word in enumerate(WORDS)} | {"<s>": 20, "<e>": 21, "<x>": 22}
    assert tokenizer.encode("w3 <x> w4").ids == [3, 22, 4]
    assert out.shape == (23, 16)
    torch.testing.assert_close(out[:20], ((a[:20] + b[:20] + c[:20]) / 3).float())
    torch.testing.assert_close(out[20], b[20].float())
    torch.testing.assert_close(out[21], ((b[21] + c[20]) / 2).float())
    torch.testing.assert_close(out[22], c[21].float())
    assert json.loads((home / "out/config.json").read_text())["vocab_size"] == 23


def test_a_tokenizer_is_parsed_once_for_all_stacks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another stack of the same donors parses none again, except one that was changed meanwhile."""
    stack_of(home, "tokenizer: {source: union}")
    parsed: list[str] = []

    def watch(data: bytes, where: str) -> object:
        parsed.append(where)
        return parse_tokens(data, where)

    monkeypatch.setattr(tokenizers, "parse_tokens", watch)
    assert not select_errors(stack_of(home, "tokenizer: {source: union}", "weight: 0.5").problems)
    assert parsed == []
    write_tokenizer(home / "b", WORDS, ["<s>", "<other>"])
    assert not select_errors(stack_of(home, "tokenizer: {source: union}").problems)
    assert [where.rpartition("/")[0][-1] for where in parsed] == ["b"]


def test_new_tokens_are_listed_in_every_file(home: Path) -> None:
    """The older lists of added tokens get them too; tokenizer.model, which cannot hold them, is left out."""
    listed = {"20": {"content": "<s>", "special": True}, "21": {"content": "<e>", "special": True}}
    more = {"added_tokens_decoder": listed, "bos_token": "<s>"}
    settings = json.loads((home / "b/tokenizer_config.json").read_text()) | more
    (home / "b/tokenizer_config.json").write_text(json.dumps(settings))
    (home / "b/added_tokens.json").write_text(json.dumps({"<s>": 20, "<e>": 21}))
    (home / "b/special_tokens_map.json").write_text(json.dumps({"bos_token": "<s>"}))
    (home / "b/tokenizer.model").write_bytes(b"pieces")
    stack = stack_of(home, "tokenizer: {source: union}", donors="bc")
    assert ["tokenizer.model" in problem.message for problem in stack.problems if "left out" in problem.message] == [
        True,
        False,
    ]
    stack.build(home / "out")
    assert not (home / "out/tokenizer.model").exists()
    assert json.loads((home / "out/added_tokens.json").read_text()) == {"<s>": 20, "<e>": 21, "<x>": 22}
    decoder = json.loads((home / "out/tokenizer_config.json").read_text())["added_tokens_decoder"]
    assert {number: entry["content"] for number, entry in decoder.items()} == {"20": "<s>", "21": "<e>", "22": "<x>"}
    tokenizer = AutoTokenizer.from_pretrained(home / "out")
    assert tokenizer("w3 <s> <e> <x> w4")["input_ids"] == [3, 20, 21, 22, 4]
    assert tokenizer.bos_token_id == 20
    assert tokenizer.decode([22]) == "<x>"
    assert len(tokenizer) == AutoModelForCausalLM.from_pretrained(home / "out").get_input_embeddings().weight.shape[0]


def test_without_new_tokens_all_files_are_kept(home: Path) -> None:
    """Sentencepiece's tokenizer.model is still right then."""
    (home / "b/tokenizer.model").write_bytes(b"pieces")
    stack_of(home, "tokenizer: {source: b}", donors="ab").build(home / "out")
    assert (home / "out/tokenizer.model").read_bytes() == b"pieces"


def test_generated_specs_take_a_tokenizer_like_any(home: Path) -> None:
    """A spec written by `new` accepts a union."""
    donors = (DonorSpec("b", "./b"), DonorSpec("c", "./c"))
    text = write_generated(GENERATORS["interleave"], donors, 2, {"width": 1, "stride": 1}, "s.yml")
    (home / "s.yml").write_text(text + "tokenizer: {source: union}\n")
    load(home / "s.yml").build(home / "out")
    assert load_file(home / "out/model.safetensors")[EMBED].shape == (23, 16)


def test_rows_follow_the_order_of_the_chosen_tokenizer(home: Path) -> None:
    """Rows are matched by the token's text, not by its id."""
    out = built(home, "tokenizer: {source: c}", donors="bc")[EMBED]
    b, c = rows(home, "b"), rows(home, "c")
    assert out.shape == (22, 16)
    torch.testing.assert_close(out[20], ((b[21] + c[20]) / 2).float())
    assert out[21].equal(c[21].float())


def test_equal_tokenizers_move_bytes(home: Path) -> None:
    """Where every row keeps its place, nothing is computed."""
    (home / "s.yml").write_text("stacker: 1\ndonors: {b: ./b}\nstack: [b]\ntokenizer: {source: b}\n")
    built = load(home / "s.yml").build(home / "out")
    assert built.report.computed == 0


@pytest.mark.parametrize(("multiple", "size"), [(8, 24), (64, 64), (11, 22), (1, 22)])
def test_rows_are_padded_with_zeros(home: Path, multiple: int, size: int) -> None:
    """Embedding, head and vocab_size reach the multiple."""
    out = built(home, f"tokenizer: {{source: b, pad_to_multiple_of: {multiple}}}", donors="b")
    for tensor in (EMBED, HEAD):
        assert out[tensor].shape == (size, 16)
        assert out[tensor][:22].equal(rows(home, "b", tensor).float())
        assert not out[tensor][22:].any()
    assert json.loads((home / "out/config.json").read_text())["vocab_size"] == size


def test_single_tokens_get_the_rows_that_the_spec_names(home: Path) -> None:
    """From a donor, another token, a row number, or zeros; with `force` also in donors that have the token."""
    tokens = """
  source: a
  tokens:
    w1: {source: b, force: true}
    w2: {source: {donor: c, token: <x>}, force: true}
    w3: {source: {donor: b, token_id: 5}, force: true}
    w4: {source: zero, force: true}
    w5: {source: zero}
    <new>: {source: {donor: a, token: w7}}
"""
    out = built(home, f"tokenizer:{tokens}")[EMBED]
    a, b, c = (rows(home, name) for name in "abc")
    for number, row in ((1, b[1]), (2, c[21]), (3, b[5]), (4, 0 * a[0]), (20, a[7])):
        torch.testing.assert_close(out[number], row.float())
    torch.testing.assert_close(out[5], ((a[5] + b[5] + c[5]) / 3).float())
    assert Tokenizer.from_file(str(home / "out/tokenizer.json")).token_to_id("<new>") == 20


def test_a_small_type_and_small_tiles_give_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles that end in the middle of a row change nothing."""
    whole = built(home, "tokenizer: {source: union, pad_to_multiple_of: 8}")
    monkeypatch.setattr("stacker.core.plan.costs.TILE", 37)
    monkeypatch.setattr("stacker.run.compute.rounds.TILE", 37)
    stack_of(home, "tokenizer: {source: union, pad_to_multiple_of: 8}").build(home / "small")
    small = load_file(home / "small/model.safetensors")
    assert small[EMBED].equal(whole[EMBED])
    assert small[HEAD].equal(whole[HEAD])


def test_a_tied_head_stays_tied(home: Path) -> None:
    """A reordered embedding that the head shares is written once."""
    for name in "bc":
        write_llama(home / name, seed=4, layers=2, vocab=22, tied=True)
    out = built(home, "tokenizer: {source: c}", donors="bc")
    assert HEAD not in out
    assert json.loads((home / "out/config.json").read_text())["tie_word_embeddings"] is True


def test_base_vocabularies_that_differ_cannot_be_united(home: Path) -> None:
    """The message names the first base tokens that are missing."""
    write_tokenizer(home / "b", [*WORDS[:-1], "other"], ["<s>"])
    problems = stack_of(home, "tokenizer: {source: union}").problems
    with pytest.raises(SpecError, match=r"'a' and 'b': 'a' lacks 1 base token of 'b' \('other'\)"):
        raise_problems(problems)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        pytest.param("{donor: b, token: <z>}", "'b' has no token '<z>'", id="no such token"),
        pytest.param("{donor: b, token_id: 22}", "has 22 rows, none for 22", id="no such row"),
    ],
)
def test_a_missing_row_is_reported(home: Path, token: str, message: str) -> None:
    """The spec names a token or a row number that the donor lacks."""
    stack = stack_of(home, f"tokenizer: {{source: a, tokens: {{w1: {{source: {token}}}}}}}")
    with pytest.raises(SpecError, match=message):
        raise_problems(stack.problems)


@pytest.mark.parametrize("content", [None, "{}", "[1]", '{"model": {"vocab": [1]}}'])
def test_a_donor_without_a_tokenizer_is_reported(home: Path, content: str | None) -> None:
    """There is no tokenizer.json, or it holds no vocabulary."""
    (home / "b/tokenizer.json").unlink()
    if content is not None:
        (home / "b/tokenizer.json").write_text(content)
    with pytest.raises(DonorError, match=r"tokenizer\.json|not a tokenizer|JSON object"):
        stack_of(home, "tokenizer: {source: a}")


def settings(home: Path) -> dict[str, Any]:
    return dict(json.loads((home / "out/tokenizer_config.json").read_text()))


def test_code_is_left_out(home: Path) -> None:
    """`auto_map` is removed from the tokenizer's settings with a warning; the rest is kept."""
    stack = stack_of(home, "tokenizer: b", donors="bc")
    assert [each.message for each in stack.problems if "auto_map" in each.message] == [
        "tokenizer_config.json of 'b' has 'auto_map', which can run code or read other files; it is left out"
    ]
    stack.build(home / "out")
    assert settings(home) == {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "{{ 'old' }}"}


def test_a_chat_template_replaces_all_others(home: Path) -> None:
    """It is written to chat_template.jinja and removed from the settings."""
    (home / "b/chat_template.jinja").write_text("{{ 'older' }}")
    stack_of(home, "tokenizer: b\nchat_template: \"{{ 'new' }}\"", donors="bc").build(home / "out")
    assert (home / "out/chat_template.jinja").read_text() == "{{ 'new' }}"
    assert "chat_template" not in settings(home)


def test_rows_are_planned_and_verified_like_all_else(home: Path) -> None:
    """The lock file holds every run of rows, and verify detects a changed byte."""
    plan = stack_of(home, "tokenizer: {source: union, pad_to_multiple_of: 8}").build(home / "out").plan
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan
    assert verify(home / "out").problems == ()
    step = next(step for step in plan.steps if step.tensor.name == EMBED)
    path = home / "out" / plan.shards[step.shard].name
    data = bytearray(path.read_bytes())
    data[step.offset + 1] ^= 1
    path.write_bytes(data)
    assert EMBED in verify(home / "out").problems[0].message


def test_rows_of_a_nested_stack_are_reordered_again(home: Path) -> None:
    """A stage with a union is a donor with its own tokens, which the next stage pads."""
    stage = "name: both\nmerge_method: passthrough\nbase_model: ./b\ntokenizer_source: union\nslices:\n"
    stage += "  - sources: [{model: ./b, layer_range: [0, 1]}]\n  - sources: [{model: ./c, layer_range: [1, 2]}]\n"
    last = "merge_method: passthrough\nbase_model: both\ntokenizer: {source: base, pad_to_multiple_of: 16}\nslices:\n"
    last += "  - sources: [{model: both, layer_range: [0, 2]}]\n"
    (home / "s.yml").write_text(f"{stage}---\n{last}")
    load(home / "s.yml").build(home / "out")
    out, head = (load_file(home / "out/model.safetensors")[name] for name in (EMBED, HEAD))
    assert out.shape == head.shape == (32, 16)
    assert out[:23].equal(torch.cat([rows(home, "b"), rows(home, "c")[21:]]).float())
    assert head[21].equal(rows(home, "c", HEAD)[20].float())
    assert not out[23:].any()
    assert Tokenizer.from_file(str(home / "out/tokenizer.json")).token_to_id("<x>") == 22


def test_blended_rows_of_a_nested_stack_cannot_be_reordered(home: Path) -> None:
    """The hint works: with the same `tokenizer`, the inner stack has its rows in order already."""
    inner = "stacker: 1\ndonors: {b: ./b, c: ./c}\nstack: [b]\nembed: {blend: [b, c], op: slerp, t: 0.5}\nhead: b\n"
    outer = "stacker: 1\ndonors: {x: {stack: i.yml}, c: ./c}\nstack: [x]\nhead: x\ntokenizer: {source: c}\n"
    (home / "i.yml").write_text(inner)
    (home / "o.yml").write_text(outer)
    (problem,) = (each for each in load(home / "o.yml").problems if "cannot reorder" in each.message)
    assert "of 'x'" in problem.message
    (home / "i.yml").write_text(inner + "tokenizer: {source: c}\n")
    load(home / "o.yml").build(home / "out")
    b, c = rows(home, "b"), rows(home, "c")
    moved = torch.cat([b[:20], b[21:22], c[21:22]])
    expected = reference(moved.flatten(), c.flatten(), 0.5).view(22, 16)
    torch.testing.assert_close(
        load_file(home / "out/model.safetensors")[EMBED].double(), expected, rtol=1e-5, atol=1e-6
    )


def test_mergekit_blends_the_rows_that_all_donors_have(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `tokenizer_source`, a mergekit file cuts longer embeddings, with a warning."""
    monkeypatch.chdir(home)
    text = "merge_method: linear\nbase_model: ./b\nmodels:\n - {model: ./b, parameters: {weight: 1}}\n"
    (home / "m.yml").write_text(text + " - {model: ./a, parameters: {weight: 1}}\n")
    stack = load(home / "m.yml")
    (warning,) = (problem for problem in stack.problems if "numbers of rows" in problem.message)
    assert warning.severity is Severity.WARNING
    assert "(b: 22, a: 20); only the first 20" in warning.message
    stack.build(home / "out")
    out = load_file(home / "out/model.safetensors")
    for tensor in (EMBED, HEAD):
        expected = (rows(home, "a", tensor)[:20] + rows(home, "b", tensor)[:20]) / 2
        torch.testing.assert_close(out[tensor].double(), expected, rtol=1e-6, atol=1e-6)
    assert json.loads((home / "out/config.json").read_text())["vocab_size"] == 20
