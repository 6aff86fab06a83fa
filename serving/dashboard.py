"""The dashboard: pages for product managers, made on the server; scripts only draw the charts.

A page shows nothing that its JSON does not hold. Without JavaScript every number is still there, in
tables. Nothing comes from another host: the Vega bundle is the one inside vl-convert-python, and the
content security policy of every page says so. Who may see a page is decided around this router.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypedDict
from urllib.parse import quote

import vl_convert
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from recsys.errors import NotFound
from recsys.experiments import Experiment
from recsys.scorecards import Scorecard
from recsys.vocabulary import Switch
from serving.exports import csv_of
from serving.formats import FILTERS
from serving.forms import visitor_of
from serving.reading_out import ReadOut

TEMPLATES = Path(__file__).with_name("templates")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SETTLED = {"released": "Released: the learner takes it up.", "dropped": "Dropped: it never teaches."}
_KEPT = {"Cache-Control": "max-age=3600", "X-Content-Type-Options": "nosniff"}


class Serving(TypedDict):
    """One policy in force."""

    recipe: str
    policy: str  # name@version
    published_at: str  # RFC 3339, "" for a policy that never learns
    lessons: int


class Status(TypedDict):
    """What the home page tells: `attention` are sentences, most urgent first."""

    policies: Sequence[Serving]
    versions: Mapping[str, str]  # what → digest or version in force
    counters: Mapping[str, int]  # received, joined, waiting, quarantined, learned
    lessons: Mapping[str, Mapping[str, int]]  # recipe → received, learned, waiting, quarantined, superseded
    switches: Sequence[Switch]  # in force
    attention: Sequence[str]


class DashboardSource(Protocol):
    """What the pages need to know; errors are those of recsys.errors."""

    def experiments(self) -> Sequence[Experiment]:
        """Every experiment, newest first."""

    def scorecard(self, experiment_id: str) -> Scorecard:
        """One experiment in numbers; raises `UnknownExperiment`."""

    def status(self) -> Status:
        """The installation now."""

    def history(self, experiment_id: str) -> Sequence[Mapping[str, Any]]:
        """Who changed an experiment, when and why, oldest first; raises `UnknownExperiment`."""

    def policies(self) -> Mapping[str, Any]:
        """Who serves what share, what is left to chance, how learning goes (serving/policies.py)."""

    def system(self) -> Mapping[str, Any]:
        """Health, counters, rules and quarantine (serving/system.py)."""

    def receipt(self, decision_id: str) -> ReadOut:
        """One decision in plain sentences; raises `UnknownDecision`."""


def pages(service: DashboardSource) -> APIRouter:
    """Every page over one source, as a router to include (and to guard) in the app."""
    router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)

    @router.get("/")
    def home() -> HTMLResponse:
        experiments = service.experiments()
        running = [service.scorecard(e.experiment_id) for e in experiments if e.state == "running"]
        status = service.status()
        return page(
            "home.html",
            running=running,
            n_experiments=len(experiments),
            status=status,
            attention=_attention(status, running=running),
            sums=_sums(status["counters"]),
        )

    @router.get("/experiments")
    def experiments(request: Request) -> HTMLResponse:
        told = [(e, None if e.state == "draft" else service.scorecard(e.experiment_id)) for e in service.experiments()]
        return page("experiments.html", experiments=told, visitor=visitor_of(request))

    @router.get("/experiments/{experiment_id}")
    def experiment(experiment_id: str, request: Request) -> HTMLResponse:
        return experiment_page(service, request, experiment_id)

    @router.get("/experiments/{experiment_id}/numbers.csv")
    def numbers(experiment_id: str) -> Response:
        try:
            text = csv_of(service.scorecard(experiment_id).to_json())
        except NotFound as error:
            return page("missing.html", code=404, title="Not found", sentence=str(error))
        return Response(text, media_type="text/csv; charset=utf-8", headers=_attached(f"{experiment_id}.csv"))

    @router.get("/experiments/{experiment_id}/{chart}.png")
    def picture(experiment_id: str, chart: str) -> Response:
        try:
            drawn = _charts().charts_of(service.scorecard(experiment_id).to_json())
        except NotFound as error:
            return page("missing.html", code=404, title="Not found", sentence=str(error))
        if chart not in drawn:
            said = f"{experiment_id} has no chart {chart}: there are {', '.join(drawn) or 'none yet'}"
            return page("missing.html", code=404, title="Not found", sentence=said)
        name = f"{experiment_id}-{chart}.png"
        return Response(_charts().png(drawn[chart], width=900), media_type="image/png", headers=_attached(name))

    @router.get("/policies")
    def policies() -> HTMLResponse:
        told = service.policies()
        return page("policies.html", told=told, charts=_charts().charts_of_policies(told))

    @router.get("/system")
    def system(request: Request, done: str = "") -> HTMLResponse:
        return system_page(service.system(), request, done=_SETTLED.get(done, ""))

    @router.get("/decisions")
    def search(decision: str = "") -> Response:
        wanted = decision.strip()
        if wanted:
            return RedirectResponse(f"/decisions/{quote(wanted[:128], safe='')}", status_code=303)
        return page("decisions.html", asked="", sentence="")

    @router.get("/decisions/{decision_id}")
    def decision(decision_id: str) -> HTMLResponse:
        try:
            receipt = service.receipt(decision_id)
        except NotFound as error:
            return page("decisions.html", code=404, asked=decision_id, sentence=str(error))
        return page("decision.html", receipt=receipt)

    @router.get("/static/vega.js")
    def vega() -> Response:
        return Response(vega_bundle(), media_type="text/javascript", headers=_KEPT)

    @router.get("/static/app.js")
    def script() -> Response:
        return Response(_text("app.js"), media_type="text/javascript", headers=_KEPT)

    @router.get("/static/style.css")
    def style() -> Response:
        return Response(_text("style.css"), media_type="text/css", headers=_KEPT)

    return router


@cache
def vega_bundle() -> bytes:
    """Vega, Vega-Lite and vega-embed as one script, made once (about a second)."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")).encode()


