"""The nightly walk over this home's log: positives as they stood at their decision, then train and publish.

The log froze what was known when each decision was made, so the training set is point-in-time
correct without a second store: facts come from the decision's own context, history from activity
before it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path

from embeddings.fitting import Epoch
from embeddings.identifiers import IdMap
from embeddings.interactions import HISTORY_LENGTH, Interaction, TrainingSet
from embeddings.nightly import train_bundle
from embeddings.product_facts import ProductFacts
from embeddings.training import Teach
from embeddings.training import train as teach_here
from recsys import features
from recsys.activities import Known
from recsys.artefacts import Artefact
from recsys.eventlog import EventLog
from recsys.records import micros
from recsys.tracking import Tracker
from recsys.vocabulary import NOTHING, Decision, Outcome, PermissionChange, Token
from serving import imported
from serving.bootstrap import Installation
from serving.curriculum import teaches
from serving.settings import Settings
from serving.spread import door

POSITIVE = frozenset({"tapped", "opened"})
_PAGE = 500
_AGES = (25, 40, 60)
_BANDS = ("under_25", "25_to_39", "40_to_59", "60_up")


def positives(log: EventLog, *, until: datetime | None = None) -> Iterator[tuple[Decision | None, Outcome]]:
    """Each first tap or opening of a product, with the decision it came of; the hold-out never teaches.

    Without one are the openings that a bank's own tables brought. Nothing that a customer did after an objection
    teaches (MKT-2). Reads every outcome and permission that was recorded before `until`, and then only the few
    decisions that were acted upon.
    """
    objected = _objected(log, until=until)
    first: dict[tuple[str, str, str], Outcome] = {}
    for event in log.read(kinds=("outcome",)):
        if until is not None and event.recorded_at >= until:
            break
        body = event.body
        if isinstance(body, Outcome) and body.kind in POSITIVE and (body.decision_id or body.source == imported.SOURCE):
            if body.token in objected and body.happened_at >= objected[body.token]:
                continue
            first.setdefault((body.decision_id or body.token, body.product_id, body.kind), body)
    ids = list(dict.fromkeys(each.decision_id for each in first.values() if each.decision_id is not None))
    decisions: dict[str, Decision] = {}
    for start in range(0, len(ids), _PAGE):
        for event in log.decisions(ids[start : start + _PAGE]).values():
            if isinstance(event.body, Decision) and teaches(event.body):
                decisions[event.body.decision_id] = event.body
    for outcome in first.values():
        if outcome.decision_id is None:
            yield None, outcome
        elif outcome.decision_id in decisions:
            yield decisions[outcome.decision_id], outcome


def _objected(log: EventLog, *, until: datetime | None) -> dict[Token, datetime]:
    """Who objects then (or now), and since when."""
    since: dict[Token, datetime] = {}
    for event in log.read(kinds=("permissions",)):
        if until is not None and event.recorded_at >= until:
            break
        if isinstance(event.body, PermissionChange):
            since.pop(event.body.token, None)
            if event.body.permissions.objected_at is not None:
                since[event.body.token] = event.body.permissions.objected_at
    return since


def training_set(home: Installation, *, until: datetime | None = None) -> TrainingSet:
    """The home's positives before `until` as arrays. Raises `InvalidTable` where there are none."""
    return _arrays(home, _interactions(home, until=until))


def _interactions(home: Installation, *, until: datetime | None) -> list[Interaction]:
    return [interaction for _, _, interaction in told_interactions(home, until=until)]


