"""Charts of a scorecard: its JSON → Vega-Lite specifications (the door to altair).

Charts read the very JSON of `GET /v1/experiments/{id}`. Colours are not chosen here: the page's
app.js gives them from its style sheet, so that dark and light follow the reader's system. Marks
carry style names (`zero`, `margin`, `band`) for the same reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import vl_convert

Spec = dict[str, Any]
_DAY = alt.Axis(format="%-d %b", title=None, tickCount=6, grid=False)


def charts_of(scorecard: Mapping[str, Any]) -> dict[str, Spec]:
    """Every chart of one experiment's page by name; empty until there is something to draw."""
    primary = scorecard["metrics"][0]
    if not any(comparison["over_time"] for comparison in primary["comparisons"]):
        return {}
    return {
        "interval": interval_bar(scorecard),
        "lift": lift_over_time(scorecard),
        "daily": number_by_day(scorecard),
    }


def interval_bar(scorecard: Mapping[str, Any]) -> Spec:
    """The primary's difference of each treatment against the control, with its interval, zero and the margin."""
    primary = scorecard["metrics"][0]
    rows = [{"variant": c["variant"], **c["effect"]} for c in primary["comparisons"] if c["effect"]]
    x = alt.X("low:Q", title=_difference(scorecard), axis=alt.Axis(tickCount=6, grid=False))
    base = alt.Chart(_data(rows)).encode(y=alt.Y("variant:N", title=None, axis=alt.Axis(domain=False, ticks=False)))
    bar = base.mark_bar(style="interval", height=12, cornerRadius=6).encode(
        x=x, x2="high:Q", color=_colour(scorecard, legend=())
    )
    point = base.mark_point(style="estimate", size=120, filled=True, opacity=1).encode(x="absolute:Q", tooltip=_tips())
    layers = [*_lines(scorecard, axis="x"), bar, point]
    return _spec(alt.layer(*layers), height=40 + 34 * len(rows))


def lift_over_time(scorecard: Mapping[str, Any]) -> Spec:
    """The primary's difference at the close of each day, with its confidence sequence as a band."""
    primary = scorecard["metrics"][0]
    rows = [{"variant": c["variant"], **point} for c in primary["comparisons"] for point in c["over_time"]]
    scale = alt.Scale(domain=_calm_range(rows), nice=False)
    drawn = sorted({row["variant"] for row in rows})
    colour = _colour(scorecard, legend=drawn if len(drawn) > 1 else ())
    base = alt.Chart(_data(rows)).encode(x=alt.X("day:T", axis=_DAY), color=colour)
    band = base.mark_area(style="band", clip=True).encode(
        y=alt.Y("low:Q", scale=scale, title=_difference(scorecard)), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=2.5, clip=True, point=alt.OverlayMarkDef(size=36)).encode(
        y=alt.Y("absolute:Q", scale=scale), tooltip=[alt.Tooltip("day:T", format="%-d %B"), *_tips()]
    )
    return _spec(alt.layer(band, *_lines(scorecard, axis="y"), line), height=280)


def number_by_day(scorecard: Mapping[str, Any]) -> Spec:
    """What each day added to the primary, per unit exposed so far, by variant."""
    primary = scorecard["metrics"][0]
    rows = [
        {"day": day["day"], "variant": name, "added": numbers[primary["name"]]["added_mean"]}
        for day in scorecard["days"]
        for name, numbers in day["variants"].items()
        if numbers[primary["name"]]["n"]
    ]
    chart = alt.Chart(_data(rows)).mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=30))
    return _spec(
        chart.encode(
            x=alt.X("day:T", axis=_DAY),
            y=alt.Y("added:Q", title=f"{primary['unit']} per {scorecard['experiment']['unit']} and day"),
            color=_colour(scorecard, legend=_variants(scorecard)),
            tooltip=[
                alt.Tooltip("day:T", format="%-d %B"),
                alt.Tooltip("variant:N"),
                alt.Tooltip("added:Q", format=".4f", title="that day"),
            ],
        ),
        height=240,
    )


