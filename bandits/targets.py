"""What is judged: anything that gives every slot of a logged decision another distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bandits.impersonal import scores_of
from bandits.policy import Policy, checked_pmf
from recsys.vocabulary import Bools, Decision, Floats


class Target(Protocol):
    """A policy being judged at the states that another one met."""

    @property
    def name(self) -> str:
        """As verdicts call it."""

    def pmfs(self, decision: Decision, *, open_: Bools) -> Floats:
        """(slots, n) a distribution over what is open (slots, n) in each slot, zero where nothing is."""

    def drawing(self, logger: Policy) -> Policy:
        """Who would draw in place of the logger, for chances that need more than the logged slate."""


@dataclass(frozen=True, slots=True)
class PolicyTarget:
    """A policy, asked again at each logged state. Raises `InvalidPmf` where it gives no distribution."""

    policy: Policy

    @property
    def name(self) -> str:
        """The policy's."""
        return self.policy.name

    def pmfs(self, decision: Decision, *, open_: Bools) -> Floats:
        """(slots, n) what the policy would draw from."""
        scores = scores_of(self.policy, decision.context, decision.candidates)
        found = np.zeros(open_.shape)
        for place, mask in enumerate(open_):
            if mask.any():
                found[place] = checked_pmf(self.policy.pmf(scores, open_=mask), open_=mask, where=self.name)
        return found

    def drawing(self, logger: Policy) -> Policy:
        """Itself."""
        return self.policy


@dataclass(frozen=True, slots=True)
class LoggedTarget:
    """The policies that ran, confined to what is still open and renormalised: the very log where all is."""

    name: str = "as logged"

    def pmfs(self, decision: Decision, *, open_: Bools) -> Floats:
        """(slots, n) the logged pmfs over what is open; even chances where they have no mass there."""
        kept = np.where(open_, decision.pmfs[: len(open_)], 0.0)
        totals = kept.sum(axis=1, keepdims=True)
        even = open_ / np.maximum(open_.sum(axis=1, keepdims=True), 1)
        untouched = np.abs(totals - 1.0) < 1e-9
        return np.asarray(
            np.where(untouched, kept, np.where(totals > 0.0, kept / np.where(totals > 0, totals, 1), even))
        )

    def drawing(self, logger: Policy) -> Policy:
        """The logger."""
        return logger
