"""The deterministic ops of the task-vector family, sce and arcee_fusion, against their papers in fp64."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from stacker.ops.shared.op import Base
from stacker.ops.table import OPS
from tests.ops import task_references as papers
from tests.ops.blending import blend
from tests.ops.test_spherical import close, tensors

WEIGHTS = st.lists(st.floats(0.1, 2), min_size=1, max_size=4)
DENSITY = st.floats(0.01, 0.99)
SEED = st.integers(0, 50)
FAMILY = [name for name, op in OPS.items() if op.parameter("lambda")]


@given(weights=WEIGHTS, seed=SEED, factor=st.floats(-2, 2), normalize=st.booleans())
def test_task_arithmetic_adds_up(weights: list[float], seed: int, factor: float, normalize: bool) -> None:
    """Base + λ Σ wd."""
    *sources, base = tensors(len(weights) + 1, seed)
    own: dict[str, Any] = {"normalize": normalize, "lambda": factor}
    got = blend("task_arithmetic", sources, base=base, weights=weights, **own)
    total = papers.added(papers.changes(sources, base), weights, normalize=normalize)
    close(got, base.double() + factor * total)


@given(weights=WEIGHTS, seed=SEED, density=DENSITY, normalize=st.booleans(), rescale=st.booleans())
def test_ties_trims_elects_and_merges(
    weights: list[float], seed: int, density: float, normalize: bool, rescale: bool
) -> None:
    """Algorithm 1, tile by tile the same."""
    *sources, base = tensors(len(weights) + 1, seed)
    each = [{"weight": weight, "density": density} for weight in weights]
    got = blend("ties", sources, base=base, each=each, tile=37, normalize=normalize, rescale=rescale)
    deltas = papers.changes(sources, base)
    kept = [papers.largest(delta, density) for delta in deltas]
    if rescale:
        kept = [papers.restored(one, delta) for one, delta in zip(kept, deltas, strict=True)]
    torch.testing.assert_close(
        got.double(), base.double() + papers.agreed(kept, weights, normalize=normalize), rtol=1e-4, atol=1e-4
    )


@given(weights=WEIGHTS, seed=SEED, density=DENSITY, gamma=st.floats(0, 0.9))
@pytest.mark.parametrize("op", ["breadcrumbs", "breadcrumbs_ties"])
def test_breadcrumbs_leave_out_both_ends(
    op: str, weights: list[float], seed: int, density: float, gamma: float
) -> None:
    """The share by magnitude that comes after the very largest."""
    *sources, base = tensors(len(weights) + 1, seed)
    each = [{"weight": weight, "density": density, "gamma": gamma} for weight in weights]
    kept = [papers.crumbs(delta, density, gamma) for delta in papers.changes(sources, base)]
    total = papers.added(kept, weights) if op == "breadcrumbs" else papers.agreed(kept, weights, normalize=False)
    close(blend(op, sources, base=base, each=each, tile=37), base.double() + total)


@given(density=DENSITY, seed=SEED, step=st.sampled_from([0.5, 1.0, 4.0]))
def test_of_equal_changes_the_earlier_are_taken(density: float, seed: int, step: float) -> None:
    """Where many changes are equal, as those of bf16 are, the number kept is exact and does not depend on tiles."""
    (source,) = ((tensor / step).round() * step for tensor in tensors(1, seed))
    base = torch.zeros_like(source)
    kept = papers.largest(source.double(), density).float()
    for tile in (0, 1, 37, 240):
        assert blend("ties", [source], base=base, each=[{"density": density}], tile=tile).equal(kept)


@given(count=st.integers(2, 4), seed=SEED, share=st.floats(0.05, 1))
def test_sce_selects_calculates_and_erases(count: int, seed: int, share: float) -> None:
    """The three steps of its name."""
    *sources, base = tensors(count + 1, seed)
    got = blend("sce", sources, base=base, select_topk=share, tile=37)
    close(got, base.double() + papers.sce(papers.changes(sources, base), share))


def test_sce_of_nothing_selected_is_the_base() -> None:
    """A share of 0, and sources that do not differ."""
    source, base = tensors(2)
    assert blend("sce", [source, source + 1], base=base, select_topk=0.0).equal(base)
    assert blend("sce", [source, source], base=base, select_topk=0.5).equal(base)


@given(seed=SEED)
def test_arcee_fusion_takes_what_matters(seed: int) -> None:
    """The threshold is that of the whole tensor, the divergence that of each row."""
    source, base = tensors(2, seed)
    close(blend("arcee_fusion", [source], base=base, tile=40), papers.arcee_fusion(source, base))


@pytest.mark.parametrize("op", FAMILY)
def test_density_1_is_no_sparsification(op: str) -> None:
    """All that any of the family keeps of one source is the source."""
    source, base = tensors(2)
    torch.testing.assert_close(blend(op, [source], base=base), source, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("op", [name for name in FAMILY if OPS[name].parameter("density")])
def test_density_0_is_the_base(op: str) -> None:
    """Nothing is kept of any source."""
    *sources, base = tensors(3)
    each: list[dict[str, Any]] = [{"density": 0.0}, {"density": 0.0}]
    assert blend(op, sources, base=base, each=each).equal(base)


@pytest.mark.parametrize("op", [name for name, op in OPS.items() if op.base is Base.REQUIRED])
def test_sources_that_add_nothing_give_the_base(op: str) -> None:
    """When every source is the base, so is the result, bit for bit."""
    (base,) = tensors(1)
    fewest, _ = OPS[op].arity
    own: dict[str, Any] = {"t": 0.5} if op == "nearswap" else {}
    assert blend(op, [base] * fewest, base=base, **own).equal(base)


@given(factor=st.sampled_from([2.0**-20, 0.5, 8.0, 2.0**20]), seed=SEED)
@pytest.mark.parametrize("op", FAMILY)
def test_scale_goes_through(op: str, factor: float, seed: int) -> None:
    """Sources and base times a power of 2 give the result times it, bit for bit."""
    *sources, base = tensors(3, seed)
    each: list[dict[str, Any]] = [{} if op == "task_arithmetic" else {"density": 0.5} for _ in sources]
    scaled = blend(op, [factor * source for source in sources], base=factor * base, each=each)
    assert scaled.equal(factor * blend(op, sources, base=base, each=each))


@given(seed=SEED)
@pytest.mark.parametrize("op", ["task_arithmetic", "ties", "breadcrumbs", "breadcrumbs_ties", "sce"])
def test_the_order_of_sources_does_not_matter(op: str, seed: int) -> None:
    """Turned round they give the same, to rounding."""
    a, b, base = tensors(3, seed)
    close(blend(op, [a, b], base=base), blend(op, [b, a], base=base).double())


@given(seed=SEED)
@pytest.mark.parametrize("op", ["task_arithmetic", "ties", "breadcrumbs", "breadcrumbs_ties", "sce"])
def test_elements_may_change_places(op: str, seed: int) -> None:
    """What is done does not depend on where an element stands, when no two are equal."""
    *sources, base = tensors(3, seed)
    each: list[dict[str, Any]] = [{} if op in ("task_arithmetic", "sce") else {"density": 0.3} for _ in sources]
    order = torch.randperm(base.numel(), generator=torch.Generator().manual_seed(seed))
    moved = [tensor.flatten()[order].reshape(tensor.shape) for tensor in (*sources, base)]
    wanted = blend(op, sources, base=base, each=each).flatten()[order]
    torch.testing.assert_close(blend(op, moved[:-1], base=moved[-1], each=each).flatten(), wanted, rtol=1e-5, atol=1e-6)