def charts_of_policies(told: Mapping[str, Any]) -> dict[str, Spec]:
    """Every chart of the page of policies by name, where there is something to draw."""
    found, rates, values = {}, told["curve"]["rates"], told["curve"]["values"]
    recipes = sorted({row["recipe"] for row in (*rates, *values)})  # on every chart, so that each has one colour
    if len({row["day"] for row in told["products"]["by_day"]}) > 1:
        found["products"] = shares_over_time(told["products"])
    if len({row["day"] for row in rates}) > 1:
        found["rates"] = rate_over_time(rates, value="rate", title="taps for a card seen", form="%", recipes=recipes)
    if len({row["day"] for row in values}) > 1:
        found["values"] = rate_over_time(values, value="mean", title="points a decision", form=".3~f", recipes=recipes)
    return found


def shares_over_time(products: Mapping[str, Any]) -> Spec:
    """Each product's share of the cards by day, the largest first and the small ones together."""
    drawn = {row["name"] for row in products["by_day"]}
    largest = [row["name"] for row in products["now"] if row["name"] in drawn]
    order = [*largest, *sorted(drawn - set(largest))]
    rows = [
        {"day": row["day"], "product": row["name"], "share": row["share"], "order": order.index(row["name"])}
        for row in products["by_day"]
    ]
    colours = alt.Color("product:N", title=None, scale=alt.Scale(domain=order), legend=alt.Legend(orient="top"))
    chart = alt.Chart(_data(rows)).mark_area(opacity=0.85)
    return _spec(
        chart.encode(
            x=alt.X("day:T", axis=_DAY),
            y=alt.Y("share:Q", stack="normalize", title="share of the cards", axis=alt.Axis(format="%", tickCount=5)),
            color=colours,
            order=alt.Order("order:Q"),
            tooltip=[alt.Tooltip("day:T", format="%-d %B"), "product:N", alt.Tooltip("share:Q", format=".1%")],
        ),
        height=260,
    )


def rate_over_time(
    rows: Sequence[Mapping[str, Any]], *, value: str, title: str, form: str, recipes: Sequence[str]
) -> Spec:
    """A line for each recipe by day; days with few are left out, as they would only jump.

    `recipes` are all that have a colour, in their order; the legend names those drawn here.
    """
    most: dict[str, int] = {}
    for row in rows:
        most[row["recipe"]] = max(most.get(row["recipe"], 0), row["n"])
    kept = [row for row in rows if row["n"] >= 0.1 * most[row["recipe"]]]
    legend = alt.Legend(orient="top", values=sorted(most))
    colour = alt.Color("recipe:N", title=None, scale=alt.Scale(domain=list(recipes)), legend=legend)
    lines = alt.Chart(_data(kept)).mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=26))
    return _spec(
        lines.encode(
            x=alt.X("day:T", axis=_DAY),
            y=alt.Y(f"{value}:Q", title=title, axis=alt.Axis(format=form, tickCount=5)),
            color=colour,
            tooltip=[alt.Tooltip("day:T", format="%-d %B"), "recipe:N", alt.Tooltip(f"{value}:Q", format=".3f"),
                     alt.Tooltip("n:Q", format=",", title="of")],
        ),
        height=240,
    )  # fmt: skip


def forest(rows: Sequence[Mapping[str, Any]], *, logged: float) -> Spec:
    """Judged policies: an estimate with its interval for each estimator, and what the log earned as a line.

    `rows` are those of `judged_report.rows_of`; without enough evidence a row is a hollow point and no interval.
    """
    own = [dict(row) | {"shown": f"{row['policy']} · {row['estimator']}"} for row in rows if not row["compared"]]
    own = [row for row in own if row["estimator"] not in ("logged", "uplift") and row["estimate"] is not None]
    y = alt.Y(
        "shown:N",
        title=None,
        sort=[row["shown"] for row in own],
        axis=alt.Axis(domain=False, ticks=False, labelLimit=260),
    )
    colour = alt.Color("policy:N", title=None, legend=alt.Legend(orient="top"))
    known = [row for row in own if row["low"] is not None]
    bars = alt.Chart(_data(known)).mark_bar(style="interval", height=5, cornerRadius=2, opacity=0.5)
    points = alt.Chart(_data(own)).mark_point(style="estimate", size=70, opacity=1)
    filled = alt.FillOpacity("enough_evidence:N", scale=alt.Scale(domain=[True, False], range=[1, 0]), legend=None)
    zero = alt.Chart(_data([{"value": logged}])).mark_rule(style="zero", strokeDash=[4, 3])
    chart = alt.layer(
        zero.encode(x="value:Q"),
        bars.encode(y=y, x=alt.X("low:Q", title="reward a round (dashed: as logged)"), x2="high:Q", color=colour),
        points.encode(y=y, x="estimate:Q", color=colour, fill=alt.Fill("policy:N", legend=None), fillOpacity=filled),
    )
    return _spec(chart, height=40 + 22 * len(own))


