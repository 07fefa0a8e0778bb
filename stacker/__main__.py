"""`python -m stacker`, the same program as `stacker`."""

from __future__ import annotations

import os

try:
    from stacker.cli import program

    program()
except KeyboardInterrupt:  # while modules were still being imported
    os._exit(130)
