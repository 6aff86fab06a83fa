"""Peers in an environment of their own: other people's packages beside ours in one run, without touching ours.

    told = peers.run(
        "peers_of_learners.py", requirements=("mabwiser==2.7.4",), arrays={"x": x}, settings={"seed": 0}
    )
    told.settings, told.arrays

The environment is a venv under `.peers/<digest of the requirements and of the Python>/`, made once and
kept (git ignores it; `RECSYS_PEERS` names another folder, to share it between checkouts). The script is a
file of this folder that needs nothing of ours: it is started as `python SCRIPT FOLDER`, finds
`in.npz` and `in.json` there, and leaves `out.npz` and `out.json`. Its stderr is the benchmark's.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
_DONE = "made.txt"


@dataclass(frozen=True, slots=True)
class Told:
    """What a peer's script left."""

    settings: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


def run(
    script: str,
    *,
    requirements: Sequence[str],
    arrays: Mapping[str, NDArray[Any]] | None = None,
    settings: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Told:
    """Run a script of this folder with these packages; raises `RuntimeError` when it or the installation fails."""
    python = python_of(requirements)
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        np.savez(at / "in.npz", **dict(arrays or {}))
        (at / "in.json").write_text(json.dumps(dict(settings or {})), encoding="utf-8")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        _call([str(python), str(HERE / script), folder], environment=clean | dict(environment or {}))
        told = json.loads((at / "out.json").read_text(encoding="utf-8")) if (at / "out.json").exists() else {}
        found: dict[str, NDArray[Any]] = {}
        if (at / "out.npz").exists():
            with np.load(at / "out.npz") as opened:
                found = {name: opened[name] for name in opened.files}
        return Told(told, found)


def python_of(requirements: Sequence[str]) -> Path:
    """The interpreter of the environment with these requirements, which is made where it is not there yet."""
    root = Path(os.environ.get("RECSYS_PEERS", HERE.parents[1] / ".peers"))
    wanted = "\n".join([sys.version, *sorted(requirements)])
    folder = root / hashlib.sha256(wanted.encode()).hexdigest()[:16]
    root.mkdir(parents=True, exist_ok=True)
    python = folder / "bin" / "python"
    with (root / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two benchmarks at once make it once
        if not (folder / _DONE).exists():
            print(f"installing {', '.join(requirements)} for the peers, in {folder}", file=sys.stderr)
            venv.create(folder, with_pip=True, clear=True)
            quiet = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
            _call([str(python), *quiet, *requirements])
            (folder / _DONE).write_text(wanted, encoding="utf-8")
    return python


def _call(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(command, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: ended with {done.returncode}")
