"""`recsys evidence`: what the law keeps of promotions to somebody who was forgotten."""

from __future__ import annotations

import json
from contextlib import closing

import click

from recsys.evidence import Evidence
from recsys.vocabulary import CustomerId
from serving.commands.switches import opened, who
from serving.formats import rfc3339


@click.command
@click.argument("customer")
@click.option("--reason", required=True, help="the claim or the rule that asks for it; kept in the trail")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def command(customer: str, *, reason: str, as_json: bool) -> None:
    """Show what CUSTOMER was shown of promotions before they were forgotten. It is noted in the trail."""
    home = opened()
    home.trail.note(by=who(), action="evidence", subject=reason)
    with closing(Evidence(home.settings.restricted, url=home.settings.evidence_url)) as evidence:
        kept = evidence.of(CustomerId(customer))
    rows = [
        {
            "decision_id": each.decision_id,
            "made_at": rfc3339(each.made_at),
            "kept_until": None if each.until is None else rfc3339(each.until),
            **each.told,
        }
        for each in kept
    ]
    if as_json:
        click.echo(json.dumps({"promotions": rows}))
        return
    for row in rows:
        products = ", ".join(product for product, _ in row["products"])
        click.echo(f"{row['made_at']} {row['surface']}: {products}, kept until {row['kept_until'] or 'further notice'}")
    if not rows:
        click.echo("no evidence is kept of this customer")
