"""Tasks shared among threads: who does what next, when a task is over, and what to do about the first failure.

Knows nothing of bytes or tensors: a task is an iterator of rounds, a round a list of jobs that may run in any order.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

Job = Callable[[], None]
Rounds = Iterator[Sequence[Job]]
"""Each round is asked for when all jobs of the one before are done."""
_WATCH = 0.1
"""Seconds between two looks of the waiting thread."""


class Stopped(Exception):  # noqa: N818 - no error: raised inside a job that was asked to stop
    """A job ends early because all work is to end."""


@dataclass(slots=True, eq=False)
class _Started:
    id: str
    rounds: Rounds
    left: int = 0


class Schedule:
    """Hands out the jobs of tasks in their order; a new task is started only when there is no job left to hand out.

    A set `stop` ends the work; long jobs look at it themselves and raise Stopped. It is set at the latest when all is
    done. `error` is the first failure of a job.
    """

    def __init__(self, tasks: Iterable[tuple[str, Rounds]], stop: threading.Event) -> None:
        self._tasks = iter(tasks)
        self._ready: deque[tuple[_Started, Job]] = deque()
        self._under_way = 0
        self._finished: list[str] = []
        self._change = threading.Condition()
        self._stop = stop
        self.error: BaseException | None = None

    def work(self) -> None:
        """Do jobs until there are none, or all work is to end; what a job raises ends it for everybody."""
        try:
            while taken := self._take():
                task, job = taken
                job()
                self._done(task)
        except Stopped:
            self.stop()
        except BaseException as error:  # whatever it is, it must reach the thread that waits
            self.stop(error)

    def finished(self) -> list[str]:
        """The ids of tasks that were finished since this was last asked."""
        with self._change:
            ids, self._finished = self._finished, []
            return ids

    def stop(self, error: BaseException | None = None) -> None:
        """Hand out nothing more."""
        with self._change:
            self.error = self.error or error
            self._stop.set()
            self._change.notify_all()

    def _take(self) -> tuple[_Started, Job] | None:
        with self._change:
            while not self._stop.is_set():
                if self._ready:
                    return self._ready.popleft()
                if self._start():
                    continue
                if not self._under_way:
                    return None
                self._change.wait()
            return None

    def _start(self) -> bool:
        for name, rounds in self._tasks:
            self._under_way += 1
            self._next_round(_Started(name, rounds))
            return True
        return False

    def _done(self, task: _Started) -> None:
        with self._change:
            task.left -= 1
            if not task.left:
                self._next_round(task)

    def _next_round(self, task: _Started) -> None:
        """Its jobs come before all others: what they need was just read."""
        jobs = next((jobs for jobs in task.rounds if jobs), None)
        if jobs is None:
            self._under_way -= 1
            self._finished.append(task.id)
        else:
            task.left = len(jobs)
            self._ready.extendleft((task, job) for job in reversed(jobs))
        self._change.notify_all()


def work_off(schedule: Schedule, workers: int, watch: Callable[[], None]) -> None:
    """Have all jobs done by that many threads, and `watch` called several times a second by this one.

    Whatever happens, no thread works any more when this returns or raises; an error of a job is raised here.
    """
    threads = [threading.Thread(target=schedule.work, name=f"worker {number}") for number in range(workers)]
    try:
        for thread in threads:
            thread.start()
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
