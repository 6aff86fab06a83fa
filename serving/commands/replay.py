"""`recsys replay`: run a learner honestly over data that somebody else logged."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from bandits.engine import Engine
from bandits.intervals import Interval
from bandits.recipe import Recipe
from bandits.replay import RECIPE, Replayed, progressive, replay_uniform
from recsys import datasets
from recsys.datasets import Labelled, LoggedBandit
from recsys.errors import InvalidConfiguration, InvalidTable, Misuse
from recsys.tracking import Run, Tracker, UsingDataset
from serving import datasets as datasets_of_ours
from serving import settings
from serving.commands import recipe_files
from serving.settings import Settings
from serving.tracked import tracker_of

OPEN_BANDIT, CLASSIFICATION = "open-bandit", "classification"
EXPERIMENT = "replay"
_CURVE_POINTS = 100


@dataclass(frozen=True, slots=True)
class Origin:
    """What a replay ran on and with: enough to run it again."""

    dataset: str
    file: str
    digest: str  # of the file
    recipe: str
    recipe_digest: str
    seed: int


@click.command
@click.option("--dataset", required=True, help="open-bandit or classification, the form of PATH; or a dataset's name")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--outcome", help="of a dataset: what counts as success (default tapped)")
@click.option("--campaign", type=click.Choice(("all", "men", "women")), help="of open-bandit (default all)")
@click.option("--behaviour-policy", help="of open-bandit: whose rows (default random)")
@click.option("--label", help="of classification: the column that holds the label (default label)")
@click.option("--recipe", "recipe_at", metavar="FILE:NAME", help="what learns (default: one recipe for every data set)")
@click.option(
    "--vw", metavar="ARGUMENTS", help="VowpalWabbit's own bandit instead, e.g. '--cover 3'; '' for its default"
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(
    dataset: str,
    path: Path | None,
    outcome: str | None,
    campaign: str | None,
    behaviour_policy: str | None,
    label: str | None,
    recipe_at: str | None,
    vw: str | None,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Replay a learner over PATH (Parquet or CSV) and compare it with the policy that logged it.

    open-bandit: rows that a policy drew uniformly count where our own draw matches. classification: each
    label is a product, and the learner sees only whether its draw was the right one. A dataset of your own
    (recsys dataset create) counts like open-bandit, by the first slots that were drawn evenly; it takes no PATH.
    """
    chosen = settings.load()
    recipe = _learns(recipe_at, vw)
    public = {"campaign": campaign, "behaviour_policy": behaviour_policy}
    table: LoggedBandit | Labelled
    made = None
    if dataset in (OPEN_BANDIT, CLASSIFICATION):
        if path is None or outcome is not None:
            raise Misuse(f"--dataset {dataset} takes a PATH and no --outcome")
        table = _table(path, form=dataset, logged=public, labelled={"label": label})
        origin = Origin(table.name, path.name, _digest(path), recipe.name, recipe.digest, seed)
    else:
        made = datasets_of_ours.dataset(chosen.artefacts, dataset)
        if path is not None or any(given is not None for given in (*public.values(), label)):
            raise Misuse(
                f"{dataset} is a dataset of your own: it takes no PATH, --campaign, --behaviour-policy or --label"
            )
        table = made.evenly_drawn(outcome=outcome or "tapped")
        origin = Origin(made.name, "rounds.parquet", made.digest, recipe.name, recipe.digest, seed)
    steps = _played(table, recipe=recipe, seed=seed)
    if not as_json:
        click.echo(f"{steps[-1].summary()}\n\n{_small_table(steps[-1])}")
    tracker = _tracker(chosen)
    if made is not None:
        tracker = UsingDataset(tracker, made.tracked)
    url = _logged(steps, origin=origin, tracker=tracker)
    if as_json:
        click.echo(json.dumps(_plain(steps[-1], origin=origin) | {"run": url}))
    else:
        click.echo(f"\nIn MLflow, experiment {EXPERIMENT}: {url or f'mlflow ui --backend-store-uri {chosen.tracking}'}")


