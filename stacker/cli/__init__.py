"""The command line: one file a command group; the only floor that prints and exits."""

from __future__ import annotations

import os
import signal
import sys
from io import TextIOWrapper
from types import FrameType
from typing import Any, NoReturn

import typer
from typer.models import CommandInfo

from stacker.cli import build, dry_run, inspection, new, preview, recipes, spec_language
from stacker.cli.app import ORDER, app
from stacker.cli.terminal.mergekit_options import translate_options
from stacker.cli.terminal.printing import print_json, print_problems, problem_json
from stacker.errors import StackerError, StorageError

__all__ = ["app", "build", "dry_run", "inspection", "main", "new", "preview", "program", "recipes", "spec_language"]


def command_name(command: CommandInfo) -> str:
    """What a command is called on the command line."""
    return str(command.name or getattr(command.callback, "__name__", ""))


app.registered_commands.sort(key=lambda command: (*ORDER, command_name(command)).index(command_name(command)))

USAGE_ERROR: Any = typer.BadParameter.__base__
"""What typer raises for a wrong command line; it has no public name of its own in every version."""


def program() -> NoReturn:
    """What a shell calls: `main`, and out at once. Measured, taking the interpreter down after a blend takes 0.13 s."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit code. Whatever a user can cause ends in a message, not in a traceback."""
    signal.signal(signal.SIGTERM, _terminate)
    _accept_any_character()
    words = sys.argv[1:] if arguments is None else arguments
    words, warnings = translate_options(words)
    print_problems(warnings)
    try:
        status: Any = app(words, prog_name="stacker", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except StackerError as error:
        _report(error, as_json="--json" in words)
        return error.exit_code
    except USAGE_ERROR as error:
        error.show()
        return int(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        _drop_output()
        return 0
    except OSError as error:
        if error.filename is not None:  # not of the stream that is printed to
            raise
        _drop_output()
        failure = StorageError.of(
            f"cannot write what is printed: {error.strerror}", "is the disk that it goes to full?"
        )
        _report(failure, as_json=False)
        return failure.exit_code


def _drop_output() -> None:
    """What is still to be printed goes nowhere, so that the end of the program does not stumble over it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _accept_any_character() -> None:
    """A terminal whose encoding lacks a character shows a question mark, and no traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _report(error: StackerError, *, as_json: bool) -> None:
    if as_json:
        print_json({"ok": False, "problems": [problem_json(problem) for problem in error.problems]})
    else:
        print_problems(error.problems)


def _terminate(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)
