"""A hook for mkdocs that puts the output of stacker commands into pages when the site is built.

A page marks the place with a line `<!-- stacker: ops -->`; the words after the colon are the command's arguments.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

_MARKER = re.compile(r"<!-- stacker: (?P<words>[\w -]+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with each marker replaced by the output of its command."""
    return _MARKER.sub(lambda found: f"```text\n{run_stacker(found['words'].split())}```", markdown)


def run_stacker(words: list[str]) -> str:
    """The output of a stacker command, 82 columns wide and without colour."""
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "82", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "stacker", *words], env=environment, text=True, check=True, capture_output=True
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
