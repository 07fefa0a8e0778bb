"""Configs that stand in for donors whose weights are not here: `like` in a spec."""

from __future__ import annotations

from pathlib import Path

from stacker.arch.model import Json
from stacker.arch.table import packaged_text
from stacker.errors import SpecError, did_you_mean
from stacker.io.config import MOST_BYTES, parse_object
from stacker.io.files import shown
from stacker.io.repository import FolderRepository
from stacker.spec.model import DonorSpec
from stacker.text.node import plain_data
from stacker.text.yaml import read_yaml

_PACKAGED = "_references"


def read_reference(spec: DonorSpec, folder: Path) -> dict[str, Json]:
    """The config that `like` names: a folder that has one, a config.json, or one that ships with stacker."""
    like = str(spec.like)
    place = folder / Path(like).expanduser()
    if place.is_dir():
        return parse_object(FolderRepository(place).read("config.json", MOST_BYTES), place / "config.json")
    if place.exists():
        return parse_object(FolderRepository(place.parent).read(place.name, MOST_BYTES), place)
    packaged = packaged_references()
    if like in packaged:
        return packaged[like]
    message = f"there is no reference config '{shown(like)}' for donor '{spec.name}'"
    raise SpecError.of(message, did_you_mean(like, packaged), spec.mark)


def packaged_references() -> dict[str, dict[str, Json]]:
    """The configs that ship with stacker, by name."""
    table = plain_data(read_yaml(packaged_text(_PACKAGED), f"{_PACKAGED}.yaml"))
    assert isinstance(table, dict)
    return {name: dict(config) for name, config in table.items() if isinstance(config, dict)}
