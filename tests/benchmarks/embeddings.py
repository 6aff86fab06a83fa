"""Encoders beside their peers: same split, same run, full ranking.

    next item       online retail and the bank, the last choice left out; peers: implicit's ALS and BPR,
                    RecTools' SASRec given at least the CPU time that our sequential encoder took
    sets            msweb, half of the areas of each test visitor with two or more known
    speed           the sequential encoder and RecTools' SASRec on a stand-in of MovieLens-1M's shape, equal epochs
    cold products   the bank's products that training never met: two towers beside popularity, chance and the ceiling
    batch           customers encoded a second, and the memory that a million take

ALS and BPR are tuned over the same few settings on the same choices that decide for us. Peers run in an
environment of their own (`peers.py`). RECSYS_SHARED names the folder of the public sets.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from embeddings.bundling import made
from embeddings.evaluation import popularity_recall, recall
from embeddings.families import Family
from embeddings.fitting import limited_threads
from embeddings.histories import Histories
from embeddings.interactions import TrainingSet
from embeddings.product_facts import ProductFacts
from embeddings.protocols import Protocol, family_of, judge
from embeddings.ranking import Ranked, Wanted, ranked
from embeddings.sequence_training import SequenceConfig, network_of, preferences, train_sequences
from embeddings.sequential import SequentialConfig
from embeddings.textfiles import Split
from embeddings.training import TrainingConfig
from recsys.bank.logs import log_of
from recsys.bank.offers import articles_of, offers_of
from recsys.bank.slates import ArrayPolicy
from recsys.bank.truth import TRUTHS
from recsys.bank.wording import catalogue_text
from recsys.bank.world import Bank
from recsys.catalogue import parse
from tests.benchmarks import peers

SHARED = Path(os.environ.get("RECSYS_SHARED", Path(__file__).parents[3] / "shared" / "data"))
REQUIREMENTS = ("torch==2.13.0", "implicit==0.7.3", "rectools[torch]==0.19.0")
IMPLICIT, RECTOOLS = "peers_of_embeddings.py", "peers_of_sequences.py"
ALS = [[factors, alpha] for factors in (32, 64, 128) for alpha in (1.0, 10.0)]
BPR = [[factors, rate] for factors in (32, 64) for rate in (0.01, 0.05)]
START = datetime(2026, 1, 5, tzinfo=UTC)
EPOCHS = 3  # of the comparison of speed
COLD_WORLDS = (4, 5, 6)  # banks 1 to 3 chose the settings


def main() -> None:
    """Every part, or those that RECSYS_BENCH names, with commas between."""
    parts: dict[str, Callable[[], None]] = {
        "retail": lambda: next_item("online retail", retail()),
        "bank": lambda: next_item("the bank", bank_choices()),
        "sets": sets,
        "speed": speed,
        "cold": cold,
        "batch": batch,
    }
    for name in os.environ.get("RECSYS_BENCH", ",".join(parts)).split(","):
        parts[name]()


@dataclass(frozen=True, slots=True)
class Line:
    """One method on one set."""

    name: str
    found: Ranked
    seconds: float
    note: str = ""

    def __str__(self) -> str:
        ndcg = self.found.ndcg(10)
        error = self.found.standard_error(ndcg)
        return (
            f"  {self.name:<28} NDCG@10 {ndcg.mean():.4f} ± {error:.4f}   HR@10 {self.found.hit_rate(10).mean():.4f}   "
            f"recall@20 {self.found.recall(20).mean():.4f}   {self.seconds:7.1f} CPU s   {self.note}"
        )


def next_item(title: str, data: Histories) -> None:
    """Leave the last choice out."""
    train, wanted = data.last_out()
    split = Split(train, Wanted.one(wanted))
    seen = "keep" if train.repeats > 0.001 else "drop"
    print(
        f"\n{title}: {len(data):,} customers, {data.n_products:,} products, {data.n_events:,} events; repeats: {seen}"
    )
    sequential = ours(split, name="sequential", protocol="leave-one-out")
    lines = [ours(split, name=name, protocol="leave-one-out") for name in ("popularity", "ease", "transitions")]
    lines.append(ours(split, name="linear", protocol="leave-one-out", title="linear (all three blended)"))
    lines += [peer(split, which=which, seen=seen, protocol="leave-one-out") for which in ("als", "bpr")]
    lines.append(sasrec(split, seen=seen, seconds=sequential.seconds))
    lines += [sequential, ours(split, name="blend", protocol="leave-one-out")]
    for line in lines:
        print(line)
    best = max(lines[-2:], key=lambda line: float(line.found.ndcg(10).mean()))
    for line in lines[:-2]:
        compared(best, line)


def sets() -> None:
    """Microsoft's web areas, in the published split; half of each test visitor's areas are known."""
    visits = pl.read_parquet(SHARED / "msweb_visits.parquet")
    split = known_half(visits)
    shape = f"{len(split.train):,} visitors, {split.train.n_products} areas"
    print(f"\nmsweb, given split, half of the areas of each test visitor with two or more known: {shape}")
    lines = [ours(split, name=name, protocol="given-split") for name in ("popularity", "ease", "graph", "blend")]
    lines += [peer(split, which=which, seen="drop", protocol="given-split") for which in ("als", "bpr")]
    for line in lines:
        print(line)
    best = max(lines[1:4], key=lambda line: float(line.found.recall(20).mean()))
    for line in (lines[0], *lines[4:]):
        compared(best, line, what="recall@20")


def speed() -> None:
    """A stand-in of MovieLens-1M's shape: 6,040 customers, 3,400 products, 166 events a customer; equal epochs."""
    data = stand_in(customers=6040, products=3400, events=1_000_000)
    train, wanted = data.last_out()
    split = Split(train, Wanted.one(wanted))
    lengths = train.lengths
    read = int(np.minimum(lengths, 128).sum())
    print(
        f"\nspeed, {train.n_events:,} events, D 64, length 128, {EPOCHS} epochs each; RecTools reads each customer's "
        f"last 128 events, {read / train.n_events:.0%} of all, and is credited with all"
    )
    config = SequenceConfig(network=SequentialConfig(dropout=0.2), epochs=EPOCHS, patience=EPOCHS)
    learn, later = train.last_out()
    network = network_of(learn, config, seed=0)
    began = time.process_time()
    with limited_threads(1):
        for _ in train_sequences(
            train, later=(learn, Wanted.one(later)), seed=0, config=config, seen="drop", start=network
        ):
            pass
        seconds = time.process_time() - began
        found = ranked(
            lambda histories: preferences(network, histories),
            histories=train,
            wanted=split.wanted,
            counts=train.product_counts,
            seen="drop",
        )
    taught = train.n_events * EPOCHS
    mine = Line("sequential", found, seconds, f"{taught / seconds:,.0f} interactions a CPU second, validation included")
    theirs = sasrec(split, seen="drop", seconds=0.0, epochs=EPOCHS)
    print(mine)
    print(replace(theirs, note=f"{taught / theirs.seconds:,.0f} interactions a CPU second"))
    print(f"  ratio {theirs.seconds / seconds:.1f} ×")
    compared(mine, theirs)


