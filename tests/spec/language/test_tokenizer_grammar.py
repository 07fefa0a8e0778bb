"""The tokenizer and chat template of a spec, in both dialects."""

from __future__ import annotations

import pytest

from stacker.spec.language.stack_spec import StackSpec, TokenRow, VocabularySpec
from stacker.spec.mergekit.writer import to_mergekit
from stacker.spec.native.writer import to_native
from stacker.spec.parser import parse_spec

NATIVE = "stacker: 1\ndonors: {a: org/a, b: org/b}\nstack: ['a[0:2]', 'b[2:4]']\nembed: a\nhead: b\n"
THEIRS = """\
merge_method: passthrough
base_model: org/a
slices:
  - sources: [{model: org/a, layer_range: [0, 2]}]
  - sources: [{model: org/b, layer_range: [2, 4]}]
"""
ROWS = (
    TokenRow("x", "a"),
    TokenRow("y", "b", force=True),
    TokenRow("<|z|>", "b", like="x"),
    TokenRow("v", "a", number=7),
    TokenRow("w"),
)
SAID = "{x: {source: a}, y: {source: b, force: true}, <|z|>: {source: {%s: b, token: x}},"
NATIVE_TOKENS = SAID % "donor" + "v: {source: {donor: a, token_id: 7}}, w: {source: zero}}"
THEIR_TOKENS = (
    SAID.replace("source: a}", "source: org/a}").replace("source: b,", "source: {model: {path: org/b}},")
    % "kind: model_token, model: org/b, not"
).replace("not: b, ", "") + "v: {source: {kind: model_token, model: org/a, token_id: 7}}, w: {source: {kind: zero}}}"


def spec_of(text: str) -> StackSpec:
    return parse_spec(text, "s.yml")


@pytest.mark.parametrize(
    ("text", "tokenizer", "vocabulary"),
    [
        pytest.param(f"{NATIVE}tokenizer: b\n", "b", None, id="files as they are"),
        pytest.param(f"{NATIVE}tokenizer: {{source: b}}\n", "b", VocabularySpec(), id="a donor"),
        pytest.param(f"{NATIVE}tokenizer: {{source: union}}\n", None, VocabularySpec(union=True), id="union"),
        pytest.param(
            f"{NATIVE}tokenizer: {{pad_to_multiple_of: 64}}\n",
            None,
            VocabularySpec(pad_to_multiple_of=64),
            id="padding",
        ),
        pytest.param(
            f"{NATIVE}tokenizer: {{tokens: {NATIVE_TOKENS}}}\n", None, VocabularySpec(tokens=ROWS), id="tokens"
        ),
        pytest.param(f"{THEIRS}tokenizer_source: base\n", "a", VocabularySpec(), id="their base"),
        pytest.param(f"{THEIRS}tokenizer_source: org/b\n", "b", VocabularySpec(), id="their model"),
        pytest.param(f"{THEIRS}tokenizer_source: union\n", "a", VocabularySpec(union=True), id="their union"),
        pytest.param(f"{THEIRS}tokenizer: {{}}\n", "a", VocabularySpec(union=True), id="their default"),
        pytest.param(
            f"{THEIRS}tokenizer: {{source: org/b, tokens: {THEIR_TOKENS}, pad_to_multiple_of: 8}}\n",
            "b",
            VocabularySpec(tokens=ROWS, pad_to_multiple_of=8),
            id="their tokens",
        ),
    ],
)
def test_both_dialects_say_it(text: str, tokenizer: str | None, vocabulary: VocabularySpec | None) -> None:
    """Both dialects parse to the same values, which can be written in either dialect and read back."""
    spec = spec_of(text)
    assert (spec.tokenizer, _plain(spec.vocabulary)) == (tokenizer, _plain(vocabulary))
    again = spec_of(to_native(spec))
    assert (again.tokenizer, again.vocabulary) == (spec.tokenizer, spec.vocabulary)
    if vocabulary:
        assert spec_of(to_mergekit(spec)).vocabulary == spec.vocabulary


def _plain(spec: VocabularySpec | None) -> tuple[object, ...] | None:
    return None if spec is None else (bool(spec.union), spec.tokens, spec.pad_to_multiple_of)


@pytest.mark.parametrize("text", [NATIVE, THEIRS], ids=["native", "mergekit"])
def test_a_chat_template_is_jinja(text: str) -> None:
    """A template is kept as text when it is written and read back."""
    spec = spec_of(text + "chat_template: \"{{ messages[0]['content'] }}\\n\"\n")
    assert spec.chat_template == "{{ messages[0]['content'] }}\n"
    assert spec_of(to_native(spec)).chat_template == spec.chat_template
    assert spec_of(to_mergekit(spec)).chat_template == spec.chat_template


def test_a_named_chat_template() -> None:
    """ChatML can be named instead of written out."""
    assert "<|im_start|>" in str(spec_of(f"{THEIRS}chat_template: chatml\n").chat_template)
