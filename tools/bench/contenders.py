"""Runs the compared programs (stacker, mergekit, `cp`, `dd`) and writes the specs that stacker and mergekit read."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.bench.measure import STACKER, BenchError, Run, remove, run, settle

MERGEKIT = "mergekit==0.1.5"
CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"


@dataclass(frozen=True, slots=True)
class Slice:
    """Layers [start, stop) of a donor folder."""

    donor: Path
    start: int
    stop: int


def find_mergekit(given: Path | None, scratch: Path) -> Path:
    """The path of `mergekit-yaml`: `given`, or one that is installed into a virtual environment in `scratch`.

    BenchError when `given` does not exist.
    """
    if given is not None:
        if not given.exists():
            raise BenchError(f"{given} does not exist")
        return given
    program = scratch / "mergekit" / "bin" / "mergekit-yaml"
    if not program.exists():
        run(sys.executable, "-m", "venv", "--clear", scratch / "mergekit")
        run(program.with_name("pip"), "install", "--quiet", "--constraint", CONSTRAINTS, MERGEKIT)
    return program


def write_stack(path: Path, slices: Sequence[Slice]) -> Path:
    """Write a stacker spec that stacks these slices in order."""
    lines = [f"stacker: 1\nname: {path.stem}\n", _donors({one.donor for one in slices}), "stack:\n"]
    lines += [f"  - {one.donor.name}[{one.start}:{one.stop}]\n" for one in slices]
    return _write(path, "".join(lines))


@dataclass(frozen=True, slots=True)
class BlendOf:
    """Two donors blended by an op, with the parameters that each source gets and the parameters of the blend."""

    op: str
    donors: tuple[Path, Path]
    base: Path | None
    per_source: Mapping[str, float]
    own: Mapping[str, float]


def write_blend(path: Path, blend: BlendOf) -> Path:
    """Write a stacker spec that blends all layers, embedding and head of two donors."""
    items = [f"[{', '.join(repr(one.name) for one in blend.donors)}]", f"op: {blend.op}"]
    items += [f"{name}: {value}" for name, value in {**blend.per_source, **blend.own}.items()]
    base = [] if blend.base is None else [blend.base]
    written = f"{{blend: {', '.join([*items, *(f'base: {one.name}' for one in base)])}}}"
    text = f"stacker: 1\nname: {path.stem}\n{_donors({*blend.donors, *base})}"
    return _write(path, f"{text}stack: [{written}]\nembed: {written}\nhead: {written}\n")


def write_mergekit_stack(path: Path, slices: Sequence[Slice]) -> Path:
    """Write the config for mergekit that stacks these slices in order."""
    sources = [f"{{model: {one.donor.absolute()}, layer_range: [{one.start}, {one.stop}]}}" for one in slices]
    lines = "".join(f"  - sources: [{source}]\n" for source in sources)
    return _write(path, f"merge_method: passthrough\ndtype: bfloat16\nslices:\n{lines}")


def write_mergekit_blend(path: Path, blend: BlendOf) -> Path:
    """Write the config with which mergekit makes this blend; mergekit's slerp calls the first donor the base."""
    base = blend.donors[0] if blend.op == "slerp" else blend.base
    lines = [f"merge_method: {blend.op}", "dtype: bfloat16", "models:"]
    lines += [f"  - {{model: {one.absolute()}, parameters: {_flow(blend.per_source)}}}" for one in blend.donors]
    lines += [f"parameters: {_flow(blend.own)}"]
    lines += [] if base is None else [f"base_model: {base.absolute()}"]
    return _write(path, "\n".join(lines) + "\n")


def _flow(values: Mapping[str, float]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"


def build(spec: Path, out: Path, *options: str) -> Run:
    return run(*STACKER, "build", spec, out, "--quiet", *options)


def merge(mergekit: Path, spec: Path, out: Path) -> Run:
    """Run mergekit, then `sync` its output, as stacker does itself."""
    script = '"$1" "$2" "$3" --quiet --no-copy-tokenizer && sync "$3"/*'
    return run("sh", "-c", script, "merge", mergekit, spec, out)


def copy(source: Path, out: Path) -> Run:
    """Copy all files of a folder with `cp`, then `sync` them."""
    out.mkdir()
    return run("sh", "-c", 'cp "$1"/* "$2" && sync "$2"/*', "copy", source, out)


def stream(written: Path, read: Sequence[Path], out: Path) -> Run:
    """Copy and `sync` the files of one folder while reading the files of others: a blend without its arithmetic."""
    return _stream('cp "$from"/* "$out"; wait; sync "$out"/*', out, written, read)


def stream_past_cache(written: Path, read: Sequence[Path], out: Path) -> Run:
    """Like `stream`, but write with `dd oflag=direct`, past the page cache."""
    copy = 'dd if="$file" of="$out/${file##*/}" bs=4M oflag=direct conv=fsync status=none'
    return _stream(f'for file in "$from"/*; do {copy}; done; wait', out, written, read)


def _stream(copy: str, out: Path, written: Path, read: Sequence[Path]) -> Run:
    out.mkdir()
    script = 'out=$1 from=$2; shift 2; for each; do cat "$each"/* > /dev/null & done; '
    return run("sh", "-c", script + copy, "stream", out, written, *read)


def prepare(out: Path, *warm: Path) -> None:
    """Remove `out`, write all cached data to the disk, and read the weights in `warm` folders into the page cache."""
    remove(out)
    settle()
    for folder in warm:
        run("sh", "-c", 'cat "$1"/*.safetensors > /dev/null', "warm", folder)


def prepare_cold(out: Path, *cold: Path) -> None:
    """Remove `out`, write all cached data to the disk, and drop the weights in `cold` folders from the page cache."""
    prepare(out)
    for path in (path for folder in cold for path in folder.glob("*.safetensors")):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def require(program: str, package: str) -> None:
    """BenchError when a program is not installed."""
    if shutil.which(program) is None:
        raise BenchError(f"{program} is not installed; install {package}")


def _donors(folders: set[Path]) -> str:
    return "donors:\n" + "".join(f"  {one.name}: {one.absolute()}\n" for one in sorted(folders))


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