def cold() -> None:
    """Half of the offers and articles never met in training; who taps them later? On banks that nothing was tuned on.

    Popularity knows nothing of a product without history: it finds none among all that are eligible, and is a blind
    choice among the cold. The ceiling is the ranking by the true chance of a tap.
    """
    print("\ncold products (no history), recall@10 of taps on them; mean over two seeds")
    sums = np.zeros(7)
    for world in COLD_WORLDS:
        log, products = bank_log(customers=4000, days=45, offers=480, seed=world)
        chosen = np.argwhere(log.tapped)  # (taps, 2) decision, slot
        rows, decisions = log.columns[chosen[:, 0], chosen[:, 1]], chosen[:, 0]
        dice = np.random.default_rng(world)
        late = np.array([not each.startswith(tuple(TRUTHS)) for each in log.products])
        late &= dice.random(len(products)) < 0.5
        is_late, days = late[rows], log.days[decisions]
        learn, test = ~is_late & (days < 36), is_late & (days >= 36)
        data = positives(log, decisions[learn], rows=rows[learn], products=products)
        data = data.choosing_among(log.eligible[decisions[learn]] & ~late)
        asked = positives(log, decisions[test], rows=rows[test], products=products)
        told: dict[str, Any] = {"product_rows": asked.product_rows, "customer_rows": asked.customer_rows, "k": 10}
        masks = (log.eligible[decisions[test]], log.eligible[decisions[test]] & late)
        found = np.zeros(2)
        for seed in (0, 1):
            encoder = made(
                data,
                family="two-tower",
                products=products,
                seed=seed,
                config=TrainingConfig(),
                told=lambda _: None,
                checkpoint=None,
            ).encoder()
            queries = encoder.encode_rows(asked.facts, history=asked.history)
            vectors = encoder.encode_products(products)
            found += [recall(queries, vectors=vectors, eligible=mask, **told).mean / 2 for mask in masks]
        popular = popularity_recall(data.product_counts, eligible=masks[0], **told).mean
        blind = [float(np.minimum(1.0, 10 / mask.sum(axis=1)).mean()) for mask in masks]
        ceilings = [_ceiling(log.taps[decisions[test]], mask=mask, told=told) for mask in masks]
        line = np.array([found[0], popular, blind[0], ceilings[0], found[1], blind[1], ceilings[1]])
        sums += line / len(COLD_WORLDS)
        print(f"  bank {world}: {len(data):,} taps taught, {len(asked)} judged   {_cold_line(line)}")
    print(f"  mean: {_cold_line(sums)}   {sums[4] / sums[5]:.1f} × a blind choice among the cold")


