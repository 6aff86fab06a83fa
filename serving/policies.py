"""What the page /policies tells: who serves what share, how much is left to chance, what is shown, how learning goes.

Read from daily sums (recsys/daily.py) and from what people wrote down, never from the whole log: a page costs some
hundred rows, whatever the traffic was. Plain JSON values, so that a notebook reads the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from recsys import daily
from recsys.daily import Summed
from recsys.differences import of_ratios
from recsys.effects import once
from recsys.errors import RecsysError
from recsys.moments import Moments, Paired
from recsys.promotions import CHALLENGER, CHAMPION, Promotion
from recsys.readmarks import ReadMark
from serving.bootstrap import Installation
from serving.learner_loop import LEASE
from serving.learning import learning

RECENT = timedelta(days=7)
SHOWN = timedelta(days=56)
LEAST_DAYS = 5
"""Days on both sides before a realised difference gets an interval: the day is the unit."""
UNIFORM, FALLBACK = "uniform", "fallback:"
MOST_SHOWN, OTHERS = 6, "all others"
"""Products that are told by day; the others are told as one."""


def policies_told(home: Installation) -> dict[str, Any]:
    """Everything of the page. Raises `StoreUnavailable`."""
    last = daily.last_day(home.database)
    now = home.clock.now()
    since = (last or now.date()) - SHOWN
    decided = daily.by_day(home.database, "decided", since=since)
    slots = daily.by_day(home.database, "slots", since=since)
    chance = daily.by_day(home.database, "chance", since=since)
    recent = (last or now.date()) - RECENT + timedelta(days=1)
    return {
        "from": since.isoformat(),
        "recent_from": recent.isoformat(),
        "to": None if last is None else last.isoformat(),
        "lag": lag_of(home),
        "serving": _serving(decided, slots=slots, chance=chance, since=recent, roles=_roles(home, now=now)),
        "modes": _shares(_sum(decided, since=recent, by="other")),
        "exploration": _exploration(decided, slots=slots, chance=chance, since=recent),
        "products": _products(home, since=since, recent=recent),
        "curve": _curve(home, since=since),
        "learning": _learning(home),
        "history": [_told(home, each, now=now) for each in reversed(home.promotions.history())],
        "overrides": _overrides(home, now=now),
        "predictions": [found for each in home.promotions.history() if (found := _kept(home, each)) is not None],
    }


def lag_of(home: Installation) -> dict[str, Any]:
    """How far the learner is behind the log, in events and minutes of business time."""
    read, _ = ReadMark(home.database, name=LEASE).read()
    last = home.log.last_position()
    behind = home.log.recorded_at(last) - home.log.recorded_at(read) if 0 < read < last else timedelta(0)
    summed = daily.summed_up_to(home.database)
    return {
        "read": read,
        "last": last,
        "events": last - read,
        "minutes": behind / timedelta(minutes=1) if read else None,
        "summed": summed,
        "as_of": home.log.recorded_at(summed).isoformat() if summed else None,
    }


def mlflow_link(home: Installation, evidence: str) -> str:
    """Where a person opens a run, "" where the home names no page of MLflow."""
    page = home.settings.mlflow_page or (home.settings.mlflow_uri if home.settings.mlflow_uri[:4] == "http" else "")
    if evidence.startswith("http"):
        return evidence
    return f"{page.rstrip('/')}/#/runs/{evidence}" if page and evidence else ""


def _roles(home: Installation, *, now: datetime) -> dict[str, str]:
    roles = {}
    if (challenger := home.promotions.challenger(now=now)) is not None:
        roles[challenger.recipe] = CHALLENGER
    return roles | {home.champion(): CHAMPION}


def _serving(
    decided: Sequence[Summed], *, slots: Sequence[Summed], chance: Sequence[Summed], since: date,
    roles: Mapping[str, str],
) -> list[dict[str, Any]]:  # fmt: skip
    by, cards, against = (_sum(rows, since=since, by="name") for rows in (decided, slots, chance))
    whole = sum(by.values())
    return [
        {
            "recipe": recipe,
            "role": roles.get(recipe, ""),
            "decisions": n,
            "share": n / whole,
            "cards": cards.get(recipe, 0),
            "by_chance": against.get(recipe, 0) / cards[recipe] if cards.get(recipe) else None,
        }
        for recipe, n in sorted(by.items(), key=lambda each: (-each[1], each[0]))
    ]


def _exploration(
    decided: Sequence[Summed], *, slots: Sequence[Summed], chance: Sequence[Summed], since: date
) -> dict[str, Any]:
    """Cards filled by chance: all of the uniform slice, and of other policies those that another was likelier for."""
    cards = sum(_sum(slots, since=since, by="name").values())
    even = _sum(slots, since=since, by="name").get(UNIFORM, 0)
    against = sum(n for recipe, n in _sum(chance, since=since, by="name").items() if recipe != UNIFORM)
    whole = sum(_sum(decided, since=since, by="name").values())
    lately = [row for row in decided if row.day >= since]
    fallen = sum(row.n for row in lately if row.other.startswith(FALLBACK))
    uniform = sum(row.n for row in lately if row.name == UNIFORM and not row.other.startswith(FALLBACK))
    return {
        "cards": cards,
        "share": (even + against) / cards if cards else None,
        "uniform_share": uniform / whole if whole else None,
        "fallback_share": fallen / whole if whole else None,
        "against_share": against / cards if cards else None,
    }


def _products(home: Installation, *, since: date, recent: date) -> dict[str, Any]:
    """Each product's share of the cards now and in the week before; day by day of the largest, and of the rest."""
    names = {p.product_id: p.name for p in home.offers.current.catalogue.products}
    until = recent + RECENT
    now = {row.name: row.n for row in daily.over_days(home.database, "shown", since=recent, until=until)}
    before = {row.name: row.n for row in daily.over_days(home.database, "shown", since=recent - RECENT, until=recent)}
    n, n_before = sum(now.values()), sum(before.values())
    order = sorted({*now, *before}, key=lambda each: (-now.get(each, 0), each))
    largest = order[:MOST_SHOWN]
    whole = {row.day: row.n for row in daily.by_day(home.database, "shown", since=since, by=())}
    drawn = daily.by_day(home.database, "shown", since=since, by=("name",), among=largest) if largest else []
    shares = [(row.day, names.get(row.name, row.name), row.n / whole[row.day]) for row in drawn]
    left = {day: 1.0 - sum(share for other, _, share in shares if other == day) for day in whole}
    shares += [(day, OTHERS, share) for day, share in left.items() if share > 1e-9]
    return {
        "now": [
            {
                "product": product,
                "name": names.get(product, product),
                "cards": now.get(product, 0),
                "share": now.get(product, 0) / n if n else None,
                "before": before.get(product, 0) / n_before if n_before else None,
            }
            for product in order
        ],
        "by_day": [{"day": day.isoformat(), "name": name, "share": share} for day, name, share in sorted(shares)],
    }


