"""The fenced blocks of the README and the docs, and the folder in which they are run.

    yaml      a spec, a part of one, or a family; it must parse. With title="…" it is also written to that file.
    console   Lines after `$` are run by a shell. The lines below must be in the output, in this order; a line with
              `…` stands for any lines. `<!-- exits 2 -->` before the block is the exit code of the last command.
              Before a titled spec, it means that the spec is wrong.
    python    is run in the same folder
    text      output or a picture; not tested

Other kinds are errors, so that every example is tested.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.donors import write_llama
from tests.measure.donors_with_words import make_text, write_worded

ROOT = Path(__file__).resolve().parent.parent.parent
_FENCE = re.compile(
    r"(?:<!-- exits (?P<exit>\d+) -->\n+)?^(?P<indent> *)```(?P<kind>\w*)(?: title=\"(?P<title>[^\"]+)\")?[^\n]*\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its kind, its title (a file name), its text, its line, and its last command's exit code."""

    kind: str
    title: str
    text: str
    line: int
    exit_code: int = 0


def pages() -> list[Path]:
    """The README, CONTRIBUTING, and every page of the docs."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks_of(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _FENCE.finditer(text):
        line = text.count("\n", 0, found.start()) + 1
        body = re.sub(rf"(?m)^{found['indent']}", "", found["text"])
        yield Block(found["kind"], found["title"] or "", body, line, int(found["exit"] or 0))


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block with its expected output lines."""
    command, expected = "", list[str]()
    for line in block.text.splitlines():
        if line.startswith("$ "):
            if command:
                yield command, expected
            command, expected = line[2:], []
        else:
            expected.append(line)
    if command:
        yield command, expected


def make_donors(folder: Path) -> None:
    """Write three tiny checkpoints of 12 layers, one more with a tokenizer, and a text that it can read."""
    for seed, name in enumerate(("donor", "other", "third")):
        write_llama(folder / name, layers=12, seed=seed)
    write_worded(folder, "small", layers=12)
    (folder / "prose.txt").write_text(make_text(4000), encoding="utf-8")


def run_command(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of a console block in bash; stdout and stderr are captured together."""
    bare = {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "COLUMNS")}
    environment = bare | {"NO_COLOR": "1", "COLUMNS": "100", "STACKER": f"{sys.executable} -m stacker"}
    script = f'stacker() {{ $STACKER "$@"; }}\n{command}'
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def missing_line(expected: list[str], shown: str) -> str | None:
    """The first expected line that is not in the output at its place in the order; None if all are."""
    lines = iter(line.rstrip() for line in shown.splitlines())
    wanted = [line.rstrip() for line in expected if line.strip() not in ("", "…")]
    return next((line for line in wanted if line not in lines), None)
