"""Taking a bank's own tables into an installation: check everything first, change nothing until all of it fits.

What the engine uses is kept where it uses it: products become the catalogue in force, customers and their latest
activity go to the store, outcomes to the log (as organic ones: what came of somebody else's decision came without
us), past decisions to Parquet of rounds beside it. The staged
tables are removed at the end: what nobody reads is not kept. Every part is told under the bank's own ids,
so an import that was interrupted, or is run again, adds nothing twice.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from recsys import catalogue as catalogues
from recsys.catalogue import Catalogue
from recsys.entries import Entry
from recsys.errors import InvalidCatalogue, InvalidTable, Misuse
from recsys.imports import ImportMap, Mapped, Staged, said, stage
from recsys.rewards import Rewards
from recsys.tables import ACTIVITY, CREATIVES, CUSTOMERS, DECISIONS, OUTCOMES, PRODUCTS, Fault, Table
from recsys.tomltext import written
from recsys.vocabulary import (
    CustomerId,
    Outcome,
)
from serving.bootstrap import Installation
from serving.housekeeping import STAGED, sweep
from serving.import_notes import HISTORY, kept_since, notes
from serving.import_rows import activity_of, told_of
from serving.imported import SOURCE
from serving.intake import ALWAYS_KNOWN
from serving.nightly import POSITIVE
from serving.offer import apply_catalogue

_CHUNK = 2_000
Progress = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """A map whose every row fits: the staged tables, and the catalogue that will be in force."""

    tables: Mapping[str, Staged]
    catalogue: Catalogue
    catalogue_text: str  # "" where no product is imported
    notes: tuple[str, ...]


@dataclass(slots=True)
class Taken:
    """What an import changed."""

    counts: Counter[str] = field(default_factory=Counter)
    rounds: tuple[Path, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"taken": dict(self.counts), "rounds": [str(path) for path in self.rounds]}


@contextmanager
def checking(home: Installation, plan: ImportMap, *, told: Progress = lambda what, rows: None) -> Iterator[Checked]:
    """Stage and check everything a map names; what is staged is gone afterwards.

    Raises `InvalidTable` that names every column that does not fit, or `InvalidCatalogue`; nothing of the
    installation has changed then.
    """
    sweep(home.settings.folder)
    folder = Path(tempfile.mkdtemp(prefix=STAGED, dir=home.settings.folder))
    try:
        yield _checked(home, plan, folder=folder, told=told)
    finally:
        shutil.rmtree(folder)


def can_take(plan: ImportMap, *, rounds: Path | None) -> None:
    """Raise `Misuse` where past decisions are mapped and nobody says where their rounds go."""
    if plan.of(DECISIONS) and rounds is None:
        raise Misuse("the map names decisions: say --rounds FOLDER, where they go for recsys evaluate --log")


def take(home: Installation, checked: Checked, *, rounds: Path | None, told: Progress = lambda what, n: None) -> Taken:
    """Take in what was checked. Raises `StoreUnavailable`, after which the same call goes on where this one stood."""
    taken = Taken()
    if checked.catalogue_text:
        apply_catalogue(home.settings.artefacts, text=checked.catalogue_text, where="the imported products")
        home.offers.refresh()
        taken.counts["products"] = len(checked.catalogue.products)
    if (customers := checked.tables.get(CUSTOMERS.name)) is not None:
        for frame in _chunks(customers.scan().sort("as_of", maintain_order=True)):
            taken.counts["customers changed"] += home.customers.tell([told_of(row) for row in frame], log=home.log)
            told("customers", len(frame))
    if (activity := checked.tables.get(ACTIVITY.name)) is not None:
        for each in _latest(activity, told=told, since=kept_since(home)):
            said = home.customers.add_activities([activity_of(row) for row in each], told_at=home.clock.now())
            taken.counts.update(f"activities {verdict}" for verdict in said)
    if (outcomes := checked.tables.get(OUTCOMES.name)) is not None:
        for frame in _chunks(_without_us(outcomes, decisions=checked.tables.get(DECISIONS.name))):
            _log(home, frame, taken=taken)
            told("outcomes", len(frame))
    if (decisions := checked.tables.get(DECISIONS.name)) is not None:
        assert rounds is not None, "can_take is asked first"
        values = {product.product_id: product.value for product in checked.catalogue.products}
        taken.rounds = write_rounds(
            decisions, outcomes=outcomes, rewards=home.rewards.with_values(values), folder=rounds
        )
    return taken


# -- checking ------------------------------------------------------------------------------------


def _checked(home: Installation, plan: ImportMap, *, folder: Path, told: Progress) -> Checked:
    tables, wrong = dict[str, Staged](), list[InvalidTable]()
    kinds = home.rewards.kinds | ALWAYS_KNOWN | home.measured()
    latest = home.clock.now() + timedelta(minutes=5)

    def staged(those: Iterable[Mapped], ids: Collection[str] | None) -> None:
        for mapped in those:
            name = mapped.table.name
            also = list(_never(mapped.table, named=said(mapped), ids=ids, kinds=kinds, latest=latest))
            if mapped.table is PRODUCTS:
                also.append(_nowhere(plan, named=said(mapped)))
            try:
                tables[name] = stage(mapped, folder=folder, also=also, told=partial(told, name))
            except InvalidTable as error:
                wrong.append(error)

    offer = [mapped for mapped in plan.tables if mapped.table in (PRODUCTS, CREATIVES)]
    staged(offer, None)
    catalogue, text = home.offers.current.catalogue, ""
    if offer and not wrong:
        text = catalogue_text(tables[PRODUCTS.name], creatives=tables.get(CREATIVES.name), plan=plan)
        try:
            catalogue = catalogues.parse(text, where=offer[0].source.name)
        except InvalidCatalogue as error:  # without the line, which is of a text that nobody wrote
            raise InvalidCatalogue(re.sub(r" \(line \d+\)", "", str(error))) from None
    staged((mapped for mapped in plan.tables if mapped not in offer), None if wrong else catalogue.ids)
    if wrong:
        raise InvalidTable.together(wrong, where=plan.name)
    return Checked(tables, catalogue, text, tuple(notes(home, tables, catalogue=catalogue)))


def _never(
    table: Table, *, named: Mapping[str, str], ids: Collection[str] | None, kinds: Collection[str], latest: datetime
) -> Iterator[Fault]:
    """What the table alone cannot tell is wrong; `ids` are the products there are, None where that is not known."""

    def never(rows: pl.Expr, why: str, of: str) -> Fault:
        return Fault(rows, f"{named.get(of, of)} {why}", of=of)

    if table is OUTCOMES:
        if ids is not None:
            yield never(~pl.col("product_id").is_in(list(ids)), "is no product of the catalogue", "product_id")
        yield never(~pl.col("kind").is_in(sorted(kinds)), f"must be one of {', '.join(sorted(kinds))}", "kind")
    for name in ("happened_at", "made_at", "as_of"):
        if name in table.by_name:
            yield never(pl.col(name) > latest, "lies in the future", name)


def _nowhere(plan: ImportMap, *, named: Mapping[str, str]) -> Fault:
    """Products for surfaces that the map does not describe."""
    known = [surface.name for surface in plan.surfaces]
    strange = pl.col("surfaces").list.eval(~pl.element().is_in(known)).list.any()
    why = f"names a surface that {plan.name} has no [[surface]] for; it has {', '.join(known)}"
    return Fault(strange, f"{named.get('surfaces', 'surfaces')} {why}", of="surfaces")


def catalogue_text(products: Staged, *, creatives: Staged | None, plan: ImportMap) -> str:
    """The catalogue file that imported products make; a product without a creative is said in its own text."""
    words: dict[str, list[dict[str, Any]]] = {}
    for row in creatives.scan().collect().iter_rows(named=True) if creatives is not None else ():
        words.setdefault(row["product_id"], []).append(row)
    found = products.scan().collect()
    if strangers := sorted(set(words) - set(found["product_id"])):
        raise InvalidCatalogue(f"creatives: {strangers[0]} is no imported product; mend product_id, or import it too")
    surfaces = [
        ("surface", {"name": each.name, "max_slots": each.max_slots, "null_allowed": each.null_allowed,
                     "per_family": each.per_family})
        for each in plan.surfaces
    ]  # fmt: skip
    tables: list[tuple[str, Mapping[str, Any]]] = [*surfaces]
    for row in found.iter_rows(named=True):
        tables.append(
            ("product", {
                "id": row["product_id"], "name": row["name"], "family": row["family"],
                "class": row["communication_class"], "regulated_class": row["regulated_class"],
                "surfaces": row["surfaces"], "text": row["text"], "tags": row["tags"], "value": row["value"],
                "min_age": row["min_age"], "countries": row["countries"], "launched_at": row["launched_at"],
                "retired_at": row["retired_at"], "dominated_by": row["dominated_by"] or None,
            })
        )  # fmt: skip
        own = {"creative_id": f"{row['product_id']}-1", "text": row["text"],
               "communication_class": row["communication_class"]}  # fmt: skip
        tables += [
            ("product.creative", {
                "id": each["creative_id"], "text": each["text"], "class": each["communication_class"],
                "apr_block": each.get("apr_block"),
            })
            for each in words.get(row["product_id"], [own])
        ]  # fmt: skip
    return written({"version": f"import of {plan.name}"}, tables)


# -- taking in -----------------------------------------------------------------------------------


def _chunks(rows: pl.LazyFrame, size: int = _CHUNK) -> Iterator[list[dict[str, Any]]]:
    for frame in rows.collect_batches(chunk_size=size, maintain_order=True):
        for start in range(0, frame.height, size):
            yield list(frame.slice(start, size).iter_rows(named=True))


def _latest(activity: Staged, *, told: Progress, since: datetime) -> Iterator[list[dict[str, Any]]]:
    """The latest activities of each customer, in chunks; the whole history is read in batches."""
    kept = ACTIVITY.schema.to_frame()
    for frame in activity.scan().collect_batches(maintain_order=True):
        told("activity", frame.height)
        frame = frame.filter(pl.col("happened_at") >= since)
        kept = pl.concat([kept, frame]).unique("activity_id", keep="first", maintain_order=True)
        kept = kept.sort("happened_at", maintain_order=True).group_by("customer_id", maintain_order=True).tail(HISTORY)
        kept = kept.select(list(ACTIVITY.schema))
    for start in range(0, kept.height, _CHUNK):
        yield list(kept.slice(start, _CHUNK).iter_rows(named=True))


def _without_us(outcomes: Staged, *, decisions: Staged | None) -> pl.LazyFrame:
    """Outcomes that no decision of ours came before: organic ones, and what customers did after somebody else's."""
    told = outcomes.scan()
    organic = told.filter(pl.col("decision_id").is_null())
    if decisions is None:
        return organic
    asked = decisions.scan().select("decision_id", customer_id="customer_id").unique("decision_id")
    theirs = told.filter(pl.col("kind").is_in(sorted(POSITIVE))).drop("customer_id").join(asked, on="decision_id")
    return pl.concat([organic, theirs.select(list(OUTCOMES.schema))])


