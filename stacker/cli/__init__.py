"""Runs stacker's command line; each module defines one group of commands.

No other package prints text or ends the process.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any, NoReturn

import typer
from typer.models import CommandInfo

from stacker.cli import (
    build,
    difference,
    dry_run,
    evaluation,
    extraction,
    inspection,
    lineage,
    new,
    preview,
    probe,
    push,
    recipes,
    run,
    search,
    spec_language,
    sweep,
)
from stacker.cli.app import ORDER, app
from stacker.cli.terminal.help_columns import Command
from stacker.cli.terminal.mergekit_options import translate_options
from stacker.cli.terminal.printing import print_json, print_problems, print_python_warnings, problem_json
from stacker.cli.terminal.signals import end_on_signals
from stacker.cli.terminal.streams import STANDARD_OUTPUT, drop_output, prepare_streams
from stacker.cli.terminal.verbosity import add_verbose
from stacker.errors import StackerError, StorageError

__all__ = [
    "app",
    "build",
    "difference",
    "dry_run",
    "evaluation",
    "extraction",
    "inspection",
    "lineage",
    "main",
    "new",
    "preview",
    "probe",
    "program",
    "push",
    "recipes",
    "run",
    "search",
    "spec_language",
    "sweep",
]


def command_name(command: CommandInfo) -> str:
    """The name that a user types for a command: the name it was registered with, or else the name of its function."""
    return str(command.name or getattr(command.callback, "__name__", ""))


for _command in app.registered_commands:
    _command.cls = Command
    if _command.callback:
        _command.callback = add_verbose(_command.callback)
app.registered_commands.sort(key=lambda command: (*ORDER, command_name(command)).index(command_name(command)))

USAGE_ERROR: Any = typer.BadParameter.__base__
"""The exception class that typer raises for wrong arguments; not every version of typer exports this class by name."""


def program() -> NoReturn:
    """Entry point of the `stacker` command: run `main`, then end the process with the exit code of `main`.

    The interpreter's clean-up is skipped, which saves 0.13 s.
    """
    prepare_streams()
    end_on_signals()
    status = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # main has reported what could not be written
            stream.flush()
    os._exit(status)


def main(arguments: list[str] | None = None) -> int:
    """Run the command in `arguments`, or in `sys.argv` if None, and return its exit code.

    Errors that a user can cause are printed, not raised.
    """
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with print_python_warnings():
            return _run(words)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except SystemExit as end:  # from a signal; returning does not wait for threads, as Python's own exit would
        return int(str(end.code))
    except OSError as error:
        return _report_storage(error)


def _report_storage(error: OSError) -> int:
    """Print an OSError that no other code explained, and return the exit code; for a closed pipe, print nothing."""
    if error.filename != STANDARD_OUTPUT:
        failure = StorageError.of(f"reading or writing failed: {error}")
    else:
        drop_output()
        if isinstance(error, BrokenPipeError):
            return 0
        failure = StorageError.of(f"cannot write to standard output: {error.strerror}", "is the disk full?")
    print_problems(failure.problems)
    return failure.exit_code


def _run(words: list[str]) -> int:
    """Run the command in `words` and return its exit code; prints the errors that a user can cause."""
    words, warnings = translate_options(words)
    print_problems(warnings)
    try:
        status: Any = app(words, prog_name="stacker", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except StackerError as error:
        return _fail(error, words)
    except (MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and "failed to map" not in str(error):
            raise
        return _fail(_make_memory_error(), words)
    except RuntimeError as error:
        if "can't start new thread" not in str(error):
            raise
        hint = "raise the limit (`ulimit -u`), or use --workers 1"
        return _fail(StorageError.of("cannot start a thread", hint), words)
    except USAGE_ERROR as error:
        error.show()
        return int(error.exit_code)


def _make_memory_error() -> StorageError:
    hint = "raise the limit (`ulimit -v`), or give a build less to hold: --workers 1, --max-memory"
    return StorageError.of("there is not enough memory", hint)


def _fail(error: StackerError, words: list[str]) -> int:
    _report(error, as_json="--json" in words)
    sys.stdout.flush()
    return error.exit_code


def _report(error: StackerError, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": False, "problems": [problem_json(problem) for problem in error.problems]})
    else:
        print_problems(error.problems)
