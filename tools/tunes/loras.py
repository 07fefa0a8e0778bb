"""`python -m tools.tunes.loras`: how much of a fine-tune LoRAs of several ranks keep, measured by perplexity."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools import smollm2
from tools.tunes.blends import BASE, PYTHON
from tools.tunes.measure import measure_perplexity
from tools.tunes.texts import SUBJECTS
from tools.tunes.tune import tune

SIZES = (("--rank", "4"), ("--rank", "16"), ("--rank", "64"), ("--energy", "0.95"))
"""The options of `extract-lora` that are tried."""
PAGE = Path(__file__).resolve().parents[2] / "docs" / "adapters.md"
BEGIN, END = "<!-- written by `make loras` -->\n\n", "\n<!-- end -->"


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: the perplexity of a model, and of a LoRA its parameters and what it leaves out.

    `lost` is the share of the norm of its change that the LoRA leaves out of a tensor, as root mean square over all.
    """

    what: str
    perplexity: float
    parameters: int | None = None
    lost: float | None = None


def measure(scratch: Path) -> Iterator[Row]:
    """Measure the base, its fine-tune on Python source, and the base with each LoRA."""
    base = smollm2.make_donor(scratch / BASE)
    tuned = tune(base, SUBJECTS[PYTHON], scratch / PYTHON)
    for what, folder in (("base", base), ("fine-tune", tuned)):
        yield Row(what, measure_perplexity(folder, SUBJECTS[PYTHON]))
    for option, value in SIZES:
        lora, spec, out = scratch / "lora", scratch / "lora.yml", scratch / "folded"
        shutil.rmtree(lora, ignore_errors=True)
        found = json.loads(_run("extract-lora", tuned, base, lora, option, value, "--json"))["tensors"]
        donor = {"source": str(base.absolute()), "adapters": [str(lora.absolute())]}
        spec.write_text(json.dumps({"stacker": 1, "donors": {"a": donor}, "stack": ["a"]}), encoding="utf-8")
        _run("build", spec, out, "--quiet", "--force")
        parameters = sum(tensor["parameters"] for tensor in found)
        lost = (sum(tensor["lost"] ** 2 for tensor in found) / len(found)) ** 0.5
        yield Row(f"`{option} {value}`", measure_perplexity(out, SUBJECTS[PYTHON]), parameters, lost)
        shutil.rmtree(out)


def _run(*words: str | Path) -> str:
    command = [sys.executable, "-m", "stacker", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def table_text(rows: list[Row]) -> str:
    """The table as Markdown; what a LoRA keeps is its share of the fine-tune's gain in perplexity."""
    base, tuned = (rows[number].perplexity for number in (0, 1))
    lines = ["| model | parameters | of the change left out | perplexity | of the gain kept |", "|---|---|---|---|---|"]
    for row in rows:
        kept = (base - row.perplexity) / (base - tuned)
        size = "" if row.parameters is None else f"{row.parameters / 1e6:.1f} million"
        lost = "" if row.lost is None else f"{row.lost:.0%}"
        lines.append(f"| {row.what} | {size} | {lost} | {row.perplexity:.2f} | {kept:.0%} |")
    return "\n".join(lines) + "\n"


def write_page(page: Path, table: str) -> None:
    """Put the table into the page, between the marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    page.write_text(f"{before}{BEGIN}{table}{END}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> int:
    os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
    parser = argparse.ArgumentParser(prog="python -m tools.tunes.loras", description=__doc__)
    parser.add_argument("--scratch", type=Path, default=Path("build/tunes"), help="a folder with 2 GB of free space")
    parser.add_argument("--write", action="store_true", help=f"write the table into docs/{PAGE.name}")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    rows = []
    for row in measure(options.scratch):
        print(row, file=sys.stderr, flush=True)
        rows.append(row)
    print(table_text(rows), end="")
    if options.write:
        write_page(PAGE, table_text(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
