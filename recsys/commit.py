"""Group commit: appends that arrive together share one durable commit.

A durable commit costs the same for one row as for a hundred, so one thread owns writing: it takes
whatever has queued up while the last commit was under way, appends it in one transaction, and
answers each caller after that commit. Callers in several workers meet at the database's own lock.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from recsys.errors import StoreUnavailable
from recsys.eventlog import Entry, EventLog, Receipt

_GATHER_SECONDS = 0.002  # about what a durable commit takes by itself
_LARGEST = 512  # entries in one transaction: bounds the time that other workers wait for the lock


@dataclass(frozen=True, slots=True)
class _Job:
    entries: Sequence[Entry]
    answer: Future[list[Receipt]]


class GroupCommit:
    """The writing thread of one process. `submit` is thread-safe; `close` writes what is queued, then ends."""

    def __init__(self, log: EventLog, *, capacity: int = 10_000) -> None:
        self._log = log
        self._jobs: queue.Queue[_Job | None] = queue.Queue(capacity)
        self._closed = False
        self._door = threading.Lock()  # nothing is queued behind the end
        self.commits = 0
        self._thread = threading.Thread(target=self._work, name="group-commit", daemon=True)
        self._thread.start()

    def submit(self, entries: Sequence[Entry]) -> Future[list[Receipt]]:
        """Queue entries; the future ends after their commit. Raises `StoreUnavailable` when full or closed."""
        answer: Future[list[Receipt]] = Future()
        with self._door:
            if self._closed:
                raise StoreUnavailable("the log is closing")
            try:
                self._jobs.put_nowait(_Job(entries, answer))
            except queue.Full:
                raise StoreUnavailable("the log cannot keep up: too many appends are waiting") from None
        return answer

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

    def _work(self) -> None:
        crowded = False
        while (job := self._jobs.get()) is not None:
            if crowded:  # a moment's patience when others are about: a commit costs far more than a row
                time.sleep(_GATHER_SECONDS)
            batch, ending = self._gathered(job)
            crowded = len(batch) > 1
            self._commit(batch)
            if ending:
                return

    def _gathered(self, first: _Job) -> tuple[list[_Job], bool]:
        """Whatever has queued up behind `first`, and whether the end was among it."""
        batch, size = [first], len(first.entries)
        while size < _LARGEST:
            try:
                more = self._jobs.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return batch, True
            batch.append(more)
            size += len(more.entries)
        return batch, False

    def _commit(self, jobs: Sequence[_Job]) -> None:
        batch = [job for job in jobs if job.answer.set_running_or_notify_cancel()]  # a caller may have given up
        if batch:
            self._write(batch)

    def _write(self, batch: Sequence[_Job]) -> None:
        try:
            receipts = iter(self._log.append([entry for job in batch for entry in job.entries]))
            self.commits += 1
        except Exception as error:  # whatever it was, the callers must hear it and the thread must live
            if len(batch) > 1 and not isinstance(error, StoreUnavailable):
                for job in batch:  # one entry that cannot be written must not cost its neighbours theirs
                    self._write([job])
                return
            for job in batch:
                job.answer.set_exception(error)
            return
        for job in batch:
            job.answer.set_result([next(receipts) for _ in job.entries])
