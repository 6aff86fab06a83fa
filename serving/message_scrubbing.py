"""Taking a forgotten person out of the files that campaigns wrote (ERS-1): each line names whom it is for."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from serving.campaign import staged_for

_DEAD_SECONDS = 600.0  # a campaign writes on and on; a file that stood still for so long is a killed one's


@dataclass(frozen=True, slots=True)
class Messages:
    """What became of one campaign's file."""

    rewritten: bool = False
    missing: bool = False
    under_way: bool = False


def scrubbed(path: Path, *, customer_id: str) -> Messages:
    """Take a customer's lines out of a campaign's messages; done again, it changes nothing."""
    staged = staged_for(path)
    under_way = staged.exists()
    if under_way and time.time() - staged.stat().st_mtime > _DEAD_SECONDS:
        staged.unlink()  # the campaign makes it anew when it is run again
        under_way = False
    if not path.exists():
        return Messages(missing=not under_way, under_way=under_way)
    kept, gone = [], 0
    for line in path.read_bytes().splitlines(keepends=True):
        if json.loads(line).get("customer_id") == customer_id:
            gone += 1
        else:
            kept.append(line)
    if gone:
        fresh = path.with_name(f".{path.name}.scrubbed")
        with fresh.open("wb") as file:
            file.writelines(kept)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    return Messages(rewritten=gone > 0, under_way=under_way)
