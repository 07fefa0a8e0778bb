"""Finds the user's cache folder. Imports no numpy, so that commands that only look can use it."""

from __future__ import annotations

import os
from pathlib import Path


def find_user_cache(name: str) -> Path:
    """The folder `stacker/NAME` in XDG_CACHE_HOME, or else in `~/.cache`; it need not exist."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (named if named.is_absolute() else Path.home() / ".cache") / "stacker" / name
