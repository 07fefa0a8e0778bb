"""Standard output while libraries work: it has what the main thread prints, and nothing else."""

from __future__ import annotations

import threading

import pytest

from stacker.cli.terminal.streams import keep_output_clean


def test_threads_print_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """What another thread prints on standard output goes to standard error, until the block ends."""
    with keep_output_clean():
        thread = threading.Thread(target=print, args=("a worker died",))
        thread.start()
        thread.join()
        print("result")
    other = threading.Thread(target=print, args=("later",))
    other.start()
    other.join()
    assert capsys.readouterr() == ("result\nlater\n", "a worker died\n")
