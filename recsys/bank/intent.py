"""Being in the market: a changing state of mind that raises taps and ends, sometimes, in an opening anyway.

Now and then a customer starts to look into a topic. While they do, for three weeks on average, they
tap its cards more and open without being moved by them; each such spell carries a fate, drawn when it
begins: to end in the opening of one certain product, or in nothing. The fate comes true on the day the
spell ends (an *organic* opening), or earlier through the card if they tap that very product (a
*channelled* one, credited to the decision though it would have come). Either way it comes once, so
cards cannot change what would have come anyway. Only openings without such a fate are *brought about*.

Nobody knows fates. `bound` is what perfect knowledge of everything but fate says of them, and all
closed forms use it. What a bank sees is a noisy trace: pages of the topic viewed in the app.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from recsys.bank.dice import Ints, cells, uniforms
from recsys.bank.product import TOPICS
from recsys.bank.truth import Truths
from recsys.vocabulary import Activity, Bools, CustomerId, Floats

SPELL_DAYS = 21.0
BOUND = 0.3  # of spells end in an opening
EAGER = 2.2  # added to the click index in the market
SURE = 6.0  # off the logit of being persuaded: who looks for it decides without us
BROWSES, STRAYS = 0.8, 0.03  # views of a topic's pages a log-in, in its market and out of it


@dataclass(slots=True, eq=False)
class Intents:
    """The state of mind of every customer, by row; changed by `advance` at night and by taps."""

    members: tuple[Ints, ...]  # by topic, the columns of its products
    browsing: Bools  # (n, TOPICS) in the market
    fates: Ints  # (n, TOPICS) the column that the spell will end in, -1 for none
    bound: Floats  # (n, P) chance that the present spell ends in this product, as far as anyone can know
    refused: Bools  # (n, P) tapped today and not opened: cannot be what the spell ends in

    def looking(self, truths: Truths) -> Bools:
        """(n, P) in the market for the product's topic."""
        return self.browsing[:, truths.topics]

    def advance(self, anyway: Floats, *, numbers: Ints, seed: int, number: int) -> tuple[Ints, Ints]:
        """Begin day `number`: (rows, columns) of the fates that come true today.

        `anyway` (n, P) are chances of 30 days, 0 for what cannot be opened now.
        """
        self._learn()
        keys = cells(numbers, columns=len(TOPICS))
        ends = self.browsing & (uniforms(seed, purpose="spell ends", day=number, keys=keys) < 1.0 / SPELL_DAYS)
        rows, topics = np.nonzero(ends & (self.fates >= 0))
        due = rows, self.fates[rows, topics]
        pull = self.pull_of(anyway)
        luck = uniforms(seed, purpose="spell begins", day=number, keys=keys)
        begins = ~self.browsing & (luck < hazard_of(pull))
        self._set(ends, browsing=np.False_)
        self.begin(begins, anyway=anyway, pull=pull, luck=uniforms(seed, purpose="fate", day=number, keys=keys))
        return due

    def begin(self, where: Bools, *, anyway: Floats, pull: Floats, luck: Floats) -> None:
        """Spells begin `where` (n, TOPICS), their fates drawn by `luck` (n, TOPICS)."""
        self._set(where, browsing=np.True_)
        for topic, columns in enumerate(self.members):
            rows = np.flatnonzero(where[:, topic])
            cells_ = np.ix_(rows, columns)
            self.bound[cells_] = BOUND * anyway[cells_] / np.maximum(pull[rows, topic], 1e-300)[:, None]
            passed = luck[rows, topic, None] >= np.cumsum(self.bound[cells_], axis=1)
            place = passed.sum(axis=1)
            self.fates[rows, topic] = np.append(columns, -1)[place]

    def told(self, rows: Ints, columns: Ints, *, came: Bools, truths: Truths) -> None:
        """Taps that tell of fates: it came (channelled, and the spell holds no other), or this is not it."""
        self.refused[rows, columns] = True
        for row, topic in zip(rows[came].tolist(), truths.topics[columns[came]].tolist(), strict=True):
            self.fates[row, topic] = -1
            self.refused[row, self.members[topic]] = True

    def pull_of(self, anyway: Floats) -> Floats:
        """(n, TOPICS) how much of each topic would come anyway in 30 days."""
        return np.stack([anyway[:, columns].sum(axis=1) for columns in self.members], axis=1)

    def _learn(self) -> None:
        """What yesterday's taps told: the refused are not it, so the others are likelier."""
        rows = np.flatnonzero(self.refused.any(axis=1))
        if not len(rows):
            return
        bound, refused = self.bound[rows], self.refused[rows]
        for columns in self.members:
            out = (bound[:, columns] * refused[:, columns]).sum(axis=1, keepdims=True)
            bound[:, columns] = np.where(refused[:, columns], 0.0, bound[:, columns]) / (1.0 - out)
        self.bound[rows] = bound
        self.refused[rows] = False

    def _set(self, where: Bools, *, browsing: np.bool_) -> None:
        """Spells begin or end `where` (n, TOPICS): no fate, nothing known of one."""
        self.browsing[where] = browsing
        self.fates[where] = -1
        for row, topic in zip(*(each.tolist() for each in np.nonzero(where)), strict=True):
            self.bound[row, self.members[topic]] = 0.0


