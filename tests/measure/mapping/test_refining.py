"""The best edits of a draft are judged on passages that had no part in choosing them."""

from __future__ import annotations

import numpy as np
import pytest

from stacker.live.live_stack import LiveStack
from stacker.measure.mapping.maps import Losses, judge_map, measure_losses, prepare
from stacker.measure.mapping.refining import choose_edits, mark_drafts, refine_map
from stacker.measure.probes.edits import Edit, Way, list_edits
from stacker.measure.probes.passages import divide_windows
from stacker.measure.probes.proposals import rank_changes
from stacker.measure.probes.results import DepthMap
from stacker.measure.probes.settings import ProbeSettings
from stacker.view.probes.words import chance_text, edit_text, map_text
from tests.measure.prepared import live_of, many_windows_of

EDITS = list_edits(6, 2, [(Way.REPEAT, 1.0), (Way.DROP, 1.0)])
BEST = 5


def nothing(_losses: Losses, _edit: Edit) -> None: ...


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> LiveStack:
    """A live stack of six layers."""
    return live_of(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def found(live: LiveStack) -> DepthMap:
    """A map of which the best edits are refined."""
    first, rest = (prepare(live, part) for part in divide_windows(many_windows_of(live)))
    drafted = measure_losses(first, EDITS, None, nothing)
    draft = mark_drafts(judge_map("x", first, drafted, len(EDITS)), BEST)
    assert not draft.is_complete
    refined = measure_losses(rest, choose_edits(drafted, BEST), None, nothing)
    return refine_map(draft, judge_map("x", rest, refined, BEST))


def test_refined_figures_are_of_the_other_passages_alone(live: LiveStack, found: DepthMap) -> None:
    """A refined change is the difference on the passages outside the draft; all others are those of the draft."""
    parts = [prepare(live, part) for part in divide_windows(many_windows_of(live))]
    for change in found.changes:
        prepared = parts[0] if change.is_draft else parts[1]
        losses = measure_losses(prepared, [change.edit], None, nothing)
        expected = losses.compare([change.edit]).sum() / prepared.tokens.sum()
        assert change.alone.mean == pytest.approx(expected, rel=1e-9)


def test_the_best_are_refined_and_proposed(found: DepthMap) -> None:
    """No edit that stayed a draft was better in the draft than one that was refined, and none is proposed."""
    ranked = rank_changes(found.changes)
    assert (found.is_complete, found.refined, len(ranked)) == (True, BEST, BEST)
    assert not any(change.is_draft for change in ranked)
    assert [change.edit for change in found.changes] == [*EDITS]


def test_chance_is_that_of_the_refined(found: DepthMap) -> None:
    """The tries are those on the other passages, and the text says from how many they were chosen."""
    assert found.chance is not None
    assert (found.chance.tries, found.chance.passages, found.chance.drafted) == (BEST, 10, len(EDITS))
    assert "best of 5 tries on 10 passages, chosen from 22 on other passages: by chance" in chance_text(found.chance)
    assert map_text(found).endswith("22 edits, 5 of them refined")
    assert sum("(draft)" in edit_text(change) for change in found.changes) == 17


def test_refined_edits_do_not_profit_from_being_chosen() -> None:
    """Of edits that change nothing, the best of a draft look better by luck, but on other passages they do not."""
    random = np.random.default_rng(0)
    names = [Edit(Way.REPEAT, start, start + 1) for start in range(400)]
    drafted = Losses((0.0,) * 6, {edit: tuple(random.normal(size=6)) for edit in names})
    chosen = choose_edits(drafted, 100)
    assert np.mean([drafted.edited[edit] for edit in chosen]) < -0.3
    others = random.normal(size=(100, 10))
    assert abs(others.mean()) < 0.15


@pytest.mark.parametrize(("refine", "edits", "count"), [(None, 424, 106), (None, 4, 4), (0, 100, 8), (900, 100, 100)])
def test_how_many_are_refined(refine: int | None, edits: int, count: int) -> None:
    """A quarter by default, but at least as many as are proposed, and never more than there are."""
    assert ProbeSettings((), refine=refine).count_refined(edits) == count