def told_interactions(
    home: Installation, *, until: datetime | None = None
) -> list[tuple[Decision | None, Outcome, Interaction]]:
    """Each positive with its decision, and what a network may learn of it: nothing that was not known then."""
    catalogue = home.offers.current.catalogue
    found = [
        (decision, outcome) for decision, outcome in positives(home.log, until=until) if outcome.product_id in catalogue
    ]
    tokens = {str(outcome.token) for _, outcome in found}
    histories = home.customers.subjects_before(sorted(tokens))
    brought = {str(outcome.token) for decision, outcome in found if decision is None}
    profiles = imported.profiles(home.customers, brought) if brought else {}
    told = []
    for decision, outcome in found:
        history = histories.get(str(outcome.token), [])
        if decision is None:
            each = imported.interaction(outcome, profile=profiles.get(str(outcome.token)), history=history)
        else:
            each = Interaction(
                token=str(decision.token),
                facts=_facts(decision),
                history=_before(history, at=micros(decision.made_at)),
                product_id=outcome.product_id,
                happened_at=outcome.happened_at,
                among=tuple(each.product_id for each in decision.candidates if each.product_id != NOTHING),
            )
        told.append((decision, outcome, each))
    return told


def as_known(
    home: Installation, decisions: Sequence[Decision]
) -> tuple[list[tuple[float, ...]], list[tuple[str, ...]]]:
    """Facts and history of each decision's customer, as they were known when it was made."""
    histories = home.customers.subjects_before(sorted({str(each.token) for each in decisions}))
    before = [_before(histories.get(str(each.token), []), at=micros(each.made_at)) for each in decisions]
    return [_facts(each) for each in decisions], before


def _arrays(home: Installation, interactions: Sequence[Interaction]) -> TrainingSet:
    products = IdMap(home.offers.current.catalogue.ids)
    return TrainingSet.of(interactions, products=products, fact_names=features.CUSTOMER_NAMES)


def age_bands(home: Installation, tokens: Sequence[str], *, at: datetime) -> list[str]:
    """(n,) the age band of each token's customer, "" where it is not known: for the proxy test alone (FAIR-2)."""
    wanted, bands = set(tokens), dict[str, str]()
    after = 0
    while stale := home.customers.stale(after=after, history=1):
        after = stale[-1].change
        for each in home.profiles.completed([each.profile for each in stale if str(each.profile.token) in wanted]):
            if (born := each.facts.get("date_of_birth")) is not None:
                years = (at.date() - date.fromisoformat(str(born.value))).days / 365.25
                bands[str(each.token)] = _BANDS[bisect_right(_AGES, years)]
    return [bands.get(token, "") for token in tokens]


def train(
    home: Installation,
    *,
    tracker: Tracker,
    seed: int,
    until: datetime | None = None,
    family: str = "two-tower",
    checkpoint: Path | None = None,
    interactions: Sequence[Interaction] | None = None,
    progress: Callable[[Epoch], None] = lambda _: None,
) -> Artefact:
    """Train embeddings on the home's log (before `until`), or on a dataset's interactions; publish if they pass.

    Raises as `train_bundle`.
    """
    interactions = _interactions(home, until=until) if interactions is None else interactions
    bands = age_bands(home, [each.token for each in interactions], at=home.clock.now())
    return train_bundle(
        _arrays(home, interactions),
        products=ProductFacts.of_products(home.offers.current.catalogue.products),
        root=home.settings.artefacts,
        features_version=features.VERSION,
        tracker=tracker,
        seed=seed,
        family=family,
        traits={"age_band": bands},
        checkpoint=checkpoint,
        teach=teacher_of(home.settings),
        progress=progress,
    )


def teacher_of(settings: Settings) -> Teach:
    """How the two towers are taught: here, or on a Ray cluster; raises `InvalidConfiguration` without Ray."""
    if not settings.ray:
        return teach_here
    found: Teach = door("training").RayTeacher(settings.ray, workers=settings.ray_workers, shared=settings.folder)
    return found


def _facts(decision: Decision) -> tuple[float, ...]:
    values = dict(zip(decision.context.names, decision.context.values, strict=True))
    return tuple(values.get(name, 0.0) for name in features.CUSTOMER_NAMES)


def _before(history: Sequence[Known], *, at: int) -> tuple[str, ...]:
    end = bisect_left(history, (at,))
    known = [each.subject for each in history[:end] if each.told_at <= at]  # what was told later was not known yet
    return tuple(known[-HISTORY_LENGTH:])