def _cold_line(line: np.ndarray) -> str:
    whole = "all eligible: two towers {:.3f}, popularity {:.3f}, blind {:.3f}, ceiling {:.3f}".format(*line[:4])
    return whole + "   cold ones: two towers {:.3f}, popularity (blind) {:.3f}, ceiling {:.3f}".format(*line[4:])


def _ceiling(chances: np.ndarray, *, mask: np.ndarray, told: dict[str, Any]) -> float:
    """Recall of the true chances."""
    scores = np.where(mask, chances, -np.inf)
    rows = np.arange(len(scores))
    hits = (scores > scores[rows, told["product_rows"]][:, None]).sum(axis=1) < told["k"]
    _, places = np.unique(told["customer_rows"], return_inverse=True)
    return float((np.bincount(places, weights=hits) / np.bincount(places)).mean())


def batch() -> None:
    """Encode a million customers in a process of its own, and say how large it grew."""
    for family in ("two-tower", "sequential"):
        done = subprocess.run(
            [sys.executable, "-c", f"from tests.benchmarks.embeddings import encoded; encoded({family!r})"],
            capture_output=True,
            text=True,
            check=True,
        )
        print(done.stdout.rstrip())


def encoded(family: str, *, customers: int = 1_000_000) -> None:
    """Encode `customers` in pages, keeping every vector."""
    log, products = bank_log(customers=300, days=12)
    chosen = np.argwhere(log.tapped)
    rows = log.columns[chosen[:, 0], chosen[:, 1]]
    data = positives(log, chosen[:, 0], rows=rows, products=products)
    dice = np.random.default_rng(0)
    spent = [[f"subject-{each}" for each in line] for line in dice.integers(0, 40, size=(len(data), 32))]
    data = with_histories(data, spent)
    data = data if family == "two-tower" else data.products_first()
    config = TrainingConfig(epochs=1)
    told: Callable[[object], None] = lambda _: None  # noqa: E731
    encoder = made(data, family=family, products=products, seed=0, config=config, told=told, checkpoint=None).encoder()
    some = np.arange(customers) % len(data)
    vectors = np.empty((customers, encoder.dim), dtype=np.float32)
    began, wall = time.process_time(), time.perf_counter()
    with limited_threads(1):
        for start in range(0, customers, 50_000):
            part = some[start : start + 50_000]
            vectors[start : start + 50_000] = encoder.encode_rows(data.facts[part], history=data.history[part])
    seconds, wall = time.process_time() - began, time.perf_counter() - wall
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"\nbatch, {family}: {customers:,} customers with 32 events each, {customers / seconds:,.0f} a CPU second, "
        f"{customers / wall:,.0f} a second of this clock; {most:.2f} GiB at most"
    )


