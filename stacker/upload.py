"""Builds a checkpoint into object storage: each shard is written to a scratch folder, uploaded and deleted.

While a shard is uploaded, the next is written. An interrupted build keeps the shards that it has uploaded.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from stacker.compose import Stack, describe_output, plan_for
from stacker.core.plan.plan import Plan, Report
from stacker.core.side_files.selection import SideFiles
from stacker.errors import Mark, SpecError, StorageError, raise_problems
from stacker.io.disk.storage import explain_errors
from stacker.io.donors.side_files import read_clean_files
from stacker.io.storage.target import StorageTarget, open_target
from stacker.parts import check_whole_only
from stacker.run.building import DEFAULTS, SILENT, BuildOptions, Built, Listener, write_weights
from stacker.run.parts import cut_into_shards, find_finished, write_part
from stacker.run.preparing import Work, check_room, prepare_work
from stacker.run.resume import find_changed_donors
from stacker.run.shard_digests import digest_shards
from stacker.spec.language.value_grammar import parse_source


def build_to_storage(
    stack: Stack, address: str, options: BuildOptions = DEFAULTS, listener: Listener = SILENT
) -> Built:
    """Write the stack's checkpoint to an address such as `s3://bucket/folder`; the config goes last.

    Shards pass through the folder for temporary files, which must have room for two. Errors are raised as in `build`;
    SpecError also if there is a checkpoint at the address.
    """
    raise_problems(stack.problems)
    check_whole_only(stack)
    if options.force or options.executor != "local":
        raise SpecError.of("outputs in object storage are not replaced (--force), nor written by other executors")
    address = str(parse_source("output", address, None).source)
    plan = plan_for(stack, None, options.layout)
    target = open_target(address, plan)
    work = prepare_work(stack, plan, options, listener)
    kept = _find_kept(work, target)
    uploaded, report = _write_shards(work, kept, target, options, listener)
    digests = {name: one.sha256 for name, one in target.uploaded.items()} | uploaded
    ordered = {shard.name: digests[shard.name] for shard in plan.shards}
    found = dict.fromkeys(donor.name for donor in work.donors.values())
    texts = describe_output(stack, work, found, ordered if options.digests else {})
    target.finish(dict(read_clean_files(work.side_files)) | texts)
    return Built(plan, report, address)


def _find_kept(work: Work, target: StorageTarget) -> set[int]:
    """The numbers of the shards that an earlier run has uploaded, from donors that have not changed since."""
    names = [shard.name for shard in work.plan.shards]
    kept = {number for number, name in enumerate(names) if name in target.uploaded}
    for number in tuple(kept):
        tasks = [task for task in work.tasks if task.shard == number]
        if find_changed_donors(tasks, target.uploaded[names[number]].donors):
            kept.remove(number)
    return kept


def _write_shards(
    work: Work, kept: Collection[int], target: StorageTarget, options: BuildOptions, listener: Listener
) -> tuple[dict[str, str], Report]:
    """Write and upload all shards but those in `kept`; the SHA-256 of each by name, and a report."""
    shards = work.plan.shards
    done, total = sum(shards[number].size for number in kept), sum(shard.size for shard in shards)
    digests, report = dict[str, str](), Report(kept=done)
    left = [number for number in range(len(shards)) if number not in kept]
    started = time.monotonic()
    with _scratch() as scratch, ThreadPoolExecutor(1, "upload") as pool:
        uploading: Future[None] = pool.submit(lambda: None)
        for number, piece, tasks in cut_into_shards(work.plan, work.tasks, left):
            shard, folder = shards[number], scratch / str(number)
            own = Work(piece, tasks, {}, SideFiles((), ()), work.summary)
            check_room(folder, own)
            write = partial(write_weights, piece, tasks, options=options, listener=SILENT)
            report += write_part(piece, work.summary, folder, write, restart=False)[0]
            digests[shard.name] = digest_shards(folder, piece)[shard.name]
            uploading.result()
            uploading = pool.submit(_upload, target, folder, piece, digests[shard.name])
            done += shard.size
            listener.writing(done, total)
        uploading.result()
    return digests, replace(report, seconds=time.monotonic() - started)


def _upload(target: StorageTarget, folder: Path, piece: Plan, sha256: str) -> None:
    """Upload the one shard in a folder, and delete the folder."""
    part = find_finished(folder, piece)
    if part is None:
        raise StorageError.of("this scratch folder is gone", "", Mark(str(folder)))
    target.upload(folder / piece.shards[0].name, piece.shards[0], sha256, part.donors)
    shutil.rmtree(folder)


@contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a new folder in the folder for temporary files, which TMPDIR names, and delete it at the end."""
    place = Path(tempfile.gettempdir())
    with explain_errors(place), tempfile.TemporaryDirectory(prefix="stacker-") as scratch:
        yield Path(scratch)