def page(template: str, *, code: int = 200, **values: Any) -> HTMLResponse:
    """One page from its template, with the headers that keep it to itself."""
    return HTMLResponse(_environment().get_template(template).render(**values), status_code=code, headers=_HEADERS)


def experiment_page(
    service: DashboardSource, request: Request, experiment_id: str, *, trouble: Mapping[str, str] | None = None,
    typed: Mapping[str, str] | None = None, checklist: object = None, code: int = 200,
) -> HTMLResponse:  # fmt: skip
    """One experiment's page; `trouble` is why the form `form` was not done, `typed` what stood in it."""
    try:
        card = service.scorecard(experiment_id).to_json()
        history = service.history(experiment_id)
    except NotFound as error:
        return page("missing.html", code=404, title="Not found", sentence=str(error))
    return page(
        "experiment.html", code=code, card=card, charts=_charts().charts_of(card), history=history,
        visitor=visitor_of(request), trouble=trouble or {"form": "", "sentence": ""}, typed=typed or {},
        checklist=checklist,
    )  # fmt: skip


def _charts() -> Any:
    return importlib.import_module("serving.charts")  # heavy, and the API must start fast


def _attached(name: str) -> dict[str, str]:
    """Headers of a file to keep; its name is an experiment's id, which is letters, digits, dots and dashes."""
    return _HEADERS | {"Content-Disposition": f'attachment; filename="{name}"'}


def system_page(told: Mapping[str, Any], request: Request, *, done: str = "", trouble: str = "") -> HTMLResponse:
    """The page of the system; `trouble` is why what was asked for was not done."""
    code = 409 if trouble else 200
    values = {"sums": _sums(told["counters"]), "visitor": visitor_of(request), "done": done, "trouble": trouble}
    return page("system.html", code=code, told=told, **values)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


@cache
def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _attention(status: Status, *, running: Sequence[Scorecard]) -> list[dict[str, str]]:
    """What somebody should look at, experiments' harm first, each with the page that tells more."""
    found = []
    for card in running:
        name = card.experiment.experiment_id
        found += [(f"{name}: {alarm}", f"/experiments/{quote(name, safe='')}") for alarm in card.alarms]
    if not _sums(status["counters"]):
        found.append(("Events do not add up: received is not joined + waiting + quarantined.", "/system#counters"))
    found += [(f"{each[:1].upper()}{each[1:]}", _more(each)) for each in status["attention"]]
    return [{"sentence": sentence, "link": link} for sentence, link in found]


def _more(sentence: str) -> str:
    """The page that tells more of something to look at, "" where none does."""
    return "/system#quarantine" if "quarantine" in sentence else ""


def _sums(counters: Mapping[str, int]) -> bool:
    """Whether every event received is joined, waiting or quarantined."""
    parts = ("joined", "waiting", "quarantined")
    return counters.get("received", 0) == sum(counters.get(part, 0) for part in parts)
