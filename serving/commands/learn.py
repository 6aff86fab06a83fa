"""`recsys learn`: the learner process."""

from __future__ import annotations

from datetime import timedelta

import click
from tqdm import tqdm

from recsys.daily import Daily
from recsys.leases import Lease
from recsys.readmarks import ReadMark
from serving import settings
from serving.bootstrap import Installation, compose
from serving.leading import Stop, calm_the_collector, lead
from serving.learner_loop import LEASE, Cadence, LearnerLoop
from serving.retention import Retention


@click.command
@click.option("--once", is_flag=True, help="read to the end of the log, publish, and end (a warm start)")
def command(*, once: bool) -> None:
    """Tail the log, learn, and publish snapshots: one process for every recipe."""
    calm_the_collector()
    home = compose(settings.load())
    lease = Lease(home.database, name=LEASE)
    if once:
        _warm_start(home)
        return
    stop = Stop()
    while not stop():
        home.offers.refresh()
        loop = learner_of(home)
        rewards = home.rewards.digest

        def changed(now: str = rewards) -> bool:
            home.offers.refresh()
            return stop() or home.rewards.digest != now

        lead(lease, work=loop.step, poll=home.settings.poll_seconds, stop=changed)


def learner_of(home: Installation, *, only: str | None = None) -> LearnerLoop:
    """The learner over an installation, resumed from its last snapshots; of one recipe where named."""
    chosen = home.settings
    return LearnerLoop(
        log=home.log,
        root=chosen.artefacts,
        recipes={recipe.name: recipe for recipe in home.recipes if only in (None, recipe.name)},
        rewards=home.rewards,
        quarantine=home.quarantine,
        mark=ReadMark(home.database, name=LEASE),
        cadence=Cadence(chosen.publish_every_lessons, timedelta(minutes=chosen.publish_every_minutes)),
        bounds=chosen.bounds,
        retention=Retention(home.database, log=home.log, root=chosen.artefacts),
        daily=Daily(home.database) if only is None else None,
    )


def _warm_start(home: Installation) -> None:
    loop = learner_of(home)
    with tqdm(total=home.log.last_position(), unit="events", desc="learning", mininterval=1.0) as bar:

        def tell(position: int) -> None:
            bar.update(max(position - bar.n, 0))

        loop.catch_up(told=tell)
    loop.publish()
    published = ", ".join(f"{name} ×{n}" for name, n in loop.progress.published.items())
    click.echo(f"{loop.progress.lessons} lessons learned; published {published or 'nothing new'}")
