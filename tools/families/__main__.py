"""`python -m tools.families [MODEL_TYPE…]`: try families, print and write the results; exit 1 if a stack is wrong."""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from pathlib import Path

import yaml

from tools.families.attempts import Results, try_families
from tools.families.table import counts_line, families_page, tested_yaml

ROOT = Path(__file__).resolve().parents[2]
TESTED, PAGE = ROOT / "architectures/_tested.yaml", ROOT / "docs/families.md"


def main() -> int:
    options = _options()
    from tests.families.tiny import decoder_families
    from tests.families.wrappers import wrapped_languages

    wrapped = wrapped_languages()
    families = [*decoder_families(), *wrapped]
    found: dict[str, Results] = {}
    for name, words in try_families(options.names or families, options.kept, options.jobs, options.seconds):
        found[name] = words
        print(name, *(f"{stack}={word}" for stack, word in words.items()), sep="\t", flush=True)
    print(counts_line(found))
    before = yaml.safe_load(TESTED.read_text(encoding="utf-8")) if TESTED.is_file() else {}
    table = {name: (before | found)[name] for name in families if name in before | found}
    TESTED.write_text(tested_yaml(table), encoding="utf-8")
    PAGE.write_text(families_page(table, wrapped, importlib.metadata.version("transformers")), encoding="utf-8")
    return int(any(word.startswith("wrong") for words in found.values() for word in words.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.families", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="MODEL_TYPE", help="families to try (default: all)")
    parser.add_argument(
        "--kept",
        type=Path,
        default=Path("build/families"),
        help="a folder of results, which are reused",
    )
    parser.add_argument("--jobs", type=int, default=2, help="how many families to try at the same time")
    parser.add_argument("--seconds", type=int, default=120, help="the time limit for one family")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
