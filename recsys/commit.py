"""Group commit: appends that arrive together share one durable commit.

A durable commit costs the same for one row as for a hundred, so one thread owns writing: it takes
whatever has queued up while the last commit was under way, appends it in one transaction, and
answers each caller after that commit. Callers in several workers meet at the database's own lock.

What coroutines of a loop bring is handed to that thread together, once the loop has gone through all that was
ready. None of them could be answered before that, and a thread that wrote meanwhile would fight for the
interpreter with whoever makes decisions, a commit for each of them.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from recsys.errors import StoreUnavailable
from recsys.eventlog import Entry, EventLog, Receipt
from recsys.records import Record, encode

_GATHER_SECONDS = 0.002  # about what a durable commit takes by itself
_BEFORE_HANDING_OVER_SECONDS = 0.05  # of a loop that is very busy: from then on writing goes on beside it
_CLOSING = "the log is closing"
_LARGEST = 512  # entries in one transaction: bounds the time that other workers wait for the lock


_Answer: TypeAlias = Future[list[Receipt]] | asyncio.Future[list[Receipt]]
_Told: TypeAlias = list[Receipt] | Exception


@dataclass(frozen=True, slots=True)
class _Job:
    encoded: Sequence[tuple[Entry, Record]]
    answer: _Answer

    def begin(self) -> bool:
        """Whether it is still wanted: a caller may have given up."""
        if isinstance(self.answer, Future):
            return self.answer.set_running_or_notify_cancel()
        return not self.answer.cancelled()


@dataclass(slots=True)
class _Gathering:
    """What the coroutines of one loop brought since it last handed over."""

    since: float  # machine time
    jobs: list[_Job]


class GroupCommit:
    """The writing thread of one process. `submit` is thread-safe; `close` writes what is queued, then ends."""

    def __init__(self, log: EventLog, *, capacity: int = 10_000) -> None:
        self._log = log
        self._capacity = capacity
        self._jobs: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()  # each as it was handed over
        self._gathering: dict[asyncio.AbstractEventLoop, _Gathering] = {}
        self._closed = False
        self._door = threading.Lock()  # nothing is queued behind the end
        self.commits = 0
        self._thread = threading.Thread(target=self._work, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, entries: Sequence[Entry]) -> Future[list[Receipt]]:
        """Queue entries; the future ends after their commit. Raises `StoreUnavailable` when full or closed."""
        answer: Future[list[Receipt]] = Future()
        job = _job(entries, answer)
        if job is not None:
            with self._door:
                self._check_open(waiting=0)
                self._jobs.put([job])
        return answer

    async def durable(self, entries: Sequence[Entry]) -> list[Receipt]:
        """`submit` for coroutines: all of a loop's are handed over together, and those of one commit woken together."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Receipt]] = loop.create_future()
        job = _job(entries, answer)
        if job is not None:
            self._gather(job, loop)
        return await answer

    def append(self, entries: Sequence[Entry]) -> list[Receipt]:
        """Append and wait."""
        return self.submit(entries).result()

    def close(self) -> None:
        """Commit all that is queued and stop."""
        with self._door:
            first, self._closed = not self._closed, True
        if first:
            self._jobs.put(None)
        self._thread.join()

    def _gather(self, job: _Job, loop: asyncio.AbstractEventLoop) -> None:
        gathering = self._gathering.get(loop)
        self._check_open(waiting=0 if gathering is None else len(gathering.jobs))
        if gathering is None:
            self._gathering[loop] = _Gathering(time.monotonic(), [job])
            loop.call_soon(self._hand_over, loop)  # after whatever is ready now
            return
        gathering.jobs.append(job)
        if time.monotonic() - gathering.since > _BEFORE_HANDING_OVER_SECONDS:
            self._hand_over(loop)

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        gathering = self._gathering.pop(loop, None)
        if gathering is None:
            return
        with self._door:
            if not self._closed:
                self._jobs.put(gathering.jobs)
                return
        _wake([(job.answer, StoreUnavailable(_CLOSING)) for job in gathering.jobs])

    def _check_open(self, *, waiting: int) -> None:
        """Raise `StoreUnavailable` where nothing more may wait; `waiting` are those that are not queued yet."""
        if self._closed:
            raise StoreUnavailable(_CLOSING)
        if self._jobs.qsize() + waiting >= self._capacity:
            raise StoreUnavailable("the log cannot keep up: too many appends are waiting")

    def _work(self) -> None:
        crowded = False
        while (jobs := self._jobs.get()) is not None:
            if crowded:  # a moment's patience when others are about: a commit costs far more than a row
                time.sleep(_GATHER_SECONDS)
            batch, n, ending = self._gathered(jobs)
            crowded = n > 1
            self._commit(batch)
            if ending:
                return

    def _gathered(self, first: list[_Job]) -> tuple[list[_Job], int, bool]:
        """Whatever has queued up behind `first`, in how many parts, and whether the end was among it."""
        batch, n, size = list(first), 1, _size(first)
        while size < _LARGEST:
            try:
                more = self._jobs.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return batch, n, True
            batch += more
            n += 1
            size += _size(more)
        return batch, n, False

    def _commit(self, jobs: Sequence[_Job]) -> None:
        batch = [job for job in jobs if job.begin()]
        if batch:
            self._write(batch)

    def _write(self, batch: Sequence[_Job]) -> None:
        try:
            receipts = iter(self._log.append_encoded([each for job in batch for each in job.encoded]))
            self.commits += 1
        except Exception as error:  # whatever it was, the callers must hear it and the thread must live
            if len(batch) > 1 and not isinstance(error, StoreUnavailable):
                for job in batch:  # one entry that cannot be written must not cost its neighbours theirs
                    self._write([job])
                return
            _tell((job.answer, error) for job in batch)
            return
        _tell((job.answer, [next(receipts) for _ in job.encoded]) for job in batch)


def _size(jobs: Sequence[_Job]) -> int:
    return sum(len(job.encoded) for job in jobs)


def _job(entries: Sequence[Entry], answer: _Answer) -> _Job | None:
    """Encoded here: the writing thread would fight for the interpreter over it, with whoever makes decisions.

    None where that fails: whatever is wrong with an entry, its caller hears of it and nobody else.
    """
    try:
        return _Job([(entry, encode(entry.body)) for entry in entries], answer)
    except Exception as error:
        answer.set_exception(error)
        return None


def _tell(answers: Iterable[tuple[_Answer, _Told]]) -> None:
    """Answer everybody who waits: threads at once, the coroutines of a loop by one call into it."""
    coroutines: dict[asyncio.AbstractEventLoop, list[tuple[_Answer, _Told]]] = {}
    for answer, told in answers:
        if isinstance(answer, Future):
            _answer(answer, told)
        else:
            coroutines.setdefault(answer.get_loop(), []).append((answer, told))
    for loop, waiting in coroutines.items():
        with suppress(RuntimeError):  # the loop has ended, and with it whoever waited
            loop.call_soon_threadsafe(_wake, waiting)


def _wake(waiting: Sequence[tuple[_Answer, _Told]]) -> None:
    for answer, told in waiting:
        if not answer.cancelled():
            _answer(answer, told)


def _answer(answer: _Answer, told: _Told) -> None:
    if isinstance(told, Exception):
        answer.set_exception(told)
    else:
        answer.set_result(told)
