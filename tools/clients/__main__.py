"""`python -m tools.clients [FAMILY…]`: compare verdicts with what llama.cpp and MLX compute; exit 1 if one is wrong."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from stacker.arch.families import read_architectures

HOME = Path(__file__).resolve().parents[2] / "build/clients"


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tools.clients", description=__doc__)
    options.add_argument(
        "families", nargs="*", metavar="FAMILY", help="families to try (default: all that are described)"
    )
    options.add_argument("--home", type=Path, default=HOME, help="where the programs are installed")
    chosen = options.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "OMP_NUM_THREADS": "1"}
    from tools.clients.programs import find_programs
    from tools.clients.trial import DONOR, try_family

    runs = find_programs(chosen.home)
    if not runs:
        print(f"no programs in {chosen.home}: `make clients` installs them")
        return 2
    wrong, untried = 0, []
    for name in chosen.families or [each.name for each in read_architectures() if each.clients]:
        with tempfile.TemporaryDirectory() as folder:
            for result in try_family(name, runs, Path(folder)):
                size = "" if result.difference is None else f"{result.difference:.1e}"
                if result.stack == DONOR and not result.agrees:
                    untried.append((name, result.client))
                counts = not result.agrees and (name, result.client) not in untried
                sign = "DIFFERS" if counts else ""
                print(
                    name, result.stack, result.client, result.predicted, result.seen, size, sign, sep="\t", flush=True
                )
                wrong += counts
    for name, client in untried:
        print(f"{name}: {client} is not right about the tiny donor, so its stacks tell nothing")
    print(f"{wrong} verdicts differ from what the programs computed")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
