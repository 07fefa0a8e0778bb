"""Shows which files beside the weights a stack carries, and which files of its donors are left behind."""

from __future__ import annotations

from typing import Any

from stacker.core.side_files.kinds import CODE, OTHER_WEIGHTS, UNKNOWN
from stacker.core.side_files.selection import SideFiles

_TOLD = (UNKNOWN, OTHER_WEIGHTS, CODE)
"""The reasons that are shown; files left behind for other reasons are of no use to the stack."""
_SHOWN = 3


def left_behind_text(files: SideFiles) -> str:
    """One line that names the first files of the donors that are left behind, grouped by the reason.

    It is "" if all of them are files that no user of the stack needs, such as the old model card.
    """
    parts = []
    for reason in _TOLD:
        left = (each for each in files.left if each.reason == reason)
        names = list(dict.fromkeys(f"{each.donor}/{_shorten(each.name)}" for each in left))
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        parts += [f"{', '.join(names[:_SHOWN])}{more} ({reason})"] if names else []
    return f"left behind: {'; '.join(parts)}" if parts else ""


def _shorten(name: str) -> str:
    """The name of a file or, for a file in a folder, the name of the folder with a slash."""
    folder, slash, _ = name.partition("/")
    return _encode(folder + slash)


def side_files_json(files: SideFiles) -> dict[str, Any]:
    """The files that a stack carries, each with its donor, and those left behind with the reason, as a JSON value."""
    return {
        "carried": [{"file": _encode(each.file.name), "donor": each.donor} for each in files.carried],
        "left_behind": [
            {"file": _encode(each.name), "donor": each.donor, "reason": each.reason} for each in files.left
        ],
    }


def _encode(name: str) -> str:
    """The name of a file with escapes for bytes that are not UTF-8, which could not be printed."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
