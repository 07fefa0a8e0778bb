"""The options --executor and --address: what writes shards or measures stacks, in this process or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.terminal.streams import keep_output_clean
from stacker.errors import Mark, SpecError, did_you_mean, escape_text

if TYPE_CHECKING:
    from stacker.measure.workers.workers import Workers

Writer = Annotated[
    str, typer.Option("--executor", metavar="NAME", help="What writes the shards: local, or ray for a Ray cluster.")
]
Measurer = Annotated[
    str, typer.Option("--executor", metavar="NAME", help="What measures stacks: local, or ray for a Ray cluster.")
]
Address = Annotated[
    str | None,
    typer.Option("--address", metavar="HOST:PORT", envvar="RAY_ADDRESS", help="The Ray cluster; none: start Ray here."),
]
CacheDir = Annotated[
    Path | None,
    typer.Option(
        "--cache-dir",
        metavar="FOLDER",
        envvar="STACKER_CACHE_DIR",
        help="With --stream: keep files of servers in this folder of each machine, for all that read them there.",
    ),
]
CacheSize = Annotated[
    str | None,
    typer.Option("--cache-size", metavar="SIZE", envvar="STACKER_CACHE_SIZE", help="Most bytes there; else 100GB."),
]


def choose_executor(name: str, address: str | None, known: Collection[str]) -> str:
    """Check the name of an executor, and tell Ray the address of the cluster; SpecError for an unknown name."""
    if name not in known:
        raise SpecError.of(f"there is no executor '{escape_text(name)}'", did_you_mean(name, known), Mark("--executor"))
    if address:
        os.environ["RAY_ADDRESS"] = address
    return name


def set_cache(folder: Path | None, size: str | None, *, stream: bool) -> None:
    """Tell this process and those that it starts where the cache is; SpecError if it would not be used."""
    from stacker.io.ranges.node_cache import FOLDER, LIMIT
    from stacker.spec.language.value_grammar import parse_size

    if folder and not stream and FOLDER not in os.environ:
        raise SpecError.of("--cache-dir keeps what is streamed", "add --stream", Mark("--cache-dir"))
    if size:
        os.environ[LIMIT] = str(parse_size(size, Mark("--cache-size")))
    if folder:
        os.environ[FOLDER] = str(folder.absolute())


@contextmanager
def open_workers(name: str, address: str | None) -> Iterator[Workers]:
    """The workers of the executor called `name`; SpecError if there is none, or the cluster does not answer."""
    from stacker.measure.workers.executors import EXECUTORS

    with EXECUTORS[choose_executor(name, address, EXECUTORS)]() as workers, keep_output_clean():
        yield workers