def _learns(recipe_at: str | None, vw: str | None) -> Recipe | Engine:
    if vw is None:
        return RECIPE if recipe_at is None else recipe_files.recipe_at(recipe_at)
    if recipe_at is not None:
        raise Misuse("--recipe and --vw both say what learns: give one of them")
    return Engine(vw)


def _table(
    path: Path, *, form: str, logged: Mapping[str, str | None], labelled: Mapping[str, str | None]
) -> LoggedBandit | Labelled:
    """The data set; an option of the other form is refused, because ignoring it would mislead."""
    ours, foreign = (logged, labelled) if form == OPEN_BANDIT else (labelled, logged)
    if stray := [name for name, value in foreign.items() if value is not None]:
        raise InvalidConfiguration(f"--{stray[0].replace('_', '-')} says nothing about {form}: leave it out")
    given = {name: value for name, value in ours.items() if value is not None}
    return datasets.open_bandit(path, **given) if form == OPEN_BANDIT else datasets.classification(path, **given)


def _played(table: LoggedBandit | Labelled, *, recipe: Recipe | Engine, seed: int) -> list[Replayed]:
    """How the replay went, at about a hundred points; never empty."""
    every = max(1, len(table) // _CURVE_POINTS)
    going: Iterator[Replayed]
    if isinstance(table, LoggedBandit):
        going = replay_uniform(table, recipe, seed=seed, every=every)
    else:
        going = progressive(table, recipe, seed=seed, every=every)
    steps = []
    with tqdm(total=len(table), unit="rows", desc=f"replaying {table.name}") as bar:
        for step in going:
            bar.update(step.rows - bar.n)
            steps.append(step)
    return steps


def _logged(steps: list[Replayed], *, origin: Origin, tracker: Tracker) -> str:
    """Write the run; where a person can open it."""
    parameters = {name: getattr(origin, name) for name in Origin.__slots__}
    with tracker.run(f"{origin.recipe} on {origin.dataset}", experiment=EXPERIMENT, parameters=parameters) as run:
        _record(run, steps)
        run.file("summary.txt", f"{steps[-1].summary()}\n\n{_small_table(steps[-1])}\n")
        run.file("replay.json", json.dumps(_plain(steps[-1], origin=origin), indent=1))
        return run.url


def _record(run: Run, steps: list[Replayed]) -> None:
    for step in steps:
        run.record(step.metrics, step=step.rows)


def _tracker(chosen: Settings) -> Tracker:
    chosen.folder.mkdir(parents=True, exist_ok=True)
    return tracker_of(chosen)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:32]
    except OSError as error:
        raise InvalidTable(f"cannot be read ({type(error).__name__})", where=path.name) from None


def _means(result: Replayed) -> dict[str, Interval]:
    """Every mean reward the replay found, by whose it is."""
    found = {result.recipe: result.learner, f"{result.recipe}, by IPS": result.ips, result.rival_name: result.rival}
    return {name: interval for name, interval in found.items() if interval is not None}


def _small_table(result: Replayed) -> str:
    """The means as a table for a terminal."""
    rows = [("", "mean reward", "95 % interval", "rounds")]
    for name, mean in _means(result).items():
        exact = mean.low == mean.high
        reach = "known exactly" if exact else f"{mean.low:.4f} to {mean.high:.4f}"
        rows.append((name, f"{mean.estimate:.4f}", reach, f"{mean.n:,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def _plain(result: Replayed, *, origin: Origin) -> dict[str, Any]:
    return {
        **{name: getattr(origin, name) for name in Origin.__slots__},
        "rows": result.rows,
        "counted": result.counted,
        "learner": _bounds(result.learner),
        "ips": _bounds(result.ips),
        "rival": {"name": result.rival_name, **(_bounds(result.rival) or {})},
        "summary": result.summary(),
    }


def _bounds(interval: Interval | None) -> dict[str, float | None] | None:
    """An interval as JSON values; a bound that one round alone cannot give is null."""
    if interval is None:
        return None
    low, high = (bound if math.isfinite(bound) else None for bound in (interval.low, interval.high))
    return {"mean": interval.estimate, "low": low, "high": high, "rounds": interval.n}
