"""YAML read as nodes: data, marks, and what is refused."""

from __future__ import annotations

import string

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stacker.errors import Mark, Problem, SpecError
from stacker.text import yaml as reading
from stacker.text.node import Data, Mapping, get_child, to_data
from stacker.text.yaml import read_documents, read_yaml

WORDS = st.text(string.ascii_letters, min_size=3, max_size=6).filter(lambda word: word.lower() not in ("yes", "off"))
LEAVES = WORDS | st.integers(-99, 99) | st.booleans().filter(bool) | st.none()
LOADERS = [yaml.BaseLoader, getattr(yaml, "CBaseLoader", yaml.BaseLoader)]
TREES = st.recursive(LEAVES, lambda below: st.lists(below, max_size=3) | st.dictionaries(WORDS, below, max_size=3))


def problems_of(text: str | bytes) -> tuple[Problem, ...]:
    try:
        read_yaml(text, "s")
    except SpecError as error:
        return error.problems
    return ()


def data_of(text: str) -> Data:
    return to_data(read_yaml(text, "s"))


@given(st.dictionaries(WORDS, TREES, min_size=1, max_size=3), st.booleans())
def test_agrees_with_pyyaml(tree: dict[str, Data], flow: bool) -> None:
    """Where YAML 1.1 and 1.2 agree, the data are those of PyYAML's own constructors."""
    text = yaml.safe_dump(tree, default_flow_style=flow)
    assert data_of(text) == yaml.safe_load(text)


def test_marks() -> None:
    """Every node and every key has its line and column."""
    node = read_yaml("a:\n  - b: 1\n", "s")
    assert isinstance(node, Mapping)
    assert node.key_mark("a") == Mark("s", 1, 1)
    assert get_child(get_child(get_child(node, "a"), 0), "b").mark == Mark("s", 2, 8)


