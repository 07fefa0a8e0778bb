"""Random ops: the fraction they keep, their rescaling, and that a draw depends only on its position."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stacker.arithmetic.numpy_backend import NUMPY
from stacker.ops.shared.draw import bound_of, draw_numbers
from stacker.ops.shared.op import Tile
from stacker.ops.shared.settings import check_blend
from stacker.ops.table import OPS
from tests.ops.blending import array_of, blend

RANDOM = ["dare_linear", "dare_ties", "della", "della_linear"]
SHAPE = (300, 400)


def _one(op: str, density: float, **more: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """A source and its result over a base of zeros, by default without rescaling."""
    source = torch.randn(*SHAPE, generator=torch.Generator().manual_seed(1))
    settings = {"rescale": False, "normalize": False} | more
    each = [{"density": density}]
    return source, blend(op, [source], base=torch.zeros(SHAPE), each=each, **settings)


def _drawn(start: int, length: int, *, seed: str = "x", source: int = 0, number: int = 0) -> torch.Tensor:
    tile = Tile([array_of(torch.empty(length), NUMPY)], NUMPY, start=start, seed=seed)
    return torch.as_tensor(draw_numbers(tile, source, number))


@pytest.mark.parametrize("op", RANDOM)
@pytest.mark.parametrize("density", [0.2, 0.5, 0.8])
def test_the_share_kept_is_the_density(op: str, density: float) -> None:
    """The kept fraction is within five standard deviations of a Bernoulli draw, and kept elements are unchanged."""
    source, kept = _one(op, density)
    share = float((kept != 0).double().mean())
    assert abs(share - density) < 5 * (density * (1 - density) / source.numel()) ** 0.5
    assert kept[kept != 0].equal(source[kept != 0])


@pytest.mark.parametrize("op", RANDOM)
def test_the_sum_of_magnitudes_is_restored(op: str) -> None:
    """Rescaling restores the sum of magnitudes."""
    source, kept = _one(op, 0.3, rescale=True)
    assert float(kept.abs().double().sum()) == pytest.approx(float(source.abs().double().sum()), rel=1e-5)


def test_mean_and_variance_of_dare() -> None:
    """Kept elements have the mean and variance of all elements: the draw does not depend on values."""
    source, kept = _one("dare_linear", 0.5)
    chosen = kept[kept != 0]
    assert float(chosen.mean()) == pytest.approx(float(source.mean()), abs=5 / chosen.numel() ** 0.5)
    assert float(chosen.var()) == pytest.approx(float(source.var()), rel=0.03)


def test_della_keeps_larger_changes_more_often() -> None:
    """The probability rises from density − epsilon to density + epsilon over the ranks of a row."""
    source, kept = _one("della_linear", 0.5)
    ordered = (kept != 0).double().gather(1, source.abs().argsort(dim=1))
    shares = ordered.view(SHAPE[0], 4, -1).mean((0, 2))
    wanted = [0.35 + 0.3 * (quarter + 0.5) / 4 for quarter in range(4)]
    assert shares.tolist() == pytest.approx(wanted, abs=0.02)


@pytest.mark.parametrize("op", RANDOM)
def test_a_draw_does_not_depend_on_tiles(op: str) -> None:
    """The same elements are kept whatever the tile size."""
    source = torch.randn(*SHAPE, generator=torch.Generator().manual_seed(1))
    sources, base, each = [source, source.flip(0)], torch.zeros(SHAPE), [{"density": 0.5}] * 2
    whole = blend(op, sources, base=base, each=each, rescale=False)
    assert blend(op, sources, base=base, each=each, tile=400 * 7, rescale=False).equal(whole)


@pytest.mark.parametrize("op", RANDOM)
def test_another_name_or_seed_gives_another_draw(op: str) -> None:
    """Draws for other tensor names and seeds are independent."""
    base, each = torch.zeros(SHAPE), [{"density": 0.5}]
    source = torch.ones(SHAPE)
    first = blend(op, [source], base=base, each=each)
    others = [blend(op, [source], base=base, each=each, name="y"), blend(op, [source], base=base, each=each, seed=1)]
    for other in others:
        assert 0.4 < float(((first != 0) != (other != 0)).double().mean()) < 0.6


@pytest.mark.parametrize("start", [0, 65_530, 2**32 - 10, 2**40 + 3], ids=str)
def test_any_place_can_be_drawn_by_itself(start: int) -> None:
    """A tile's numbers are those of its parts, at any position in a tensor."""
    whole = _drawn(start, 200_000)
    assert torch.cat([_drawn(start, 17), _drawn(start + 17, 199_983)]).equal(whole)


@pytest.mark.parametrize("other", [{"seed": "y"}, {"source": 1}, {"number": 1}], ids=["name", "source", "seed"])
def test_draws_are_independent(other: dict[str, Any]) -> None:
    """Draws for another name, source or seed agree in half of the bits, and neighbours are uncorrelated."""
    one, two = _drawn(0, 300_000), _drawn(0, 300_000, **other)
    assert float((one < two).double().mean()) == pytest.approx(0.5, abs=0.005)
    signs = [(drawn < 2**30).double() - 0.5 for drawn in (one, two)]
    assert abs(float((signs[0] * signs[1]).mean())) < 0.002
    assert abs(float((signs[0][1:] * signs[0][:-1]).mean())) < 0.002


@pytest.mark.parametrize("chance", [0.001, 0.1, 0.5, 0.9])
def test_numbers_are_spread_evenly(chance: float) -> None:
    """The bound of a probability has that fraction of numbers below it."""
    drawn = _drawn(0, 2_000_000)
    expected = 5 * (chance * (1 - chance) / 2e6) ** 0.5
    assert float((drawn < bound_of(chance)).double().mean()) == pytest.approx(chance, abs=expected)


def test_chances_past_0_and_1_are_refused() -> None:
    """della's probabilities must be between 0 and 1."""
    each = [{"density": 0.9, "epsilon": 0.15}]
    (problem,) = check_blend(OPS["della"], {}, each, has_base=True)
    assert "density 0.9 ± epsilon 0.15" in problem.message
    assert not list(check_blend(OPS["della"], {}, [{"density": 1.0}], has_base=True))
