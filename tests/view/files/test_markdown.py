"""Any text becomes text, code or a table cell of a Markdown file, as the parser markdown-it sees it."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from stacker.errors import escape_text
from stacker.view.files.markdown import code_block, code_span, escape_markdown, table

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=y>", "[click](https://evil.example)", "![x](https://evil.example)",
    "[a]: https://evil.example", "[a][b]", "`x` ``y`` ```", "a | b \\| c", "# heading", "1. item", "1) item", "- item",
    "+ item", "* item", "> quote", "***", "---", "===", "a\n\n# b", "a\r\n<b>", "    code", "\tcode", "&lt; &#60;",
    "**bold** _it_ __it__ ~~gone~~", "\\", "\\\\`", "<https://evil.example>", "<!-- x -->", "a\u2028b", "\x00\x1b[31m",
    "_", "snake_case_name", "$x$", "[ ] x", "[x]\\(y)", "]: x", "!", "![",
]  # fmt: skip
TEXTS = st.text() | st.lists(st.sampled_from([*HOSTILE, *"<>&|`*_[]()!\\#-+=:~ \n"]), max_size=6).map("".join)


def inline_of(source: str) -> list[Token]:
    """The inline parts of Markdown that must be one paragraph, or nothing."""
    tokens = PARSER.parse(source)
    assert [token.type for token in tokens] in ([], ["paragraph_open", "inline", "paragraph_close"])
    return (tokens[1].children or []) if tokens else []


def text_of(tokens: list[Token]) -> str:
    """The text of inline parts that must be plain text."""
    assert {token.type for token in tokens} <= {"text", "text_special"}
    return "".join(token.content for token in tokens)


def printable(text: str) -> str:
    """The text with unprintable characters as escapes."""
    return escape_text(text, 2000)


@given(TEXTS)
@pytest.mark.parametrize("lead", ["x ", "- "], ids=["in a line", "in a list"])
def test_any_text_stays_text(lead: str, text: str) -> None:
    """It is shown letter by letter, also where a line begins."""
    tokens = [token for token in PARSER.parse(f"{lead}{escape_markdown(text)}") if token.type == "inline"]
    shown = "".join(text_of(token.children or []) for token in tokens)
    assert shown.split() == f"{lead.removeprefix('- ')}{printable(text)}".split()


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(text: str) -> None:
    """At the beginning of a paragraph."""
    assert text_of(inline_of(escape_markdown(text))).split() == printable(text).split()


@given(TEXTS)
def test_any_text_is_code(text: str) -> None:
    """One code span, whatever backticks are inside."""
    tokens = inline_of(f"x {code_span(text)}")
    if printable(text).strip():
        assert [token.type for token in tokens] == ["text", "code_inline"]
        assert tokens[1].content.split() == printable(text).split()


@given(TEXTS)
def test_any_text_is_a_block_of_code(text: str) -> None:
    """Lines of backticks do not end it."""
    (token,) = PARSER.parse(code_block("yaml", text))
    assert (token.type, token.info) == ("fence", "yaml")
    assert token.content.split() == text.replace("\x00", "\ufffd").split()


@given(TEXTS, TEXTS)
def test_any_text_is_a_cell(text: str, code: str) -> None:
    """A table keeps its columns."""
    tokens = PARSER.parse(table(("text", "code"), [(f"x {escape_markdown(text)}", f"y {code_span(code)}")]))
    cells = [token for token in tokens if token.type == "inline"]
    assert [token.type for token in tokens].count("td_open") == 2
    assert text_of(cells[2].children or []).split() == f"x {printable(text)}".split()
    assert cells[3].content.startswith("y ")


def test_entities_are_not_decoded_twice() -> None:
    """`&lt;` in a name is shown as written."""
    rendered = PARSER.render(escape_markdown("&lt;b&gt;"))
    assert html.unescape(rendered.removeprefix("<p>").removesuffix("</p>\n")) == "&lt;b&gt;"
