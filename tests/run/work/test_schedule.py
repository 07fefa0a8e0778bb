"""Tasks among threads: every job once, rounds one after the other, the first failure for all."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import partial

import hypothesis.strategies as st
import pytest
from hypothesis import given

from stacker.run.work.schedule import Job, Schedule, Stopped, work_off


def _unwatched() -> None:
    """Nobody looks."""


@given(shape=st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=6), workers=st.integers(1, 6))
def test_rounds_follow_one_another(shape: list[list[int]], workers: int) -> None:
    """Whatever tasks there are, each round begins when all jobs of the one before are done, and all are finished."""
    done: list[tuple[int, int]] = []
    late: list[tuple[int, int]] = []

    def rounds(task: int, sizes: list[int]) -> Iterator[Sequence[Job]]:
        for number, size in enumerate(sizes):
            if sum(1 for where in done if where == (task, number - 1)) != (sizes[number - 1] if number else 0):
                late.append((task, number))
            yield [partial(done.append, (task, number))] * size

    schedule = Schedule(((str(task), rounds(task, sizes)) for task, sizes in enumerate(shape)), threading.Event())
    work_off(schedule, workers, _unwatched)
    assert not late
    assert len(done) == sum(map(sum, shape))
    assert sorted(schedule.finished()) == sorted(str(task) for task in range(len(shape)))


def test_one_task_is_shared_by_all() -> None:
    """The jobs of a single round run on as many threads as there are, at the same time."""
    meeting = threading.Barrier(4, timeout=10)

    def meet() -> None:
        meeting.wait()

    work_off(Schedule([("one", iter([[meet] * 4]))], threading.Event()), 4, _unwatched)


def test_the_first_failure_is_raised_and_stops_the_rest() -> None:
    """Jobs after a failure are not begun."""
    begun: list[int] = []

    def fail() -> None:
        raise ValueError("broken")

    jobs: list[Job] = [fail, *(partial(begun.append, number) for number in range(5))]
    schedule = Schedule([("one", iter([jobs]))], threading.Event())
    with pytest.raises(ValueError, match="broken"):
        work_off(schedule, 1, _unwatched)
    assert not begun
    assert not schedule.finished()


def test_a_failure_between_rounds_is_raised_too() -> None:
    """What goes wrong while a task is begun ends the work like what goes wrong in a job."""

    def broken() -> Iterator[Sequence[Job]]:
        yield [_unwatched]
        raise ValueError("no second round")

    with pytest.raises(ValueError, match="no second round"):
        work_off(Schedule([("one", broken())], threading.Event()), 3, _unwatched)


def test_a_job_that_stops_is_no_failure() -> None:
    """A job that was asked to stop ends quietly, its task unfinished."""

    def stop() -> None:
        raise Stopped

    schedule = Schedule([("one", iter([[stop]]))], threading.Event())
    work_off(schedule, 2, _unwatched)
    assert not schedule.finished()


def test_what_the_watch_raises_stops_the_work() -> None:
    """An interrupt of the waiting thread lets running jobs end, and nothing after them begins."""
    stop = threading.Event()
    begun: list[int] = []

    def last() -> None:
        begun.append(1)
        stop.wait(10)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work_off(Schedule([("one", iter([[last] * 5]))], stop), 1, interrupt)
    assert begun == [1]


def test_finished_tasks_are_told_once() -> None:
    """Each id comes up in one answer only."""
    schedule = Schedule([("one", iter([])), ("two", iter([[_unwatched]]))], threading.Event())
    work_off(schedule, 1, _unwatched)
    assert sorted(schedule.finished()) == ["one", "two"]
    assert schedule.finished() == []
