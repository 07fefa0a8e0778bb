"""Runs tasks of lm-evaluation-harness on live stacks. Imports it late: it is the extra `eval`.

https://github.com/EleutherAI/lm-evaluation-harness, version 0.4.13.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stacker.errors import Mark, SpecError
from stacker.live.filling.classes import hide_messages
from stacker.live.live_stack import LiveStack


def wrap_model(live: LiveStack, batch: int = 8) -> Any:
    """A live stack as the harness's model, which answers requests in batches of `batch`.

    SpecError if the harness is not installed, or the stack has no tokenizer.
    """
    _check_installed()
    from lm_eval.models.huggingface import HFLM

    return HFLM(live.model, tokenizer=live.load_tokenizer(), device=str(live.model.device), batch_size=batch)


def run_tasks(
    live: LiveStack,
    names: Sequence[str],
    folder: str | Path,
    *,
    limit: int | None = None,
    batch: int = 8,
    **options: Any,
) -> dict[str, Any]:
    """Run the tasks called `names`, whose YAML files are in `folder`; returns what `simple_evaluate` returns.

    Only the first `limit` documents of each are used, if given; `options` go to `simple_evaluate`. Task files may name
    code, which the harness runs. SpecError if a task is not in the folder.
    """
    _check_installed()
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    tasks = TaskManager(include_path=str(folder), include_defaults=False)
    missing = sorted(set(names) - set(tasks.all_tasks))
    if missing:
        known = ", ".join(sorted(tasks.all_tasks)) or "none"
        raise SpecError.of(f"there is no task {', '.join(missing)}", f"tasks there: {known}", Mark(str(folder)))
    model = wrap_model(live, batch)
    with hide_messages():
        found = simple_evaluate(model, tasks=[*names], task_manager=tasks, limit=limit, **options)
    return dict(found or {})


def _check_installed() -> None:
    if find_spec("lm_eval") is None:
        raise SpecError.of("lm-evaluation-harness is not installed here", "pip install 'stacker-llm[eval]'")
