"""`python -m tools.clients.gguf_stacks [FAMILY…]`: compare GGUF stacks with transformers; exit 1 if one is wrong."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from stacker.arch.families import read_architectures
from stacker.arch.gguf import list_gguf_names
from tools.clients.__main__ import HOME


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tools.clients.gguf_stacks", description=__doc__)
    options.add_argument("families", nargs="*", metavar="FAMILY", help="families (default: all of llama.cpp)")
    options.add_argument("--home", type=Path, default=HOME, help="where llama.cpp is installed")
    chosen = options.parse_args()
    os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "OMP_NUM_THREADS": "1"}
    from tools.clients.gguf_trial import try_gguf_family
    from tools.clients.programs import convert_checkpoint, run_gguf

    wrong = 0
    known = [each.name for each in read_architectures() if list_gguf_names(each.name)]
    for name in chosen.families or known:
        with tempfile.TemporaryDirectory() as folder:
            try:
                convert, run = partial(convert_checkpoint, chosen.home), partial(run_gguf, chosen.home)
                for result in try_gguf_family(name, convert, run, Path(folder)):
                    counts = not result.agrees and result.stack != "donor"
                    size = "" if result.difference is None else f"{result.difference:.1e}"
                    print(name, result.stack, result.seen, size, "WRONG" * counts, sep="\t", flush=True)
                    wrong += counts
            except Exception as error:
                print(name, "donor", f"cannot be tried: {str(error)[:100]}", sep="\t", flush=True)
    print(f"{wrong} stacks are wrong")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
