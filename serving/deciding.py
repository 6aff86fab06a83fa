"""Deciding an experiment from the service: refused first, then written down in MLflow, then decided and mirrored."""

from __future__ import annotations

import logging
import threading

from recsys.errors import StoreUnavailable
from recsys.promotions import Promotion
from serving import trials
from serving.bootstrap import Installation
from serving.readings import Readings
from serving.recording import mirror_apart, read_out_apart

logger = logging.getLogger(__name__)


def decided(
    home: Installation, readings: Readings, *, experiment_id: str, variant: str, by: str, why: str
) -> Promotion | None:
    """Decide a stopped experiment for a variant; who became champion by it, if anybody.

    Nothing is decided whose read-out could not be written down. Raises as `trials.crowned`, or `StoreUnavailable`.
    """
    card = readings.scorecard(experiment_id)
    trials.crowned(home, experiment_id, variant=variant, by=by, card=card)
    run, link = read_out_apart(home.settings, experiment_id, decision=f"{variant}: {why}")
    made = trials.decide(home, experiment_id, variant=variant, by=by, why=why, link=link, evidence=run, card=card)
    if made is not None:  # the pointer is the truth already: nobody waits for its mirror
        threading.Thread(target=_mirrored, args=(home, made.recipe), name="mirroring", daemon=True).start()
    return made


def _mirrored(home: Installation, recipe: str) -> None:
    try:
        mirror_apart(home.settings)
    except StoreUnavailable as error:  # the next promotion mends it
        logger.error("%s is champion, and MLflow does not say so yet: %s", recipe, error)


def read_out(home: Installation, readings: Readings, *, experiment_id: str, by: str) -> str:
    """Write down what an experiment shows now, linked from its history; the link. Raises as `decided`."""
    card = readings.scorecard(experiment_id)
    _, link = read_out_apart(home.settings, experiment_id)
    said = card.status.sentence
    home.register.note(experiment_id, what="read out", by=by, why=said, link=link, at=home.clock.now())
    return link
