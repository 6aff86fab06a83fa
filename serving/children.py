"""Processes of ours that are started and always ended: each logs to a file of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from recsys.errors import RecsysError
from serving.leading import FOLLOWS_PARENT

_GRACE_SECONDS = 20.0


class Children:
    """A context that starts processes and leaves none behind, however it is left."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Children:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for child in self._running.values():
            child.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for child in self._running.values():
            try:
                child.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def start(self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
        """Start a Python module with arguments (`-m` is given); its output goes to `<name>.log`."""
        with (self._logs / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {FOLLOWS_PARENT: str(os.getpid())} | dict(environment or {}),
                start_new_session=True,  # Ctrl-C reaches us alone; we end them in order
            )

    def end(self, name: str) -> None:
        """Tell one process to stop, and wait until it has."""
        child = self._running.pop(name)
        child.terminate()
        child.wait()

    def wait(self, name: str) -> None:
        """Until a process has ended well; raises `RecsysError` with the last line it said."""
        code = self._running[name].wait()
        del self._running[name]
        if code:
            raise RecsysError(f"{name} failed: {self._last_line(name)} (all of it: {self._logs / name}.log)")

    def wait_until(self, ready: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Until `ready`, while every process lives; raises `RecsysError` when one ends or time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            for name, child in self._running.items():
                if child.poll() is not None:
                    raise RecsysError(f"{name} ended: {self._last_line(name)} (all of it: {self._logs / name}.log)")
            if time.monotonic() > deadline:
                raise RecsysError(f"{what} took more than {seconds:g} seconds; see {self._logs}")
            time.sleep(0.2)

    def _last_line(self, name: str) -> str:
        lines = (self._logs / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
