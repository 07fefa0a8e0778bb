"""Parses and formats the keys `tokenizer` and `chat_template` of both dialects.

They say which tokenizer the result has, and where the embedding and head rows of its tokens come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stacker.errors import Problem, SpecError, did_you_mean
from stacker.spec.language.stack_spec import StackSpec, TokenRow, VocabularySpec
from stacker.text.emitter import Flow, Tree
from stacker.text.node import Mapping, Node, Scalar, describe, is_null, shorten

UNION = "union"
KEYS = ("source", "tokens", "pad_to_multiple_of")
_ENTRY = "for instance: <|im_end|>: {source: a-donor, force: true}"
_SOURCE = "a donor, zero, or a donor and the 'token' or 'token_id' whose row it is"
_TEMPLATES = {
    "chatml": "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] "
    "+ '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
}
Resolve = Callable[[Node], str]


@dataclass(frozen=True, slots=True)
class Grammar:
    """How a dialect writes where a token's embedding and head rows come from.

    `key` is the mapping key under which the donor is written, and `resolve` turns the value of that key into the
    donor's name.
    """

    key: str
    resolve: Resolve


def parse_vocabulary(node: Mapping, grammar: Grammar, problems: list[Problem]) -> VocabularySpec:
    """What a `tokenizer` mapping says about the rows of embedding and head; of its `source`, only `union` is read.

    Invalid values are left out, and their problems are added to `problems`.
    """
    source, tokens, pad = (node.get(key) for key in KEYS)
    problems += _check_unknown_keys(node, KEYS)
    union = isinstance(source, Scalar) and source.value == UNION
    union = union or (grammar.key == "model" and is_null(source))  # mergekit's default
    rows = _parse_rows(tokens, grammar, problems) if tokens is not None and not is_null(tokens) else ()
    return VocabularySpec(union, tuple(rows), _parse_padding(pad, problems), node.mark)


def parse_tokenizer(
    node: Node | None, base: str | None, problems: list[Problem]
) -> tuple[str | None, VocabularySpec | None]:
    """The donor of the tokenizer files (None: the default donor), and the changes to make to the tokenizer.

    The changes are None unless `node` is a mapping. If the spec asks for the union of all donors' tokenizers, the donor
    returned is `base`.
    """
    if not isinstance(node, Mapping):
        return (node.text if isinstance(node, Scalar) and not is_null(node) else None), None
    vocabulary = parse_vocabulary(node, Grammar("donor", parse_donor_name), problems)
    source = node.get("source")
    if source is None or is_null(source) or vocabulary.union:
        return (base if vocabulary.union else None), vocabulary
    return (source.text if isinstance(source, Scalar) else None), vocabulary


def parse_donor_name(node: Node) -> str:
    """The text of a node that is a donor's name; SpecError if the node is not text."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node.value
    raise SpecError.of(f"a donor's name cannot be {describe(node)}", _SOURCE, node.mark)


def parse_template(node: Node) -> str:
    """The Jinja text of a chat template.

    The node is that text itself or the name of a well-known template; SpecError for any other value.
    """
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value.strip():
        raise SpecError.of(f"'chat_template' cannot be {describe(node)}", "write Jinja text", node.mark)
    if "{" in node.value:
        return node.value
    if node.value in _TEMPLATES:
        return _TEMPLATES[node.value]
    if node.value == "auto":
        hint = "leave it out: the tokenizer keeps its own; or name the donor that has the right one as tokenizer"
        raise SpecError.of("'auto' is not supported as a chat template", hint, node.mark)
    hint = (
        f"write the template itself, in Jinja, or take the tokenizer of a donor that has it\nknown: {_list_templates()}"
    )
    raise SpecError.of(f"there is no chat template '{shorten(node.value)}'", hint, node.mark)


def _list_templates() -> str:
    return ", ".join(_TEMPLATES)


def _parse_padding(node: Node | None, problems: list[Problem]) -> int | None:
    if node is None or is_null(node):
        return None
    if isinstance(node, Scalar) and type(node.value) is int and 1 <= node.value <= 1 << 20:
        return node.value
    problems.append(Problem(f"'pad_to_multiple_of' cannot be {describe(node)}", "pad_to_multiple_of: 64", node.mark))
    return None


def _parse_rows(node: Node, grammar: Grammar, problems: list[Problem]) -> Iterator[TokenRow]:
    if not isinstance(node, Mapping):
        problems.append(Problem(f"'tokens' cannot be {describe(node)}", _ENTRY, node.mark))
        return
    for key, value in node.entries:
        try:
            yield _parse_row(key, value, grammar, problems)
        except SpecError as error:
            problems.extend(error.problems)