def ours(split: Split, *, name: str, protocol: Protocol, title: str = "") -> Line:
    """One of our families under a protocol, with the command's defaults."""
    family: Family = family_of(name, protocol=protocol)
    began = time.process_time()
    found = judge(split, family=family, protocol=protocol)
    note = ", ".join(f"{key} {value:g}" for key, value in found.chosen.items())
    return Line(f"ours: {title or name}", found.found, time.process_time() - began, note)


def peer(split: Split, *, which: str, seen: str, protocol: Protocol) -> Line:
    """implicit's model, its setting chosen by NDCG@10 on what came just before the test, then fitted on all of it."""
    learn, later = _held(split.train, protocol=protocol)
    tries = ALS if which == "als" else BPR
    asked = {"which": which, "tries": tries}
    lists, _, _ = lists_of(IMPLICIT, learn, wanted=later, seen=seen, settings=asked)
    scores = [float(listed(each, wanted=later, counts=learn.product_counts).ndcg(10).mean()) for each in lists]
    best = tries[int(np.argmax(scores))]
    lists, seconds, _ = lists_of(
        IMPLICIT, split.train, wanted=split.wanted, seen=seen, settings=asked | {"tries": [best]}
    )
    found = listed(lists[0], wanted=split.wanted, counts=split.train.product_counts)
    return Line(f"implicit {which.upper()}", found, seconds, f"factors {best[0]:g}, {best[1]:g}")


def sasrec(split: Split, *, seen: str, seconds: float, epochs: int = 100) -> Line:
    """RecTools' SASRec of the same shape, for whole epochs until it has had as long; seconds 0: for all `epochs`."""
    settings = {"epochs": epochs, "length": 128, "seconds": seconds}
    lists, took, passes = lists_of(RECTOOLS, split.train, wanted=split.wanted, seen=seen, settings=settings)
    counts = split.train.product_counts
    popular = np.argsort(-counts, kind="stable")[: lists.shape[2]]
    nobody = (lists[0] < 0).all(axis=1)  # whom it refuses to know gets the list of all
    found = listed(np.where(nobody[:, None], popular, lists[0]), wanted=split.wanted, counts=counts)
    return Line("RecTools SASRec", found, took, f"{passes} epochs, {int(nobody.sum())} by popularity")