def _curve(home: Installation, *, since: date) -> dict[str, Any]:
    """Per recipe: taps for a card seen and points for a decision by week, as far as windows have closed."""
    stages = daily.by_day(home.database, "stage", since=since)
    first = next((stage.name for stage in home.rewards.stages), "")
    values = daily.by_day(home.database, "value", since=since)
    return {
        "stage": first,
        "rates": [
            {"day": row.day.isoformat(), "recipe": row.name, "n": row.n, "rate": row.sums.mean}
            for row in stages if row.other == first
        ],
        "values": [
            {"day": row.day.isoformat(), "recipe": row.name, "n": row.n, "mean": row.sums.mean}
            for row in _by_week(values)
        ],
    }  # fmt: skip


def _by_week(rows: Iterable[Summed]) -> list[Summed]:
    """The sums of each week and recipe, on the week's Monday: single days have too few outcomes to be told apart."""
    found: dict[tuple[date, str], Moments] = defaultdict(Moments)
    for row in rows:
        key = row.day - timedelta(days=row.day.weekday()), row.name
        found[key] = found[key] + row.sums
    return [Summed(day, "", name, "", sums) for (day, name), sums in sorted(found.items())]


def _learning(home: Installation) -> dict[str, Any]:
    told = learning(home.database, [recipe.name for recipe in home.recipes])
    return told.to_json()


