"""A campaign: one message for each customer on a surface, through the same rules, policies and log as any answer.

A decision's id is made of the campaign's name and the customer's random token, and an id stands in the log
once. So a campaign that was killed goes on where it stood, and nobody gets a second message, however often it
is run. What is to be sent is read back from the log and published whole, in one rename, when all is decided.
In quiet hours (MKT-7) it waits: an empty answer would be the campaign's one answer to that customer.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recsys.catalogue import Catalogue
from recsys.entries import REFUSALS, Entry
from recsys.errors import Misuse
from recsys.vocabulary import CustomerId, Decision, Profile
from serving.bootstrap import Installation
from serving.formats import rfc3339
from serving.recommender import Recommender
from serving.slates import Ask

_CHUNK = 256


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is asked for everybody. The name decides who counts as asked before."""

    name: str
    surface: str = "push"
    slots: int = 1


@dataclass(slots=True)
class Sent:
    """What a campaign came to."""

    customers: int = 0
    messages: int = 0  # customers with something to say to
    silent: Counter[str] = field(default_factory=Counter)  # why → customers with nothing
    before: int = 0  # of the customers, decided in an earlier run

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "customers": self.customers,
            "messages": self.messages,
            "silent": dict(sorted(self.silent.items())),
            "decided_before": self.before,
        }


def run(
    home: Installation,
    campaign: Campaign,
    *,
    recommender: Recommender,
    out: Path,
    told: Callable[[int], None] = lambda _: None,
) -> Sent:
    """Decide for every customer who is not decided yet, then publish the messages. `told` hears the customers done.

    Raises `Misuse` in the surface's quiet hours and `StoreUnavailable`, after which the same call goes on where
    this one stood.
    """
    _awake(home, campaign)
    home.erasures.note_messages(str(out.absolute()))
    staged = staged_for(out)
    while True:
        erasures = home.erasures.begun()
        sent = _written(home, campaign, recommender=recommender, staged=staged, told=told)
        if home.erasures.begun() == erasures:
            break  # else somebody was forgotten meanwhile: what is to be sent is read from the log again
    staged.replace(out)
    return sent


def staged_for(out: Path) -> Path:
    """Where messages stand until all of them are decided.

    >>> staged_for(Path("out/push.jsonl")).name
    '.push.jsonl.staged'
    """
    return out.with_name(f".{out.name}.staged")


def _written(
    home: Installation,
    campaign: Campaign,
    *,
    recommender: Recommender,
    staged: Path,
    told: Callable[[int], None],
) -> Sent:
    sent = Sent()
    with staged.open("w", encoding="utf-8") as file:
        for chunk in _chunks(home):
            ids = {customer_id: decision_id_of(campaign, profile) for customer_id, profile in chunk.items()}
            known = _logged(home, list(ids.values()))
            missing = {each: profile for each, profile in chunk.items() if ids[each] not in known}
            sent.before += len(known)
            _awake(home, campaign)
            _decide(home, campaign, missing, ids=ids, recommender=recommender)
            fresh = _logged(home, [ids[each] for each in missing])
            for customer_id, profile in chunk.items():
                earlier = known.get(ids[customer_id])
                decision = fresh.get(ids[customer_id])
                if earlier is not None:
                    decision = _still(home, earlier, profile, recommender)
                if decision is None:  # forgotten meanwhile
                    continue
                sent.customers += 1
                if decision.shown:
                    sent.messages += 1
                    file.write(json.dumps(_message(customer_id, decision, catalogue=home.offers.current.catalogue)))
                    file.write("\n")
                else:
                    sent.silent[decision.shortfall or "nothing was drawn"] += 1
            told(sent.customers)
        file.flush()
        os.fsync(file.fileno())
    return sent


def decision_id_of(campaign: Campaign, profile: Profile) -> str:
    """The one decision of a campaign for a customer: nobody chooses its dice, as the token is random."""
    return hashlib.sha256(f"{campaign.name}:{campaign.surface}:{profile.token}".encode()).hexdigest()[:32]


def _awake(home: Installation, campaign: Campaign) -> None:
    if (quiet := home.offers.current.contact.quiet_on(campaign.surface, at=home.clock.now())) is not None:
        raise Misuse(
            f"{quiet.name}: nothing goes out on {campaign.surface} from {quiet.begins:%H:%M} to {quiet.ends:%H:%M} in "
            "London, so nobody is decided for until then: run the campaign again afterwards"
        )


def _chunks(home: Installation) -> Iterator[Mapping[CustomerId, Profile]]:
    after = ""
    while ids := home.customers.ids(after=after, limit=_CHUNK):
        profiles = home.profiles.profiles(ids)
        yield {each: profiles[each] for each in ids if each in profiles}
        after = ids[-1]


def _logged(home: Installation, ids: Sequence[str]) -> dict[str, Decision]:
    found = home.log.decisions(ids) if ids else {}
    return {key: event.body for key, event in found.items() if isinstance(event.body, Decision)}


def _decide(
    home: Installation,
    campaign: Campaign,
    asked: Mapping[CustomerId, Profile],
    *,
    ids: Mapping[CustomerId, str],
    recommender: Recommender,
) -> None:
    """Decide and log; what could not be written as it was decided is decided anew, at most as often as any answer."""
    waiting, redraws = dict(asked), 0
    while waiting:  # the recommender's last redraw reserves nothing, so it is written
        entries = []
        for customer_id, profile in waiting.items():
            ask = Ask(customer_id, campaign.surface, campaign.slots)
            decision = recommender.decide(ask, profile=profile, decision_id=ids[customer_id], redraws=redraws)
            entries.append(Entry(decision, None, recommender.reservation(decision, profile=profile)))
        receipts = home.log.append(entries)
        again = [each for each, r in zip(waiting, receipts, strict=True) if r.status in REFUSALS]
        waiting = home.profiles.profiles(again)
        redraws += 1


def _still(home: Installation, decision: Decision, profile: Profile, recommender: Recommender) -> Decision:
    """An earlier run's decision, empty where its time is over or a rule now refuses what it says (OPS-3)."""
    if decision.expires_at <= home.clock.now():
        return replace(decision, slots=(), shortfall="its time was over")
    return recommender.repeated(decision, profile=profile)


def _message(customer_id: CustomerId, decision: Decision, *, catalogue: Catalogue) -> dict[str, Any]:
    """What the sender needs, and what reports of it must name."""
    return {
        "customer_id": customer_id,
        "decision_id": decision.decision_id,
        "made_at": rfc3339(decision.made_at),
        "expires_at": rfc3339(decision.expires_at),
        "slate": [
            {"slot": slot.number, "product_id": slot.product_id, "creative_id": slot.creative_id}
            for slot in decision.shown
        ],
    }
