"""The two protocols that published results rest on, with defaults that need no tuning.

    leave-one-out  the last choice of each customer is the test, the one before decides on parameters, and what
                   won is finished on everything but the test (Kang and McAuley 2018)
    given-split    a training file and a test file of sets; a fifth of each customer's training choices decides on
                   parameters (He et al. 2020)

Rankings are over the whole catalogue. What is in the history is not proposed again, as published; but where
customers do choose a product twice (in an ordered file, which shows it), it is. The default encoder is a
blend, whose members and weights the choices before the test decide: a member that does not earn its place
has weight 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from embeddings import families
from embeddings.blending import Blend
from embeddings.families import Family, Later, SequentialFamily
from embeddings.fitting import Epoch, limited_threads
from embeddings.histories import Histories, Rows
from embeddings.ranking import Ranked, Wanted, ranked
from embeddings.textfiles import Split, read_ordered, read_split
from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.vocabulary import Bools, Floats

Protocol: TypeAlias = Literal["leave-one-out", "given-split"]
Progress: TypeAlias = Callable[[str, Epoch], None]

ENCODERS = ("blend", "sequential", "graph", "linear", "ease", "transitions", "popularity")
_REPEATED = 0.001  # share of choices that repeat an earlier one, above which repeats are proposed
_HELD = 0.2  # of each customer's choices, in a given split


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What an encoder reached under a protocol."""

    encoder: str
    protocol: str
    seen: str
    data: str  # digest
    shape: Mapping[str, int]
    chosen: Mapping[str, float]
    found: Ranked
    slices: Mapping[str, float]

    def metrics(self) -> dict[str, float]:
        """Means over customers, and by slice."""
        return self.found.metrics() | dict(self.slices)


def family_of(name: str, *, protocol: Protocol) -> Family:
    """The family called `name`, with the members that fit a protocol: what knows order only where there is one.

    Raises:
        InvalidConfiguration: no such family, or one that a given split has no use for.
    """
    ordered = protocol == "leave-one-out"
    linear = [families.popularity(), *([families.transitions()] if ordered else [])]
    linear.append(families.ease())
    if name == "blend":
        return Blend([*linear, families.graph(), *([SequentialFamily()] if ordered else [])])
    if name == "linear":
        return Blend(linear)
    if name == "sequential" and ordered:
        return SequentialFamily()
    if name == "transitions" and ordered:
        return families.transitions()
    makers = {"graph": families.graph, "ease": families.ease, "popularity": families.popularity}
    if name not in makers:
        raise InvalidConfiguration(f"{name} is no encoder for {protocol}: choose from {', '.join(ENCODERS)}")
    return makers[name]()


def split_of(path: Path, *, protocol: Protocol, test: Path | None = None) -> Split:
    """Read what a protocol needs; a given split is `path` and `test`, by default test.txt beside or inside it.

    Raises:
        InvalidTable: as `textfiles` does, or where nobody did two things.
    """
    if protocol == "leave-one-out":
        train, wanted = read_ordered(path).last_out()
        if not (wanted >= 0).any():
            raise InvalidTable("every customer has one event, so nobody's last one can be left out", where=path.name)
        return Split(train, Wanted.one(wanted))
    first = path / "train.txt" if path.is_dir() else path
    return read_split(first, test=test or first.with_name("test.txt"))


def judge(
    split: Split,
    *,
    family: Family,
    protocol: Protocol,
    seed: int = 0,
    seen: str = "auto",
    progress: Progress = lambda *_: None,
    checkpoint: Path | None = None,
    threads: int = 1,
) -> Judged:
    """Fit, choose, finish on everything but the test, and rank the whole catalogue for the test."""
    train = split.train
    if seen == "auto":
        seen = "keep" if protocol == "leave-one-out" and train.repeats > _REPEATED else "drop"
    learn, later = _held_back(train, protocol=protocol, seed=seed)
    with limited_threads(threads):
        for epoch in family.fit(learn, later=Later(*later, seen), seed=seed, checkpoint=checkpoint):
            progress(family.name, epoch)
        family.refit(train, seed=seed)
        found = ranked(family.scores, histories=train, wanted=split.wanted, counts=train.product_counts, seen=seen)
    shape = {"customers": len(train), "products": train.n_products, "events": train.n_events}
    sliced = dict(slices(found, histories=train, wanted=split.wanted))
    return Judged(family.name, protocol, seen, train.digest, shape, family.chosen(), found, sliced)


def slices(found: Ranked, *, histories: Histories, wanted: Wanted) -> Iterator[tuple[str, float]]:
    """NDCG@10 and size by length of history and by how often the (first) wanted product was chosen before."""
    ndcg: Floats = found.ndcg(10)
    lengths = histories.lengths[found.customers]
    counts = histories.product_counts[wanted.product_rows[wanted.starts[found.customers]]]
    groups = {
        "history_0": lengths == 0,
        "history_1_to_4": (lengths > 0) & (lengths < 5),
        "history_5_to_19": (lengths >= 5) & (lengths < 20),
        "history_20_up": lengths >= 20,
        "product_cold": counts == 0,
        "product_1_to_9": (counts > 0) & (counts < 10),
        "product_10_to_99": (counts >= 10) & (counts < 100),
        "product_100_up": counts >= 100,
    }
    for name, members in groups.items():
        if members.any():
            yield f"{name}_ndcg_at_10", float(ndcg[members].mean())
            yield f"{name}_customers", float(members.sum())


def _held_back(train: Histories, *, protocol: Protocol, seed: int) -> tuple[Histories, tuple[Histories, Wanted]]:
    """What is learned from at first, and what decides."""
    if protocol == "leave-one-out":
        learn, wanted = train.last_out()
        if not (wanted >= 0).any():
            raise InvalidTable("every customer has at most two events: one more is needed to choose by", where="split")
        return learn, (learn, Wanted.one(wanted))
    held = _fifth(train, seed=seed)
    if not held.any():
        raise InvalidTable("every customer has one product: one more is needed to choose by", where="split")
    learn, later = train.kept(~held), train.kept(held)
    return learn, (learn, Wanted(later.starts, later.subject_rows.astype(np.int64)))


def _fifth(data: Histories, *, seed: int) -> Bools:
    """(N,) a fifth of each customer's events, at least one of those who have two."""
    dice = np.random.default_rng(seed).random(data.n_events)
    order = np.lexsort((dice, data.customer_rows))
    place: Rows = np.empty(data.n_events, dtype=np.int64)
    place[order] = np.arange(data.n_events) - np.repeat(data.starts[:-1], data.lengths)
    n_held = np.where(data.lengths >= 2, np.maximum(1, (data.lengths * _HELD).astype(np.int64)), 0)
    return np.asarray(place < np.repeat(n_held, data.lengths))
