"""What a bank's own tables lack, what is not taken in of them, and what that costs: sentences for `recsys import`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import polars as pl

from recsys.catalogue import Catalogue
from recsys.customers import Told
from recsys.imports import Staged
from recsys.tables import ACTIVITY, CUSTOMERS, DECISIONS
from recsys.vocabulary import Fact, Permissions, ProductId, Profile, Token
from serving import inventory
from serving.bootstrap import Installation
from serving.finding import SURFACE
from serving.import_rows import told_of
from serving.permitted import path_of

HISTORY = 64  # of a customer's latest activities, that encoders and rules can look back on
_ASKED = 500  # customers whose verdicts are asked for the report


def notes(home: Installation, tables: Mapping[str, Staged], *, catalogue: Catalogue) -> Iterator[str]:
    """What is missing, and what that costs."""
    for name, staged in tables.items():
        for column, cost in staged.left_out:
            if cost:
                yield f"{name}: no {column}: {cost}"
    entry = inventory.load(home.settings.inventory).get(home.champion())
    if entry and (strange := [each for each in catalogue.surfaces if each not in (*entry.surfaces, SURFACE)]):
        yield (
            f"products: {home.settings.inventory.name} does not mean {entry.recipe} for {', '.join(strange)}: there "
            "the approved list answers (MRM-2)"
        )
    customers = tables.get(CUSTOMERS.name)
    if customers is not None and customers.rows and catalogue.products:
        yield from _reachable(home, customers, catalogue=catalogue)
    activity = tables.get(ACTIVITY.name)
    if activity is not None:
        yield from _passed_over(home, activity)
    decisions = tables.get(DECISIONS.name)
    if decisions is not None:
        unknown = decisions.scan().filter(pl.col("propensities").list.eval(pl.element().is_null()).list.any())
        n = unknown.select(pl.len()).collect().item()
        if n:
            yield f"decisions: {n:,} of {decisions.rows:,} have no propensities: kept, and no use to importance weights"


def _passed_over(home: Installation, activity: Staged) -> Iterator[str]:
    """Activities that are not taken in: too old to be kept, or beyond what is looked back on."""
    rows = activity.scan().filter(pl.col("happened_at") >= kept_since(home))
    counts = rows.group_by("customer_id").len()
    young, taken = (
        counts.select(pl.col("len").sum(), pl.col("len").clip(upper_bound=HISTORY).sum().alias("n"))
        .collect(engine="streaming")
        .row(0)
    )
    if old := activity.rows - young:
        yield f"activity: {old:,} of {activity.rows:,} are older than such records are kept: not taken in (RET-1)"
    if more := young - taken:
        yield f"activity: {more:,} of {activity.rows:,} lie beyond a customer's latest {HISTORY}: not taken in"


def _reachable(home: Installation, customers: Staged, *, catalogue: Catalogue) -> Iterator[str]:
    """How many could be shown something under the rules with the facts as told, and which products nobody could."""
    step = max(1, customers.rows // _ASKED)
    rows = customers.scan().gather_every(step).head(_ASKED).collect().iter_rows(named=True)
    profiles, now = [_profile(told_of(row)) for row in rows], home.clock.now()
    reached, blocked, someone = set[ProductId](), dict[ProductId, Counter[str]](), 0
    for profile in profiles:
        found = False
        for surface in catalogue.surfaces:
            if not (products := catalogue.offered(surface, now)):
                continue
            said = home.offers.current.rules.of(profile).verdicts(
                profile, products=products, surface=surface, at=now, path=path_of(profile)
            )
            fine = said.eligible()
            reached.update(fine)
            found = found or bool(fine)
            for verdict in said.expanded():
                if not verdict.allowed:
                    blocked.setdefault(verdict.product_id, Counter())[verdict.rule_id] += 1
        someone += found
    yield f"customers: of {len(profiles):,} asked, {someone / len(profiles):.0%} could be shown something today"
    never = [product for product in blocked if product not in reached]
    if never:
        worst = ", ".join(rule for rule, _ in sum((blocked[each] for each in never), Counter()).most_common(3))
        yield (
            f"customers: {len(never)} of {len(catalogue.products)} products could be shown to none of them "
            f"({', '.join(never[:5])}{', …' if len(never) > 5 else ''}), mostly by {worst}"
        )
        packs = home.offers.current.rules.packs
        refusing = {rule for each in never for rule in blocked[each]}
        read = {fact for pack in packs for rule in pack.rules if rule.name in refusing for fact in rule.reads}
        if missing := [column for column, _ in customers.left_out if column in read]:
            yield f"customers: those rules refuse for want of facts that nobody mapped: {', '.join(missing)}"


def kept_since(home: Installation) -> datetime:
    """Activities before this would be removed at once (RET-1)."""
    return home.terms.activities.before(home.clock.now()) or datetime.min.replace(tzinfo=UTC)


def _profile(told: Told) -> Profile:
    facts = {name: Fact(value, told.as_of) for name, value in told.facts.items()}
    return Profile(told.customer_id, Token(""), facts, told.permissions or Permissions())