def make_intents(anyway: Floats, *, truths: Truths, numbers: Ints, seed: int) -> Intents:
    """The first morning: as many are in the market as would be after a long time."""
    n = len(anyway)
    intents = Intents(
        members=tuple(np.flatnonzero(truths.topics == topic) for topic in range(len(TOPICS))),
        browsing=np.zeros((n, len(TOPICS)), dtype=np.bool_),
        fates=np.full((n, len(TOPICS)), -1),
        bound=np.zeros(anyway.shape),
        refused=np.zeros(anyway.shape, dtype=np.bool_),
    )
    keys = cells(numbers, columns=len(TOPICS))
    pull = intents.pull_of(anyway)
    often = SPELL_DAYS * hazard_of(pull)
    inside = uniforms(seed, purpose="spells at the start", day=0, keys=keys) < often / (1.0 + often)
    intents.begin(inside, anyway=anyway, pull=pull, luck=uniforms(seed, purpose="first fates", day=0, keys=keys))
    return intents


def hazard_of(pull: Floats) -> Floats:
    """Daily chance that a spell begins, so that ends in openings are as many as `pull` says of 30 days."""
    return -np.expm1(np.log1p(-np.minimum(pull / BOUND, 0.95)) / 30.0)


def views_of(intents: Intents, *, logins: Floats, numbers: Ints, seed: int, number: int) -> tuple[Ints, Ints, Ints]:
    """Today's views of topics' pages: (rows, topics, seconds), at most one a topic and day; `logins` (n,) a day."""
    keys = cells(numbers, columns=len(TOPICS))
    rate = logins[:, None] * np.where(intents.browsing, BROWSES, STRAYS)
    rows, topics = np.nonzero(uniforms(seed, purpose="views", day=number, keys=keys) < -np.expm1(-rate))
    when = uniforms(seed, purpose="view times", day=number, keys=keys[rows, topics])
    return rows, topics, (25_200 + 57_600 * when).astype(np.int64)


def viewed(
    rows: Ints,
    topics: Ints,
    seconds: Ints,
    *,
    ids: Sequence[CustomerId],
    numbers: Ints,
    number: int,
    midnight: datetime,
) -> list[Activity]:
    """Views as activities of kind "viewed", the topic being their subject."""
    return [
        Activity(
            f"v-{number}-{numbers[row]}-{TOPICS[topic]}",
            ids[row],
            "viewed",
            TOPICS[topic],
            midnight + timedelta(seconds=second),
        )
        for row, topic, second in zip(rows.tolist(), topics.tolist(), seconds.tolist(), strict=True)
    ]