def _log(home: Installation, rows: Sequence[Mapping[str, Any]], *, taken: Taken) -> None:
    """Outcomes into the log, as organic ones."""
    tokens = home.customers.tokens([CustomerId(row["customer_id"]) for row in rows])
    entries = [
        Entry(
            Outcome(
                row["outcome_id"], tokens[CustomerId(row["customer_id"])], row["product_id"], row["kind"],
                row["happened_at"], None, row["amount_pence"], SOURCE,
            )
        )
        for row in rows
    ]  # fmt: skip
    for receipt in home.log.append(entries):
        taken.counts[f"outcomes {receipt.status.value}"] += 1


def write_rounds(decisions: Staged, *, outcomes: Staged | None, rewards: Rewards, folder: Path) -> tuple[Path, ...]:
    """Past decisions as rounds for `recsys evaluate --log`: `known.parquet`, and `unknown.parquet` without propensity.

    One row a slot. `reward` are the points of what came of it inside each stage's window; `unit` counts customers
    and names nobody; `uniform` is an even choice among what could be drawn then.
    """
    slots = (
        decisions.scan()
        .with_columns(
            unit=pl.col("customer_id").rank("dense").cast(pl.Int64),
            slot=pl.int_ranges(1, pl.col("slots").list.len() + 1),
        )
        .explode("slots", "propensities", "slot")
        .rename({"slots": "product_id", "propensities": "propensity"})
        .with_columns(uniform=1.0 / (pl.col("candidates").list.len() - pl.col("slot") + 1))
    )  # fmt: skip
    earned = _earned(slots, outcomes=outcomes, rewards=rewards)
    table = (
        slots.join(earned, on=["decision_id", "product_id"], how="left", maintain_order="left")
        .with_columns(
            reward=pl.col("reward").fill_null(0.0), round_id=pl.concat_str("decision_id", pl.lit("/"), "slot")
        )
        .select(
            pl.col("round_id").alias("decision_id"), "made_at", "unit", "surface", "policy", "slot", "product_id",
            "candidates", "propensity", "reward", "uniform",
        )
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, wanted in (("known", pl.col("propensity").is_not_null()), ("unknown", pl.col("propensity").is_null())):
        path = folder / f"{name}.parquet"
        table.filter(wanted).sink_parquet(path, compression="zstd")
        paths.append(path)
    return tuple(paths)


def _earned(slots: pl.LazyFrame, *, outcomes: Staged | None, rewards: Rewards) -> pl.LazyFrame:
    """(decision, product) → points of the stages that came inside their windows; each stage counts once."""
    nothing = pl.LazyFrame(schema={"decision_id": pl.String, "product_id": pl.String, "reward": pl.Float64})
    if outcomes is None:
        return nothing
    told = outcomes.scan().filter(pl.col("decision_id").is_not_null())
    joined = told.join(slots.select("decision_id", "product_id", "made_at"), on=["decision_id", "product_id"])
    came: dict[str, pl.LazyFrame] = {}
    parts = []
    for stage_ in rewards.stages:
        inside = joined.filter(
            pl.col("kind") == stage_.kind,
            pl.col("happened_at") >= pl.col("made_at"),
            pl.col("happened_at") < pl.col("made_at") + stage_.window,
        ).unique(["decision_id", "product_id"])
        if stage_.given in came:  # what follows a stage counts where that came
            inside = inside.join(came[stage_.given], on=["decision_id", "product_id"], how="semi")
        came[stage_.name] = inside
        worth = pl.col("product_id").replace_strict(dict(rewards.values), default=1.0, return_dtype=pl.Float64)
        points = worth if stage_.worth is None else pl.lit(stage_.worth)
        parts.append(inside.select("decision_id", "product_id", reward=points))
    if not parts:
        return nothing
    whole = pl.concat(parts).group_by("decision_id", "product_id").agg(pl.col("reward").sum())
    return whole.with_columns(pl.col("reward").clip(rewards.low, rewards.high))
