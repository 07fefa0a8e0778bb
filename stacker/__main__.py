"""`python -m stacker`, the same program as `stacker`."""

from __future__ import annotations

import sys

from stacker.cli import main

sys.exit(main())
