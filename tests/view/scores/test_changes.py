"""The changes between two models are shown in the text, and a page of them holds nothing but text."""

from __future__ import annotations

import io
from html.parser import HTMLParser

from rich.console import Console

from stacker.measure.results import BehaviourDifference, Estimate, TokenChange
from stacker.view.scores.changes import changes_html, changes_json, colour_text, draw_changes

TOKENS = (
    TokenChange(0, "The <script>", 1.0, 1.01),
    TokenChange(0, "\nred", 1.0, 6.0),
    TokenChange(1, " & @@ blue", 4.0, 0.5),
)
DIFFERENCE = BehaviourDifference("one", "<two>", ("text, passage 1", "text, passage 2"), TOKENS, Estimate(0.5, 2))


class Texts(HTMLParser):
    """Collects the text and the tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_all_texts() -> None:
    """Tokens are escaped, and marked if their loss changes much; no script gets in."""
    page = Texts()
    page.feed(changes_html(DIFFERENCE))
    for text in ("The <script>\nred", " & @@ blue", "<two> compared with one"):
        assert text in page.text
    assert "script" not in page.tags
    assert page.tags.count("span") == 2 + 2  # two tokens, and two in the legend


def test_the_terminal_lists_both_directions() -> None:
    """Tokens that are worse and better have lists; line ends in them are shown as signs."""
    console = Console(file=io.StringIO(), width=100)
    console.print(draw_changes(DIFFERENCE, 5))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "+5.00" in said
    assert "-3.50" in said
    assert "⏎red" in said
    assert said.count("text, passage") == 1


def test_strong_changes_are_coloured() -> None:
    """A change of less than 0.3 nats has no colour; the text is unchanged."""
    text = colour_text(TOKENS)
    assert text.plain == "The <script>\nred & @@ blue"
    assert len([span for span in text.spans if str(span.style) != "none"]) == 2


def test_json_has_all_tokens() -> None:
    """Each token has its text and both losses."""
    found = changes_json(DIFFERENCE)
    assert found["tokens"][1] == {"passage": 0, "text": "\nred", "first": 1.0, "second": 6.0}
