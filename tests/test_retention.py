"""A snapshot that a decision of the last ninety days names is kept; what nobody can ask about any more goes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from recsys import artefacts
from recsys.errors import Misuse
from recsys.vocabulary import Decision
from serving.bootstrap import Installation
from serving.live_policy import policy_name
from serving.receipts import GONE, verification
from serving.retention import RETAINED, Retention
from tests.builders import START
from tests.poison_worlds import append, clean, opened
from tests.service import pointers

DAY = timedelta(days=1)


def follower(home: Installation) -> Retention:
    return Retention(home.database, log=home.log, root=home.settings.artefacts)


def published(home: Installation, *, days: int) -> list[str]:
    """One snapshot a day; their digests, oldest first."""
    return [
        artefacts.publish(
            home.settings.artefacts,
            policy_name("bandit"),
            files={"state.bin": b"x"},
            manifest={"version": day + 1, "watermark": _micros(START + day * DAY), "recipe_digest": "r"},
        ).digest
        for day in range(days)
    ]


def _micros(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000


def naming(snapshot: str, *, on: int) -> Decision:
    drawn, _ = clean(on + 10)
    versions = replace(drawn.versions, snapshot=snapshot, recipe="r")
    return replace(drawn, decision_id=f"n-{on}", policy="bandit@1", versions=versions, made_at=START + on * DAY)


def test_snapshots_named_within_ninety_days_stay_and_the_rest_goes(tmp_path: Path) -> None:
    home = opened(tmp_path)
    digests = published(home, days=10)
    append(home, [naming(digests[1], on=2)], after=2 * DAY)
    append(home, [naming(digests[3], on=60)], after=60 * DAY)
    kept = follower(home)
    kept.catch_up(until=home.log.last_position())
    assert kept.prune({"bandit": None}, now=START + 80 * DAY) == []  # all published within the ninety days
    gone = set(kept.prune({"bandit": None}, now=START + 120 * DAY))
    assert gone == {f"bandit/{each}" for each in [*digests[:3], *digests[4:8]]}
    assert kept.prune({"bandit": None}, now=START + 120 * DAY + timedelta(hours=3)) == []
    left = {path.name for path in (home.settings.artefacts / policy_name("bandit")).iterdir() if path.is_dir()}
    assert left == {digests[3], digests[8], digests[9]}
    assert pointers(home.settings.folder)["bandit"] == digests[9]

    again = follower(home)  # what was seen is remembered, however late the follower comes
    assert f"bandit/{digests[3]}" in again.named
    assert again.prune({"bandit": None}, now=START + 60 * DAY + RETAINED + DAY) == [f"bandit/{digests[3]}"]
    found = verification(naming(digests[3], on=60), policy_of=home.live.policy_of)
    assert found.not_comparable == GONE


def test_what_is_in_force_is_never_removed(tmp_path: Path) -> None:
    home = opened(tmp_path)
    digests = published(home, days=1)
    with pytest.raises(Misuse, match="in force"):
        artefacts.remove(home.settings.artefacts, policy_name("bandit"), digests[0])
    artefacts.remove(home.settings.artefacts, policy_name("bandit"), "0" * 32)