def png(spec: Spec, *, width: int = 640) -> bytes:
    """A chart as a picture."""
    return vl_convert.vegalite_to_png(spec | {"width": width, "background": "white"}, scale=2)


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart that a notebook shows as a picture, so that it is there without a network and wherever it is read."""

    content: bytes

    def _repr_png_(self) -> bytes:
        return self.content


def picture(spec: Spec, *, width: int = 640) -> Picture:
    """A chart for a notebook."""
    return Picture(png(spec, width=width))


def curves(rows: Sequence[Mapping[str, Any]], *, x: str, y: str, by: str) -> Spec:
    """A line for each `by`, for a notebook."""
    lines = alt.Chart(_data(rows)).mark_line(strokeWidth=2).encode(x=f"{x}:Q", y=f"{y}:Q", color=f"{by}:N")
    return _spec(lines, height=300)


def html(spec: Spec) -> str:
    """A chart as a page that needs nothing from elsewhere."""
    return str(vl_convert.vegalite_to_html(spec | {"width": 640}, bundle=True))


def _data(rows: Sequence[Mapping[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=[dict(row) for row in rows])


def _difference(scorecard: Mapping[str, Any]) -> str:
    primary = scorecard["metrics"][0]
    return f"{primary['unit']} more per {scorecard['experiment']['unit']}"


def _variants(scorecard: Mapping[str, Any]) -> list[str]:
    """Variant names, the control first."""
    experiment = scorecard["experiment"]
    names = [variant["name"] for variant in experiment["variants"]]
    return [experiment["control"], *(name for name in names if name != experiment["control"])]


def _colour(scorecard: Mapping[str, Any], *, legend: Sequence[str]) -> alt.Color:
    """One colour a variant on every chart, the control's always the first; the legend names only what is drawn."""
    shown = alt.Legend(orient="top", values=list(legend), symbolOpacity=1) if legend else None
    return alt.Color("variant:N", title=None, scale=alt.Scale(domain=_variants(scorecard)), legend=shown)


def _lines(scorecard: Mapping[str, Any], *, axis: str) -> list[alt.Chart]:
    """No difference, and the harm we would accept, as rules across the other axis."""
    primary = scorecard["metrics"][0]
    harm = primary["margin"] * primary["variants"][scorecard["experiment"]["control"]]["mean"]
    edge = -harm if primary["better"] == "higher" else harm
    rules = []
    for style, value in (("zero", 0.0), ("margin", edge)):
        chart = alt.Chart(_data([{"value": value}])).mark_rule(style=style)
        channel = alt.X("value:Q") if axis == "x" else alt.Y("value:Q")
        rules.append(chart.encode(**{axis: channel}))
    return rules


def _tips() -> list[alt.Tooltip]:
    return [
        alt.Tooltip("variant:N"),
        alt.Tooltip("absolute:Q", format="+.4f", title="difference"),
        alt.Tooltip("low:Q", format="+.4f", title="from"),
        alt.Tooltip("high:Q", format="+.4f", title="to"),
        alt.Tooltip("relative:Q", format="+.1%", title="lift"),
    ]


def _calm_range(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """A vertical range fit for the later two thirds: the first days' bands are wider than any screen."""
    days = sorted({row["day"] for row in rows})
    late = [row for row in rows if row["day"] >= days[len(days) // 3]]
    low, high = min(0.0, *(row["low"] for row in late)), max(0.0, *(row["high"] for row in late))
    room = 0.08 * (high - low) or 1.0
    return [low - room, high + room]


def _spec(chart: alt.Chart | alt.LayerChart | alt.FacetChart, *, height: int) -> Spec:
    spec: Spec = chart.properties(width="container", height=height).to_dict()
    spec.pop("config", None)
    return spec
