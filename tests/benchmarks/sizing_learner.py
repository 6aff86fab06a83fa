"""What learning from a home's log costs, and judging by it: apart, so that a process that does it holds little else."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from recsys.clocks import FixedClock
from recsys.eventlog import Entry
from recsys.vocabulary import Decision, Outcome
from serving.bootstrap import Installation, compose
from serving.commands.learn import learner_of
from serving.curriculum import Curriculum
from serving.judged_policies import candidates_of
from serving.judging import judge
from serving.settings import Settings

LATER = timedelta(days=60)  # when every window has closed


@contextmanager
def opened(home: Path, *, later: timedelta = timedelta()) -> Iterator[Installation]:
    """The home in this process, perhaps at a later time."""
    settings = Settings(home=home, holdout_share=0.0, uniform_share=0.0)
    installed = compose(settings, clock=FixedClock(datetime.now(UTC) + later) if later else None)
    installed.live.refresh()
    try:
        yield installed
    finally:
        installed.database.close()


def learned(home: Path) -> tuple[float, float, float]:
    """Seconds of CPU to learn from all, and to evaluate the even policy on it; MiB before."""
    with opened(home, later=LATER) as installed:
        event = next(iter(installed.log.read(kinds=["decision"])))
        assert isinstance(event.body, Decision)
        loop = learner_of(installed)
        before = resident_mib()
        learn = spent(loop.catch_up)
        product = event.body.shown[0].product_id  # somebody does something much later: time has passed
        last = Outcome("last", event.body.token, product, "seen", installed.clock.now())
        installed.log.append([Entry(last)])
        learn += spent(loop.catch_up)
        assert loop.progress.lessons
        candidates = candidates_of(installed, ["uniform"])
        return learn, spent(lambda: judge(installed, candidates=candidates)), before


def waited(home: Path) -> tuple[float]:
    """Bytes of memory a decision while all are open: as they were allocated, so that what is used again counts, too."""
    with opened(home) as installed:
        forms, bounds = [recipe.reward for recipe in installed.recipes], installed.settings.bounds
        curriculum = Curriculum(installed.rewards, forms=forms, bounds=bounds, past=installed.log)
        tracemalloc.start()
        for event in installed.log.read():
            for _ in curriculum.feed(event):
                pass
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return (held / curriculum.joiner.counters.waiting,)


def resident_mib() -> float:
    """Memory of this process that is in use."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def spent(work: Callable[[], object]) -> float:
    """Seconds of CPU."""
    began = time.process_time()
    work()
    return time.process_time() - began
