"""`python -m tools.fuzz [TARGET…] [--engine E] [--seconds S] [--seed N]` fuzzes targets and keeps inputs of defects."""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path

from tools.fuzz.coverage import fuzz_by_coverage
from tools.fuzz.fuzzing import fuzz
from tools.fuzz.targets import Target, make_targets

ENGINES = {"mutations": fuzz, "atheris": fuzz_by_coverage}
CORPUS = Path(__file__).parents[2] / "tests" / "corpus"


def main() -> int:
    """Fuzz the chosen targets one after the other; 1 if any has a defect."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz")
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--engine", choices=[*ENGINES], default="mutations")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        targets = make_targets(Path(folder))
        chosen = options.targets or list(targets)
        return max(_run(targets[name], options.engine, options.seconds, options.seed) for name in chosen)


def read_corpus(name: str) -> list[bytes]:
    """The inputs of a target that were defects once."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def _run(target: Target, engine: str, seconds: float, seed: int) -> int:
    tried, defect = ENGINES[engine](target, read_corpus(target.name), seconds, seed)
    if defect is None:
        print(f"{target.name}: {tried:,} inputs, no defect")
        return 0
    path = CORPUS / target.name / hashlib.sha256(defect.data).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(defect.data)
    print(f"{target.name}: {defect.what}\n  {path}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
