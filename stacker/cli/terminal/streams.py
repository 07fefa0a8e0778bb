"""Prepares standard input, output and error, so that a build survives if one of them is closed or cannot be written."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

STANDARD_OUTPUT = "standard output"
"""The file name in an OSError of standard output."""


class _OutputFile(io.FileIO):
    """Standard output; its errors name it, so that they can be told from those of other files."""

    def write(self, data: Buffer, /) -> int:
        """Write some of `data` and return how many bytes were written."""
        try:
            return super().write(data)
        except OSError as error:
            error.filename = STANDARD_OUTPUT
            raise


class _ErrorFile(io.FileIO):
    """Standard error; errors of writing to it are ignored, because there is no other place to report them."""

    def write(self, data: Buffer, /) -> int:
        """Write some of `data` and return how many bytes were written; all of them if writing fails."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def prepare_streams() -> None:
    """Replace the standard streams by ones that never fail unnoticed, and open the null device for closed ones.

    Without the latter, the next file that is opened would get the number of the closed stream, and whatever a library
    prints would be written into that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # the lowest free number is taken, which is this one
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdin is None:
        sys.stdin = TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = _make_writer(_OutputFile(1, "w", closefd=False), sys.stdout)
    sys.stderr = _make_writer(_ErrorFile(2, "w", closefd=False), sys.stderr)


def _make_writer(file: io.FileIO, old: object) -> TextIOWrapper:
    """A text stream like `old`; characters that its encoding lacks are printed as `?`."""
    encoding = old.encoding if isinstance(old, TextIOWrapper) else "utf-8"
    lines = file.fileno() == 2 or file.isatty()
    return TextIOWrapper(io.BufferedWriter(file), encoding=encoding, errors="replace", line_buffering=lines)


def drop_output() -> None:
    """Redirect standard output to the null device after a failed write, so that the flush at exit does not fail too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _MainThreadOutput:
    """Standard output for the main thread, and standard error for all others."""

    def __init__(self, own: TextIO) -> None:
        self._own = own

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own if threading.current_thread() is threading.main_thread() else sys.stderr, name)


@contextmanager
def keep_output_clean() -> Iterator[None]:
    """Print on standard error what threads of libraries print on standard output during the `with` block."""
    with redirect_stdout(_MainThreadOutput(sys.stdout)):
        yield
