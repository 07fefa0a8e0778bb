"""`python -m tools.tunes`: train two fine-tunes, blend by every op, print perplexities; exit 1 when `linear` fails."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tools.smollm2 import MissingPackageError
from tools.tunes.measure import Row, measure
from tools.tunes.table import page_text, table_head, table_line, verdicts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "perplexity.md"


def main() -> int:
    os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
    options = _options()
    options.scratch.mkdir(parents=True, exist_ok=True)
    try:
        rows = list(_printed(options.scratch))
    except (MissingPackageError, subprocess.CalledProcessError) as error:
        print(f"tunes: {error}", file=sys.stderr)
        return 1
    if options.write:
        PAGE.write_text(page_text(rows), encoding="utf-8")
    found = verdicts(rows)
    print("", *(sentence for sentence, _ in found), sep="\n")
    return 0 if all(beaten for _, beaten in found) else 1


def _printed(scratch: Path) -> list[Row]:
    """Measure all rows, printing each row as soon as it is known."""
    print(table_head(), flush=True)
    rows = []
    for row in measure(scratch):
        print(table_line(row), flush=True)
        rows.append(row)
    return rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.tunes", description=__doc__)
    parser.add_argument("--scratch", type=Path, default=Path("build/tunes"), help="a folder with 2 GB of free space")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
