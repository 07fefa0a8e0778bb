"""Losses of tokens are those that transformers computes with labels, whatever the batches, resident or streamed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from stacker.compose import draw_blueprint
from stacker.live.forecast.memory import predict_memory
from stacker.live.forward_pass import start_pass
from stacker.live.head import find_head
from stacker.live.live_stack import LiveStack
from stacker.measure.losses import compute_losses, make_batches, measure_losses, sum_passages
from stacker.measure.texts import TextPassage, Window, Windowing, cut_windows
from tests.live.lives import stack_of
from tests.measure.donors_with_words import make_text, write_worded

PASSAGES = [TextPassage("text", number, make_text(length, number)) for number, length in enumerate((30, 3, 17, 50))]


@pytest.fixture
def live(tmp_path: Path) -> LiveStack:
    """A live stack of two donors in fp32."""
    return stack_of(write_worded(tmp_path, "a", "b"), ["a[0:4]", "b[2:6]"]).live_stack(dtype="float32")


def windows_of(live: LiveStack) -> Sequence[Window]:
    return cut_windows(PASSAGES, live.load_tokenizer(), Windowing(16, 8))


def test_losses_are_transformers_own(live: LiveStack) -> None:
    """Of each window, the mean loss equals the one that transformers computes from labels, -100 for context."""
    windows = windows_of(live)
    losses = measure_losses(find_head(live), [*make_batches(windows, 64)])
    counts = [len(window.tokens) - window.counted for window in windows]
    for window, found in zip(windows, torch.split(losses, counts), strict=True):
        tokens = torch.tensor([window.tokens])
        labels = tokens.clone()
        labels[:, : window.counted] = -100
        with torch.no_grad():
            expected = live.model(tokens, labels=labels).loss
        assert found.mean().item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("most", [1, 40, 10_000])
def test_batches_do_not_matter(live: LiveStack, most: int) -> None:
    """One window at a time, a few or all: the losses are the same, and no batch is larger than it may be."""
    windows = windows_of(live)
    batches = [*make_batches(windows, most)]
    assert all(batch.tokens.numel() <= most or len(batch.tokens) == 1 for batch in batches)
    expected = measure_losses(find_head(live), [*make_batches(windows)])
    torch.testing.assert_close(measure_losses(find_head(live), batches), expected, rtol=1e-5, atol=1e-6)


def test_pieces_do_not_matter(live: LiveStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows of logits at a time or 512: the losses are the same."""
    batches = [*make_batches(windows_of(live))]
    expected = measure_losses(find_head(live), batches)
    monkeypatch.setattr("stacker.live.head.LOGITS", 3 * live.model.config.vocab_size)
    assert find_head(live).piece == 3
    torch.testing.assert_close(measure_losses(find_head(live), batches), expected, rtol=1e-5, atol=1e-6)


def test_streamed_losses_are_the_same(live: LiveStack, tmp_path: Path) -> None:
    """Layers that pass through a window give the same losses."""
    stack = stack_of(tmp_path, ["a[0:4]", "b[2:6]"], "again")
    limit = predict_memory(draw_blueprint(stack), "float32").streamed
    streamed = stack.live_stack(dtype="float32", max_memory=limit)
    batches = [*make_batches(windows_of(live))]
    found, expected = (measure_losses(find_head(each), batches) for each in (streamed, live))
    assert torch.equal(found, expected)


def test_losses_from_states(live: LiveStack) -> None:
    """A forward pass in steps gives the losses of a whole one."""
    (batch,) = make_batches(windows_of(live), 10_000)
    head = find_head(live)
    forward = start_pass(live, batch.tokens)
    state = forward.state
    for index in range(len(live.layers)):
        state = forward.run_layer(index, state)
    rows = head.finish_rows(forward, state)[batch.rows]
    torch.testing.assert_close(compute_losses(head, rows, batch.targets), measure_losses(head, [batch]))


def test_sums_of_passages(live: LiveStack) -> None:
    """Each passage has the sum of the losses of its tokens, in fp64."""
    windows = windows_of(live)
    batches = [*make_batches(windows, 64)]
    losses = measure_losses(find_head(live), batches)
    sums = sum_passages(losses, batches, len(PASSAGES))
    owners = [window.passage for window in windows for _ in window.tokens[window.counted :]]
    for number in range(len(PASSAGES)):
        expected = sum(loss for loss, owner in zip(losses.tolist(), owners, strict=True) if owner == number)
        assert sums[number].item() == pytest.approx(expected, rel=1e-12)


def test_progress_counts_tokens(live: LiveStack) -> None:
    """The last report says that all scored tokens are done."""
    reports: list[tuple[int, int]] = []
    batches = [*make_batches(windows_of(live), 64)]
    losses = measure_losses(find_head(live), batches, lambda done, total: reports.append((done, total)))
    assert reports[-1] == (len(losses), len(losses)) == (96, 96)
    assert len(reports) == len(batches) > 1
