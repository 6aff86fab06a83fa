"""What a bank's own tables lack, what is not taken in of them, and what that costs: sentences for `recsys import`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import numpy as np
import polars as pl

from recsys.catalogue import Catalogue
from recsys.customers import Told
from recsys.imports import Staged
from recsys.shelves import Rows
from recsys.tables import ACTIVITY, CUSTOMERS, DECISIONS, OUTCOMES, PRODUCTS
from recsys.vocabulary import Fact, Permissions, Profile, Token
from serving import inventory
from serving.bootstrap import Installation
from serving.finding import SURFACE
from serving.import_rows import told_of
from serving.permitted import path_of

HISTORY = 64  # of a customer's latest activities, that encoders and rules can look back on
_ASKED, _FEWEST = 500, 20  # customers whose verdicts are asked for the report, at least the fewest of a large catalogue
_SCALE = (3.0, 12.0)  # points that the most valuable product of a catalogue usually has
_VERDICTS = 2_000_000  # products times customers that are asked


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
    values = [product.value for product in catalogue.products]
    if PRODUCTS.name in tables and values and not _SCALE[0] <= max(values) <= home.rewards.high:
        yield (
            f"products: the greatest value is {max(values):g} points, usual are {_SCALE[0]:g} to {_SCALE[1]:g}: what a "
            "dismissal costs is a fixed part of a point, so much smaller cards are not worth showing, and a reward "
            f"is cut at {home.rewards.high:g} ({home.settings.rewards.name})"
        )
    if PRODUCTS.name in tables:
        kept = set(catalogue.ids)
        if gone := [each for each in home.offers.current.catalogue.ids if each not in kept]:
            told = f"{', '.join(gone[:5])}{', …' if len(gone) > 5 else ''}"
            yield f"products: {len(gone):,} of the catalogue in force are not in these files and leave it ({told})"
    outcomes = tables.get(OUTCOMES.name)
    if outcomes is not None:
        yield from _unearned(home, outcomes)
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


def _unearned(home: Installation, outcomes: Staged) -> Iterator[str]:
    """Kinds of outcomes that count only after another one, of which these files tell none."""
    ours = outcomes.scan().filter(pl.col("decision_id").is_not_null())
    counts = dict(ours.group_by("kind").len().collect(engine="streaming").iter_rows())
    kinds = {stage.name: stage.kind for stage in home.rewards.stages}
    for stage in home.rewards.stages:
        before = kinds.get(stage.given)
        if stage.kind in counts and before is not None and before not in counts:
            yield (
                f"outcomes: {counts[stage.kind]:,} are {stage.kind}, which counts only after {before}, and none of "
                f"them is {before}: decisions earn nothing by it ({home.settings.rewards.name}; a file of your own is "
                'named in settings.toml: rewards = "…")'
            )


def _passed_over(home: Installation, activity: Staged) -> Iterator[str]:
    """Activities that are not taken in: too old to be kept, or beyond what is looked back on."""
    rows = activity.scan().filter(pl.col("happened_at") >= kept_since(home))
    counts = rows.group_by("customer_id").len()
    young, taken = (
        counts.select(pl.col("len").sum(), pl.col("len").clip(upper_bound=HISTORY).sum().alias("n"))
        .collect(engine="streaming")
        .row(0)
    )
    terms = home.settings.retention.name
    if old := activity.rows - young:
        yield (
            f"activity: {old:,} of {activity.rows:,} are older than such records are kept: not taken in (RET-1; from "
            f"{kept_since(home):%Y-%m-%d} on they are, by {terms}, activities)"
        )
    if more := young - taken:
        yield f"activity: {more:,} of {activity.rows:,} lie beyond a customer's latest {HISTORY}: not taken in"


def _reachable(home: Installation, customers: Staged, *, catalogue: Catalogue) -> Iterator[str]:
    """How many could be shown something under the rules with the facts as told, and which products nobody could."""
    asked = max(_FEWEST, min(_ASKED, _VERDICTS // len(catalogue.products)))
    step = max(1, customers.rows // asked)
    rows = customers.scan().gather_every(step).head(asked).collect().iter_rows(named=True)
    profiles, now = [_profile(told_of(row)) for row in rows], home.clock.now()
    row_of = {product: row for row, product in enumerate(catalogue.ids)}
    reached, someone = np.zeros(len(row_of), dtype=np.bool_), 0
    blocked = defaultdict[str, Rows](lambda: np.zeros(len(row_of), dtype=np.intp))  # rule → how often of each product
    for profile in profiles:
        found = False
        for surface in catalogue.surfaces:
            if not (products := catalogue.offered(surface, now)):
                continue
            said = home.offers.current.rules.of(profile).verdicts(
                profile, products=products, surface=surface, at=now, path=path_of(profile)
            )
            at, fine = np.array([row_of[product] for product in said.products]), said.allowed.all(axis=1)
            reached[at] |= fine
            found = found or bool(fine.any())
            for column in np.flatnonzero(~said.allowed.all(axis=0)).tolist():
                blocked[said.rules[column]][at] += ~said.allowed[:, column]
        someone += found
    yield f"customers: of {len(profiles):,} asked, {someone / len(profiles):.0%} could be shown something today"
    refused = np.sum(list(blocked.values()), axis=0) > 0 if blocked else reached
    rows_never = np.flatnonzero(refused & ~reached)
    never = [catalogue.ids[row] for row in rows_never.tolist()]
    if never:
        times = +Counter({rule: int(counts[rows_never].sum()) for rule, counts in blocked.items()})  # without noughts
        worst = ", ".join(rule for rule, _ in times.most_common(3))
        yield (
            f"customers: {len(never):,} of {len(catalogue.products):,} products could be shown to none of them "
            f"({', '.join(never[:5])}{', …' if len(never) > 5 else ''}), mostly by {worst}"
        )
        packs = home.offers.current.rules.packs
        read = {fact for pack in packs for rule in pack.rules if rule.name in times for fact in rule.reads}
        if missing := [column for column, _ in customers.left_out if column in read]:
            yield f"customers: those rules refuse for want of facts that nobody mapped: {', '.join(missing)}"


def kept_since(home: Installation) -> datetime:
    """Activities before this would be removed at once (RET-1)."""
    return home.terms.activities.before(home.clock.now()) or datetime.min.replace(tzinfo=UTC)


def _profile(told: Told) -> Profile:
    facts = {name: Fact(value, told.as_of) for name, value in told.facts.items()}
    return Profile(told.customer_id, Token(""), facts, told.permissions or Permissions())
