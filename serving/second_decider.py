"""A second process that decides for a part of many visitors, so that a bank lived in process uses two cores.

A decision is a pure function of its profile, its id and the moment: whoever makes it, its record has the
same bytes (but for how long it took). The process reads what is committed and writes nothing.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from types import TracebackType

import numpy as np

from recsys.clocks import SimulatedClock
from recsys.contact import Reservation
from recsys.entries import Entry
from recsys.errors import RecsysError
from recsys.layers import Layers
from recsys.records import Record, encode
from recsys.vocabulary import Contact, Context, CustomerId, Decision, Profile, Verdicts
from serving.bootstrap import compose, random_id, recommender_of
from serving.leading import calm_the_collector
from serving.recommender import Recommender
from serving.settings import Settings
from serving.slates import Ask

_NO_VERDICTS = Verdicts((), (), (), np.ones((0, 0), dtype=np.bool_))
_NO_NUMBERS = np.zeros(0)


@dataclass(frozen=True, slots=True)
class Wish:
    """One visitor's slate: what is asked, under which decision id, drawn anew how often."""

    customer_id: CustomerId
    surface: str
    slots: int
    decision_id: str
    redraws: int


@dataclass(frozen=True, slots=True)
class Made:
    """A decision, its record, and the numbers of the profile and contact that it read."""

    decision: Decision
    record: Record
    told: int
    contact: int

    def pair(self, recommender: Recommender) -> tuple[Entry, Record]:
        """As the log appends it, only while what was read still holds."""
        decision = self.decision
        read = Profile(CustomerId(""), decision.token, contact=Contact(version=self.contact), told=self.told)
        held: Reservation | None = recommender.reservation(decision, profile=read)
        return Entry(decision, None, held), self.record


def made(recommender: Recommender, wish: Wish, *, profile: Profile) -> Made:
    """Decide, and encode."""
    ask = Ask(wish.customer_id, wish.surface, wish.slots)
    decision = recommender.decide(ask, profile=profile, decision_id=wish.decision_id, redraws=wish.redraws)
    return Made(decision, encode(decision), profile.told, profile.contact.version)


class SecondDecider:
    """The other process. `begin` hands it wishes and returns at once, `end` waits for what it made of them.

    Ends with the `with` block, or when the process that started it is gone.
    """

    def __init__(self, settings: Settings, *, holdout: float) -> None:
        spawning = multiprocessing.get_context("spawn")
        self._pipe, theirs = spawning.Pipe()
        self._process = spawning.Process(target=_work, args=(theirs, settings, holdout), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> SecondDecider:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pipe.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()

    @property
    def ended(self) -> bool:
        """Whether the other process is gone."""
        return self._process.exitcode is not None

    def begin(self, wishes: Sequence[Wish]) -> None:
        """Hand over wishes of customers who have a profile."""
        self._pipe.send(list(wishes))

    def end(self) -> list[Made]:
        """What was made of the wishes, in their order; raises `RecsysError` where it failed."""
        try:
            answer: list[Made] | str = self._pipe.recv()
        except EOFError:
            answer = "it ended"
        if isinstance(answer, str):
            raise RecsysError(f"the second deciding process failed: {answer}")
        return answer


def _work(pipe: Connection, settings: Settings, holdout: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches whoever started us, and the pipe ends
    home = compose(settings, clock=SimulatedClock(settings.clock_file))
    home.live.refresh()
    layers = Layers(holdout_share=holdout)
    recommender = recommender_of(home, layers=lambda: layers, new_id=random_id)
    calm_the_collector()
    known: set[str] = set()  # parts that the other side has
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            wishes: list[Wish] = pipe.recv()
            try:
                profiles = home.customers.profiles([wish.customer_id for wish in wishes])
                answer = [_bare(made(recommender, w, profile=profiles[w.customer_id]), known) for w in wishes]
            except Exception as error:  # whatever it was, the other side must hear of it
                pipe.send(type(error).__name__)
                raise
            pipe.send(answer)
    home.database.close()


def _bare(whole: Made, known: set[str]) -> Made:
    """Without what only the record needs, and without parts that were sent before: a tenth of the bytes."""
    fresh = {ref: text for ref, text in whole.record.parts.items() if ref not in known}
    known.update(fresh)
    decision = replace(
        whole.decision,
        facts={},
        context=Context(),
        verdicts=_NO_VERDICTS,
        candidates=(),
        scores=_NO_NUMBERS,
        pmfs=_NO_NUMBERS,
        slots=tuple(replace(slot, reasons=()) for slot in whole.decision.slots),
    )
    return replace(whole, decision=decision, record=replace(whole.record, parts=fresh))
