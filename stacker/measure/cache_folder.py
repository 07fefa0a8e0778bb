"""Finds the folder for scores. Imports no numpy, so that commands that only look can use it."""

from __future__ import annotations

from pathlib import Path

from stacker.io.files.cache_folder import find_user_cache


def find_cache_folder() -> Path:
    """The folder for scores in the user's cache."""
    return find_user_cache("scores")
