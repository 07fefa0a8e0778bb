"""A hook of mkdocs: tables of the docs that the program itself knows best are put in when the site is built.

A page asks for one with a line `<!-- stacker: ops -->`; the words after the colon are a command of stacker.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

_MARKER = re.compile(r"<!-- stacker: (?P<words>[\w -]+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with what the commands it names print."""
    return _MARKER.sub(lambda found: f"```text\n{printed(found['words'].split())}```", markdown)


def printed(words: list[str]) -> str:
    """What a command of stacker prints, 82 columns wide, without colour."""
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "82", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "stacker", *words], env=environment, text=True, check=True, capture_output=True
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())