def _parse_row(key: Scalar, node: Node, grammar: Grammar, problems: list[Problem]) -> TokenRow:
    if not isinstance(node, Mapping):
        raise SpecError.of(f"the token '{shorten(key.text)}' cannot be {describe(node)}", _ENTRY, node.mark)
    problems += _check_unknown_keys(node, ("source", "force"))
    force, source = node.get("force"), node.get("source")
    if force is not None and not (isinstance(force, Scalar) and type(force.value) is bool):
        raise SpecError.of(f"'force' cannot be {describe(force)}", "force: true, or false", force.mark)
    forced = isinstance(force, Scalar) and force.value is True
    if source is None or is_null(source):
        raise SpecError.of(f"the token '{shorten(key.text)}' has no source", _SOURCE, key.mark)
    donor, like, number = _parse_row_source(source, grammar)
    return TokenRow(key.text, donor, like, number, forced, key.mark)


def _parse_row_source(node: Node, grammar: Grammar) -> tuple[str | None, str | None, int | None]:
    """The donor, the token text and the token index that say whose embedding and head rows a token gets.

    Text and index are None if the donor's rows of the same token are meant; all three are None for rows of zeros.
    """
    kind = node.get("kind") if isinstance(node, Mapping) else node if grammar.key == "donor" else None
    if isinstance(kind, Scalar) and kind.value == "zero":
        return None, None, None
    if not isinstance(node, Mapping) or node.get(grammar.key) is None or _is_model(node):
        return grammar.resolve(node), None, None
    donor = node.get(grammar.key)
    token, number = node.get("token"), node.get("token_id")
    if donor is None or (token is None) == (number is None):
        raise SpecError.of("one of 'token' and 'token_id' says whose row it is", _SOURCE, node.mark)
    if isinstance(number, Scalar) and type(number.value) is int and number.value >= 0:
        return grammar.resolve(donor), None, number.value
    if isinstance(token, Scalar) and token.text:
        return grammar.resolve(donor), token.text, None
    raise SpecError.of("'token' must be text, and 'token_id' a number from 0", _SOURCE, node.mark)


def _is_model(node: Mapping) -> bool:
    """Whether a mapping is a reference to a whole model, such as `{model: path}`, and not to one token of a model."""
    return not {"kind", "token", "token_id"} & set(node.names)


def _check_unknown_keys(node: Mapping, known: tuple[str, ...]) -> Iterator[Problem]:
    for key in node.names:
        if key not in known:
            yield Problem(f"unknown key '{shorten(key)}'", did_you_mean(key, known), node.key_mark(key))


def format_tokenizer(spec: StackSpec) -> Tree:
    """The value of the `tokenizer` key of a native spec; None if the key can be left out."""
    return spec.tokenizer if spec.vocabulary is None else _make_tokenizer_tree(spec, spec.tokenizer, str, _native_row)


def format_mergekit_tokenizer(spec: StackSpec, source: Tree, named: Callable[[str], Tree]) -> Tree:
    """The value of mergekit's `tokenizer` key; None if the key can be left out.

    `source` is the model reference of the tokenizer's donor, and `named` turns a donor's name into a model reference.
    """
    return _make_tokenizer_tree(spec, source, named, _mergekit_row)


def _make_tokenizer_tree(
    spec: StackSpec, source: Tree, named: Callable[[str], Tree], shown: Callable[..., Tree]
) -> Tree:
    wanted = spec.vocabulary
    if wanted is None:
        return None
    tree: dict[str, Tree] = {"source": UNION if wanted.union else source}
    if wanted.tokens:
        tree["tokens"] = {
            row.token: Flow({"source": shown(row, named), **({"force": True} if row.force else {})})
            for row in wanted.tokens
        }
    tree["pad_to_multiple_of"] = wanted.pad_to_multiple_of
    return {key: value for key, value in tree.items() if value is not None}


def _native_row(row: TokenRow, named: Callable[[str], Tree]) -> Tree:
    if row.donor is None:
        return "zero"
    return Flow({"donor": named(row.donor), **_row_keys(row)}) if _row_keys(row) else named(row.donor)


def _mergekit_row(row: TokenRow, named: Callable[[str], Tree]) -> Tree:
    if row.donor is None:
        return Flow({"kind": "zero"})
    if not _row_keys(row):
        return named(row.donor)
    return Flow({"kind": "model_token", "model": named(row.donor), **_row_keys(row)})


def _row_keys(row: TokenRow) -> dict[str, Tree]:
    keys: dict[str, Tree] = {"token": row.like, "token_id": row.number}
    return {key: value for key, value in keys.items() if value is not None}
