"""An experiment's numbers as CSV: the very ones of its page and its JSON, one row a fact, for a sheet or a script."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

COLUMNS = ("what", "day", "metric", "role", "segment", "variant", "n", "mean", "absolute", "low", "high", "relative",
           "relative_low", "relative_high", "p_value", "verdict")  # fmt: skip
_EFFECT = ("absolute", "low", "high", "relative", "relative_low", "relative_high", "p_value")


def csv_of(card: Mapping[str, Any]) -> str:
    """The scorecard's JSON as CSV text, with a header; numbers at full precision.

    `what` is standing (a variant's mean over the units that are read), effect (what decides), look (the
    primary at the close of a day), day (every unit so far) or segment.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows({name: _safe(value) for name, value in row.items()} for row in _rows(card))
    return out.getvalue()


def _rows(card: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for metric in card["metrics"]:
        told = {"metric": metric["name"], "role": metric["role"]}
        for variant, numbers in metric["variants"].items():
            yield told | {"what": "standing", "variant": variant, "n": numbers["n"], "mean": numbers["mean"]}
        for c in metric["comparisons"]:
            row = told | {"what": "effect", "variant": c["variant"], "verdict": c["status"]["word"]}
            yield row | {"day": c["read_on"]} | _effect(c["effect"])
            if metric["role"] == "primary":
                for look in c["over_time"]:
                    yield told | {"what": "look", "day": look["day"], "variant": c["variant"]} | _effect(look)
    primary = card["metrics"][0]["name"]
    for day in card["days"]:
        for variant, numbers in day["variants"].items():
            row = {"what": "day", "day": day["day"], "metric": primary, "role": "primary", "variant": variant}
            yield row | {"n": numbers[primary]["n"], "mean": numbers[primary]["mean"]}
    for cut in card["segments"]:
        for each in cut["segments"]:
            row = {"what": "segment", "metric": primary, "role": "primary", "variant": cut["variant"]}
            row |= {"segment": f"{cut['kind']}: {each['name']}", "n": each["n_control"] + each["n_variant"]}
            yield row | _effect(each["effect"])


def _effect(effect: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if effect is None else {name: effect[name] for name in _EFFECT}


def _safe(value: object) -> object:
    """A text that a sheet would take for a formula is marked as text; None is empty.

    >>> _safe("=1+1"), _safe("bandit"), _safe(0.1), _safe(None)
    ("'=1+1", 'bandit', '0.1', '')
    """
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else repr(value) if isinstance(value, float) else value
