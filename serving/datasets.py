"""Datasets: a part of the log made into tables that many runs may use, named, versioned and never changed.

    datasets/<name>/<digest>/interactions.parquet   positives, as the customer was known at the decision, or at an
                                                    imported opening, which no decision of ours came before
                             lessons.parquet        one row a (decision, slot, stage), told when its window closed
                             rounds.parquet         one row a slot of a decision all of whose windows have closed
                             events.parquet, parts.parquet   the copied log itself, for whatever joins it otherwise

Everything is as it was known: facts are those that the decision used, history what we had been told by then,
lessons and rounds only those whose windows closed inside the part. The digest hangs on content alone, so making
a dataset again of the same days gives the same version, however far the log has gone on.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from embeddings.interactions import Interaction
from recsys import artefacts, features
from recsys.artefacts import Artefact
from recsys.datasets import LoggedBandit
from recsys.errors import Misuse
from recsys.eventlog import EventLog
from recsys.facts import nearest
from recsys.frozenlog import FrozenLog, frozen
from recsys.joining import Joiner
from recsys.tracking import Dataset, Tracker
from recsys.vocabulary import NOTHING, Lesson, ProductId, Round, Slot
from serving.bootstrap import Installation
from serving.nightly import told_interactions
from serving.stored_facts import with_stored_facts

FOLDER, FORMAT = "datasets", 1
FORWARDED = "forwarded.json"
EXPERIMENT = "datasets"
AS_DECIDED, IN_STORE = "decisions", "feature-store"
"""Where facts of interactions come from."""
_TIME = pl.Datetime("us", "UTC")
_INTERACTIONS: dict[str, Any] = {
    "decision_id": pl.String,
    "token": pl.String,
    "made_at": _TIME,
    "facts": pl.List(pl.Float64),
    "history": pl.List(pl.String),
    "product_id": pl.String,
    "kind": pl.String,
    "happened_at": _TIME,
    "among": pl.List(pl.String),
}
_SHARED: dict[str, Any] = {
    "decision_id": pl.String,
    "token": pl.String,
    "unit": pl.String,
    "made_at": _TIME,
    "surface": pl.String,
    "mode": pl.String,
    "policy": pl.String,
    "slot": pl.Int64,
    "product_id": pl.String,
    "propensity": pl.Float64,
}
_LESSONS = _SHARED | {
    "stage": pl.String,
    "happened": pl.Boolean,
    "share": pl.Float64,
    "weight": pl.Float64,
    "ripe_at": _TIME,
    "position": pl.Int64,
}
_ROUNDS = _SHARED | {
    "candidates": pl.List(pl.String),
    "pmf": pl.List(pl.Float64),
    "context_names": pl.List(pl.String),
    "context": pl.List(pl.Float64),
    "seen": pl.Boolean,
    "stages": pl.List(pl.String),
    "reward": pl.Float64,
    "position": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class Made:
    """A dataset as published."""

    name: str
    artefact: Artefact

    @property
    def digest(self) -> str:
        """Its version."""
        return self.artefact.digest

    @property
    def about(self) -> Mapping[str, Any]:
        """What it was made of, and its size."""
        return self.artefact.manifest

    @property
    def tracked(self) -> Dataset:
        """As a run names it."""
        told = ("since", "until", "position", "interactions", "lessons", "rounds", "events")
        profile = {name: self.about[name] for name in told}
        return Dataset(self.name, self.digest, self.artefact.path.as_uri(), profile)

    def table(self, name: str) -> pl.DataFrame:
        """One of its tables; raises `Corrupt` where the file is not what was published."""
        return pl.read_parquet(BytesIO(self.artefact.file(f"{name}.parquet")))

    def log(self) -> FrozenLog:
        """The copied part of the log."""
        return FrozenLog(self.table("events"), parts=self.table("parts"))

    def interactions(self, *, among: Collection[ProductId]) -> list[Interaction]:
        """The positives of these products; raises `Misuse` where the features have changed since it was made."""
        if tuple(self.about["fact_names"]) != features.CUSTOMER_NAMES:
            raise Misuse(f"{self.name} was made with the features of version {self.about['features']}: make it again")
        return [
            Interaction(
                row["token"],
                row["facts"],
                tuple(row["history"]),
                ProductId(row["product_id"]),
                row["happened_at"],
                tuple(row.get("among") or ()),  # a dataset older than the column does not say
            )
            for row in self.table("interactions").iter_rows(named=True)
            if row["product_id"] in among
        ]

    def evenly_drawn(self, *, outcome: str) -> LoggedBandit:
        """First slots that were drawn evenly, and whether `outcome` came to each: what replay by matching needs.

        Raises `Misuse` where there is none.
        """
        rounds = self.table("rounds").filter(pl.col("slot") == 1, pl.col("policy").str.starts_with("uniform@"))
        if rounds.is_empty():
            raise Misuse(f"{self.name} has no round that was drawn evenly, and replay is honest on those alone")
        products = sorted({product for row in rounds["candidates"] for product in row})
        column = {product: at for at, product in enumerate(products)}
        known = list(dict.fromkeys(name for row in rounds["context_names"] for name in row))
        at = {name: column for column, name in enumerate(known)}
        open_ = np.zeros((rounds.height, len(products)), dtype=np.bool_)
        contexts = np.zeros((rounds.height, len(known)))
        for i, row in enumerate(rounds.iter_rows(named=True)):
            open_[i, [column[product] for product, p in zip(row["candidates"], row["pmf"], strict=True) if p > 0.0]] = (
                True
            )
            contexts[i, [at[name] for name in row["context_names"]]] = row["context"]
        return LoggedBandit(
            f"{self.name}@{self.digest[:12]}",
            "uniform",
            tuple(known),
            contexts,
            tuple(products),
            np.array([column[product] for product in rounds["product_id"]], dtype=np.int64),
            rounds["stages"].list.contains(outcome).cast(pl.Float64).to_numpy(),
            rounds["propensity"].to_numpy(),
            open_,
        )


def make(
    home: Installation, name: str, *, since: datetime | None, until: datetime | None, facts: str = AS_DECIDED
) -> Made:
    """Make a dataset of what was recorded in [since, until) and put it in force under its name.

    `facts` of interactions are those that decisions used, or what the feature store's history says was known then.
    Raises `Misuse` for a name that is none, for a part without a decision, and where there is no feature store.
    """
    _check(name)
    stale = ""
    while True:
        erasures = home.erasures.begun()
        made = _made(home, name, since=since, until=until, facts=facts)
        if stale not in ("", made.digest):
            artefacts.remove(home.settings.artefacts / FOLDER, name, stale)
        if home.erasures.begun() == erasures:
            return made
        stale = made.digest  # somebody was forgotten while it was made, and may be in it


def _made(home: Installation, name: str, *, since: datetime | None, until: datetime | None, facts: str) -> Made:
    start = 0 if since is None else home.log.position_before(since)
    end = home.log.last_position() if until is None else home.log.position_before(until)
    events, parts = frozen(list(home.log.read(after=start, until=end)))
    log = FrozenLog(events, parts=parts)
    within = replace(home, log=log)
    interactions = _interactions(within, facts=facts)
    if interactions.is_empty() and not log.counts().get("decision"):
        raise Misuse("there is neither a decision nor an imported opening in this part of the log to make a dataset of")
    lessons, rounds = _joined(log, home=home)
    tables = {
        "interactions": interactions,
        "lessons": lessons,
        "rounds": rounds,
        "events": events,
        "parts": parts,
    }
    manifest = {
        "kind": "dataset",
        "format": FORMAT,
        "features": features.VERSION,
        "fact_names": list(features.CUSTOMER_NAMES),
        "facts_from": facts,
        "since": log.recorded_at(int(events["position"][0])).isoformat(),
        "until": log.recorded_at(log.last_position()).isoformat(),
        "position": log.last_position(),
        "log_digest": log.digest(until=log.last_position()),
        "rewards": home.rewards.digest,
        "catalogue": home.offers.current.catalogue.digest,
        **{name: table.height for name, table in tables.items()},
    }
    files = {f"{name}.parquet": parquet(table) for name, table in tables.items()}
    return Made(name, artefacts.publish(home.settings.artefacts / FOLDER, name, files=files, manifest=manifest))


def forward(artefacts_: Path, name: str, *, old: str, files: Mapping[str, bytes], manifest: Mapping[str, Any]) -> None:
    """Put another version in the place of one, and lead whoever names the old one to it."""
    root = artefacts_ / FOLDER
    new = artefacts.replace(root, name, old, files=files, manifest=manifest).digest
    known = _forwarded(root / name)
    staged = root / name / f".{FORWARDED}"
    staged.write_text(artefacts.canonical(known | {old: new}))
    staged.replace(root / name / FORWARDED)


def _forwarded(home: Path) -> dict[str, str]:
    """Old digest → the one that took its place."""
    try:
        found: dict[str, str] = json.loads((home / FORWARDED).read_text())
    except FileNotFoundError:
        return {}
    return found


def dataset(artefacts_: Path, asked: str) -> Made:
    """A dataset in force by its name, or one version as `name@digest` (the digest's beginning is enough).

    `artefacts_` is where an installation publishes. Raises `Misuse` for what is not there.
    """
    name, _, version = asked.partition("@")
    root, known = artefacts_ / FOLDER, names(artefacts_)
    if name not in known:
        there = ", ".join(known) or "none yet: recsys dataset create NAME"
        raise Misuse(f'no dataset is called "{name}"{nearest(name, among=dict.fromkeys(known))}; there are {there}')
    if not version:
        return Made(name, artefacts.current(root, name))
    there_are, led = versions(artefacts_, name), _forwarded(root / name)
    named = [each for each in (*there_are, *led) if each.startswith(version)]
    found = sorted({_followed(each, led) for each in named})
    if len(found) != 1:
        raise Misuse(f"{name} has {len(found)} versions that begin with {version}; it has {', '.join(there_are)}")
    return Made(name, artefacts.read(root, name, found[0]))


def _followed(digest: str, led: Mapping[str, str]) -> str:
    """The version that stands where this one stood before somebody in it was forgotten."""
    while digest in led:
        digest = led[digest]
    return digest


def names(artefacts_: Path) -> list[str]:
    """Every dataset that was ever made."""
    return sorted(path.parent.name for path in (artefacts_ / FOLDER).glob(f"*/{artefacts.POINTER}"))


def versions(artefacts_: Path, name: str) -> list[str]:
    """The digests under a name, the one in force among them."""
    folders = [path.parent.name for path in (artefacts_ / FOLDER / name).glob(f"*/{artefacts.MANIFEST}")]
    return sorted(each for each in folders if not each.startswith("."))


def recorded(made: Made, *, tracker: Tracker) -> str:
    """Write down that it was made; where a person can open it."""
    parameters = {key: str(value) for key, value in made.about.items() if key not in ("files", "fact_names")}
    with tracker.run(f"{made.name} {made.digest[:12]}", experiment=EXPERIMENT, parameters=parameters) as run:
        run.learned_from(made.tracked)
        sizes = ("interactions", "lessons", "rounds", "events")
        run.record({size: float(made.about[size]) for size in sizes})
        return run.url


def _check(name: str) -> None:
    if not (name and len(name) <= 64 and name[0].isalpha() and all(each.isalnum() or each in "-_" for each in name)):
        raise Misuse(f'"{name}" names no dataset: letters, digits, "-" and "_", a letter first, at most 64')
    if name in RESERVED:
        raise Misuse(f'"{name}" is a form of `recsys replay`: choose another name')


RESERVED = frozenset({"open-bandit", "classification"})


def _interactions(home: Installation, *, facts: str) -> pl.DataFrame:
    found = told_interactions(home)
    if facts == IN_STORE:
        found = with_stored_facts(found, home=home)
    rows = []
    for decision, outcome, each in found:
        decision_id = None if decision is None else decision.decision_id
        made_at = each.happened_at if decision is None else decision.made_at
        rows.append(
            (decision_id, each.token, made_at, list(each.facts), list(each.history), each.product_id,
             outcome.kind, each.happened_at, list(each.among))
        )  # fmt: skip
    return pl.DataFrame(rows, schema=_INTERACTIONS, orient="row")


def _joined(log: EventLog, *, home: Installation) -> tuple[pl.DataFrame, pl.DataFrame]:
    joiner = Joiner(home.rewards)
    lessons, rounds = list[dict[str, Any]](), list[dict[str, Any]]()
    for event in log.read():
        for each in joiner.feed(event):
            if isinstance(each, Round):
                rounds += _round(each)
            elif each.slot is not None:  # one of a candidate that was not shown is no fact of the log
                lessons.append(_lesson(each, each.slot))
    return pl.DataFrame(lessons, schema=_LESSONS, orient="row"), pl.DataFrame(rounds, schema=_ROUNDS, orient="row")


def _shared(each: Lesson | Round, *, slot: int) -> dict[str, Any]:
    d = each.decision
    drawn = d.slots[slot - 1]
    return {
        "decision_id": d.decision_id,
        "token": str(d.token),
        "unit": d.unit or str(d.token),
        "made_at": d.made_at,
        "surface": d.surface,
        "mode": d.mode,
        "policy": d.policy,
        "slot": drawn.number,
        "product_id": drawn.product_id,
        "propensity": drawn.propensity,
        "position": each.position,
    }


def _lesson(each: Lesson, slot: Slot) -> dict[str, Any]:
    return _shared(each, slot=slot.number) | {
        "stage": each.stage,
        "happened": each.happened,
        "share": each.share,
        "weight": each.weight,
        "ripe_at": each.ripe_at,
    }


def _round(each: Round) -> Iterator[dict[str, Any]]:
    d = each.decision
    for row, slot in enumerate(d.slots):
        null = slot.product_id == NOTHING  # it ends the slate, so the rows of all others are those of the rewards
        yield _shared(each, slot=slot.number) | {
            "candidates": [candidate.product_id for candidate in d.candidates],
            "pmf": d.pmfs[row].tolist(),
            "context_names": list(d.context.names),
            "context": list(d.context.values),
            "seen": False if null else bool(each.seen[row]),
            "stages": [] if null else [name for name, marks in each.stages.items() if marks[row]],
            "reward": 0.0 if null else float(each.rewards[row]),
        }


def parquet(table: pl.DataFrame) -> bytes:
    """A table as a file; the same rows give the same bytes."""
    buffer = BytesIO()
    table.write_parquet(buffer, compression="zstd", statistics=True)
    return buffer.getvalue()


def folder_of(made: Made) -> Path:
    """Where its files lie."""
    return made.artefact.path


def sentence(made: Made) -> str:
    """In plain words."""
    a = made.about
    return (
        f"{made.name}@{made.digest[:12]}: {a['rounds']:,} slots of closed rounds, {a['lessons']:,} lessons and "
        f"{a['interactions']:,} interactions of {a['events']:,} events, {a['since'][:16]} to {a['until'][:16]}"
    )


TABLES: Sequence[str] = ("interactions", "lessons", "rounds", "events", "parts")
