"""What was judged, told: for a terminal, as JSON, as numbers for MLflow. One source for all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bandits.diagnostics import Diagnostics, Finding
from bandits.evaluation import Verdict, headline
from bandits.intervals import Interval
from serving import formats
from serving.judging import Judged

AT_LOGGED_STATES = (
    "All of this is at logged states: caps and fatigue depend on what was shown before, and are as the policies "
    "that ran left them."
)
_COLOURS = {"red": "STOP", "amber": "note"}


def told(judged: Judged) -> str:
    """For a person: the log, its diagnostics, then the numbers, then what they mean."""
    parts = [_log_told(judged)]
    if judged.rounds:
        parts += ["\n".join(_diagnosed(judged)), table_of(rows_of(judged))]
    parts.append(f"{judged.conclusion}\n{AT_LOGGED_STATES}")
    return "\n\n".join(parts)


def rows_of(judged: Judged) -> list[dict[str, Any]]:
    """One row for each policy and estimator, then one for each comparison: what tables, charts and JSON hold."""
    return [
        {
            "policy": verdict.policy,
            "estimator": verdict.estimator,
            "compared": verdict in judged.differences,
            "estimate": verdict.interval.estimate if math.isfinite(verdict.interval.estimate) else None,
            "low": _known(verdict.interval.low, verdict),
            "high": _known(verdict.interval.high, verdict),
            "level": verdict.interval.level,
            "units": verdict.interval.n,
            "enough_evidence": not verdict.refused,
        }
        for verdict in (*judged.verdicts, *judged.differences)
    ]


def to_json(judged: Judged) -> dict[str, Any]:
    """For a machine: everything, full precision."""
    scope = asdict(judged.scope)
    return {
        "scope": {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in scope.items()},
        "position": judged.position,
        "log_digest": judged.digest,
        "rounds": judged.rounds,
        "left_out": dict(judged.left_out),
        "logged": None if math.isnan(judged.logged) else judged.logged,
        "loggers": [asdict(each) for each in judged.loggers],
        "findings": [asdict(each) for each in judged.findings],
        "diagnostics": {policy: _plain(headline(judged.of(policy)).diagnostics) for policy in judged.policies},
        "verdicts": rows_of(judged),
        "notes": list(judged.notes),
        "conclusion": judged.conclusion,
    }


def metrics_of(judged: Judged) -> dict[str, float]:
    """Numbers for the tracker, by `policy/estimator/…`; infinite bounds are left out."""
    found = {"rounds": float(judged.rounds), "logged": judged.logged}
    for row in rows_of(judged):
        for name in ("estimate", "low", "high"):
            if row[name] is not None:
                found[f"{safe(row['policy'])}/{row['estimator']}/{name}"] = row[name]
    for policy in judged.policies:
        diagnostics = headline(judged.of(policy)).diagnostics
        for name in ("mean_weight", "top_share", "effective_rounds", "effective_conversions", "unsupported"):
            if (value := getattr(diagnostics, name)) is not None:
                found[f"{safe(policy)}/{name}"] = float(value)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def safe(name: str) -> str:
    """A policy's name as a tracker takes it.

    >>> safe("bandit@3 − popularity@2")
    'bandit-3 minus popularity-2'
    """
    return name.replace(" − ", " minus ").replace("@", "-")


def table_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows for a terminal."""
    head = ("policy", "estimator", "estimate", f"{rows[0]['level']:.0%} interval", "units")
    lines = [
        head,
        *((r["policy"], r["estimator"], _estimate(r), _bounds(r), f"{r['units']:,}") for r in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def sentences(findings: Sequence[Finding]) -> list[str]:
    """Findings, the red ones marked."""
    return [f"  {_COLOURS[each.colour]}: {each.sentence}" for each in findings]


def _log_told(judged: Judged) -> str:
    where = f" on {judged.scope.surface}" if judged.scope.surface else ""
    some = "" if judged.scope.places is None else f", the first {judged.scope.places} slots of each slate"
    lines = [f"{judged.rounds:,} rounds{where}{some}{_when(judged)} (log digest {judged.digest[:12]})"]
    if judged.left_out:
        lines.append("left out: " + ", ".join(f"{n:,} {why}" for why, n in judged.left_out.items()))
    if judged.loggers:
        named = ", ".join(f"{each.policy} ({each.rounds:,})" for each in judged.loggers[:5])
        more = f" and {len(judged.loggers) - 5} more" if len(judged.loggers) > 5 else ""
        lines.append(f"drawn by {named}{more}; earned {judged.logged:.5g} a round")
    elif judged.rounds:
        lines.append(f"earned {judged.logged:.5g} a round")
    return "\n".join([*lines, *judged.notes, *sentences(judged.findings)])


def _when(judged: Judged) -> str:
    if judged.first_at is None or judged.last_at is None:
        return ""
    return f", {formats.day(judged.first_at)} to {formats.day(judged.last_at)}"


def _diagnosed(judged: Judged) -> list[str]:
    lines = []
    for policy in judged.policies:
        d = headline(judged.of(policy)).diagnostics
        unsupported = "" if d.unsupported is None else f", {d.unsupported:.1%} of its choices without support"
        lines.append(
            f"{policy}: weights average {d.mean_weight:.3f} (largest {d.largest_weight:,.3g}), the heaviest hundredth "
            f"carries {d.top_share:.0%}, {d.effective_rounds:,.0f} of {d.n:,} rounds effective, "
            f"{d.effective_conversions:,.0f} effective conversions{unsupported}"
        )
        lines += sentences(d.findings)
    return lines


def _known(bound: float, verdict: Verdict) -> float | None:
    return None if verdict.refused or not math.isfinite(bound) else bound


def _estimate(row: Mapping[str, Any]) -> str:
    return "undefined" if row["estimate"] is None else f"{row['estimate']:.5g}"


def _bounds(row: Mapping[str, Any]) -> str:
    if row["low"] is None or row["high"] is None:
        return "not enough evidence"
    return f"{row['low']:.5g} to {row['high']:.5g}"


def _plain(diagnostics: Diagnostics) -> dict[str, Any]:
    return asdict(diagnostics)


def interval_told(interval: Interval) -> str:
    """An interval in words."""
    return f"{interval.estimate:+.4g} (between {interval.low:+.4g} and {interval.high:+.4g})"
