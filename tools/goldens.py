"""Writes tests/golden/ops/mergekit.json: results of mergekit's ops on small tensors, for the tests of our ops.

Run it as `python -m tools.goldens PYTHON`, where PYTHON is an interpreter with mergekit 0.1.5.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

GOLDEN = Path(__file__).parent.parent / "tests" / "golden" / "ops" / "mergekit.json"
SHAPE = (8, 12)
DRAWS = 400
Case = dict[str, Any]
_THEIRS = """
import json, sys, torch
from mergekit.merge_methods.api import merge_tensors
torch.manual_seed(0)
given = json.load(sys.stdin)
inputs = [torch.tensor(values, dtype=torch.float32).view(given["shape"]) for values in given["inputs"]]
def merged(case):
    count, based = case["sources"], case["base"]
    tensors = inputs[:count] + ([inputs[-1]] if based else [])
    own = case["parameters"]
    if case["op"] == "slerp":
        tensors, base = tensors[:2], 0
    else:
        base = count if based else None
    return merge_tensors(tensors, case["op"], parameters=own, base_index=base).flatten()
def statistics(case):
    drawn = torch.stack([merged(case) - inputs[-1].flatten() for _ in range(given["draws"])]).double()
    return [float((drawn != 0).double().mean()), float(drawn.mean()), float(drawn.var())]
print(json.dumps([(statistics if case["random"] else lambda c: merged(c).tolist())(case) for case in given["cases"]]))
"""


def inputs() -> list[list[float]]:
    """Three sources near a base, then the base itself, each as a flat list of numbers."""
    numbers = random.Random(1)
    base = [numbers.gauss(0, 1) for _ in range(SHAPE[0] * SHAPE[1])]
    sources = [[value + numbers.gauss(0, 0.5) for value in base] for _ in range(3)]
    return [[float(f"{value:.4f}") for value in tensor] for tensor in (*sources, base)]


def case(op: str, sources: int, *, base: bool, drawn: bool = False, **parameters: Any) -> Case:
    """One call of an op; a parameter given as a list has one value for each source."""
    return {"op": op, "sources": sources, "base": base, "random": drawn, "parameters": parameters}


def cases_without_base() -> list[Case]:
    """Cases of ops without a base."""
    return [
        case("linear", 3, base=False, weight=[1.0, 2.0, 0.5]),
        case("linear", 2, base=False, weight=[1.0, -0.25], normalize=False),
        *(case("slerp", 2, base=False, t=t) for t in (0.0, 0.3, 1.0)),
        *(case("nuslerp", 2, base=False, weight=[1.0, 3.0], **way) for way in _nuslerp_variants()),
        case("multislerp", 3, base=False, weight=[1.0, 2.0, 0.5]),
        case("multislerp", 2, base=False, weight=[0.4, 0.4], normalize_weights=False),
        case("karcher", 2, base=False),
        case("karcher", 3, base=False, max_iter=4),
    ]


def cases_with_base() -> list[Case]:
    """Cases of ops with a base that do not draw at random."""
    weight = [1.0, 0.7, 0.4]
    trimmed: list[tuple[str, Any]] = [
        ("ties", {}),
        ("breadcrumbs", {"gamma": [0.05, 0.0, 0.2]}),
        ("breadcrumbs_ties", {"gamma": [0.1] * 3}),
    ]
    return [
        *(case("nuslerp", 2, base=True, weight=[1.0, 3.0], **way) for way in _nuslerp_variants()),
        case("multislerp", 3, base=True, weight=weight),
        case("task_arithmetic", 3, base=True, weight=weight, **_factor(0.8)),
        case("task_arithmetic", 2, base=True, weight=[1.0, -0.5], normalize=True),
        *(case(op, 3, base=True, weight=weight, density=[0.5, 0.3, 0.9], **own) for op, own in trimmed),
        case("ties", 3, base=True, weight=weight, density=[0.2] * 3, normalize=False, rescale=True, **_factor(1.3)),
        case("ties", 2, base=True, weight=[1.0, -1.0], density=[1.0, 0.01]),
        case("sce", 3, base=True),
        case("sce", 3, base=True, select_topk=0.3),
        case("model_stock", 3, base=True),
        case("model_stock", 2, base=True, filter_wise=True),
        case("nearswap", 1, base=True, t=0.2),
        case("arcee_fusion", 1, base=True),
        case("ram", 3, base=True, epsilon=0.4),
        case("ramplus_tl", 3, base=True, epsilon=0.5, r=0.6, alpha=1.5),
    ]


def drawn_cases() -> list[Case]:
    """Cases of ops that draw at random; only statistics over many draws can be compared."""
    weight, density = [1.0, 0.7, 0.4], [0.4, 0.6, 0.5]
    plain = [case(op, 3, base=True, drawn=True, weight=weight, density=density) for op in ("dare_linear", "dare_ties")]
    ranked = [
        case(op, 3, base=True, drawn=True, weight=weight, density=density, epsilon=[0.2, 0.1, 0.3])
        for op in ("della", "della_linear")
    ]
    return [
        *plain,
        case("dare_ties", 1, base=True, drawn=True, weight=[1.0], density=[0.3], rescale=False),
        *ranked,
    ]


def _factor(value: float) -> dict[str, Any]:
    return {"lambda": value}


def _nuslerp_variants() -> list[dict[str, Any]]:
    return [{}, {"nuslerp_flatten": False}, {"nuslerp_flatten": False, "nuslerp_row_wise": True}]


def main(python: str) -> None:
    """Run the cases with mergekit in the other interpreter and write the results."""
    cases = [*cases_without_base(), *cases_with_base(), *drawn_cases()]
    given = {"shape": SHAPE, "draws": DRAWS, "inputs": inputs(), "cases": cases}
    answer = subprocess.run(
        [python, "-c", _THEIRS], input=json.dumps(given), text=True, stdout=subprocess.PIPE, check=True
    )
    for one, result in zip(cases, json.loads(answer.stdout), strict=True):
        one["result"] = [float(f"{value:.9g}") for value in result]
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(one) for one in cases)
    head = json.dumps({key: given[key] for key in ("shape", "draws", "inputs")})
    GOLDEN.write_text(f'{head[:-1]}, "cases": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
