"""Shows which tokens two models expect differently: in the terminal, as an HTML page, and as JSON.

Red tokens have a larger loss in the second model, green ones a smaller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.style import Style
from rich.text import Text

from stacker.measure.results import LOSS, BehaviourDifference, TokenChange
from stacker.view.files.page_filling import fill_page
from stacker.view.scene.tabular import make_table
from stacker.view.scores.score_tables import difference_text, estimate_json

_TEMPLATE = Path(__file__).with_name("changes.html")
_CONTEXT = 30
"""Characters of text that are shown before a token."""
_STRONG = 3.0
"""The change of loss in nats from which on a colour is at its strongest: a probability divided by 20."""
WORSE, BETTER = "#d63245", "#159a4a"


def draw_changes(difference: BehaviourDifference, most: int) -> Group:
    """The loss, the `most` tokens that change most in either direction, and the passage that changes most."""
    loss = Text.assemble(
        (difference.second, "bold"), ": loss ", difference_text(difference.loss, LOSS), " nats a token against ",
        (difference.first, "bold"), f", {len(difference.tokens):,} tokens in {len(difference.sources)} passages",
    )  # fmt: skip
    order = sorted(range(len(difference.tokens)), key=lambda at: -difference.tokens[at].change)
    parts: list[RenderableType] = [loss]
    for title, chosen in (("worse", order[:most]), ("better", order[::-1][:most])):
        some = [at for at in chosen if (difference.tokens[at].change > 0) is (title == "worse")]
        some = [at for at in some if difference.tokens[at].change]
        parts += [Text(""), _draw_list(title, difference, some)] if some else []
    number, tokens = _find_most_changed(difference)
    return Group(*parts, Text(""), Text(difference.sources[number], "bold"), colour_text(tokens))


def _draw_list(title: str, difference: BehaviourDifference, chosen: Sequence[int]) -> RenderableType:
    rows: list[list[str | Text]] = []
    for at in chosen:
        token = difference.tokens[at]
        shown = Text(_context(difference.tokens, at), "dim").append(_visible(token.text), style=_style(token))
        rows.append([f"{token.change:+.2f}", f"{token.first:.2f}", f"{token.second:.2f}", shown])
    heads = [title, difference.first, difference.second, "token"]
    return make_table(heads, rows, right=heads[:3])


def _context(tokens: Sequence[TokenChange], at: int) -> str:
    """The text before a token in its passage."""
    before = ""
    for token in reversed(tokens[max(0, at - _CONTEXT) : at]):
        if token.passage != tokens[at].passage:
            break
        before = token.text + before
    return _visible(before)[-_CONTEXT:]


def _visible(text: str) -> str:
    return text.replace("\n", "⏎").replace("\t", "⇥")


def _find_most_changed(difference: BehaviourDifference) -> tuple[int, list[TokenChange]]:
    """The number and the tokens of the passage with the largest mean of the changes' sizes."""
    groups = ((number, [*some]) for number, some in groupby(difference.tokens, key=lambda token: token.passage))
    return max(groups, key=lambda group: sum(abs(token.change) for token in group[1]) / len(group[1]))


def colour_text(tokens: Sequence[TokenChange]) -> Text:
    """The text of tokens, each on the colour of its change."""
    line = Text()
    for token in tokens:
        line.append(token.text, _style(token))
    return line


def _style(token: TokenChange) -> Style:
    """The stronger the change, the stronger the colour; small changes have none."""
    if abs(token.change) < _STRONG / 10:
        return Style()
    colour = WORSE if token.change > 0 else BETTER
    return Style(color=colour, bold=abs(token.change) >= _STRONG, reverse=abs(token.change) >= _STRONG / 3)


def changes_html(difference: BehaviourDifference) -> str:
    """A page with all texts in colour; it is one file and loads nothing from the network."""
    loss = difference.loss
    bounds = "" if loss.low is None else f" [{loss.low:+.4f}, {loss.high:+.4f}]"
    values = {
        "first": escape(difference.first),
        "second": escape(difference.second),
        "loss": f"{loss.value:+.4f}{bounds}",
        "passages": "".join(_passages_html(difference)),
    }
    return fill_page(_TEMPLATE, values)


def _passages_html(difference: BehaviourDifference) -> Iterator[str]:
    for number, tokens in groupby(difference.tokens, key=lambda token: token.passage):
        yield f"<h2>{escape(difference.sources[number])}</h2>\n<p>{''.join(map(_token_html, tokens))}</p>\n"


def _token_html(token: TokenChange) -> str:
    text = escape(token.text)
    strength = min(1.0, abs(token.change) / _STRONG)
    if strength < 0.03:
        return text
    kind = "worse" if token.change > 0 else "better"
    title = f"{token.change:+.2f}: {token.first:.2f} to {token.second:.2f} nats"
    return f'<span class="{kind}" style="--s:{strength:.2f}" title="{title}">{text}</span>'


def changes_json(difference: BehaviourDifference) -> dict[str, Any]:
    """All tokens with their losses as a JSON value."""
    tokens = [
        {"passage": token.passage, "text": token.text, "first": token.first, "second": token.second}
        for token in difference.tokens
    ]
    names = {"first": difference.first, "second": difference.second, "passages": [*difference.sources]}
    return {**names, "loss": estimate_json(difference.loss, LOSS.items), "tokens": tokens}
