"""Distributes jobs among threads: chooses the next job, notes when a task is finished, and stops after an exception.

A task is an iterator of rounds, and a round is a list of jobs that may run in any order.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from mmap import mmap

from stacker.errors import StorageError

Job = Callable[[], None]
Rounds = Iterator[Sequence[Job]]
"""The rounds of one task; the next round is requested only when all jobs of the previous round are done."""
_WATCH = 0.1
"""Seconds between two calls of `watch` in `run_schedule`."""
_ROOM = 16 << 20
"""Bytes of address space that a thread may take while it starts: its stack, and memory for Python's objects."""


class Stopped(Exception):  # noqa: N818 - no error: raised inside a job that was asked to stop
    """Raised inside a job to end it early because the work was stopped."""


@dataclass(slots=True, eq=False)
class _StartedTask:
    """A task that has begun; `number` is its position in the order of tasks.

    `left` is how many jobs of the current round are not done.
    """

    number: int
    id: str
    rounds: Rounds
    left: int = 0


class Schedule:
    """Hands out jobs to threads, jobs of earlier tasks first; starts another task only when no job is ready.

    When `stop` is set, no more jobs are handed out, and long jobs check `stop` themselves and raise Stopped. `error` is
    the first exception that a job or a task raised, or None.
    """

    def __init__(self, tasks: Iterable[tuple[str, Rounds]], stop: threading.Event) -> None:
        self._tasks = enumerate(tasks)
        self._ready: list[tuple[int, int, _StartedTask, Job]] = []
        self._under_way = 0
        self._finished: list[str] = []
        self._change = threading.Condition()
        self._stop = stop
        self.error: BaseException | None = None

    def work(self) -> None:
        """Run jobs in the calling thread until all tasks are finished or the work is stopped.

        An exception of a job or task is stored in `error` and stops the work of all threads.
        """
        try:
            while taken := self._take():
                task, job = taken
                if job is None:
                    self._next_round(task)
                    continue
                job()
                if self._finish_job(task):
                    self._next_round(task)
        except Stopped:
            self.stop()
        except BaseException as error:  # whatever it is, it must reach the thread that waits
            self.stop(error)

    def finished(self) -> list[str]:
        """The ids of the tasks that were finished since the last call."""
        with self._change:
            ids, self._finished = self._finished, []
            return ids

    def stop(self, error: BaseException | None = None) -> None:
        """Hand out no more jobs; `error` is the exception that is the reason, or None for a normal stop.

        If this is called repeatedly with exceptions, the first one is kept.
        """
        with self._change:
            self.error = self.error or error
            self._stop.set()
            self._change.notify_all()

    def _take(self) -> tuple[_StartedTask, Job | None] | None:
        """Wait for the next job and return (task, job); None if no work is left or the work was stopped.

        If no job is ready but a task can be started, the result is (task, None), and the caller must get its first
        jobs.
        """
        with self._change:
            while not self._stop.is_set():
                if self._ready:
                    _, _, task, job = heapq.heappop(self._ready)
                    return task, job
                for number, (name, rounds) in self._tasks:
                    self._under_way += 1
                    return _StartedTask(number, name, rounds), None
                if not self._under_way:
                    return None
                self._change.wait()
            return None

    def _finish_job(self, task: _StartedTask) -> bool:
        """Count a job of the task as done, and return whether it was the last job of its round."""
        with self._change:
            task.left -= 1
            return not task.left

    def _next_round(self, task: _StartedTask) -> None:
        """Get the jobs of a task's next round, or mark the task as finished if there is no further round.

        The task's iterator runs without the lock. No two threads can run it at once, because only the thread that
        started the task or did the last job of a round calls this method.
        """
        jobs = next((jobs for jobs in task.rounds if jobs), None)
        with self._change:
            if jobs is None:
                self._under_way -= 1
                self._finished.append(task.id)
            else:
                task.left = len(jobs)
                for order, job in enumerate(jobs):
                    heapq.heappush(self._ready, (task.number, order, task, job))
            self._change.notify_all()


def run_schedule(schedule: Schedule, workers: int, watch: Callable[[], None]) -> None:
    """Run all jobs of a schedule in `workers` threads; meanwhile the calling thread calls `watch` ten times a second.

    If a job, a task or `watch` raises an exception, the work stops and the exception is raised here. All threads have
    ended before this function returns or raises.
    """
    threads = [threading.Thread(target=schedule.work, name=f"worker {number}") for number in range(workers)]
    try:
        start_threads(threads)
        for thread in threads:
            while thread.is_alive():
                thread.join(_WATCH)
                watch()
    finally:
        schedule.stop()
        for thread in threads:
            if thread.ident is not None:  # an interrupt may come before the last is started
                thread.join()
    if schedule.error:
        raise schedule.error


def start_threads(threads: Sequence[threading.Thread]) -> None:
    """Start as many of the threads as the system allows; StorageError when it does not allow even one."""
    for thread in threads:
        try:
            mmap(-1, _ROOM).close()  # a thread without memory may end before `start` sees it, which then waits on
            thread.start()
        except (RuntimeError, OSError) as error:
            if thread is not threads[0]:
                return
            hint = "end other programs, or raise the limit of processes (`ulimit -u`) or of memory (`ulimit -v`)"
            raise StorageError.of("the system does not allow another thread", hint) from error
