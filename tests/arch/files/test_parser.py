"""Parsing of architecture files, and the positions of their errors."""

from __future__ import annotations

import re

import pytest

from stacker.arch.files.architecture import Part, WriteKind
from stacker.arch.files.parser import parse_architecture
from stacker.errors import SpecError
from stacker.tensors import Dtype

HEAD = "family: f\nmodel_types: [f, g]\ndepth: n_layer\nprefix: h.{i}.\n"


def test_a_whole_file() -> None:
    """Every section is parsed."""
    text = HEAD + (
        "scope: text_config\n"
        "defaults: {bias: false, size: 4, kinds: [a, b]}\n"
        "dimensions: {hidden: n_embd, ffn: n_inner | 4 * hidden}\n"
        "embed: {wte.weight: 'embed [vocab, hidden]'}\n"
        "layer: {'mlp.{e}.up': 'mlp.up.expert [hidden, sizes[i]] as U8 for e in experts if not dense'}\n"
        "head: {ln.weight: 'norm.final? [hidden]'}\n"
        "tied: {head.weight: wte.weight}\n"
        "ignored: {'*.mask': a mask}\n"
        "per_layer: {dense: {read: ['a[i]', i < k], write: prefix k, when: k > 0, drop: old, put: {x: 1}, reason: r}}\n"
        "sized: {scale: scale * depth}\n"
        "agree: [alibi]\n"
        "notes: one\n"
    )
    found = parse_architecture(text, "f.yaml")
    assert (found.name, found.model_types, found.depth.text, found.prefix) == ("f", ("f", "g"), "n_layer", "h.{i}.")
    assert (found.scope, found.agree, found.notes) == ("text_config", ("alibi",), ("one",))
    assert dict(found.defaults) == {"bias": False, "size": 4, "kinds": ["a", "b"]}
    assert [name for name, _ in found.dimensions] == ["hidden", "ffn"]
    embed, layer, head = found.tensors
    assert (embed.part, layer.part, head.part) == (Part.EMBED, Part.LAYER, Part.HEAD)
    assert [size.text for size in layer.shape] == ["hidden", "sizes[i]"]
    assert layer.count is not None
    assert layer.when is not None
    assert (layer.role, layer.dtype, layer.count.text, layer.when.text) == (
        "mlp.up.expert",
        Dtype.U8,
        "experts",
        "not dense",
    )
    assert (head.role, head.optional, embed.optional) == ("norm.final", True, False)
    (rule,) = found.rules
    assert (rule.name, rule.key, rule.write, rule.drop, rule.put) == (
        "dense",
        "k",
        WriteKind.PREFIX,
        ("old",),
        (("x", 1),),
    )
    assert [reader.text for reader in rule.read] == ["a[i]", "i < k"]


def test_like_unites_sections_and_null_takes_away() -> None:
    """A file that extends another keeps the order of overridden entries."""
    parent = HEAD + "layer:\n  a: other [x]\n  b: other [x]\n  c: other [x]\nagree: [p]\n"
    text = "like: f\nfamily: h\nlayer:\n  b: head [y]\n  a: null\n  d: other [z]\n"
    found = parse_architecture(text, "h.yaml", {"f": parent}.__getitem__)
    assert found.name == "h"
    assert found.agree == ("p",)
    assert [(tensor.name, tensor.role) for tensor in found.tensors] == [("b", "head"), ("c", "other"), ("d", "other")]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("family: f", "x.yaml", "missing: model_types, depth, prefix"),
        ("- a", "x.yaml:1:1", "expected a mapping, not a list"),
        (HEAD + "layers: {}", "x.yaml:5", "unknown key 'layers'"),
        (HEAD + "layer: {a: nonsense}", "x.yaml:5", "'nonsense' does not describe the tensor a"),
        (HEAD + "layer: {a: 'attn.q [x'}", "x.yaml:5", "does not describe"),
        (HEAD + "layer: {a: 'attn.q [x] when y'}", "x.yaml:5", "does not describe"),
        (HEAD + "layer: {a: 'atn.q [x]'}", "x.yaml:5", "unknown role 'atn.q'"),
        (HEAD + "layer: {a: 'attn.q [x y]'}", "x.yaml:5", "'x y' is not a formula"),
        (HEAD + "layer: {a: 'attn.q [x] as U9'}", "x.yaml:5", "unknown dtype 'U9'"),
        (HEAD + "layer: {'a.{e}': 'attn.q [x]'}", "x.yaml:5", "go together"),
        (HEAD + "layer: {a: 'attn.q [x] for e in n'}", "x.yaml:5", "go together"),
        (HEAD + "layer: {a: [[1]]}", "x.yaml:5", "expected a text, not a list"),
        (HEAD + "per_layer: {a: {read: i}}", "x.yaml:5", "'a' needs 'read' and 'write'"),
        (HEAD + "per_layer: {a: {read: i, write: lists k}}", "x.yaml:5", "unknown way to write: 'lists'"),
        (HEAD + "per_layer: {a: {read: i, write: list}}", "x.yaml:5", "'list' is not a way to write"),
        (HEAD + "per_layer: {a: {read: i, write: position k}}", "x.yaml:5", "'position k' is not a way to write"),
        (HEAD + "per_layer: {a: {read: i, write: list k, put_: 1}}", "x.yaml:5", "unknown key 'put_'"),
        (HEAD + "like: other", "x.yaml:5", "no other file"),
    ],
)  # fmt: skip
def test_mistakes_are_located(text: str, place: str, message: str) -> None:
    """An error names its position in the file."""
    with pytest.raises(SpecError, match=re.escape(message)) as caught:
        parse_architecture(text, "x.yaml")
    assert str(caught.value).startswith(place)
