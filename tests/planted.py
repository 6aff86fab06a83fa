"""Faults planted in logs of the synthetic bank (domain 3.11, S-3), and what diagnostics say of such a log.

A log goes the way of any bank's own: a table of rounds with ids, times and distributions (`bandits.tables`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import polars as pl

from bandits.diagnostics import Finding
from bandits.evaluation import ESTIMATORS, Panel, chosen
from bandits.silences import Silences
from bandits.tables import RoundTable
from recsys.bank import logs
from recsys.bank.logged import Log
from recsys.bank.slates import prepared, propensities_of
from tests.judged_bank import CELLS, LOGGING, START, bank_of

TARGET = CELLS["mild"]
WHOLE = "newer_policy, whole"  # its distributions are recomputed too, so that nothing contradicts itself
FAULTS = (*logs.FAULTS, WHOLE)
WINDOW = timedelta(days=5)  # in which what is counted here may still come


def seen_of(fault: str | None, *, seed: int, customers: int, days: int, product: str = "cashback") -> set[str]:
    """What the findings on a log with this fault are about; those that only say how little it tells are left out."""
    return {finding.about for finding in findings(fault, seed=seed, customers=customers, days=days, product=product)}


def findings(fault: str | None, *, seed: int, customers: int, days: int, product: str) -> Iterator[Finding]:
    """Everything that is said of the log before any number."""
    settle = 0 if fault == "immature" else WINDOW.days
    planted = "newer_policy" if fault == WHOLE else fault
    log = logs.log_of(
        bank_of(customers, seed=seed),
        days=days,
        policy=LOGGING,
        settle=settle,
        fault=planted,
        newer=TARGET,
        product=product,
    )
    if fault == WHOLE:
        scores, open_ = prepared(TARGET, log.visible, eligible=log.eligible, surface=log.surface)
        log = replace(log, pmfs=propensities_of(scores, open_=open_, rule=TARGET.rule, columns=log.columns)[1])
    watermark = START + timedelta(days=days + settle)
    table = RoundTable(table_of(log).lazy(), policies=["target"], ripe_before=watermark - WINDOW)
    panel = Panel("target", chosen(ESTIMATORS, names=("ips", "snips")), products=(*log.products, "nothing"))
    for rows in table.read():
        panel.add(rows.batches[0])
    panel.excluded = table.left_out.total()
    yield from (each for each in panel.verdicts()[0].diagnostics.findings if each.about not in ("evidence", "weights"))
    heard = Silences(products=len(log.products), places=log.columns.shape[1])
    heard.add(log.columns.astype(float), log.seen)
    yield from heard.findings(log.products)


def table_of(log: Log) -> pl.DataFrame:
    """First slots as a bank would hand them over."""
    scores, open_ = prepared(TARGET, log.visible, eligible=log.eligible, surface=log.surface)
    drawn = log.columns[:, 0] >= 0
    seconds = (log.days * 86_400 + log.seconds)[drawn]
    return pl.DataFrame(
        {
            "decision_id": log.days[drawn] * (int(log.rows.max()) + 1) + log.rows[drawn],
            "unit": log.rows[drawn],
            "made_at": [START + timedelta(seconds=int(each)) for each in seconds],
            "shown": log.columns[drawn, 0],
            "reward": log.tapped[drawn, 0].astype(float),
            "propensity": log.propensities[drawn, 0],
            "logged_pmf": log.pmfs[drawn, 0],
            "target": TARGET.rule(scores, open_)[drawn],
        }
    )
