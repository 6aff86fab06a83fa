"""`recsys rules`: check a rule pack, explain a verdict, compare two packs."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from recsys import eligibility
from recsys.catalogue import BANK_CATALOGUE
from recsys.catalogue import load as load_catalogue
from recsys.derivations import london_day
from recsys.errors import InvalidConfiguration, InvalidRulePack, NotFound
from recsys.explaining import explanation
from recsys.rulecheck import findings
from recsys.rulediff import changes
from recsys.tomls import check_unique, read_text
from recsys.vocabulary import CustomerId
from serving import settings
from serving.bootstrap import compose
from serving.commands.switches import who
from serving.offer import publish_rules
from serving.permitted import path_of, verdicts_of

_FILE = click.Path(path_type=Path)


@click.group
def command() -> None:
    """What may be shown to whom."""


@command.command
@click.argument("file", type=_FILE, required=False)
@click.option("--catalogue", type=_FILE, help="judge against this catalogue (default: the home's, else the bank's)")
def check(file: Path | None, catalogue: Path | None) -> None:
    """Look for what is wrong with FILE, or with every pack in force: exit 2 where there is anything."""
    home = compose(settings.load())
    offered = load_catalogue(catalogue) if catalogue else home.offers.current.catalogue
    offered = offered if offered.products else load_catalogue(BANK_CATALOGUE)
    today = london_day(home.clock.now())
    for path in [file] if file else home.settings.rules:
        text = read_text(path, error=InvalidRulePack)
        found = findings(text, where=path.name, catalogue=offered, today=today)
        if found:
            *first, last = map(str, found)
            for finding in first:
                click.echo(finding, err=True)
            raise InvalidRulePack(last)
        pack = eligibility.parse(text, where=path.name)
        click.echo(f"{path.name}: {pack.pack_id} {pack.version}, {len(pack.rules)} rules, nothing to mend")


@command.command
@click.argument("customer")
@click.argument("product")
@click.option("--surface", default="home", show_default=True, help="where it would be shown")
@click.option("--at", "moment", help="when, such as 2027-04-06T09:00:00Z (default: now)")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def explain(customer: str, product: str, surface: str, moment: str | None, *, as_json: bool) -> None:
    """Say why PRODUCT may or may not be shown to CUSTOMER: every verdict of the rules, with the facts behind it.

    What contact policy, switches and bans refuse beside the rules is told too.
    """
    home = compose(settings.load())
    offer = home.offers.current
    offer.catalogue.product(product)  # raises for a stranger
    if surface not in offer.catalogue.surfaces:
        raise InvalidConfiguration(f'"{surface}" is no surface; choose {", ".join(offer.catalogue.surfaces)}')
    profile = home.customers.profile(CustomerId(customer))
    if profile is None:
        raise NotFound(f"nobody told us of the customer {customer[:60]}")
    at, path = _moment(moment) if moment else home.clock.now(), path_of(profile)
    pack, products = offer.rules.of(profile), offer.catalogue.products
    told = explanation(profile, product_id=product, pack=pack, products=products, surface=surface, path=path, at=at)
    home.orders.refresh()
    every = verdicts_of(profile, offer=offer, steering=home.orders.current, surface=surface, at=at, path=path)
    known = {rule.name for rule in pack.rules}
    others = [
        {"rule": each.rule_id, "reason": each.reason}
        for each in every.expanded()
        if each.product_id == product and not each.allowed and each.rule_id not in known
    ]
    if as_json:
        click.echo(json.dumps(told.to_json() | {"beside_the_rules": others}))
        return
    click.echo(str(told))
    for each in others:
        click.echo(f"BESIDE THE RULES it is refused by {each['rule']}: {each['reason']}.")


@command.command
@click.argument("before", type=_FILE)
@click.argument("after", type=_FILE)
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def diff(before: Path, after: Path, *, as_json: bool) -> None:
    """Say in words what changes between the packs BEFORE and AFTER."""
    found = changes(eligibility.load(before), eligibility.load(after))
    if as_json:
        click.echo(json.dumps({"changes": [change.to_json() for change in found]}))
        return
    click.echo("\n\n".join(map(str, found)) or "the two packs say the same")


@command.command
@click.argument("files", type=_FILE, nargs=-1, required=True)
@click.option("--reason", required=True, help="kept in the trail, with the packs' versions")
def publish(files: tuple[Path, ...], *, reason: str) -> None:
    """Put FILES in force together, one a country and the home country's first, without a restart.

    They hold in the place of the packs that the settings name, on every worker within a moment. A pack in which
    `recsys rules check` finds anything is refused.
    """
    home = compose(settings.load())
    packs = [(path.name, read_text(path, error=InvalidRulePack)) for path in files]
    offered = home.offers.current.catalogue
    today = london_day(home.clock.now())
    for name, text in packs:
        for finding in findings(text, where=name, catalogue=offered, today=today) if offered.products else ():
            raise InvalidRulePack(str(finding))
    check_unique((name for name, _ in packs), where="rules", what="file", error=InvalidConfiguration)
    publish_rules(home.settings.artefacts, packs)
    home.offers.refresh()
    version = home.offers.current.rules.version
    home.trail.note(by=who(), action="publish_rules", subject=f"{version}: {reason}")
    click.echo(f"in force: {version}")


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidConfiguration(f'--at "{text}": write a time such as 2027-04-06T09:00:00Z') from None
    if moment.tzinfo is None:
        raise InvalidConfiguration(f'--at "{text}" needs a zone, such as 2027-04-06T09:00:00Z')
    return moment
