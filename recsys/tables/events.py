"""What happens: money, sessions, what was shown, and what came of it."""

from __future__ import annotations

import polars as pl

from recsys.tables.columns import (
    LONGEST_ID,
    UNKNOWN,
    Column,
    Rule,
    Table,
    choice,
    day,
    identifier,
    moment,
    pence,
    text,
    texts,
    truth,
)
from recsys.vocabulary import NOTHING

DIRECTIONS = ("in", "out")
SCHEMES = ("card", "fps", "dd", "so", "bacs", "internal")

TRANSACTIONS = Table(
    "transactions",
    "Every movement of money on a customer's accounts, declined payments included.",
    (
        identifier("transaction_id", "name of the transaction"),
        identifier("customer_id", "whose account"),
        moment("happened_at", "when it was made"),
        pence("amount_pence", "how much; direction gives the sign", least=0),
        choice("direction", "into the account or out of it", choices=DIRECTIONS),
        choice("scheme", "how the money moved", choices=SCHEMES),
        text("category", "what it was for"),
        Column("mcc", pl.Int64(), "merchant category code", nullable="no merchant", least=0, most=9_999),
        identifier("merchant_id", "who was paid", nullable="no merchant"),
        identifier("merchant_group", "the chain or group the merchant belongs to", nullable="no merchant"),
        truth("is_salary", "a wage or a bonus"),
        truth("is_recurring", "one of a series: a bill, a subscription, a wage"),
        truth("declined", "refused, so that no money moved"),
    ),
    key=("transaction_id",),
    by_month="happened_at",
)

BALANCES = Table(
    "balances",
    "The current account at the end of each day.",
    (
        identifier("customer_id", "whose account"),
        day("date", "the day"),
        pence("closing_pence", "balance at its end"),
        pence("lowest_pence", "lowest balance on that day"),
    ),
    key=("customer_id", "date"),
    by_month="date",
    rules=(Rule("lowest_pence is above closing_pence", pl.col("lowest_pence") > pl.col("closing_pence")),),
)

ACTIVITY = Table(
    "activity",
    "What customers did in the app and with money, as POST /v1/activity takes it.",
    (
        identifier("activity_id", "name of the activity; the same again is the same activity"),
        identifier("customer_id", "who"),
        text("kind", "what sort of thing, such as spending, salary, viewed", longest=80),
        text("subject", "what it was about, such as a merchant category", longest=80),
        moment("happened_at", "when"),
        pence("amount_pence", "how much", nullable="no money in it"),
    ),
    key=("activity_id",),
    by_month="happened_at",
    delivered_again=True,
)

SESSIONS = Table(
    "sessions",
    "Every log-in to the app and the surfaces it touched.",
    (
        identifier("session_id", "name of the session"),
        identifier("customer_id", "who"),
        moment("started_at", "when the app was opened"),
        texts("surfaces", "what was looked at, such as home, savings, search"),
    ),
    key=("session_id",),
    by_month="started_at",
)

_SLOTS, _PROPENSITIES = pl.col("slots"), pl.col("propensities")
DECISIONS = Table(
    "decisions",
    "What was shown to whom, and how likely that was: one row a decision.",
    (
        identifier("decision_id", "name of the decision"),
        identifier("customer_id", "who was shown it"),
        moment("made_at", "when"),
        text("surface", "where in the app, such as home, savings, search, push", longest=80),
        text("policy", "what drew it, as name@version", longest=LONGEST_ID),
        Column("n_slots", pl.Int64(), "places that were to be filled", least=1, most=20),
        texts("candidates", f"products it could draw ({NOTHING}: it could also show no more)"),
        texts("slots", f"products shown, first place first; it may end in {NOTHING}"),
        Column("propensities", pl.List(pl.Float64), "probability of each slot, given the slots above it",
               gaps=UNKNOWN, above=0.0, most=1.0),
    ),
    key=("decision_id",),
    by_month="made_at",
    delivered_again=True,
    rules=(
        Rule("slots and propensities are not equally many", _SLOTS.list.len() != _PROPENSITIES.list.len()),
        Rule("there are more slots than n_slots", _SLOTS.list.len() > pl.col("n_slots")),
        Rule("a candidate stands twice", pl.col("candidates").list.n_unique() != pl.col("candidates").list.len()),
        Rule("a product is shown twice", _SLOTS.list.n_unique() != _SLOTS.list.len()),
        Rule("a product is shown that was no candidate",
             _SLOTS.list.set_difference(pl.col("candidates")).list.len() > 0),
        Rule(f"{NOTHING} is shown before the last slot",
             _SLOTS.list.contains(NOTHING) & (_SLOTS.list.last() != NOTHING)),
    ),
)  # fmt: skip

OUTCOMES = Table(
    "outcomes",
    "What came of it, as POST /v1/outcomes takes it.",
    (
        identifier("outcome_id", "name of the outcome; the same again is the same outcome"),
        identifier("decision_id", "the decision it came of", nullable="organic: it happened without us"),
        identifier("customer_id", "who, for an organic outcome", nullable="the decision says who"),
        identifier("product_id", "the product it is about"),
        text("kind", "seen, tapped, dismissed, opened, and what the reward configuration names", longest=80),
        moment("happened_at", "when"),
        pence("amount_pence", "how much", nullable="no money in it"),
        moment("reported_at", "when we were told", nullable="at once"),
    ),
    key=("outcome_id",),
    by_month="happened_at",
    delivered_again=True,
    rules=(
        Rule("name a decision, or a customer for an organic outcome, and not both",
             pl.col("decision_id").is_null() == pl.col("customer_id").is_null()),
        Rule("it was told before it happened", pl.col("reported_at") < pl.col("happened_at")),
    ),
)  # fmt: skip
