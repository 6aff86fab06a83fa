"""Encoders beside their peers: same split, same run, full ranking.

    next item       online retail and the bank, the last choice left out; peers: implicit's ALS and BPR,
                    RecTools' SASRec given at least the CPU time that our sequential encoder took
    sets            msweb, half of the areas of each test visitor with two or more known; LightGCN is a peer too
    speed           the sequential encoder and RecTools' SASRec on a stand-in of MovieLens-1M's shape, equal epochs
    families        those that the demo may choose from, each trained and judged on one log of the bank, as every night
    cold products   the bank's products that training never met: two towers beside popularity, chance and the ceiling
    batch           customers encoded a second, and the memory that a million take

The peers are tuned as `rivals.py` says. RECSYS_SHARED names the folder of the public sets. What the last whole run
printed lies beside this file (embeddings.txt).
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from embeddings.blending import Blend
from embeddings.bundling import FAMILIES, made
from embeddings.evaluation import popularity_recall, recall
from embeddings.families import Family
from embeddings.fitting import Epoch, limited_threads
from embeddings.histories import Histories
from embeddings.nightly import BundleRefused, train_bundle
from embeddings.product_facts import ProductFacts
from embeddings.protocols import Protocol, family_of, judge
from embeddings.ranking import Wanted, ranked
from embeddings.sequence_training import SequenceConfig, network_of, preferences, train_sequences
from embeddings.sequential import SequentialConfig
from embeddings.textfiles import Split
from embeddings.training import TrainingConfig
from recsys.bank.truth import TRUTHS
from recsys.tracking import MemoryTracker
from serving.nightly import training_set
from serving.small_bank import SmallBank
from tests.benchmarks.choices import (
    SHARED,
    bank_choices,
    bank_log,
    known_half,
    positives,
    retail,
    stand_in,
    with_histories,
)
from tests.benchmarks.rivals import Line, compared, peer, sasrec

EPOCHS = 1  # of the comparison of speed
LIVED = (3_000, 30)  # customers and days of the log that families are compared on
COLD_WORLDS = (4, 5, 6)  # banks 1 to 3 chose the settings


def main() -> None:
    """Every part, or those that RECSYS_BENCH names, with commas between."""
    parts: dict[str, Callable[[], None]] = {
        "retail": lambda: next_item("online retail", retail()),
        "bank": lambda: next_item("the bank", bank_choices()),
        "sets": sets,
        "speed": speed,
        "families": families,
        "cold": cold,
        "batch": batch,
    }
    for name in os.environ.get("RECSYS_BENCH", ",".join(parts)).split(","):
        parts[name]()


def next_item(title: str, data: Histories) -> None:
    """Leave the last choice out."""
    train, wanted = data.last_out()
    split = Split(train, Wanted.one(wanted))
    seen = "keep" if train.repeats > 0.001 else "drop"
    shape = f"{len(data):,} customers, {data.n_products:,} products, {data.n_events:,} events"
    print(f"\n{title}: {shape}; repeats: {seen}")
    lines = [ours(split, name=name, protocol="leave-one-out") for name in ("popularity", "ease", "transitions")]
    lines.append(ours(split, name="linear", protocol="leave-one-out", title="linear (all three blended)"))
    lines += [peer(split, which=which, seen=seen, protocol="leave-one-out") for which in ("als", "bpr")]
    for line in lines:
        print(line, flush=True)
    mine = blended(split, seen=seen)
    lines.append(sasrec(split, seen=seen, seconds=mine[0].seconds))
    for line in (lines[-1], *mine):
        print(line, flush=True)
    best = max(mine, key=lambda line: float(line.found.ndcg(10).mean()))
    for line in lines:
        compared(best, line)


def sets() -> None:
    """Microsoft's web areas, in the published split; half of each test visitor's areas are known."""
    visits = pl.read_parquet(SHARED / "msweb_visits.parquet")
    split = known_half(visits)
    shape = f"{len(split.train):,} visitors, {split.train.n_products} areas"
    print(f"\nmsweb, given split, half of the areas of each test visitor with two or more known: {shape}")
    lines = [ours(split, name=name, protocol="given-split") for name in ("popularity", "ease", "graph", "blend")]
    lines += [peer(split, which=which, seen="drop", protocol="given-split") for which in ("als", "bpr", "lightgcn")]
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


def families() -> None:
    """Recall@5 on the last tenth of a log, among what was eligible: what `recsys train --encoder` would say of each."""
    with tempfile.TemporaryDirectory() as folder:
        bank = SmallBank.open(Path(folder), customers=LIVED[0], seed=1)
        bank.live(LIVED[1])
        data, catalogue = training_set(bank.home), bank.home.offers.current.catalogue
        products = ProductFacts.of_products(catalogue.products)
        bank.home.database.close()
    print(f"\nfamilies: {LIVED[0]:,} customers for {LIVED[1]} days, {len(data):,} taps and openings")
    for family in FAMILIES:
        tracker, began = MemoryTracker(), time.process_time()
        with tempfile.TemporaryDirectory() as folder, suppress(BundleRefused):
            train_bundle(
                data, products=products, root=Path(folder), features_version="f", tracker=tracker, seed=0, family=family
            )
        told = tracker.runs[-1].metrics
        found, error = told["recall_at_5"], told["recall_at_5_standard_error"]
        print(
            f"  {family:<12} recall@5 {found:.3f} ± {error:.3f}   popularity {told['popularity_recall_at_5']:.3f}   "
            f"{time.process_time() - began:5.1f} CPU s"
        )


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
    """Encode many customers, a million with the default, each family in a process of its own; say how large it grew."""
    for family, customers in (("two-tower", 1_000_000), ("sequential", 200_000)):
        call = f"encoded({family!r}, customers={customers})"
        done = subprocess.run(
            [sys.executable, "-c", f"from tests.benchmarks.embeddings import encoded; {call}"],
            capture_output=True,
            text=True,
            check=True,
        )
        print(done.stdout.rstrip())


def encoded(family: str, *, customers: int) -> None:
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


class Timed:
    """A family that counts its CPU seconds."""

    def __init__(self, family: Family) -> None:
        self._family, self.seconds = family, 0.0
        self.name, self.scores, self.chosen = family.name, family.scores, family.chosen

    def fit(self, learn: Histories, **told: Any) -> Iterator[Epoch]:
        began = time.process_time()
        yield from self._family.fit(learn, **told)
        self.seconds += time.process_time() - began

    def refit(self, whole: Histories, *, seed: int) -> None:
        began = time.process_time()
        self._family.refit(whole, seed=seed)
        self.seconds += time.process_time() - began


def blended(split: Split, *, seen: str) -> list[Line]:
    """The sequential network alone and the default blend, which teaches it once for both."""
    blend = family_of("blend", protocol="leave-one-out")
    assert isinstance(blend, Blend)
    blend.members = members = tuple(map(Timed, blend.members))
    began = time.process_time()
    whole = judge(split, family=blend, protocol="leave-one-out")
    seconds = time.process_time() - began
    network = members[-1]
    if not blend.weights[network.name]:  # what has no weight was not finished
        network.refit(split.train, seed=0)
    alone = ranked(
        network.scores, histories=split.train, wanted=split.wanted, counts=split.train.product_counts, seen=seen
    )
    told = [", ".join(f"{key} {value:g}" for key, value in each.items()) for each in (network.chosen(), whole.chosen)]
    return [
        Line("ours: sequential", alone, network.seconds, told[0]),
        Line("ours: blend", whole.found, seconds, told[1]),
    ]


if __name__ == "__main__":
    main()
