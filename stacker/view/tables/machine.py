"""Shows what `stacker doctor` found out about a machine, as tables for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich import filesize
from rich.console import Group, RenderableType
from rich.text import Text

from stacker.io.machine import FOR_LIVE, Folder, Hub, Machine
from stacker.version import VERSION
from stacker.view.scene.tabular import make_pairs


def draw_machine(machine: Machine) -> RenderableType:
    """The program versions, hardware, filesystem and hub access of a machine.

    Remarks tell what a value means for a build.
    """
    folder = machine.folder
    return Group(
        _draw_section("this program", {"stacker": VERSION, "python": machine.python, **_list_packages(machine)}),
        _draw_section("this machine", _list_hardware(machine)),
        _draw_section(str(folder.path), _list_folder(folder)),
        _draw_section("the hub", _list_hub(machine.hub)),
    )


def _draw_section(title: str, rows: dict[str, str]) -> Group:
    return Group(Text(title, "bold"), make_pairs({f"  {name:<14}": value for name, value in rows.items()}, "none"))


def _list_packages(machine: Machine) -> dict[str, str]:
    return {name: version or _missing_text(name) for name, version in machine.packages}


def _missing_text(package: str) -> str:
    if package in FOR_LIVE:
        return "not installed: only `stacker run` and --device need it, pip install 'stacker-llm[live]' brings it"
    return "not installed: pip install stacker-llm brings it"


def _list_hardware(machine: Machine) -> dict[str, str]:
    memory = "unknown" if machine.memory is None else filesize.decimal(machine.memory)
    if machine.available is not None:
        memory += f", {filesize.decimal(machine.available)} available; --max-memory bounds a build"
    return {
        "system": machine.system,
        "cores": f"{machine.cores}; --workers uses fewer",
        "memory": memory,
        "GPU": ", ".join(machine.gpus) or "none found by nvidia-smi; stacker needs none",
    }


def _list_folder(folder: Folder) -> dict[str, str]:
    return {
        "filesystem": folder.filesystem,
        "free": filesize.decimal(folder.free),
        "clone blocks": "yes: layers of donors on this filesystem take almost no time and no new space"
        if folder.block
        else "no: layers are copied; XFS and Btrfs can share blocks instead",
        "direct writes": "yes (O_DIRECT)" if folder.writes_past_cache else "no: writes go through the page cache",
        "copy in kernel": "yes (copy_file_range)" if folder.copies_in_kernel else "no: bytes go through memory",
        "keep holes": "yes" if folder.keeps_holes else "no: empty parts of sparse donors will take space",
    }


def _list_hub(hub: Hub) -> dict[str, str]:
    return {
        "address": hub.endpoint,
        "used": "no: HF_HUB_OFFLINE is set, only the cache is read" if hub.offline else "yes",
        "token": "found" if hub.token else "none: gated donors need `hf auth login`",
        "cache": f"{hub.cache}" + ("" if hub.exists else " (empty so far)"),
    }


def machine_json(machine: Machine) -> dict[str, Any]:
    """The facts about a machine as a JSON value, with sizes in bytes."""
    folder, hub = machine.folder, machine.hub
    return {
        "stacker": VERSION,
        "python": machine.python,
        "packages": dict(machine.packages),
        "system": machine.system,
        "cores": machine.cores,
        "memory": machine.memory,
        "available": machine.available,
        "gpus": list(machine.gpus),
        "folder": {
            "path": str(folder.path),
            "filesystem": folder.filesystem,
            "free": folder.free,
            "clone_block": folder.block,
            "copy_file_range": folder.copies_in_kernel,
            "direct_io": folder.writes_past_cache,
            "holes": folder.keeps_holes,
        },
        "hub": {
            "endpoint": hub.endpoint,
            "offline": hub.offline,
            "token": hub.token,
            "cache": str(hub.cache),
            "cache_exists": hub.exists,
        },
    }
