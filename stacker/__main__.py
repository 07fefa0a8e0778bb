"""`python -m stacker`, the same program as `stacker`."""

from __future__ import annotations

from stacker.cli import program

program()
