"""The schedule: every job runs once, rounds of a task run in order, the first failure stops all threads."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial

import hypothesis.strategies as st
import pytest
from hypothesis import given

from stacker.run.work.schedule import Job, Schedule, Stopped, run_schedule


def _unwatched() -> None:
    """A watch, or a job, that does nothing."""


@given(shape=st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=6), workers=st.integers(1, 6))
def test_rounds_follow_one_another(shape: list[list[int]], workers: int) -> None:
    """Each round starts when all jobs of the previous one are done, and all tasks are finished at the end."""
    done: list[tuple[int, int]] = []
    late: list[tuple[int, int]] = []

    def rounds(task: int, sizes: list[int]) -> Iterator[Sequence[Job]]:
        for number, size in enumerate(sizes):
            if sum(1 for where in done if where == (task, number - 1)) != (sizes[number - 1] if number else 0):
                late.append((task, number))
            yield [partial(done.append, (task, number))] * size

    schedule = Schedule(((str(task), rounds(task, sizes)) for task, sizes in enumerate(shape)), threading.Event())
    run_schedule(schedule, workers, _unwatched)
    assert not late
    assert len(done) == sum(map(sum, shape))
    assert sorted(schedule.finished()) == sorted(str(task) for task in range(len(shape)))


def test_one_task_is_shared_by_all() -> None:
    """The jobs of a single round run on as many threads as there are, at the same time."""
    meeting = threading.Barrier(4, timeout=10)

    def meet() -> None:
        meeting.wait()

    run_schedule(Schedule([("one", iter([[meet] * 4]))], threading.Event()), 4, _unwatched)


def test_tasks_are_set_up_at_the_same_time() -> None:
    """A task's own code runs without the lock: as many tasks are set up at once as there are threads."""
    meeting = threading.Barrier(4, timeout=10)

    def rounds() -> Iterator[Sequence[Job]]:
        meeting.wait()
        yield [_unwatched]
        meeting.wait()

    schedule = Schedule(((str(task), rounds()) for task in range(4)), threading.Event())
    run_schedule(schedule, 4, _unwatched)
    assert sorted(schedule.finished()) == ["0", "1", "2", "3"]


@given(shape=st.lists(st.lists(st.integers(1, 4), max_size=4), max_size=6), workers=st.integers(2, 6))
def test_a_task_is_never_set_up_twice_at_once(shape: list[list[int]], workers: int) -> None:
    """The code of one task is run by one thread at a time, however many jobs end together."""
    inside = [threading.Lock() for _ in shape]

    def rounds(task: int, sizes: list[int]) -> Iterator[Sequence[Job]]:
        for size in sizes:
            assert inside[task].acquire(blocking=False)
            time.sleep(0)
            inside[task].release()
            yield [_unwatched] * size

    tasks = ((str(task), rounds(task, sizes)) for task, sizes in enumerate(shape))
    run_schedule(Schedule(tasks, threading.Event()), workers, _unwatched)


def test_a_task_waits_until_no_job_is_ready() -> None:
    """One thread does all jobs of a task before it starts the next; jobs come in the order of the tasks."""
    done: list[str] = []

    def rounds(task: str) -> Iterator[Sequence[Job]]:
        for number in range(2):
            done.append(f"{task}: set up {number}")
            yield [partial(done.append, f"{task}: job {number}.{order}") for order in range(2)]

    run_schedule(Schedule(((task, rounds(task)) for task in "ab"), threading.Event()), 1, _unwatched)
    assert done == [
        f"{task}: {what}"
        for task in "ab"
        for number in range(2)
        for what in (f"set up {number}", f"job {number}.0", f"job {number}.1")
    ]


def test_the_first_failure_is_raised_and_stops_the_rest() -> None:
    """No job starts after a failure."""
    begun: list[int] = []

    def fail() -> None:
        raise ValueError("broken")

    jobs: list[Job] = [fail, *(partial(begun.append, number) for number in range(5))]
    schedule = Schedule([("one", iter([jobs]))], threading.Event())
    with pytest.raises(ValueError, match="broken"):
        run_schedule(schedule, 1, _unwatched)
    assert not begun
    assert not schedule.finished()


def test_a_failure_between_rounds_is_raised_too() -> None:
    """An exception between rounds stops the work like an exception in a job."""

    def broken() -> Iterator[Sequence[Job]]:
        yield [_unwatched]
        raise ValueError("no second round")

    with pytest.raises(ValueError, match="no second round"):
        run_schedule(Schedule([("one", broken())], threading.Event()), 3, _unwatched)


def test_a_job_that_stops_is_no_failure() -> None:
    """A job that raises Stopped ends without an error, and its task is not finished."""

    def stop() -> None:
        raise Stopped

    schedule = Schedule([("one", iter([[stop]]))], threading.Event())
    run_schedule(schedule, 2, _unwatched)
    assert not schedule.finished()


def test_what_the_watch_raises_stops_the_work() -> None:
    """When the watch raises, running jobs end and no other job starts."""
    stop = threading.Event()
    begun: list[int] = []

    def last() -> None:
        begun.append(1)
        stop.wait(10)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_schedule(Schedule([("one", iter([[last] * 5]))], stop), 1, interrupt)
    assert begun == [1]


def test_finished_tasks_are_returned_once() -> None:
    """Each id is returned by one call of `finished` only."""
    schedule = Schedule([("one", iter([])), ("two", iter([[_unwatched]]))], threading.Event())
    run_schedule(schedule, 1, _unwatched)
    assert sorted(schedule.finished()) == ["one", "two"]
    assert schedule.finished() == []


_WITHOUT_MEMORY = """
import resource, threading
from stacker.errors import StorageError
from stacker.run.work.schedule import start_threads
first = threading.Thread(target=int)
first.start()
first.join()  # its stack is kept, so that the next thread can begin, and ends at once
resource.setrlimit(resource.RLIMIT_AS, (1 << 20, -1))
try:
    start_threads([threading.Thread(target=int)])
except StorageError as error:
    print(error)
"""


def test_a_thread_without_memory_is_an_error_and_no_hang() -> None:
    """Where the process may take no more address space, starting threads ends with what to do."""
    words = [sys.executable, "-c", _WITHOUT_MEMORY]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
    assert "does not allow another thread" in ended.stdout
    assert "ulimit -v" in ended.stdout
