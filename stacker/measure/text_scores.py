"""Scores texts token by token: the loss, and how far the predictions are from those of a first stack."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stacker.live.head import Head, Rows
from stacker.measure.candidates import Candidate, Reference
from stacker.measure.losses import Batch, compute_losses, map_batches
from stacker.measure.score_cache import Arrays, ScoreCache
from stacker.measure.texts import Window
from stacker.progress import Watch, ignore_watch


@dataclass(frozen=True, slots=True)
class TokenScores:
    """Values of all scored tokens, in order: `losses` in nats, `passages` the number of each token's passage.

    `divergence` is the KL divergence from the reference in nats, and `agreement` whether both have the same top token;
    None without a reference. `cached` says that nothing had to be computed.
    """

    losses: np.ndarray
    passages: np.ndarray
    divergence: np.ndarray | None = None
    agreement: np.ndarray | None = None
    cached: bool = False


def hash_windows(windows: Sequence[Window]) -> str:
    """A hash of the tokens of windows and of which of them are scored."""
    digest = hashlib.sha256()
    for window in windows:
        digest.update(repr((window.passage, window.counted, window.tokens)).encode())
    return digest.hexdigest()


def score_reference(reference: Reference, cache: ScoreCache, watch: Watch = ignore_watch) -> TokenScores:
    """The losses of the scored tokens in the reference itself; from the cache if they are known."""
    batches = reference.batches

    def compute() -> Arrays:
        pairs = zip(reference.read_rows(watch), batches, strict=True)
        found = [compute_losses(reference.candidate.head, rows, batch.targets.to(rows.device)) for rows, batch in pairs]
        return {"losses": reference.candidate.check_finite(torch.cat(found)).cpu().numpy()}

    parts = {"what": "losses", "stack": reference.candidate.identity, **_identify(reference.windows, batches)}
    return _look_up(parts, ("losses",), batches, cache, compute)


def score_alone(
    candidate: Candidate,
    windows: Sequence[Window],
    batches: Sequence[Batch],
    cache: ScoreCache,
    watch: Watch = ignore_watch,
) -> TokenScores:
    """The losses of the scored tokens of windows, which `batches` holds; from the cache if they are known."""

    def compute() -> Arrays:
        found = [each for _, _, each in map_batches(candidate.head, batches, compute_losses, watch)]
        return {"losses": candidate.check_finite(torch.cat(found)).numpy()}

    parts = {"what": "losses", "stack": candidate.identity, **_identify(windows, batches)}
    return _look_up(parts, ("losses",), batches, cache, compute)


def score_against(
    candidate: Candidate, reference: Reference, cache: ScoreCache, watch: Watch = ignore_watch
) -> TokenScores:
    """The losses, and the divergence and agreement with the reference; from the cache if all are known."""
    names = ("losses", "divergence", "agreement")

    def compute() -> Arrays:
        table = candidate.check_finite(_compare(candidate.head, reference, watch)).numpy()
        read = _identify(reference.windows, reference.batches)
        cache.write({"what": "losses", "stack": candidate.identity, **read}, {"losses": table[:, 0]})
        return {name: table[:, column] for column, name in enumerate(names)}

    stacks = {"stack": candidate.identity, "reference": reference.candidate.identity}
    parts = {"what": "divergence", **stacks, **_identify(reference.windows, reference.batches)}
    return _look_up(parts, names, reference.batches, cache, compute)


def _look_up(
    parts: Mapping[str, Any],
    names: Sequence[str],
    batches: Sequence[Batch],
    cache: ScoreCache,
    compute: Callable[[], Arrays],
) -> TokenScores:
    """The arrays of the cache, if each has a value for every scored token; or else those that `compute` returns."""
    count = sum(len(batch.targets) for batch in batches)
    found = cache.read(parts)
    known = found is not None and set(found) == set(names) and all(found[name].shape == (count,) for name in names)
    if found is None or not known:
        found = compute()
        cache.write(parts, found)
    return TokenScores(**found, passages=_list_passages(batches), cached=known and not cache.is_new(parts))


def _compare(head: Head, reference: Reference, watch: Watch) -> torch.Tensor:
    """A row for each scored token: loss, divergence, agreement."""
    theirs = iter(reference.read_rows())  # first, because the reference shares its weights with the others

    def measure(own: Head, rows: Rows, targets: torch.Tensor) -> torch.Tensor:
        return compare_rows(own, rows, reference.candidate.head, next(theirs), targets)

    return torch.cat([found for _, _, found in map_batches(head, reference.batches, measure, watch)])


def compare_rows(head: Head, rows: Rows, other: Head, others: Rows, targets: torch.Tensor) -> torch.Tensor:
    """For each target: its loss, the divergence from the other stack, and 1 if both have the same top token, else 0.

    `others` are the other stack's states for the same tokens. The divergence is Σ p ln(p/q) over the vocabulary with p
    of the other stack and q of this one, softmax and sum in fp32, with the logits of few rows in memory at a time.
    """
    found = []
    for some, same, wanted in zip(*(torch.split(each, head.piece) for each in (rows, others, targets)), strict=True):
        own = head.compute_logits(some).float().log_softmax(-1)
        theirs = other.compute_logits(same).to(own.device).float().log_softmax(-1)
        losses = -own.gather(1, wanted[:, None])[:, 0]
        agreement = (own.argmax(-1) == theirs.argmax(-1)).float()
        terms = (theirs.exp() * (theirs - own)).masked_fill(theirs == -torch.inf, 0)
        found.append(torch.stack([losses, terms.sum(-1), agreement], dim=1))
    return torch.cat(found)


def _identify(windows: Sequence[Window], batches: Sequence[Batch]) -> dict[str, Any]:
    shapes = [list(batch.tokens.shape) for batch in batches]
    return {"tokens": hash_windows(windows), "batches": hashlib.sha256(repr(shapes).encode()).hexdigest()}


def _list_passages(batches: Sequence[Batch]) -> np.ndarray:
    found: np.ndarray = torch.cat([batch.passages for batch in batches]).numpy()
    return found
