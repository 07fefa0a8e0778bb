"""What a machine can do for stacker, as people and programs read it."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stacker.io.machine import FOR_DEVICES, Folder, Hub, Machine
from stacker.version import VERSION
from stacker.view.scene.formatting import bytes_text


def draw_machine(machine: Machine) -> RenderableType:
    """What there is and what it means for a build."""
    folder = machine.folder
    return Group(
        _section("this program", {"stacker": VERSION, "python": machine.python, **_packages(machine)}),
        _section("this machine", _hardware(machine)),
        _section(str(folder.path), _folder(folder)),
        _section("the hub", _hub(machine.hub)),
    )


def _section(title: str, rows: dict[str, str]) -> Group:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=16)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(f"  {name}"), Text(value))
    return Group(Text(title, "bold"), table)


def _packages(machine: Machine) -> dict[str, str]:
    return {name: found or _missing(name) for name, found in machine.packages}


def _missing(package: str) -> str:
    if package in FOR_DEVICES:
        return "not installed: only --device needs it, pip install 'stacker[gpu]' brings it"
    return "not installed: pip install stacker brings it"


def _hardware(machine: Machine) -> dict[str, str]:
    memory = "unknown" if machine.memory is None else bytes_text(machine.memory)
    if machine.available is not None:
        memory += f", {bytes_text(machine.available)} available; --max-memory bounds a build"
    return {
        "system": machine.system,
        "cores": f"{machine.cores}; --workers uses fewer",
        "memory": memory,
        "GPU": ", ".join(machine.gpus) or "none that nvidia-smi knows; stacker itself needs none",
    }


def _folder(folder: Folder) -> dict[str, str]:
    return {
        "filesystem": folder.filesystem,
        "free": bytes_text(folder.free),
        "clone blocks": "yes: layers of donors on this filesystem take no time and no new space"
        if folder.block
        else "no: layers are copied; XFS and Btrfs can share blocks instead",
        "direct writes": "yes (O_DIRECT)" if folder.writes_past_cache else "no: what is written fills the page cache",
        "copy in kernel": "yes (copy_file_range)" if folder.copies_in_kernel else "no: bytes go through memory",
        "keep holes": "yes" if folder.keeps_holes else "no: empty parts of sparse donors will take space",
    }


def _hub(hub: Hub) -> dict[str, str]:
    return {
        "address": hub.endpoint,
        "asked": "no: HF_HUB_OFFLINE is set, the cache is all there is" if hub.offline else "yes",
        "token": "there is one" if hub.token else "none: gated donors need `hf auth login`",
        "cache": f"{hub.cache}" + ("" if hub.exists else " (nothing there yet)"),
    }


def machine_json(machine: Machine) -> dict[str, Any]:
    """The same for programs; sizes in bytes."""
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
