"""`recsys evaluate`: judge policies from the log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import click
from tqdm import tqdm

from recsys import eligibility
from recsys.errors import Misuse
from recsys.tracking import Parameter, Tracker
from serving import charts, settings
from serving.bootstrap import Installation, compose
from serving.commands.moments import MOMENT
from serving.judged_log import Scope
from serving.judged_policies import AS_LOGGED, candidates_of, known_outcome
from serving.judged_report import metrics_of, rows_of, safe, to_json, told
from serving.judging import Judged, judge
from serving.leading import calm_the_collector
from serving.rule_change import RuleChange
from serving.tracked import tracker_of

EXPERIMENT = "evaluations"


@click.command
@click.option("--policy", "policies", multiple=True, help="a recipe, uniform, catalogue-order or as-logged")
@click.option("--compare", "others", multiple=True, help="another one, compared on the same rounds (may be repeated)")
@click.option("--surface", help="only this surface")
@click.option("--since", type=MOMENT, help="only decisions made from then on (a day, or a time with its zone)")
@click.option("--until", type=MOMENT, help="only decisions made before")
@click.option(
    "--learn-until", type=MOMENT, help="learn recipes anew from what came before, and judge by what came after"
)
@click.option("--slots", type=click.IntRange(1, 20), help="judge only so many slots from the top")
@click.option("--uniform-only", is_flag=True, help="only rounds that were drawn evenly")
@click.option("--outcome", help="count this kind of outcome (tapped, dismissed, …) instead of points")
@click.option("--estimators", default="", help="names with commas; the default suits the slates")
@click.option("--rules", type=click.Path(path_type=Path), help="a changed rule pack, judged where it is tighter")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(
    *,
    policies: Sequence[str],
    others: Sequence[str],
    surface: str | None,
    since: datetime | None,
    until: datetime | None,
    learn_until: datetime | None,
    slots: int | None,
    uniform_only: bool,
    outcome: str | None,
    estimators: str,
    rules: Path | None,
    as_json: bool,
) -> None:
    """What would a policy have earned, and how sure are we? Says so, or why the log cannot.

    The first --policy is compared with every other one on the same rounds. Everything is kept in MLflow.
    """
    calm_the_collector()
    home = compose(settings.load())
    home.live.refresh()
    names = [*policies, *others] or ([AS_LOGGED] if rules else [])
    if not names:
        raise Misuse("name a policy to judge: --policy bandit (or uniform, catalogue-order, as-logged)")
    if surface is not None and surface not in home.offers.current.catalogue.surfaces:
        known = ", ".join(home.offers.current.catalogue.surfaces) or "none: apply a catalogue first"
        raise Misuse(f'"{surface}" is no surface; there are {known}')
    scope = Scope(_later(since, learn_until), until, surface, uniform_only, slots)
    if scope.since is not None and until is not None and scope.since >= until:
        raise Misuse("this part of the log is empty: --until must come after --since and --learn-until")
    judged = _judge(home, names, scope=scope, learn_until=learn_until, rules=rules, outcome=outcome, asked=estimators)
    url = logged(judged, tracker=tracker_of(home.settings), parameters=_parameters(names, judged, rules, outcome))
    if as_json:
        click.echo(json.dumps(to_json(judged) | {"run": url}))
    else:
        click.echo(told(judged))
        click.echo(
            f"\nIn MLflow, experiment {EXPERIMENT}: {url or f'mlflow ui --backend-store-uri {home.settings.tracking}'}"
        )


def logged(
    judged: Judged, *, tracker: Tracker, parameters: Mapping[str, Parameter], experiment: str = EXPERIMENT
) -> str:
    """Write a judgement down: parameters, every number, the table, the plot, the words; where a person can open it."""
    name = " against ".join(map(safe, judged.policies)) or "nothing to judge"
    with tracker.run(name, experiment=experiment, parameters=parameters, tags={"log_digest": judged.digest}) as run:
        run.record(metrics_of(judged))
        run.file("report.txt", told(judged) + "\n")
        run.file("judged.json", json.dumps(to_json(judged), indent=1))
        if judged.rounds:
            plot = charts.forest(rows_of(judged), logged=judged.logged)
            run.file("forest.png", charts.png(plot))
            run.file("forest.html", charts.html(plot))
        return run.url


def _judge(
    home: Installation,
    names: Sequence[str],
    *,
    scope: Scope,
    learn_until: datetime | None,
    rules: Path | None,
    outcome: str | None,
    asked: str,
) -> Judged:
    kind = known_outcome(home.rewards, outcome)
    rewards = home.rewards if kind is None else home.rewards.counting(kind)
    change = None if rules is None else RuleChange(eligibility.load(rules), offer=home.offers.current)
    with tqdm(total=home.log.last_position(), unit="events", mininterval=0.5, leave=False) as bar:

        def tell(step: str, position: int) -> None:
            if bar.desc != f"{step}: ":
                if change is not None and step not in ("learning anew", "reading"):
                    change.check()
                bar.set_description(step)
            bar.update(position - bar.n)

        candidates = candidates_of(home, names, learn_until=learn_until, told=lambda at: tell("learning anew", at))
        return judge(
            home,
            candidates=candidates,
            scope=scope,
            estimators=[each.strip() for each in asked.split(",") if each.strip()],
            rewards=rewards,
            confine=None if change is None else change.confine,
            also=(lambda _: None) if change is None else change.meets,
            told=tell,
        )


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    given = [each for each in (one, other) if each is not None]
    return max(given, default=None)


def _parameters(names: Sequence[str], judged: Judged, rules: Path | None, outcome: str | None) -> dict[str, Parameter]:
    scope = judged.scope
    return {
        "policies": ", ".join(names),
        "surface": scope.surface or "all",
        "since": str(scope.since or judged.first_at),
        "until": str(scope.until or judged.last_at),
        "slots": scope.places or 0,
        "uniform_only": scope.uniform_only,
        "rules": "as logged" if rules is None else rules.name,
        "reward": outcome or "points",
        "position": judged.position,
        "log_digest": judged.digest,
    }
