"""`recsys demo`: the whole loop on a synthetic bank, end to end, then serves it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from serving import settings
from serving.children import Children
from serving.commands.serve import one_time
from serving.demo import Plan, Run, fresh_home, live
from serving.demo_report import Report, report_of, told
from serving.leading import Stop, calm_the_collector
from serving.security import Gate
from serving.seen_keys import SEEN, SeenKeys
from serving.settings import Settings
from serving.tracked import tracker_of


@click.command
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0))
@click.option("--customers", default=5_000, show_default=True, type=click.IntRange(100))
@click.option("--days", default=28, show_default=True, type=click.IntRange(7), help="of app traffic through HTTP")
@click.option("--first-days", default=60, show_default=True, type=click.IntRange(1), help="lived in process before")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(1, 65535))
@click.option("--mlflow-port", default=5000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--home", type=click.Path(path_type=Path), help="default: the folder demo in RECSYS_HOME")
@click.option("--serve/--no-serve", default=True, help="go on serving afterwards (the default), or end")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(
    *,
    seed: int,
    customers: int,
    days: int,
    first_days: int,
    port: int,
    mlflow_port: int,
    home: Path | None,
    serve: bool,
    as_json: bool,
) -> None:
    """Make a bank, live its days through the engine, and report who earned what.

    Writes to the folder demo in RECSYS_HOME, anew each time.
    """
    plan = Plan(seed, customers, first_days, days, port, mlflow_port)
    chosen = fresh_home((home or settings.load().folder / "demo").expanduser().absolute(), plan=plan)
    started = time.perf_counter()
    calm_the_collector()
    with Children(chosen.folder / "logs") as children:
        run = live(chosen, plan=plan, children=children, say=_say)
        report = report_of(run)
        _track(chosen, report)
        click.echo(json.dumps(report.to_json()) if as_json else told(report))
        _say(f"all of it took {time.perf_counter() - started:.0f} s")
        if serve:
            _go_on(chosen, run, plan=plan, children=children)


def _go_on(chosen: Settings, run: Run, *, plan: Plan, children: Children) -> None:
    """Keep the processes running, with MLflow beside them, until Ctrl-C."""
    stop = Stop()
    host = chosen.host
    children.start(
        "mlflow",
        ["mlflow", "server", "--backend-store-uri", chosen.tracking, "--host", host, "--port", str(plan.mlflow_port),
         "--workers", "1"],
    )  # fmt: skip
    url = f"http://{host}:{chosen.port}"
    gate = Gate(run.home.database, seen=SeenKeys(chosen.folder / SEEN))
    _say(f"dashboard   {url}/sign-in/{one_time(gate, run.home.database)}  (signs you in, once)")
    _say(f"experiment  {url}/experiments/home-bandit")
    _say(f"API         {url}/docs")
    _say(f"MLflow      http://{host}:{plan.mlflow_port}  (a few seconds until it answers)")
    _say(f"Everything lies in {chosen.folder}. Ctrl-C ends it all.")
    children.wait_until(stop, seconds=float("inf"), what="serving")


def _track(chosen: Settings, report: Report) -> None:
    """The report as an MLflow run."""
    parameters = {"seed": report.seed, "customers": report.customers, "visits": report.visits}
    with tracker_of(chosen).run("demo", experiment="demo", parameters=parameters) as run:
        run.record({f"points_{line.policy.replace(' ', '_')}": line.points for line in report.lines})
        run.record({name: float(n) for name, n in report.events.items()})
        run.file("report.txt", told(report))


def _say(sentence: str) -> None:
    click.echo(f"· {sentence}", err=True)
