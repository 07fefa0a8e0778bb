"""The option -v of every command: lines on standard error about donors, downloads, threads and times."""

from __future__ import annotations

import inspect
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Annotated, Any, get_type_hints

import typer

from stacker.cli.terminal.printing import escape_control

Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Say on standard error where donors are, how many threads work, and how long it takes.",
    ),
]
_NAME = "verbose"
_IS_SHOWN = ContextVar("_IS_SHOWN", default=False)


def add_verbose(command: Callable[..., Any]) -> Callable[..., Any]:
    """The function of a command with one more parameter, the option --verbose."""

    @wraps(command)
    def run(*arguments: Any, verbose: bool = False, **options: Any) -> Any:
        if not verbose:
            return command(*arguments, **options)
        with show_log():
            return command(*arguments, **options)

    hints = get_type_hints(command, include_extras=True)
    known = [each.replace(annotation=hints[each.name]) for each in inspect.signature(command).parameters.values()]
    option = inspect.Parameter(_NAME, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Verbose)
    vars(run)["__signature__"] = inspect.Signature([*known, option])
    run.__annotations__ = {**hints, _NAME: Verbose}
    return run


@contextmanager
def show_log() -> Iterator[None]:
    """Print the log of stacker on standard error while the `with` block runs, and then what the block has cost.

    Each line begins with the seconds since the block began.
    """
    import logging

    if _IS_SHOWN.get():  # `stacker -v build -v`
        yield
        return
    started, used = time.monotonic(), time.process_time()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = escape_control(record.getMessage())
            sys.stderr.write(f"[{time.monotonic() - started:.2f} s] {text}\n")

    handler, log = Handler(), logging.getLogger("stacker")
    level = log.level
    shown = _IS_SHOWN.set(True)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        processor = time.process_time() - used
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
        log.info("ended after %.2f s of the processor, with at most %.0f MB of memory", processor, peak)
        log.removeHandler(handler)
        log.setLevel(level)
        _IS_SHOWN.reset(shown)
