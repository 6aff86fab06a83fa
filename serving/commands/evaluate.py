"""`recsys evaluate`: judge policies from the log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import click
from tqdm import tqdm

from recsys import eligibility
from recsys.errors import Misuse
from recsys.tracking import Parameter, Tracker, UsingDataset
from serving import charts, settings
from serving.bootstrap import Installation, compose
from serving.commands.moments import MOMENT
from serving.datasets import Made, dataset
from serving.judged_log import Scope
from serving.judged_policies import AS_LOGGED, candidates_of, known_outcome
from serving.judged_report import metrics_of, rows_of, safe, to_json, told
from serving.judged_table import files_in, judge_table
from serving.judging import Judged, judge
from serving.leading import calm_the_collector
from serving.rule_change import RuleChange
from serving.spread import HERE, Spread, spread_of
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
@click.option(
    "--log", type=click.Path(path_type=Path), help="judge by Parquet files of rounds instead of the home's log"
)
@click.option(
    "--ripe-before", type=MOMENT, help="with --log: leave out rounds made from then on, still without outcomes"
)
@click.option("--dataset", "asked", help="judge by a dataset (recsys dataset create) instead of the log as it is now")
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
    log: Path | None,
    asked: str | None,
    ripe_before: datetime | None,
    as_json: bool,
) -> None:
    """What would a policy have earned, and how sure are we? Says so, or why the log cannot.

    The first --policy is compared with every other one on the same rounds. Everything is kept in MLflow.
    With --log a policy is a column of the files: its probability of what was shown, or its distribution.
    """
    calm_the_collector()
    home = compose(settings.load())
    if log is not None:
        for option, given in (("surface", surface), ("since", since), ("until", until), ("learn-until", learn_until),
                              ("slots", slots), ("uniform-only", uniform_only or None), ("outcome", outcome),
                              ("rules", rules), ("dataset", asked)):  # fmt: skip
            if given is not None:
                raise Misuse(f"--{option} asks the home's log, and --log judges by files: filter the files instead")
        spread = spread_of(home.settings)
        by_files = _judge_files(log, [*policies, *others], ripe_before=ripe_before, asked=estimators, spread=spread)
        _tell(by_files, home, parameters={"policies": ", ".join(by_files.policies), "log": log.name,
                                          "log_digest": by_files.digest}, as_json=as_json)  # fmt: skip
        return
    if ripe_before is not None:
        raise Misuse("--ripe-before belongs to --log: the home's log knows which windows have closed")
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
    made = None if asked is None else dataset(home.settings.artefacts, asked)
    if made is not None:
        home = replace(home, log=made.log())
    judged = _judge(home, names, scope=scope, learn_until=learn_until, rules=rules, outcome=outcome, asked=estimators)
    _tell(judged, home, parameters=_parameters(names, judged, rules, outcome), as_json=as_json, made=made)


def _tell(
    judged: Judged, home: Installation, *, parameters: Mapping[str, Parameter], as_json: bool, made: Made | None = None
) -> None:
    tracker = tracker_of(home.settings)
    if made is not None:
        tracker = UsingDataset(tracker, made.tracked)
    url = logged(judged, tracker=tracker, parameters=parameters)
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


def _judge_files(
    log: Path, names: Sequence[str], *, ripe_before: datetime | None, asked: str, spread: Spread
) -> Judged:
    if not names:
        raise Misuse("name a policy to judge: --policy COLUMN (or as-logged, uniform where logged_pmf is there)")
    with tqdm(unit="rounds", unit_scale=True, mininterval=0.5, leave=False) as bar:

        def tell(step: str, rounds: int) -> None:
            if bar.desc != f"{step}: ":
                bar.reset()
                bar.set_description(step)
            bar.update(rounds - bar.n)

        elsewhere = None if spread is HERE else spread
        return judge_table(
            files_in(log),
            policies=names,
            estimators=_named(asked),
            ripe_before=ripe_before,
            spread=elsewhere,
            told=tell,
        )


def _named(estimators: str) -> list[str]:
    return [each.strip() for each in estimators.split(",") if each.strip()]


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
            estimators=_named(asked),
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
