"""Chunks of a bank shared among processes.

A chunk hangs on its bounds alone, so it does not matter who lives it, nor when: the files are the same.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import TypeAlias, TypeVar, cast

from recsys.errors import RecsysError

Chunk = TypeVar("Chunk")
Rows: TypeAlias = Mapping[str, int]
"""Rows written of a chunk so far, by table."""

Live: TypeAlias = Callable[[Chunk], Iterator[Rows]]
"""Lives a chunk to its end and tells after each day; a function that can be pickled, as spawning needs."""


def lived(live: Live[Chunk], chunks: Sequence[Chunk], *, processes: int) -> Iterator[tuple[int, Rows]]:
    """Each day of each chunk as it is lived: which of `chunks` it was, and what `live` tells.

    With one process here, one chunk after another; with more, in so many others at once. Those end when
    the caller stops asking. Raises `RecsysError` where one of them failed.
    """
    if min(processes, len(chunks)) > 1:
        yield from _shared(live, chunks, processes=min(processes, len(chunks)))
        return
    for number, chunk in enumerate(chunks):
        for told in live(chunk):
            yield number, told


def _shared(live: Live[Chunk], chunks: Sequence[Chunk], *, processes: int) -> Iterator[tuple[int, Rows]]:
    waiting = deque(range(len(chunks)))
    with ExitStack() as stack:
        pipes = [stack.enter_context(_process(live)) for _ in range(processes)]
        busy: dict[Connection, int] = {}
        while True:
            for pipe in pipes:
                if pipe not in busy and waiting:
                    busy[pipe] = waiting.popleft()
                    pipe.send(chunks[busy[pipe]])
            if not busy:
                return
            for pipe in cast(list[Connection], wait(list(busy))):
                if (told := _heard(pipe)) is None:
                    del busy[pipe]
                else:
                    yield busy[pipe], told


def _heard(pipe: Connection) -> Rows | None:
    """The next day of a process's chunk; None at the chunk's end."""
    try:
        told: Rows | str | None = pipe.recv()
    except (EOFError, ConnectionResetError):
        told = "it ended"
    if isinstance(told, str):
        raise RecsysError(f"a process that lived a chunk of the bank failed: {told}")
    return told


@contextmanager
def _process(live: Live[Chunk]) -> Iterator[Connection]:
    """A process that lives the chunks sent to it."""
    spawning = multiprocessing.get_context("spawn")
    pipe, theirs = spawning.Pipe()
    process = spawning.Process(target=_work, args=(theirs, live), daemon=True)
    process.start()
    theirs.close()
    try:
        yield pipe
    finally:
        pipe.close()
        process.join(1)
        process.kill()
        process.join()


def _work(pipe: Connection, live: Live[Chunk]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches whoever started us, and the pipe ends
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            chunk: Chunk = pipe.recv()
            try:
                for told in live(chunk):
                    pipe.send(told)
            except (BrokenPipeError, ConnectionResetError):
                return  # nobody asks any more
            except Exception as error:  # whatever it was, the other side must hear of it
                pipe.send(f"{type(error).__name__}: {error}")
                return
            pipe.send(None)
