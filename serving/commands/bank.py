"""`recsys bank`: make a synthetic bank, as tables; describe it; draw it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from recsys import tables
from recsys.bank.app import POLICIES
from recsys.bank.describe import Calibration, calibration
from recsys.bank.generate import Order, generate
from recsys.bank.plots import sheet_of
from recsys.bank.switches import Switches
from recsys.errors import InvalidConfiguration
from serving.bank_sheet import write_sheet

USUAL_DAYS = 120
_JOBS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to make of the bank."""

    out: Path | None
    plots: Path | None
    describe: bool
    jobs: int


@click.command
@click.option("--customers", default=5_000, show_default=True, type=int)
@click.option("--days", type=int, help=f"how many to live  [default: {USUAL_DAYS}]")
@click.option("--until", metavar="DATE", help="the day after the last, instead of --days")
@click.option("--start", default="2026-01-05", show_default=True, metavar="DATE", help="the first day")
@click.option("--seed", default=1, show_default=True, type=int)
@click.option("--world", default="plain", show_default=True, help="the form of need and response")
@click.option("--persona", "personas", multiple=True, metavar="NAME=SHARE",
              help="a share of customers in place of the usual; those given add up to 1")  # fmt: skip
@click.option("--with", "with_", multiple=True, metavar="NAME", help="turn on something that may happen to the world")
@click.option("--without", multiple=True, metavar="NAME", help="turn it off")
@click.option("--first", default=0, show_default=True, type=int, help="number of the first customer to make")
@click.option("--last", type=int, help="number after the last customer to make  [default: all]")
@click.option("--offers", default=0, show_default=True, type=int, help="cashback offers beside the products")
@click.option("--articles", default=0, show_default=True, type=int, help="help articles beside the products")
@click.option("--policy", default="uniform", show_default=True, help=f"what the app shows: {', '.join(POLICIES)}")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="write the tables as Parquet, by month")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="draw bank.html and bank.png")
@click.option("--describe", is_flag=True, help="print base rates beside public figures, and what policies are worth")
@click.option("--jobs", type=click.IntRange(min=1), default=_JOBS, show_default="one a core, at most 4",
              help="processes that make tables, of half a gigabyte each")  # fmt: skip
@click.option("--schema", is_flag=True, help="print what stands in each table, and end")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(
    *,
    customers: int,
    days: int | None,
    until: str | None,
    start: str,
    seed: int,
    world: str,
    personas: tuple[str, ...],
    with_: tuple[str, ...],
    without: tuple[str, ...],
    first: int,
    last: int | None,
    offers: int,
    articles: int,
    policy: str,
    out: Path | None,
    plots: Path | None,
    describe: bool,
    jobs: int,
    schema: bool,
    as_json: bool,
) -> None:
    """Make a synthetic bank whose truth is known: its tables, its base rates, a sheet of pictures.

    The same parameters give the same bytes, and a slice gives what the whole would.
    """
    if schema:
        click.echo("\n\n".join(tables.described(table) for table in tables.TABLES.values()))
        return
    if not (out or plots or describe):
        raise InvalidConfiguration("say what to make: --out DIR for tables, --plots DIR for pictures, or --describe")
    begins = _day(start, option="--start")
    order = Order(
        customers=customers,
        days=_days(days, until=until, start=begins),
        seed=seed,
        start=begins,
        world=world,
        switches=Switches.parsed(with_=with_, without=without),
        first=first,
        last=last,
        policy=policy,
        offers=offers,
        articles=articles,
        personas=tuple(_share(each) for each in personas),
    )
    told = _made(order, Wanted(out=out, plots=plots, describe=describe, jobs=jobs), say=not as_json)
    if as_json:
        click.echo(json.dumps(told))


def _made(order: Order, wanted: Wanted, *, say: bool) -> dict[str, Any]:
    """Make what is wanted; what there is to tell of it."""
    told: dict[str, Any] = {}
    if wanted.out or wanted.plots:
        with _folder(wanted.out) as folder:
            rows = _generated(order, folder=folder, jobs=wanted.jobs)
            if wanted.out:
                told |= {"out": str(wanted.out), "rows": rows}
                _say(_counted(rows, folder=folder), aloud=say)
            if wanted.plots:
                title = f"The bank of seed {order.seed}"
                page, picture = write_sheet(sheet_of(folder), folder=wanted.plots, title=title)
                told["plots"] = [str(page), str(picture)]
                _say(f"pictures in {page} and {picture}", aloud=say)
    if wanted.describe:
        described = _described(order)
        told["figures"] = [asdict(each) | asdict(each.band) | {"inside": each.inside} for each in described.figures]
        told["policies"] = dict(described.policies)
        _say(str(described), aloud=say)
    return told


def _generated(order: Order, *, folder: Path, jobs: int) -> dict[str, int]:
    going = generate(order, folder=folder, processes=jobs)
    rows: Mapping[str, int] = {}
    with tqdm(
        total=(order.end - order.first) * order.days, unit=" customer-days", unit_scale=True, desc="living"
    ) as bar:
        for progress in going:
            bar.update(progress.done - bar.n)
            rows = progress.rows
    return dict(rows)


def _described(order: Order) -> Calibration:
    return calibration(order.bank(first=order.first, last=order.end), days=order.days)


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    """Where the tables go: the folder that was named, or one that is gone when the pictures are drawn."""
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="recsys-bank-") as scratch:
        yield Path(scratch)


def _counted(rows: dict[str, int], *, folder: Path) -> str:
    wide = max(map(len, rows))
    return "\n".join([f"tables in {folder}", *(f"  {name:{wide}}  {n:>13,} rows" for name, n in rows.items())])


def _day(text: str, *, option: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(), tzinfo=UTC)
    except ValueError:
        raise InvalidConfiguration(f'{option} "{text}": write a day such as 2026-01-05') from None


def _share(text: str) -> tuple[str, float]:
    name, _, share = text.rpartition("=")
    try:
        return name.strip(), float(share)
    except ValueError:
        raise InvalidConfiguration(f'--persona "{text}": write a name and a share such as "teen=0.1"') from None


def _days(days: int | None, *, until: str | None, start: datetime) -> int:
    if until is None:
        return USUAL_DAYS if days is None else days
    if days is not None:
        raise InvalidConfiguration("--days and --until say the same thing: give one of them")
    span = _day(until, option="--until") - start
    if span <= timedelta():
        raise InvalidConfiguration(f"--until {until} is not after --start {start:%Y-%m-%d}: the bank would live no day")
    return span.days


def _say(text: str, *, aloud: bool) -> None:
    if aloud:
        click.echo(text)
