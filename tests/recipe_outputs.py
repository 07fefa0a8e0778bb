"""Plan ids and output hashes of every recipe, and of specs with every kind of item and op, built from tiny donors.

`python -m tests.recipe_outputs` rewrites the golden file. If an entry changes, the outputs of users change as well.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

import yaml

from stacker.cli.recipes import load_recipe
from stacker.compose import load
from stacker.io.files.spec_files import list_recipes
from tests.donors import write_llama

GOLDEN = Path(__file__).parent / "golden/outputs.json"
SPECS = Path(__file__).parent / "golden/outputs"
"""Specs for every item, and for every op whose bytes do not depend on the processor (not arcee_fusion, nuslerp)."""


def digest_of(folder: Path) -> str:
    """A hash of the config and all shards of an output."""
    found = hashlib.sha256()
    for path in sorted([folder / "config.json", *folder.glob("*.safetensors")]):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()[:32]


def build_spec(spec: Path) -> dict[str, str]:
    """Build a spec; the plan id and the digest of the output."""
    out = spec.parent / f"{spec.stem}-out"
    return {"plan": load(spec).build(out).plan.id, "bytes": digest_of(out)}


def write_recipe(home: Path, name: str) -> Path:
    """Write a recipe with tiny donors of the right depths; recipes that it uses as donors are written too."""
    text = (files("stacker.slices") / f"{name}.yaml").read_text(encoding="utf-8")
    references = yaml.safe_load((files("stacker.architectures") / "_references.yaml").read_text(encoding="utf-8"))
    for number, (donor, entry) in enumerate(yaml.safe_load(text)["donors"].items()):
        if "stack" in entry:
            write_recipe(home, entry["stack"].removesuffix(".yaml"))
            continue
        layers = references[entry["like"]]["num_hidden_layers"]
        write_llama(home / f"{donor}-{number}-{layers}", layers=layers, seed=number, hidden=8, ffn=8, vocab=8)
        text = re.sub(rf"(?m)^  {re.escape(donor)}: \{{.*\}}$", f"  {donor}: ./{donor}-{number}-{layers}", text)
    path = home / f"{name}.yaml"
    path.write_text(text)
    return path


def write_specs(home: Path) -> list[Path]:
    """Write the specs and three tiny donors."""
    for seed, name in enumerate("abc"):
        write_llama(home / name, seed=seed)
    return [home / shutil.copy(path, home) for path in sorted(SPECS.glob("*.yml"))]


def build_outputs(home: Path) -> dict[str, dict[str, str]]:
    """Build every recipe and spec; their plan ids and digests by name."""
    recipes = {f"recipe {name}": build_spec(write_recipe(home, name)) for name in list_recipes()}
    return recipes | {f"spec {path.stem}": build_spec(path) for path in write_specs(home)}


def recipe_ids() -> dict[str, str]:
    """The plan ids of all recipes over their reference configs."""
    return {name: load_recipe(name).plan().id for name in list_recipes()}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(
            json.dumps({"recipes": recipe_ids(), "outputs": build_outputs(Path(folder))}, indent=1) + "\n"
        )
    sys.stdout.write(f"{GOLDEN}\n")
