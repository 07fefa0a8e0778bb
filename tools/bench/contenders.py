"""Who is measured: stacker, mergekit doing the same, and `cp` moving the same bytes; and the specs they are given."""

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
    """The program `mergekit-yaml`: the one given, or one in a virtual environment of its own in `scratch`."""
    if given is not None:
        if not given.exists():
            raise BenchError(f"there is no {given}")
        return given
    program = scratch / "mergekit" / "bin" / "mergekit-yaml"
    if not program.exists():
        run(sys.executable, "-m", "venv", "--clear", scratch / "mergekit")
        run(program.with_name("pip"), "install", "--quiet", "--constraint", CONSTRAINTS, MERGEKIT)
    return program


def stack_spec(path: Path, slices: Sequence[Slice], output: str = "") -> Path:
    """A spec of stacker: these slices one after another."""
    lines = [f"stacker: 1\nname: {path.stem}\n", _donors({one.donor for one in slices}), "stack:\n"]
    lines += [f"  - {one.donor.name}[{one.start}:{one.stop}]\n" for one in slices]
    return _write(path, "".join(lines) + output)


@dataclass(frozen=True, slots=True)
class BlendOf:
    """Two donors blended by an op: what is set for both alike, what for the blend, and the base where there is one."""

    op: str
    donors: tuple[Path, Path]
    base: Path | None
    each: Mapping[str, float]
    own: Mapping[str, float]


def blend_spec(path: Path, blend: BlendOf) -> Path:
    """A spec of stacker: all layers, embedding and head of two donors blended."""
    items = [f"[{', '.join(repr(one.name) for one in blend.donors)}]", f"op: {blend.op}"]
    items += [f"{name}: {value}" for name, value in {**blend.each, **blend.own}.items()]
    base = [] if blend.base is None else [blend.base]
    written = f"{{blend: {', '.join([*items, *(f'base: {one.name}' for one in base)])}}}"
    text = f"stacker: 1\nname: {path.stem}\n{_donors({*blend.donors, *base})}"
    return _write(path, f"{text}stack: [{written}]\nembed: {written}\nhead: {written}\n")


def mergekit_stack(path: Path, slices: Sequence[Slice]) -> Path:
    """The same as `stack_spec`, in mergekit's words."""
    sources = [f"{{model: {one.donor.absolute()}, layer_range: [{one.start}, {one.stop}]}}" for one in slices]
    lines = "".join(f"  - sources: [{source}]\n" for source in sources)
    return _write(path, f"merge_method: passthrough\ndtype: bfloat16\nslices:\n{lines}")


def mergekit_blend(path: Path, blend: BlendOf) -> Path:
    """The same as `blend_spec`, in mergekit's words; its slerp calls the first donor the base."""
    base = blend.donors[0] if blend.op == "slerp" else blend.base
    lines = [f"merge_method: {blend.op}", "dtype: bfloat16", "models:"]
    lines += [f"  - {{model: {one.absolute()}, parameters: {_flow(blend.each)}}}" for one in blend.donors]
    lines += [f"parameters: {_flow(blend.own)}"]
    lines += [] if base is None else [f"base_model: {base.absolute()}"]
    return _write(path, "\n".join(lines) + "\n")


def _flow(values: Mapping[str, float]) -> str:
    return f"{{{', '.join(f'{name}: {value}' for name, value in values.items())}}}"


def build(spec: Path, out: Path, *options: str) -> Run:
    return run(*STACKER, "build", spec, out, "--quiet", *options)


def merge(mergekit: Path, spec: Path, out: Path) -> Run:
    """Made durable afterwards, as what it is compared with is."""
    script = '"$1" "$2" "$3" --quiet --no-copy-tokenizer && sync "$3"/*'
    return run("sh", "-c", script, "merge", mergekit, spec, out)


def copy(source: Path, out: Path) -> Run:
    """All files of a folder, copied and made durable."""
    out.mkdir()
    return run("sh", "-c", 'cp "$1"/* "$2" && sync "$2"/*', "copy", source, out)


def stream(written: Path, read: Sequence[Path], out: Path) -> Run:
    """The files of a folder copied and made durable, while those of others are read: a blend without its arithmetic."""
    return _stream('cp "$from"/* "$out"; wait; sync "$out"/*', out, written, read)


def stream_past_cache(written: Path, read: Sequence[Path], out: Path) -> Run:
    """The same, and what is written does not pass through the page cache."""
    copy = 'dd if="$file" of="$out/${file##*/}" bs=4M oflag=direct conv=fsync status=none'
    return _stream(f'for file in "$from"/*; do {copy}; done; wait', out, written, read)


def _stream(copy: str, out: Path, written: Path, read: Sequence[Path]) -> Run:
    out.mkdir()
    script = 'out=$1 from=$2; shift 2; for each; do cat "$each"/* > /dev/null & done; '
    return run("sh", "-c", script + copy, "stream", out, written, *read)


def ready(out: Path, *warm: Path) -> None:
    """Nothing at `out`, everything else on the disk, and the files of these folders in the page cache."""
    remove(out)
    settle()
    for folder in warm:
        run("sh", "-c", 'cat "$1"/*.safetensors > /dev/null', "warm", folder)


def ready_cold(out: Path, *cold: Path) -> None:
    """Nothing at `out`, everything else on the disk, and of the files of these folders nothing in the page cache."""
    ready(out)
    for path in (path for folder in cold for path in folder.glob("*.safetensors")):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def need(program: str, package: str) -> None:
    """BenchError where a program is not installed."""
    if shutil.which(program) is None:
        raise BenchError(f"there is no {program} here; install {package}")


def _donors(folders: set[Path]) -> str:
    return "donors:\n" + "".join(f"  {one.name}: {one.absolute()}\n" for one in sorted(folders))


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
