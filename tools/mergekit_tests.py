"""Run mergekit's own tests with stacker: python -m tools.mergekit_tests CHECKOUT --python INTERPRETER

CHECKOUT is a checkout of mergekit's repository; INTERPRETER has its requirements and pytest. The tests run unchanged,
except that `stacker build` does the merging. A table of the tests that merge is printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
_MOST = 160


@dataclass(frozen=True, slots=True)
class Outcome:
    """A test that called stacker: whether it passed, and if not, the first line of its message."""

    test: str
    passed: bool
    reason: str = ""


def run_tests(checkout: Path, python: str, stacker: str) -> tuple[Outcome, ...]:
    """Run the tests of a checkout; `stacker` is the command that merges in place of mergekit."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        plugin = ["-p", "mergekit_driver", "-p", "no:cacheprovider", "-o", "junit_family=xunit1"]
        words = [python, "-m", "pytest", "-q", "tests", *plugin, f"--junitxml={report}"]
        paths = os.pathsep.join(filter(None, [str(checkout), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": paths, "STACKER": stacker}
        subprocess.run(words, cwd=checkout, env=environment, check=False, stdout=sys.stderr)
        if not report.exists():
            raise SystemExit("pytest wrote no report; are mergekit's requirements installed in that interpreter?")
        return tuple(outcomes_in(report.read_text(encoding="utf-8")))


def outcomes_in(report: str) -> Iterator[Outcome]:
    """The tests in a JUnit report that called stacker, in the order of the report."""
    for case in ET.fromstring(report).iter("testcase"):
        if case.find("properties/property[@name='driven']") is None:
            continue
        wrong = next((each for kind in ("failure", "error") for each in case.iter(kind)), None)
        name = f"{case.get('classname', '').rpartition('.')[2]}.{case.get('name', '')}"
        yield Outcome(name, wrong is None, "" if wrong is None else _first_line(wrong.get("message", "")))


def _first_line(message: str) -> str:
    line = (
        next(iter(message.splitlines()), "")
        .removeprefix("RuntimeError: ")
        .removeprefix("ValueError: ")
        .replace("|", "\\|")
    )
    return line if len(line) <= _MOST else f"{line[: _MOST - 1]}…"


def table(outcomes: tuple[Outcome, ...]) -> str:
    """A line with the number of passed tests, then the outcomes as a Markdown table."""
    passed = sum(each.passed for each in outcomes)
    rows = [f"| `{each.test}` | {'passes' if each.passed else 'fails'} | {each.reason} |" for each in outcomes]
    return "\n".join(
        [f"{passed} of {len(outcomes)} tests pass.", "", "| test | stacker | reason |", "|---|---|---|", *rows, ""]
    )


def main() -> None:
    """Parse the command line, run the tests and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="a checkout of mergekit's repository")
    parser.add_argument(
        "--python", default=sys.executable, help="an interpreter with mergekit's requirements and pytest"
    )
    parser.add_argument("--stacker", default=f"{sys.executable} -m stacker", help="the command that merges")
    options = parser.parse_args()
    sys.stdout.write(table(run_tests(options.checkout.resolve(), options.python, options.stacker)))


if __name__ == "__main__":
    main()