def _told(home: Installation, promotion: Promotion, *, now: datetime) -> dict[str, Any]:
    standing = {CHAMPION: home.promotions.champion, CHALLENGER: home.promotions.challenger}[promotion.role](now=now)
    return {
        "role": promotion.role,
        "recipe": promotion.recipe,
        "by": promotion.by,
        "reason": promotion.reason,
        "at": promotion.at.isoformat(),
        "expires_at": None if promotion.expires_at is None else promotion.expires_at.isoformat(),
        "in_force": standing == promotion,
        "evidence": promotion.evidence,
        "link": mlflow_link(home, promotion.evidence),
    }


def _overrides(home: Installation, *, now: datetime) -> list[dict[str, Any]]:
    names = {p.product_id: p.name for p in home.offers.current.catalogue.products}
    return [
        {
            "override_id": each.override_id,
            "action": each.action,
            "product": names.get(each.product_id, each.product_id),
            "strength": each.strength,
            "surface": each.surface,
            "reason": each.reason,
            "by": each.by,
            "expires_at": each.expires_at.isoformat(),
        }
        for each in home.orders.current.overrides
        if now < each.ends_at
    ]


def _kept(home: Installation, promotion: Promotion) -> dict[str, Any] | None:
    """What the gate expected of a promotion beside what came: points a decision on that surface since then.

    The recipe it was held against is compared on the same days, while both serve; the day is the unit, as
    customers come back within one.
    """
    said = promotion.predicted
    if not said:
        return None
    candidate, champion = float(said["candidate"]), float(said["champion"])
    told = {
        "recipe": promotion.recipe,
        "at": promotion.at.isoformat(),
        "surface": said["surface"],
        "against": said["against"],
        "predicted": candidate,
        "predicted_against": champion,
        "predicted_lift": candidate / champion - 1.0 if champion > 0.0 else None,
        "link": mlflow_link(home, promotion.evidence),
        "evidence": promotion.evidence,
        "realised": None,
        "realised_against": None,
        "days": 0,
        "effect": None,
        "waits": "",
    }
    if said.get("outcome"):
        return told | {"waits": f"it was judged by {said['outcome']}, which daily sums of points cannot show"}
    rows = [
        row
        for row in daily.by_day(
            home.database, "value", since=promotion.at.date() + timedelta(days=1), by=("surface", "name", "other")
        )
        if row.surface == said["surface"] and row.other == "live"
    ]
    ours, theirs = _days_of(rows, promotion.recipe), _days_of(rows, said["against"])
    both = sorted(set(ours) & set(theirs))
    told["days"] = len(both) or len(ours)
    if ours:
        told["realised"] = _ratio([ours[day] for day in (both or sorted(ours))])
    if not both:
        longest = home.rewards.longest.days
        told["waits"] = f"no day since then has both, with its window of {longest} days closed"
        return told
    told["realised_against"] = _ratio([theirs[day] for day in both])
    if len(both) < LEAST_DAYS:
        return told | {"waits": f"an interval needs {LEAST_DAYS} days with both, there are {len(both)}"}
    sides = [sum((_paired(side[day]) for day in both), start=Paired()) for side in (theirs, ours)]
    try:
        effect = once(of_ratios(sides[0], variant=sides[1]))
    except RecsysError as error:
        return told | {"waits": str(error)}
    told["effect"] = {
        "relative": effect.relative, "relative_low": effect.relative_low, "relative_high": effect.relative_high,
    }  # fmt: skip
    return told


def _days_of(rows: Iterable[Summed], recipe: str) -> dict[date, Moments]:
    return {row.day: row.sums for row in rows if row.name == recipe and row.n}


def _ratio(days: Sequence[Moments]) -> float:
    return sum((day for day in days), start=Moments()).mean


def _paired(day: Moments) -> Paired:
    y, x = day.total, float(day.n)
    return Paired(1, y, y * y, x, x * x, x * y)


def _sum(rows: Iterable[Summed], *, since: date, by: str) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.day >= since:
            found[getattr(row, by)] += row.n
    return dict(found)


def _shares(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    whole = sum(counts.values())
    return [
        {"mode": name, "decisions": n, "share": n / whole}
        for name, n in sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    ]
