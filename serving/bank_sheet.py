"""The plot sheet of a synthetic bank, as one HTML page that needs no network and one PNG.

What was measured is drawn solid; what the truth leads one to expect is drawn dashed beside it.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any, TypeAlias

import altair as alt
import vl_convert

from recsys.bank.plots import WEEKDAYS, Rows, Sheet

Panel: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart | alt.HConcatChart

WIDTH, HEIGHT = 400, 230
INK, QUIET, SEEN, EXPECTED = "#1f2933", "#64707d", "#2563a6", "#d9822b"
FAMILIES = ("#2563a6", "#d9822b", "#3a8f6d", "#b4485a", "#7a5aa8", "#8a7a4a", "#4fa3b8", "#9aa5b1")
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ margin: 0; background: #fff; display: flex; justify-content: center }}</style>
<div id="sheet"></div>
<script>{bundle}</script>
<script>vegaEmbed("#sheet", {spec}, {{actions: false, renderer: "svg"}});</script>
</html>
"""
_SPACING = {"row": 150, "column": 88}  # between the frames of pictures: axes, legends and titles lie there
_SPANS = {1: "1 hour", 24: "1 day", 168: "1 week", 720: "30 days"}
_CONFIG: dict[str, Any] = {
    "background": "#ffffff",
    "font": "Helvetica Neue, Helvetica, Arial, sans-serif",
    "padding": 28,
    "view": {"stroke": None},
    "concat": {"spacing": 44},
    "axis": {
        "domain": False, "grid": True, "gridColor": "#e9edf1", "ticks": False, "labelColor": QUIET, "titleColor": QUIET,
        "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal", "labelPadding": 6, "titlePadding": 10,
    },
    "legend": {"labelColor": INK, "labelFontSize": 11, "titleFontSize": 11, "symbolStrokeWidth": 3, "symbolSize": 120},
    "header": {"labelColor": INK, "labelFontSize": 11, "title": None},
    "title": {
        "anchor": "start", "frame": "group", "color": INK, "fontSize": 15, "fontWeight": 600, "subtitleColor": QUIET,
        "subtitleFontSize": 12, "subtitlePadding": 5, "offset": 14,
    },
}  # fmt: skip


def write_sheet(sheet: Sheet, *, folder: Path, title: str) -> tuple[Path, Path]:
    """Write `bank.html` and `bank.png` into `folder`; where they lie."""
    return write_picture(specification(sheet, title=title), folder=folder, name="bank", title=title)


def write_picture(spec: dict[str, Any], *, folder: Path, name: str, title: str) -> tuple[Path, Path]:
    """Write a Vega-Lite specification as `name.html`, which needs no network, and `name.png`; where they lie."""
    folder.mkdir(parents=True, exist_ok=True)
    page, picture = folder / f"{name}.html", folder / f"{name}.png"
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    drawn = json.dumps(spec).replace("</", "<\\/")  # so that no text can end the script it stands in
    page.write_text(_PAGE.format(title=html.escape(title), bundle=bundle, spec=drawn), encoding="utf-8")
    picture.write_bytes(vl_convert.vegalite_to_png(spec, scale=2))
    return page, picture


def specification(sheet: Sheet, *, title: str) -> dict[str, Any]:
    """The sheet as one Vega-Lite specification, two pictures a row; a picture without rows is left out."""
    panels = [
        draw(rows)
        for rows, draw in (
            (sheet.since_payday, _since_payday),
            (sheet.payments, _payments),
            (sheet.sessions, _sessions),
            (sheet.places, _places),
            (sheet.delays, _delays),
            (sheet.season, _season),
        )
        if rows
    ]
    whole = alt.concat(*panels, columns=2, bounds="flush", spacing=_SPACING).resolve_scale(
        color="independent", strokeDash="independent"
    )
    head = alt.Title(
        title,
        subtitle=f"{sheet.customers:,} customers, {sheet.days} days.  Solid: as it came out.  Dashed: as it should.",
        fontSize=20,
        subtitleFontSize=13,
        offset=26,
    )
    spec: dict[str, Any] = whole.properties(title=head).to_dict()
    spec["config"] = _CONFIG
    return spec


def _since_payday(rows: Rows) -> Panel:
    base = alt.Chart(_data(rows)).encode(x=alt.X("day:Q", title="days since payday", axis=alt.Axis(grid=False)))
    band = base.mark_area(color=SEEN, opacity=0.18).encode(y=alt.Y("low:Q", title="£"), y2="high:Q")
    line = base.mark_line(color=SEEN, strokeWidth=2.5).encode(y="middle:Q")
    return _titled(alt.layer(band, line), "Money runs down", "current account: the median and the middle half")


def _payments(rows: Rows) -> Panel:
    base = alt.Chart(_data(rows)).encode(x=alt.X("day:Q", title="days since payday", axis=alt.Axis(grid=False)))
    y = alt.Scale(zero=True, nice=True)
    seen = base.mark_line(color=SEEN, strokeWidth=2.5).encode(
        y=alt.Y("payments:Q", title="a customer and day", scale=y)
    )
    expected = base.mark_line(color=EXPECTED, strokeDash=[5, 4]).encode(y="expected:Q")
    return _titled(alt.layer(seen, expected), "Payday is spent", "card payments; expected: 1 + 0.9 exp(−days / 2.5)")