def lists_of(
    script: str, train: Histories, *, wanted: Wanted, seen: str, settings: dict[str, Any]
) -> tuple[np.ndarray, float, int]:
    """(tries, m, 20) of those who wanted something, CPU seconds, passes."""
    told = peers.run(
        script,
        requirements=REQUIREMENTS,
        arrays={
            "users": train.customer_rows,
            "items": train.subject_rows.astype(np.int64),
            "asked": np.flatnonzero(wanted.lengths > 0),
        },
        settings=settings | {"k": min(20, train.n_products), "drop": seen == "drop", "n_items": train.n_products},
        environment={"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    return told.arrays["lists"], float(told.settings["seconds"]), int(told.settings["passes"])


def listed(lists: np.ndarray, *, wanted: Wanted, counts: np.ndarray) -> Ranked:
    """A peer's lists, judged as ours are."""
    asked = np.flatnonzero(wanted.lengths > 0)
    owners = np.repeat(np.arange(len(asked)), wanted.lengths[asked])
    right = np.zeros((len(asked), len(counts) + 1), dtype=np.bool_)
    right[owners, wanted.only(asked).product_rows] = True
    hits = np.take_along_axis(right, np.where(lists < 0, len(counts), lists), axis=1)
    first = np.where(hits.any(axis=1), 1.0 / (1.0 + hits.argmax(axis=1)), 0.0)
    shares = counts / counts.sum()
    return Ranked(lists.astype(np.int32), hits, first, wanted.lengths[asked], asked, shares)


def compared(ours_: Line, theirs: Line, *, what: str = "NDCG@10") -> None:
    """The difference, customer by customer, and its standard error."""
    values = [each.found.ndcg(10) if what == "NDCG@10" else each.found.recall(20) for each in (ours_, theirs)]
    lost = values[0] - values[1]
    ratio = values[0].mean() / max(values[1].mean(), 1e-9)
    error = ours_.found.standard_error(lost)
    print(f"    {ours_.name} − {theirs.name:<28} {what} {lost.mean():+.4f} ± {error:.4f}   ({ratio:.2f} ×)")


def _held(train: Histories, *, protocol: Protocol) -> tuple[Histories, Wanted]:
    """What decides between a peer's settings, as `protocols.judge` holds it back for ours."""
    if protocol == "leave-one-out":
        learn, wanted = train.last_out()
        return learn, Wanted.one(wanted)
    held = (np.random.default_rng(0).random(train.n_events) < 0.2) & np.repeat(train.lengths > 1, train.lengths)
    later = train.kept(held)
    return train.kept(~held), Wanted(later.starts, later.subject_rows.astype(np.int64))


def retail() -> Histories:
    """Online retail, cleaned as its README says."""
    table = pl.read_parquet(SHARED / "online_retail_2010_2011.parquet").filter(
        pl.col("customer_id").is_not_null() & (pl.col("quantity") > 0) & (pl.col("unit_price") > 0)
    )
    table = table.sort("invoice_ts", maintain_order=True)
    return Histories.of(table["customer_id"].cast(pl.String).to_list(), subjects=table["stock_code"].to_list())


def known_half(visits: pl.DataFrame) -> Split:
    """Training visitors whole, half of each test visitor's areas; the other half is wanted."""
    dice = np.random.default_rng(0)
    who = (visits["split"] + "-" + visits["user_id"].cast(pl.String)).to_list()
    what = visits["area_id"].cast(pl.String).to_list()
    data = Histories.of(who, subjects=what)
    test = np.array([each.startswith("test") for each in data.customers.ids])
    order = np.lexsort((dice.random(data.n_events), data.customer_rows))
    place = np.empty(data.n_events, dtype=np.int64)
    place[order] = np.arange(data.n_events) - np.repeat(data.starts[:-1], data.lengths)
    held = np.repeat(test & (data.lengths > 1), data.lengths) & (
        place < np.repeat((data.lengths + 1) // 2, data.lengths)
    )
    later = data.kept(held)
    return Split(data.kept(~held), Wanted(later.starts, later.subject_rows.astype(np.int64)))


def stand_in(*, customers: int, products: int, events: int) -> Histories:
    """Popularity like Zipf's, lengths like MovieLens', and neighbours in taste that follow each other."""
    dice = np.random.default_rng(0)
    lengths = np.maximum(20, dice.lognormal(np.log(96), 1.0, size=customers)).astype(np.int64)
    lengths = np.maximum(20, (lengths * events / lengths.sum()).astype(np.int64))
    who = np.repeat(np.arange(customers), lengths)
    groups = dice.integers(0, 40, size=products)
    members = [np.flatnonzero(groups == group) for group in range(40)]
    weights = 1.0 / (np.arange(products) + 10.0)
    what = np.empty(len(who), dtype=np.int64)
    taste = dice.integers(0, 40, size=(customers, 4))
    start = 0
    for customer, length in enumerate(lengths.tolist()):
        group = taste[customer][np.cumsum(dice.random(length) < 0.15) % 4]  # stays with a taste for about seven events
        for each in np.unique(group):
            mine = np.flatnonzero(group == each)
            among = members[each]
            chance = weights[among] / weights[among].sum()
            what[start + mine] = dice.choice(among, p=chance, size=len(mine))
        start += length
    return Histories.of([f"c{each}" for each in who.tolist()], subjects=[f"p{each}" for each in what.tolist()])


def bank_log(*, customers: int, days: int, offers: int = 120, seed: int = 1) -> tuple[Any, ProductFacts]:
    """A uniform log of a bank with offers and articles, and its products."""
    catalogue = (
        *TRUTHS,
        *(e.product_id for e in offers_of(offers, seed=seed)),
        *(e.product_id for e in articles_of(24)),
    )
    bank = Bank.create(customers=customers, seed=seed, start=START, catalogue=catalogue)
    policy = ArrayPolicy("uniform@1", _even, _spread)
    log = log_of(bank, days=days, policy=policy)
    text = catalogue_text(catalogue)
    facts = ProductFacts.of_products(parse(text, where="bench").products)
    assert facts.ids.ids == tuple(log.products)
    return log, facts


def _even(visible: np.ndarray, *, eligible: np.ndarray, surface: str) -> np.ndarray:
    return np.zeros(eligible.shape)


def _spread(scores: np.ndarray, open_: np.ndarray) -> np.ndarray:
    return open_ / np.maximum(open_.sum(axis=1, keepdims=True), 1)


def bank_choices() -> Histories:
    """What the bank's customers tapped, in order."""
    log, _ = bank_log(customers=4000, days=90)
    chosen = np.argwhere(log.tapped)
    at = log.days[chosen[:, 0]] * 86_400 + log.seconds[chosen[:, 0]]
    order = np.argsort(at, kind="stable")
    rows = log.columns[chosen[:, 0], chosen[:, 1]][order]
    who = log.rows[chosen[:, 0]][order]
    return Histories.of(
        [f"c{each}" for each in who.tolist()],
        subjects=[log.products[each] for each in rows.tolist()],
        happened_at=(at[order] * 1_000_000).astype(np.int64),
    )


def positives(log: Any, decisions: np.ndarray, *, rows: np.ndarray, products: ProductFacts) -> TrainingSet:
    """Taps as the encoders of the bank learn from them; facts are what was visible, holdings of offers aside."""
    n_facts = log.visible.shape[1] - len(log.products)
    held = [n_facts + row for row, each in enumerate(log.products) if each in TRUTHS]
    visible = log.visible[:, [*range(n_facts), *held]]
    at = [START + timedelta(days=int(log.days[d]), seconds=int(log.seconds[d])) for d in decisions]
    return TrainingSet.from_columns(
        visible[decisions],
        histories=[()] * len(decisions),
        product_ids=[products.ids.ids[row] for row in rows],
        tokens=[f"t{log.rows[d]}" for d in decisions],
        happened_at=at,
        products=products.ids,
        fact_names=tuple(f"fact_{i}" for i in range(visible.shape[1])),
    )


def with_histories(data: TrainingSet, histories: Sequence[Sequence[str]]) -> TrainingSet:
    """The same rows with other histories."""
    return TrainingSet.from_columns(
        data.facts,
        histories=histories,
        product_ids=[data.products.ids[row] for row in data.product_rows],
        tokens=[str(row) for row in data.customer_rows],
        happened_at=[at.astype("datetime64[us]").item().replace(tzinfo=UTC) for at in data.happened_at],
        products=data.products,
        fact_names=data.fact_names,
    )


if __name__ == "__main__":
    main()
