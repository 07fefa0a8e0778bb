"""Says changes of loss, and what chance alone would give, in words."""

from __future__ import annotations

from stacker.measure.probes.results import Chance, Change, DepthMap, Interval, Proposal


def change_text(interval: Interval) -> str:
    """A change with its interval, such as `+0.066 [+0.029, +0.103]`."""
    return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"


def chance_text(chance: Chance) -> str:
    """What chance alone would give, as two sentences."""
    origin = f", chosen from {chance.drafted} on other passages" * (chance.drafted > 0)
    tries = f"best of {chance.tries} tries on {chance.passages} passages{origin}"
    usual, rare = f"{chance.usual:.1f} standard errors better", f"{chance.rare:.1f} in one text of twenty"
    luck = f"{tries}: by chance alone it would look {usual}, and {rare}"
    if chance.best <= 0:
        return f"{luck}. Here no edit looks better at all."
    verdict = "more than chance explains" if chance.probability < 0.05 else "chance explains that"
    return f"{luck}. Here it looks {chance.best:.1f} better: {verdict} (p = {chance.probability:.2g})."


def map_text(found: DepthMap) -> str:
    """What was measured, as one line."""
    measured = len(found.changes)
    count = f"{measured} edits" if measured == found.total else f"{measured} of {found.total} edits"
    count += f", {found.refined} of them refined" if found.refined else ""
    return f"{found.name}: loss {found.loss:.4f} on {found.tokens:,} tokens; {count}"


def edit_text(change: Change) -> str:
    """The name of an edit, marked if its change is a draft."""
    return f"{change.edit} (draft)" if change.is_draft else str(change.edit)


def verdict_text(proposal: Proposal) -> str:
    """Whether a proposal changes the loss, judged by the passages that confirm it, or else among all edits."""
    judged = proposal.confirmed or proposal.change.among
    if judged.is_gain:
        return "better"
    return "worse" if judged.is_harm else "no clear change"
