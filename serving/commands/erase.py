"""`recsys erase`: forget a customer in every store."""

from __future__ import annotations

import json
import sys

import click

from recsys.erasures import Forgotten
from recsys.errors import Misuse
from recsys.vocabulary import CustomerId
from serving.commands.switches import opened, who
from serving.erasure import erase, receipt_of, resume


@click.command
@click.argument("customer", default="")
@click.option("--yes", is_flag=True, help="do not ask again: it cannot be undone")
@click.option("--resume", "carry_on", is_flag=True, help="finish erasures that were interrupted")
@click.option("--receipt", metavar="ID", help="tell what became of an earlier erasure")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(*, customer: str, yes: bool, carry_on: bool, receipt: str | None, as_json: bool) -> None:
    """Forget CUSTOMER: profile, vectors, activities, and the person in the log, in exports and on the disk.

    An objection to marketing outlives it, as a hash. Doing it again is no error.
    """
    if (bool(customer) + carry_on + (receipt is not None)) != 1:
        raise Misuse("say whom to forget: recsys erase CUSTOMER (or --resume, or --receipt ID)")
    home = opened()
    if receipt is not None:
        done = [home.erasures.get(receipt)]
    elif carry_on:
        done = resume(home)
    else:
        if not yes:
            click.confirm("this cannot be undone; forget this customer", abort=True, err=True)
        done = [erase(home, CustomerId(customer))]
    if receipt is None:
        for each in done:
            home.trail.note(by=who(), action="erase", subject=each.erasure_id)
    _tell(done, as_json=as_json)


def _tell(done: list[Forgotten], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"erasures": [receipt_of(each) for each in done]}))
        return
    for each in done:
        click.echo(f"erasure {each.erasure_id} {'is done' if each.done_at else 'is under way: recsys erase --resume'}")
        for store, result in each.stores.items():
            click.echo(f"  {store:<11} {result}")
    if not done:
        click.echo("no erasure is under way", file=sys.stdout)
