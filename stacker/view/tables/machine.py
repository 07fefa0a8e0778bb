"""Shows what `stacker doctor` found out about a machine, as tables for the terminal and as JSON."""

from __future__ import annotations

from typing import Any

from rich import filesize
from rich.console import Group, RenderableType
from rich.text import Text

from stacker.core.study.build_time import WITHOUT_ARITHMETIC, Origin, Speeds
from stacker.io.machine import FOR_LIVE, Folder, Hub, Machine
from stacker.ops.table import OPS
from stacker.version import VERSION
from stacker.view.scene.tabular import count_text, make_pairs


def draw_machine(machine: Machine, speeds: Speeds) -> RenderableType:
    """The program versions, hardware, filesystem, speeds and hub access of a machine.

    Remarks tell what a value means for a build.
    """
    folder = machine.folder
    return Group(
        _draw_section("this program", {"stacker": VERSION, "python": machine.python, **_list_packages(machine)}),
        _draw_section("this machine", _list_hardware(machine)),
        _draw_section(str(folder.path), _list_folder(folder)),
        _draw_section("builds", _list_speeds(speeds)),
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


_ORIGINS = {
    Origin.DEFAULTS: "defaults: nothing is known of this machine yet; --measure measures it",
    Origin.MEASURED: "measured with --measure, and corrected by builds since then",
    Origin.BUILDS: "defaults, corrected by builds on this machine; --measure measures all",
}


def _list_speeds(speeds: Speeds) -> dict[str, str]:
    """The speed of writing, and those of the slowest and the fastest op."""
    rates = sorted((speeds.of(op), op) for op in OPS if op not in WITHOUT_ARITHMETIC)
    slowest, fastest = (f"{count_text(rate)} ({op})" for rate, op in (rates[0], rates[-1]))
    return {
        "speeds": _ORIGINS[speeds.origin],
        "writing": f"{filesize.decimal(int(speeds.write))}/s",
        "blending": f"{slowest} to {fastest} elements of the sources a second",
    }


def _list_hub(hub: Hub) -> dict[str, str]:
    return {
        "address": hub.endpoint,
        "used": "no: HF_HUB_OFFLINE is set, only the cache is read" if hub.offline else "yes",
        "token": "found" if hub.token else "none: gated donors need `hf auth login`",
        "cache": f"{hub.cache}" + ("" if hub.exists else " (empty so far)"),
    }


def machine_json(machine: Machine, speeds: Speeds) -> dict[str, Any]:
    """The facts about a machine as a JSON value, with sizes in bytes and speeds as in Speeds."""
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
        "speeds": {
            "from": speeds.origin.value,
            "write": round(speeds.write),
            "elements": {op: round(speeds.of(op)) for op in OPS},
        },
        "hub": {
            "endpoint": hub.endpoint,
            "offline": hub.offline,
            "token": hub.token,
            "cache": str(hub.cache),
            "cache_exists": hub.exists,
        },
    }
