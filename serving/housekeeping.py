"""What must be done now and then, by one process for all: at the start of the service, and every hour."""

from __future__ import annotations

import importlib
import logging
import shutil
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from recsys.evidence import FILE, Evidence
from recsys.expiring import expire
from recsys.leases import Lease
from serving.bootstrap import Installation
from serving.erasure import resume

LEASE = "housekeeping"
STAGED = ".import-"  # how the folder begins in which an import stages its tables
_DEAD_SECONDS = 3_600.0  # machine time since anything was written there
_LASTING = timedelta(minutes=1)  # of machine time: what another process began again would be the same work twice
logger = logging.getLogger(__name__)


def keep_house(home: Installation) -> bool:
    """Carry on with erasures that were interrupted (ERS-4), and drop what was kept long enough (RET-1).

    Returns False while another process is at it. Raises `StoreUnavailable`.
    """
    lease = Lease(home.database, name=LEASE, lasting=_LASTING)
    if not lease.held():
        return False
    home.log.forget_requests()  # after seven days
    if done := resume(home, rewriting=False):
        logger.warning("%d erasures that were interrupted are done", len(done))
    if gone := expire(home.database, log=home.log, terms=home.terms, now=home.clock.now()):
        logger.info("kept long enough and removed: %s", ", ".join(f"{n} {what}" for what, n in gone.counts.items()))
    _evidence(home)
    sweep(home.settings.folder)
    if home.settings.archive.is_dir():
        importlib.import_module("recsys.compaction").swept(home.database, folder=home.settings.archive)  # heavy
    lease.release()
    return True


def sweep(folder: Path) -> None:
    """Remove what imports that were killed have staged in a home: it is full of persons (RET-2)."""
    for left in folder.glob(f"{STAGED}*"):
        times = [path.stat().st_mtime for path in (left, *left.rglob("*"))]
        if time.time() - max(times) > _DEAD_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _evidence(home: Installation) -> None:
    chosen = home.settings
    if chosen.evidence_url or (chosen.restricted / FILE).exists():
        with closing(Evidence(chosen.restricted, url=chosen.evidence_url)) as evidence:
            evidence.expire(home.clock.now())
