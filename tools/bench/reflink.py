"""The passthrough of 4.4 GB on XFS, where blocks are cloned: time without start-up, and new blocks on the disk.

The filesystem is an image file on a loop device, which needs root and xfsprogs.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.bench import contenders, donors
from tools.bench.measure import STACKER, Bench, Row, at_most, remove, run, settle, used
from tools.bench.passthrough import make_five_slices


@contextmanager
def mount_xfs(image: Path, size: int) -> Iterator[Path]:
    """Make an XFS of `size` bytes in an image file and mount it; unmount and delete it when the block ends."""
    contenders.require("mkfs.xfs", "xfsprogs")
    with image.open("wb") as file:
        file.truncate(size)
    folder = image.with_suffix("")
    folder.mkdir(exist_ok=True)
    run("mkfs.xfs", "-q", "-f", "-m", "reflink=1", image)
    run("mount", "-o", "loop", image, folder)
    try:
        yield folder
    finally:
        run("umount", folder)
        folder.rmdir()
        remove(image)


def measure(bench: Bench) -> Iterator[Row]:
    """Time of a build minus that of `stacker check`, and growth of the filesystem."""
    with mount_xfs(bench.scratch / "reflink.xfs", 16_000_000_000) as folder:
        pair = [donors.make_donor(folder / f"donor-{seed}", donors.MIDDLE, seed) for seed in (1, 2)]
        spec, out = contenders.write_stack(folder / "clones.yml", make_five_slices(*pair)), folder / "out"
        totals, rests, grown = [], [], []
        for _ in range(bench.times):
            remove(out)
            settle()
            start = run(*STACKER, "check", spec).seconds
            before = used(folder)
            total = contenders.build(spec, out).seconds
            grown.append(used(folder) - before)
            totals.append(total)
            rests.append(total - start)
        yield Row("passthrough to 4.4 GB on XFS with reflink", f"{statistics.median(totals):.2f} s in all")
        yield at_most("time beyond that of `stacker check`", statistics.median(rests), 0.3, "s", 3)
        yield at_most("new blocks", max(grown) / 1e6, 16, "MB", 1)
