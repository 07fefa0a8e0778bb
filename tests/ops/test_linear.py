"""linear against the weighted mean in fp64, and properties for any weights."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from stacker.ops.shared.settings import check_blend
from stacker.ops.table import OPS
from tests.ops.blending import blend

WEIGHT = st.floats(0.01, 10)


def _sources(count: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(257, generator=generator) for _ in range(count)]


@given(weights=st.lists(WEIGHT, min_size=1, max_size=5), normalize=st.booleans())
def test_is_the_weighted_sum(weights: list[float], normalize: bool) -> None:
    """Σwx, divided by Σw when normalised, to fp32 rounding."""
    sources = _sources(len(weights))
    expected = sum(w * x.double() for w, x in zip(weights, sources, strict=True))
    got = blend("linear", sources, weights=weights, normalize=normalize)
    torch.testing.assert_close(got.double(), expected / (sum(weights) if normalize else 1), rtol=1e-5, atol=1e-5)


def test_weights_default_to_the_mean() -> None:
    """Without weights all sources have equal weights."""
    sources = _sources(4)
    torch.testing.assert_close(blend("linear", sources), torch.stack(sources).mean(0))


def test_a_source_of_weight_zero_does_not_count() -> None:
    """Even NaN and infinity stay out when their weight is 0."""
    a, broken = torch.ones(3), torch.tensor([torch.nan, torch.inf, 1.0])
    assert blend("linear", [broken, a], weights=[0, 2]).equal(a)


def test_all_weights_zero_give_zeros() -> None:
    """If all weights are 0 and nothing is normalized, the sum is 0."""
    assert blend("linear", _sources(2), weights=[0, 0], normalize=False).equal(torch.zeros(257))


@given(weights=st.lists(WEIGHT, min_size=2, max_size=4), factor=st.floats(0.1, 10))
def test_only_the_ratio_of_weights_matters_when_normalised(weights: list[float], factor: float) -> None:
    """Multiplying all weights by a constant does not change the mean."""
    sources = _sources(len(weights))
    scaled = blend("linear", sources, weights=[factor * w for w in weights])
    torch.testing.assert_close(blend("linear", sources, weights=weights), scaled, rtol=1e-5, atol=1e-6)


@given(weights=st.lists(WEIGHT, min_size=3, max_size=3))
def test_the_order_of_sources_does_not_matter(weights: list[float]) -> None:
    """Reordering sources with their weights changes the result by rounding only."""
    sources = _sources(3)
    turned = blend("linear", sources[::-1], weights=weights[::-1])
    torch.testing.assert_close(blend("linear", sources, weights=weights), turned, rtol=1e-5, atol=1e-6)


@given(weights=st.lists(WEIGHT, min_size=2, max_size=4))
def test_equal_sources_stay_as_they_are(weights: list[float]) -> None:
    """The mean of one and the same tensor is that tensor, exactly after rounding to its bf16."""
    source = _sources(1)[0].bfloat16()
    mean = blend("linear", [source.float()] * len(weights), weights=weights)
    assert mean.bfloat16().equal(source)


@pytest.mark.parametrize("weights", [(1.0, -1.0), (0.0, 0.0), (0.1, 0.2, -0.3)], ids=str)
def test_weights_that_cancel_are_refused(weights: tuple[float, ...]) -> None:
    """Weights that add up to 0 are a problem only if they are normalized."""
    each = [{"weight": weight} for weight in weights]
    (problem,) = check_blend(OPS["linear"], {}, each, has_base=False)
    assert "add up to 0" in problem.message
    assert not list(check_blend(OPS["linear"], {"normalize": False}, each, has_base=False))
