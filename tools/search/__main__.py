"""`python -m tools.search`: search two fine-tunes and a self-stack of SmolLM2; with --write, into docs/searching.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tools.search.page import replace_section, section_text
from tools.search.specs import self_text, tunes_text
from tools.search.texts import write_texts
from tools.smollm2 import MissingPackageError
from tools.tunes.measure import make_donors

PAGE = Path(__file__).resolve().parents[2] / "docs" / "searching.md"
PASSAGES, WINDOW = 16, 512
SPLIT = 0.7
"""The share of the time that the fine-tunes get; the rest is for the self-stack."""


def main() -> int:
    os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false")
    options = _options()
    options.scratch.mkdir(parents=True, exist_ok=True)
    try:
        make_donors(options.donors)
        texts = write_texts(options.scratch)
        commands = _write_specs(options, [path.name for path in texts.values()])
        stories = {name: _search(options.scratch, name, words) for name, words in commands.items()}
    except (MissingPackageError, subprocess.CalledProcessError) as error:
        print(f"search: {error}", file=sys.stderr)
        return 1
    if options.write:
        shown = {name: " ".join(["stacker search", *words]) for name, words in commands.items()}
        section = section_text(stories, shown, PASSAGES, WINDOW)
        PAGE.write_text(replace_section(PAGE.read_text(encoding="utf-8"), section), encoding="utf-8")
    return 0


def _write_specs(options: argparse.Namespace, texts: list[str]) -> dict[str, list[str]]:
    """Write the specs of both searches; the arguments of each search by its name."""
    home = Path(os.path.relpath(options.donors, options.scratch))
    commands = {}
    for name, text, share, more in (
        ("tunes", tunes_text(home), SPLIT, ["--spread", "3"]),
        ("self", self_text(home), 1 - SPLIT, []),
    ):
        (options.scratch / f"{name}.yml").write_text(text, encoding="utf-8")
        read = [word for text_name in texts for word in ("--text", text_name)]
        sizes = ["--passages", str(PASSAGES), "--window", str(WINDOW)]
        end = [*_limit(options, share), "-o", f"{name}-best.yml"]
        commands[name] = [f"{name}.yml", *read, "--arrange", *more, *sizes, *end]
    return commands


def _limit(options: argparse.Namespace, share: float) -> list[str]:
    if options.candidates:
        return ["--candidates", str(round(options.candidates * share))]
    return ["--budget", f"{options.minutes * share:.0f}m"]


def _search(scratch: Path, name: str, words: list[str]) -> dict[str, Any]:
    """Run a search, or go on with it, with its progress on standard error; the JSON of its log."""
    log = f"{name}.log.jsonl"
    files = ["--log", log, "--svg", f"{name}.svg", "--html", f"{name}.html"]
    program = [sys.executable, "-m", "stacker", "search"]
    subprocess.run([*program, *words, *files], cwd=scratch, check=True, stdout=sys.stderr)
    shown = subprocess.run([*program, "show", log, "--json"], cwd=scratch, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.search", description=__doc__)
    parser.add_argument("--scratch", type=Path, default=Path("build/search"), help="a folder for specs and logs")
    parser.add_argument("--donors", type=Path, default=Path("build/tunes"), help="the fine-tunes, trained if missing")
    parser.add_argument("--minutes", type=float, default=55, help="how long both searches take together")
    parser.add_argument("--candidates", type=int, help="how many candidates both try, instead of a time")
    parser.add_argument("--write", action="store_true", help=f"write the section of docs/{PAGE.name}")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