@pytest.mark.parametrize("loader", LOADERS, ids=["python", "c"])
def test_either_parser(loader: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """PyYAML's two parsers give the same data and the same advice."""
    monkeypatch.setattr(reading, "_LOADER", loader)
    assert data_of("a: [1, &x b]\nc: {d: *x}\n") == {"a": [1, "b"], "c": {"d": "b"}}
    with pytest.raises(SpecError, match=r'^s:1:6: inside \[ \] .* a bare x\[0:16\]\n  hint: quote it: "x\[0:16\]"'):
        read_yaml("a: [x[0:16], y]", "s")


def test_quoted_scalars_are_text() -> None:
    """Quoted numbers are text."""
    assert data_of("""[ "1", '1', 1 ]""") == ["1", "1", 1]


def test_alias() -> None:
    """An alias is the value of its anchor, with the anchor's mark."""
    node = read_yaml("a: &x [1]\nb: *x\n", "s")
    assert to_data(node) == {"a": [1], "b": [1]}
    assert get_child(node, "b").mark == Mark("s", 1, 4)


def test_merge_key() -> None:
    """`<<` adds keys that are not written; in a list, the earlier mapping wins."""
    assert data_of("a: {<<: [{x: 1}, {x: 2, y: 3}], z: 4, y: 5}") == {"a": {"z": 4, "y": 5, "x": 1}}


def test_quoted_merge_key() -> None:
    """A quoted `<<` is an ordinary key."""
    assert data_of('{"<<": 1}') == {"<<": 1}


def test_keys_are_text() -> None:
    """A key is its text, whatever its value would be."""
    assert data_of("{8: a, no: b}") == {"8": "a", "no": "b"}


def test_documents() -> None:
    """Several documents are read in order if asked for; an anchor is valid only in its own document."""
    assert [to_data(node) for node in read_documents("a: &x 1\n---\nb: 2\n", "s")] == [{"a": 1}, {"b": 2}]
    with pytest.raises(SpecError, match="no anchor &x"):
        read_documents("a: &x 1\n---\nb: *x\n", "s")


def bomb(levels: int) -> str:
    """A text whose aliases expand to 10 to the power of `levels` values."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "s: this text is empty", id="empty"),
        pytest.param("# only this\n", "s: this text is empty", id="comment"),
        pytest.param("---\n", "s: this text is empty", id="empty-document"),
        pytest.param("a: 1\n---\nb: 2\n", "s:3:1: a second document begins here", id="two-documents"),
        pytest.param("a: 1\nb: {c: 1, c: 2}\n", "s:2:11: the key 'c' is already on line 2", id="duplicate"),
        pytest.param("a: !!python/object:os.system x", "s:1:4: the tag !!python/object:os.system is not", id="python"),
        pytest.param("a: !mine [1]", "s:1:4: the tag !mine is not allowed", id="custom-tag"),
        pytest.param("a: !!set {b}", "s:1:4: the tag !!set is not allowed", id="set"),
        pytest.param("[" * 10_000, "s:1:101: nested deeper than 100 levels", id="deep-flow"),
        pytest.param("- " * 10_000, "s:1:201: nested deeper than 100 levels", id="deep-block"),
        pytest.param(
            "a: &a " + "[" * 60 + "]" * 60 + "\nb: " + "[" * 60 + "*a" + "]" * 60, "s:2:64: nested", id="deep-alias"
        ),
        pytest.param(bomb(9), "s:4:45: the aliases of this text stand for more than 10,000 values", id="bomb"),
        pytest.param("a: &a [*a]", r"s:1:8: the alias \*a is inside its own anchor", id="cycle"),
        pytest.param("&a b: {c: *a, d: *e}", r"s:1:18: no anchor &e", id="no-anchor"),
        pytest.param("? [a]\n: b", "s:1:3: a key must be text", id="list-as-key"),
        pytest.param("<<: 1", "s:1:5: '<<' takes a mapping", id="merge-number"),
        pytest.param("a:\n\tb: 1", "s:2:1: a tab is not allowed here", id="tab"),
        pytest.param("a: {b: x[5]}", r's:1:9: .* bare x\[5\]\n  hint: quote it: "x\[5\]"', id="slice-in-mapping"),
        pytest.param("a: b: c", "s:1:5: a second ': ' on this line", id="second-colon"),
        pytest.param("a: 1\n b: 2", "s:2:3: this key is indented deeper", id="indented"),
        pytest.param("a: 1\nb\n", "s:2:1: 'b' is neither a key with a value nor an item", id="no-colon"),
        pytest.param("- a\nb: 1", "s:2:1: 'b: 1' does not fit here", id="mixed"),
        pytest.param("a: 'x", "s:1:6: this quote is never closed", id="open-quote"),
        pytest.param('a: "\\q"', r"s:1:\d: an unknown escape", id="escape"),
        pytest.param("a: @x", "s:1:4: a value cannot begin with @", id="at"),
        pytest.param("a: - b", "s:1:4: a list cannot begin on the line of its key", id="list-on-line"),
        pytest.param("a: [1, 2", r"s:\d:\d: this list opened on line 1 is not closed", id="open-list"),
        pytest.param("a: {b: 1", r"s:\d:\d: this mapping opened on line 1 is not closed", id="open-mapping"),
        pytest.param("a: ]", "s:1:4: expected a value here, not ']'", id="stray-bracket"),
        pytest.param("%YAML 2.0\n---\na: 1", "s:1:1: this is not YAML", id="version"),
    ],
)
def test_refused(text: str, message: str) -> None:
    """Each text is refused with its place and what to change."""
    with pytest.raises(SpecError, match=f"^{message}"):
        read_yaml(text, "s")


def test_all_at_once() -> None:
    """Problems that do not stop the reading are reported together with the one that does."""
    with pytest.raises(SpecError) as caught:
        read_yaml("a: !x 1\na: 2\nb: @", "s")
    assert [str(problem.mark) for problem in caught.value.problems] == ["s:1:4", "s:2:1", "s:3:4"]


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text(" -:[]{},&*!|>'\"%@`#?\n\tab1", max_size=60))
def test_any_text(text: str) -> None:
    """Any text is read as nodes, or refused with a SpecError."""
    assert all(problem.mark and problem.message for problem in problems_of(text))


@given(st.binary(max_size=40))
def test_any_bytes(content: bytes) -> None:
    """Any bytes are read as nodes, or refused with a SpecError."""
    assert all(problem.mark and problem.message for problem in problems_of(content))
