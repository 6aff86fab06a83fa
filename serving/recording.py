"""Read-outs written down in MLflow by a process of their own (serving/recorder.py): the API never imports MLflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from recsys.errors import StoreUnavailable
from serving.settings import Settings

PATIENCE_SECONDS = 120.0


def read_out_apart(chosen: Settings, experiment_id: str, *, decision: str = "") -> tuple[str, str]:
    """(run id, its page or the run id again). Raises `StoreUnavailable` where it could not be written down."""
    told = json.loads(_run(chosen, "read-out", experiment_id, decision))
    return str(told["run"]), str(told["link"])


def mirror_apart(chosen: Settings) -> None:
    """Let the aliases follow. Raises `StoreUnavailable`; the pointer in the database is the truth all the same."""
    _run(chosen, "mirror")


def _run(chosen: Settings, *arguments: str) -> str:
    given = {f"RECSYS_{name.upper()}": str(value) for name, value in chosen.model_dump().items() if _plain(value)}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "serving.recorder", *arguments],
            env=os.environ | given, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise StoreUnavailable(f"MLflow did not take the read-out within {PATIENCE_SECONDS:g} seconds") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise StoreUnavailable(f"the read-out could not be written down in MLflow ({last[:200]})")
    return done.stdout.strip().splitlines()[-1]


def _plain(value: object) -> bool:
    return isinstance(value, (str, int, float)) or hasattr(value, "__fspath__")
