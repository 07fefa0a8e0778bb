"""Builds from and to an S3 server on this machine (moto's), compared with obstore's own copies of the same bytes.

Needs the environment of `make cluster`: `build/cluster/bin/python -m tools.bench storage`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

from tools.bench import contenders, donors
from tools.bench.contenders import Slice
from tools.bench.measure import (
    STACKER,
    Bench,
    BenchError,
    Row,
    Run,
    alternate,
    at_least,
    at_most,
    peak,
    remove,
    run,
    seconds,
    spread,
)

BUCKET = "s3://models"
SHAPE = replace(donors.MIDDLE, layers=8, shard=250_000_000)
"""1.1 GB in bf16, in files of 250 MB."""
_SERVER = """
import boto3
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
place = "http://%s:%s" % server.get_host_and_port()
keys = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
boto3.client("s3", endpoint_url=place, **keys).create_bucket(Bucket="models")
print(place, flush=True)
input()
"""
"""A program that runs a server with an empty bucket until its input ends."""
_COPY = """
import sys
from pathlib import Path
from obstore.store import from_url
source, target = sys.argv[1:]
if "://" in source:
    store = from_url(source)
    Path(target).mkdir()
    for meta in [meta for page in store.list() for meta in page]:
        with (Path(target) / meta["path"]).open("wb") as file:
            for piece in store.get(meta["path"]).stream():
                file.write(piece)
else:
    store = from_url(target)
    for path in sorted(Path(source).iterdir()):
        store.put(path.name, path)
"""
"""A program that copies all files of a folder by obstore: its streaming `get`, or its `put` in parts, file by file."""


def measure(bench: Bench) -> Iterator[Row]:
    """Time and memory of a streamed build of 1.1 GB from the server, and of a build to it, against obstore's copies."""
    donor = donors.make_donor(bench.scratch / "stored", SHAPE, 1)
    out, fetched, numbers = bench.scratch / "out", bench.scratch / "fetched", count()
    with _serve() as place:
        variables = {**_list_variables(place), "TMPDIR": str(bench.scratch)}
        copy = partial(run, sys.executable, "-c", _COPY, environment=variables)
        copy(donor, f"{BUCKET}/donor")
        stored = _write_spec(bench.scratch / "stored.yml", f"{BUCKET}/donor")
        local = contenders.write_stack(bench.scratch / "local.yml", [Slice(donor, 0, SHAPE.layers)])
        build = partial(run, *STACKER, "build", "--quiet", "--shard-size", "250MB", environment=variables)
        prepare = partial(_prepare, out, fetched, donor)
        down = alternate(
            bench.times,
            prepare,
            stacker=partial(build, stored, out, "--stream"),
            obstore=partial(_fetch_and_sync, copy, fetched),
        )
        up = alternate(
            bench.times,
            prepare,
            stacker=lambda: build(local, f"{BUCKET}/out-{next(numbers)}"),
            obstore=lambda: copy(donor, f"{BUCKET}/copy-{next(numbers)}"),
        )
    for what, runs in (("from the server", down), ("to the server", up)):
        yield from (Row(f"1.1 GB {what}: {name}", spread(found)) for name, found in runs.items())
        speed = seconds(runs["obstore"]) / seconds(runs["stacker"])
        yield at_least(f"speed {what}, of that of obstore's copy", speed * 100, 60, "%", 0)
        yield at_most(f"resident memory of the build {what}", peak(runs["stacker"]) / 1e6, 300, "MB", 0)
    for folder in (out, fetched):
        remove(folder)


@contextmanager
def _serve() -> Iterator[str]:
    """Run the server, and yield its address."""
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        place = server.stdout.readline().strip()
        if not place:
            raise BenchError("moto is needed: make cluster, then build/cluster/bin/python -m tools.bench storage")
        try:
            yield place
        finally:
            server.terminate()


def _list_variables(place: str) -> dict[str, str]:
    """What a client of the server finds in its environment."""
    return {
        "AWS_ENDPOINT_URL": place,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }


def _write_spec(path: Path, source: str) -> Path:
    path.write_text(f"stacker: 1\nname: stored\ndonors: {{a: '{source}'}}\nstack: [a]\n", encoding="utf-8")
    return path


def _fetch_and_sync(copy: partial[Run], fetched: Path) -> Run:
    """Copy the donor here and write it to the disk, as stacker does with its output."""
    began = copy(f"{BUCKET}/donor", fetched)
    synced = run("sh", "-c", 'sync "$1"/*', "sync", fetched)
    return replace(began, seconds=began.seconds + synced.seconds)


def _prepare(out: Path, fetched: Path, donor: Path) -> None:
    remove(fetched)
    contenders.prepare(out, donor)
