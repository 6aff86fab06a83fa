"""Real decisions, outcomes and events in one line: each builder fills what a test does not care about."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from recsys.experiments import Experiment, Variant
from recsys.vocabulary import (
    NOTHING,
    Assigned,
    Body,
    Candidate,
    Context,
    Decision,
    Event,
    Fact,
    Outcome,
    Permissions,
    ProductId,
    Slot,
    Token,
    Verdicts,
    Versions,
)

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
PRODUCTS: tuple[ProductId, ...] = ("pot", "cash-isa", "round-ups")
VERSIONS = Versions(
    catalogue="cat-1",
    rule_pack="gb@1",
    features="f-1",
    rewards="r-1",
    recipe="uniform",
    snapshot="",
    bundle="",
    privacy_notice="2026-01",
    code="test",
)


ADULT: Mapping[str, Fact] = {"date_of_birth": Fact("1990-05-01", START), "age_verified": Fact(value=True, as_of=START)}


def at(days: float = 0.0, *, hours: float = 0.0) -> datetime:
    """A moment after `START`."""
    return START + timedelta(days=days, hours=hours)


def decision(
    decision_id: str = "d-1",
    *,
    token: str = "t-1",
    made_at: datetime = START,
    shown: Sequence[ProductId] = ("pot",),
    candidates: Sequence[ProductId] = PRODUCTS,
    experiments: Mapping[str, str] | None = None,
    unit: str = "",
    surface: str = "home",
    mode: str = "live",
    policy: str = "uniform@1",
    facts: Mapping[str, Fact] | None = None,
    context: Context = Context(),  # noqa: B008  frozen
    n_slots: int | None = None,
    versions: Versions = VERSIONS,
    request_id: str | None = None,
) -> Decision:
    """A uniform slate over `candidates`, with true pmfs and propensities.

    `experiments` maps experiment id → variant. `shown` may end in `NOTHING` if a candidate is.
    """
    rows = [list(candidates).index(product) for product in shown]
    pmfs = _uniform_pmfs(len(candidates), rows=rows)
    slots = tuple(
        Slot(k + 1, candidates[row], "" if candidates[row] == NOTHING else f"{candidates[row]}-a", float(pmfs[k, row]))
        for k, row in enumerate(rows)
    )
    real = tuple(product for product in candidates if product != NOTHING)
    return Decision(
        decision_id=decision_id,
        token=Token(token),
        surface=surface,
        made_at=made_at,
        expires_at=made_at + timedelta(hours=1),
        n_slots=len(shown) if n_slots is None else n_slots,
        mode=mode,
        policy=policy,
        purpose="promotion",
        permissions=Permissions(in_app=True),
        experiments=tuple(Assigned(name, variant) for name, variant in (experiments or {}).items()),
        versions=versions,
        facts=ADULT if facts is None else facts,
        context=context,
        verdicts=Verdicts(real, ("AGE-1",), ("The customer is old enough",), np.ones((len(real), 1), dtype=np.bool_)),
        candidates=tuple(Candidate(product, "" if product == NOTHING else f"{product}-a") for product in candidates),
        scores=np.zeros(len(candidates)),
        pmfs=pmfs,
        slots=slots,
        request_id=request_id,
        unit=unit,
    )


def outcome(
    outcome_id: str = "o-1",
    *,
    token: str = "t-1",
    product_id: ProductId = "pot",
    kind: str = "tapped",
    happened_at: datetime = START,
    decision_id: str | None = None,
    amount_pence: int | None = None,
) -> Outcome:
    """One outcome; organic unless it names a decision."""
    return Outcome(outcome_id, Token(token), product_id, kind, happened_at, decision_id, amount_pence)


def experiment(
    experiment_id: str = "home-bandit",
    *,
    unit: str = "customer",
    surfaces: tuple[str, ...] = ("home",),
    shares: tuple[float, ...] = (0.5, 0.5),
    names: tuple[str, ...] = ("popularity", "bandit"),
    salt: str = "home-bandit",
    starts_at: datetime = START,
    ends_at: datetime = START + timedelta(days=28),
    state: str = "running",
    hypothesis: str = "A learning policy brings more value than popularity.",
    planned_units: int = 5_000,
) -> Experiment:
    """A running experiment; the first name is the control."""
    recipes = {"popularity": "popularity-taps", "bandit": "vowpal"}
    return Experiment(
        experiment_id=experiment_id,
        owner="ada@bank",
        hypothesis=hypothesis,
        primary="value",
        unit=unit,
        surfaces=surfaces,
        variants=tuple(Variant(n, recipes.get(n, n), s) for n, s in zip(names, shares, strict=True)),
        control=names[0],
        salt=salt,
        starts_at=starts_at,
        ends_at=ends_at,
        stop_rule="28 days",
        state=state,
        planned_units=planned_units,
    )


def events(bodies: Iterable[Body], *, recorded_at: datetime | None = None) -> list[Event]:
    """Bodies as they would stand in the log: positions from 1, recorded when they happened."""
    return [Event(n, recorded_at or _time_of(body), body) for n, body in enumerate(bodies, start=1)]


def _time_of(body: Body) -> datetime:
    for name in ("made_at", "happened_at", "displayed_at", "as_of"):
        if (time := getattr(body, name, None)) is not None:
            return datetime.fromisoformat(str(time))
    return START


def _uniform_pmfs(n: int, *, rows: Sequence[int]) -> np.ndarray:
    """(slots, n): uniform over what the slots above have left."""
    pmfs = np.zeros((len(rows), n))
    for k in range(len(rows)):
        open_ = [row for row in range(n) if row not in rows[:k]]
        pmfs[k, open_] = 1.0 / len(open_)
    return pmfs


def drifting() -> list[Body]:
    """A Simpson's drift: who is shown the bandit depends on the day, the day decides, and the variant does nothing."""
    bodies: list[Body] = []
    rng = random.Random(17)
    for n in range(4_000):
        day = n % 2
        bandit = (n // 2) % 10 < (1 if day == 0 else 9)
        name = "bandit" if bandit else "popularity"
        bodies.append(decision(f"d{n}", token=f"t{n}", made_at=at(day), experiments={"home-bandit": name}))
        if rng.random() < (0.20 if day == 0 else 0.05):
            bodies.append(outcome(f"o{n}", token=f"t{n}", kind="opened", happened_at=at(day + 1)))
    return bodies
