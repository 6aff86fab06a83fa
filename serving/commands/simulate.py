"""`recsys simulate`: learners × exploration × rewards in synthetic banks, several seeds side by side."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from bandits.exploration import KINDS, Exploration
from bandits.recipe import Recipe
from recsys import rewards as rewards_of
from recsys.bank.worlds import WORLDS
from recsys.errors import InvalidConfiguration
from recsys.rewards import FORMS
from recsys.tracking import Tracker
from serving import settings
from serving.bank_sheet import curves, write_picture
from serving.commands.recipe_files import recipe_at
from serving.simulating import Cell, in_order, regrets, run, summary, table, trials_of
from serving.tracked import tracker_of

EXPERIMENT = "simulate"
_DEFAULT = Recipe(
    "linear", "linear", exploration=Exploration("epsilon_greedy", epsilon=0.02, quota=0.2, new_until=2_000.0)
)


@click.command
@click.option("--world", "worlds", multiple=True, type=click.Choice(tuple(WORLDS)), help="may stand often [all]")
@click.option("--reward", "forms", multiple=True, type=click.Choice(FORMS), help="may stand often [all]")
@click.option("--exploration", "explorations", multiple=True, metavar="KIND[:EPSILON]", help="may stand often")
@click.option("--recipe", "recipes_at", multiple=True, metavar="FILE:NAME", help="what learns; may stand often")
@click.option("--customers", type=click.IntRange(min=10), default=2_000, show_default=True)
@click.option("--days", type=click.IntRange(min=2), default=120, show_default=True)
@click.option("--seeds", type=click.IntRange(min=1), default=1, show_default=True, help="how many, from 1")
@click.option("--slice", "slice_share", type=click.FloatRange(0, 1), default=0.0, help="of visits get an even slate")
@click.option("--first-log", type=click.IntRange(min=0), default=0, help="days of even slates that recipes start from")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="processes")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="write regret.html and regret.png here")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(
    worlds: tuple[str, ...],
    forms: tuple[str, ...],
    explorations: tuple[str, ...],
    recipes_at: tuple[str, ...],
    customers: int,
    days: int,
    seeds: int,
    slice_share: float,
    first_log: int,
    jobs: int,
    folder: Path | None,
    *,
    as_json: bool,
) -> None:
    """Let recipes live in banks whose truth is known, and tell what each lost.

    relative is (earned − best fixed list) / (best learnable − best fixed list) over the second half, on the
    states that the recipe's own life came to; points are of 1,000 visits.
    """
    chosen = settings.load()
    recipes = _recipes(recipes_at, explorations=explorations, forms=forms)
    trials = trials_of(
        recipes, rewards=rewards_of.load(chosen.rewards), worlds=worlds or tuple(WORLDS), seeds=range(1, seeds + 1),
        customers=customers, days=days, slice_share=slice_share, first_log=first_log,
    )  # fmt: skip
    cells = []
    with tqdm(total=len(trials), unit="trials", desc=f"{customers:,} customers × {days} days") as bar:
        for cell in run(trials, jobs=jobs):
            cells.append(cell)
            bar.update()
    cells = in_order(cells, trials=trials)
    rows = summary(cells)
    title = f"{customers:,} customers, {days} days, {seeds} {'seed' if seeds == 1 else 'seeds'}"
    written = []
    if folder is not None:
        spec = curves(regrets(cells), title="Regret", subtitle=title)
        written = [str(each) for each in write_picture(spec, folder=folder, name="regret", title=f"Regret: {title}")]
    chosen.folder.mkdir(parents=True, exist_ok=True)
    url = _tracked(cells, rows, tracker=tracker_of(chosen), parameters={"customers": customers, "days": days})
    if as_json:
        plain = [cell.plain for cell in cells]
        click.echo(json.dumps({"trials": plain, "summary": rows, "files": written, "run": url}))
        return
    click.echo(table(rows))
    for each in written:
        click.echo(each)
    click.echo(f"In MLflow, experiment {EXPERIMENT}: {url or f'mlflow ui --backend-store-uri {chosen.tracking}'}")


def _recipes(recipes_at: tuple[str, ...], *, explorations: tuple[str, ...], forms: tuple[str, ...]) -> list[Recipe]:
    """Every recipe with every exploration and form asked for; what a file says stays where nothing is asked."""
    base = [recipe_at(each) for each in recipes_at] or [_DEFAULT]
    wanted = forms or (FORMS if not recipes_at else ())
    found = [replace(recipe, exploration=_exploration(text)) for text in explorations for recipe in base] or base
    found = [replace(recipe, reward=form) for recipe in found for form in wanted] or found
    return list({recipe.digest: recipe for recipe in found}.values())


def _exploration(text: str) -> Exploration:
    kind, _, epsilon = text.partition(":")
    if kind not in KINDS:
        raise InvalidConfiguration(f'--exploration "{text}": use KIND or KIND:EPSILON with one of {", ".join(KINDS)}')
    try:
        return Exploration(kind, epsilon=float(epsilon) if epsilon else 0.02)
    except ValueError:
        raise InvalidConfiguration(f'--exploration "{text}": epsilon is a number') from None


def _tracked(cells: list[Cell], rows: list[dict[str, Any]], *, tracker: Tracker, parameters: dict[str, int]) -> str:
    """Curves and means in MLflow; where a person can open them."""
    with tracker.run("simulate", experiment=EXPERIMENT, parameters=parameters) as entry:
        for row in rows:
            name = f"{row['world']}/{row['policy']}".replace(", ", "/")
            entry.record({f"relative/{name}": row["relative"], f"earned/{name}": row["earned"]})
        for row in regrets(cells):
            name = f"regret/{row['world']}/{row['policy']}".replace(", ", "/")
            entry.record({name: row["regret"]}, step=row["day"])
        entry.file("summary.txt", table(rows) + "\n")
        entry.file("trials.json", json.dumps([cell.plain for cell in cells], indent=1))
        return entry.url
