"""Try families in separate processes, several at the same time, each with a time limit."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

Results = dict[str, str]
"""The result of each stack by its name: `right`, `refused: …` or `wrong: …`.

If donors could not be made, there is only the entry `made` with the reason.
"""
_QUIET = {
    "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error", "PYTHONWARNINGS": "ignore",
}  # fmt: skip


def try_families(names: Sequence[str], kept: Path, jobs: int, seconds: int) -> Iterator[tuple[str, Results]]:
    """Each family with its results, as soon as they are known; results that the folder `kept` has are reused."""
    os.environ.update(_QUIET)
    kept.mkdir(parents=True, exist_ok=True)
    get_context("forkserver").set_forkserver_preload(["tests.families.trial"])
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {pool.submit(_results, name, kept / f"{name}.json", seconds): name for name in names}
        for done in as_completed(waiting):
            yield waiting[done], done.result()


def _results(name: str, file: Path, seconds: int) -> Results:
    """The results that a separate process wrote for a family, or how the process failed."""
    if not file.is_file():
        process = get_context("forkserver").Process(target=_try, args=(name, file))
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            return {"made": f"no result within {seconds} s"}
        if not file.is_file():
            return {"made": f"its process ended with exit code {process.exitcode}"}
    found: Results = json.loads(file.read_text())
    return found


def _try(name: str, file: Path) -> None:
    file.write_text(json.dumps(try_family_named(name)))


def try_family_named(name: str) -> Results:
    """Try one family or wrapper in this process, with donors of six and of 12 layers."""
    found = _try_layers(name, deep=False)
    return found if "made" in found else found | try_deep_family(name)


def try_deep_family(name: str) -> Results:
    """Try one family or wrapper in this process, with donors of 12 layers."""
    found = _try_layers(name, deep=True)
    return found if "made" in found else {f"{stack} 12": word for stack, word in found.items()}


def _try_layers(name: str, *, deep: bool) -> Results:
    from tests.families.deep import deepen
    from tests.families.tiny import tiny_case
    from tests.families.trial import DEEP_TRIALS, TRIALS, NotMadeError, try_family
    from tests.families.wrappers import wrapper_case, wrapper_families

    with tempfile.TemporaryDirectory() as folder:
        try:
            case = wrapper_case(name) if name in wrapper_families() else tiny_case(name)
            return try_family(deepen(case) if deep else case, Path(folder), DEEP_TRIALS if deep else TRIALS)
        except NotMadeError as error:
            return {"made": str(error)}