def _sessions(rows: Rows) -> Panel:
    chart = (
        alt.Chart(_data(rows))
        .mark_rect(cornerRadius=2, stroke="#ffffff", strokeWidth=2)
        .encode(
            x=alt.X(
                "hour:O", title="hour of the day", axis=alt.Axis(labelAngle=0, grid=False, values=list(range(0, 24, 3)))
            ),
            y=alt.Y("weekday:O", title=None, sort=list(WEEKDAYS), axis=alt.Axis(grid=False)),
            color=alt.Color("share:Q", legend=None, scale=alt.Scale(range=["#f2f6fa", SEEN])),
            tooltip=["weekday:O", "hour:O", alt.Tooltip("share:Q", format=".2%")],
        )
    )
    return _titled(chart, "When people look", "sessions by weekday and hour")


def _places(rows: Rows) -> Panel:
    surfaces = list(dict.fromkeys(row["surface"] for row in rows))
    colour = alt.Color("surface:N", title=None, sort=surfaces, scale=alt.Scale(domain=surfaces, range=list(FAMILIES)),
                       legend=_legend(columns=3))  # fmt: skip
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("place:O", title="place", axis=alt.Axis(labelAngle=0, grid=False)), color=colour
    )
    seen = base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=45)).encode(
        y=alt.Y("taps:Q", title="per 1,000 cards shown")
    )
    expected = base.mark_line(strokeDash=[5, 4]).encode(y="expected:Q")
    ring = base.mark_point(size=130, filled=False, strokeWidth=2).encode(y="taps:Q")  # or equals would hide each other
    alone = ring.transform_joinaggregate(places="count()", groupby=["surface"]).transform_filter("datum.places == 1")
    return _titled(
        alt.layer(seen, expected, alone), "The first place wins", "taps by place; expected: as places are looked at"
    )


def _delays(rows: Rows) -> Panel:
    families = list(dict.fromkeys(row["family"] for row in rows))
    hours = alt.X(
        "hours:Q",
        title="time from tap to opening",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(
            grid=False,
            values=list(_SPANS),
            labelExpr=f"{json.dumps({str(hours): span for hours, span in _SPANS.items()})}[datum.value]",
        ),
    )
    colour = alt.Color("family:N", title=None, scale=alt.Scale(domain=families, range=list(FAMILIES)),
                       legend=_legend(columns=2))  # fmt: skip
    base = alt.Chart(_data(rows)).encode(x=hours, color=colour)
    expected = base.mark_line(strokeDash=[5, 4]).encode(
        y=alt.Y("expected:Q", title="share opened", axis=alt.Axis(format="%"))
    )
    seen = base.mark_line(strokeWidth=2.5, interpolate="step-after").encode(y="opened:Q")
    return _titled(alt.layer(expected, seen), "Some openings take weeks", "of those in the span, by kind of product")


def _season(rows: Rows) -> Panel:
    needs = sorted({row["need"] for row in rows})
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("date:T", title=None, axis=alt.Axis(format="%-d %b", grid=False, tickCount=6)),
        y=alt.Y("relative:Q", title="times the usual"),
    )
    colour = alt.Color(
        "need:N", title=None, scale=alt.Scale(domain=needs, range=list(FAMILIES)), legend=_legend(columns=3)
    )
    usual = alt.Chart(_data([{"relative": 1.0}])).mark_rule(color=QUIET, strokeDash=[2, 4]).encode(y="relative:Q")
    lines = base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=30)).encode(color=colour)
    return _titled(
        alt.layer(usual, lines),
        "Needs have their season",
        "openings that needed no help; a point is one, two or four weeks",
    )


def _legend(*, columns: int) -> alt.Legend:
    return alt.Legend(orient="bottom", offset=6, symbolType="stroke", columns=columns, labelLimit=190, columnPadding=16)


def _titled(chart: Any, title: str, subtitle: str) -> Panel:
    panel: Panel = chart.properties(width=WIDTH, height=HEIGHT, title=alt.Title(title, subtitle=subtitle))
    return panel


def _data(rows: Rows) -> alt.InlineData:
    return alt.InlineData(values=rows)


def curves(rows: Rows, *, title: str, subtitle: str) -> dict[str, Any]:
    """Regret by day, a panel for each world and a line for each `policy`; `rows` hold world, policy, day, regret."""
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    colour = alt.Color("policy:N", title=None, scale=alt.Scale(domain=policies, range=list(FAMILIES)),
                       legend=_legend(columns=2))  # fmt: skip
    panels = []
    for world in dict.fromkeys(row["world"] for row in rows):
        base = alt.Chart(_data([row for row in rows if row["world"] == world])).encode(
            x=alt.X("day:Q", title="day", axis=alt.Axis(grid=False)), color=colour
        )
        band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title="points a visit × 1,000"), y2="high:Q")
        line = base.mark_line(strokeWidth=2.5).encode(y="regret:Q")
        panels.append(_titled(alt.layer(band, line), world, "short of the best slates in the same states"))
    whole = alt.concat(*panels, columns=2).properties(title=alt.Title(title, subtitle=subtitle, fontSize=20, offset=26))
    spec: dict[str, Any] = whole.to_dict()
    spec["config"] = _CONFIG
    return spec
