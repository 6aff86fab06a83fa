"""The learners of the baselines: one that counts, and one that learns nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from bandits.baselines import Counts, PopularityPolicy, StaticPolicy, UniformPolicy
from bandits.chain import Chain
from bandits.forgetting import OPTIONS, Calendar, Forgetting
from bandits.policy import Policy
from bandits.pupil import Pupil
from bandits.recipe import Recipe
from bandits.state import pack, unpack
from bandits.teaching import Taught
from recsys.errors import Corrupt, InvalidConfiguration
from recsys.rewards import Rewards
from recsys.vocabulary import ProductId


class PopularityLearner(Pupil):
    """Counts lessons per stage and product. Options: `by` ("taps" or "value"), `strength` (lessons)."""

    kind = "popularity"

    def __init__(self, recipe: Recipe, *, chain: Chain) -> None:
        if unknown := sorted(set(recipe.options) - {"by", "strength", *OPTIONS}):
            raise InvalidConfiguration(f"popularity has no option {unknown[0]}: use by, strength, {', '.join(OPTIONS)}")
        super().__init__(recipe, chain=chain)
        self._by = str(recipe.options.get("by", "taps"))
        self._strength = float(recipe.options.get("strength", 20.0))
        if self._by not in ("taps", "value") or not self._strength > 0:
            raise InvalidConfiguration('popularity: by is "taps" or "value", and strength is above 0')
        self._counts: list[dict[ProductId, tuple[float, float]]] = [{} for _ in chain.stages]
        self._forgetting = Forgetting.of(recipe.options)
        self._calendar = Calendar(self._forgetting)

    def _learn(self, one: Taught) -> None:
        self._forget(one)
        product, counts = one.candidate.product_id, self._counts[one.stage]
        happened, taught = counts.get(product, (0.0, 0.0))
        counts[product] = (happened + one.weight * one.label, taught + one.weight)
        self._taught += 1

    def _forget(self, one: Taught) -> None:
        if (kept := self._calendar.share(one)) < 1.0:
            self._counts = [
                {product: (happened * kept, taught * kept) for product, (happened, taught) in counts.items()}
                for counts in self._counts
            ]
        if self._forgetting.by_lesson and one.candidate.product_id in self._counts[one.stage]:
            happened, taught = self._counts[one.stage][one.candidate.product_id]
            kept = self._forgetting.keep
            self._counts[one.stage][one.candidate.product_id] = (happened * kept, taught * kept)

    def snapshot(self, version: int) -> PopularityPolicy:
        """An immutable policy cut from the counts as they are."""
        return self._policy(f"{self.recipe.name}@{version}", [dict(of_stage) for of_stage in self._counts])

    def live(self) -> PopularityPolicy:
        """A policy over the very counts, without a copy."""
        return self._policy(f"{self.recipe.name}@live", self._counts)

    def _policy(self, name: str, counts: Sequence[Counts]) -> PopularityPolicy:
        return PopularityPolicy(
            name,
            counts=counts,
            chain=self.chain,
            exploration=self.recipe.exploration,
            by=self._by,
            strength=self._strength,
            lessons=self._taught,
        )

    def state(self) -> bytes:
        """Chain and counts."""
        counts = [{product: list(pair) for product, pair in of_stage.items()} for of_stage in self._counts]
        return pack(
            {
                "kind": self.kind,
                "options": self._options,
                "chain": self.chain.plain,
                "counts": counts,
                "taught": self._taught,
                **self._calendar.plain,
            }
        )

    @property
    def _options(self) -> dict[str, float | str]:
        """As they stand in a state; what forgets nothing reads as it did before there was forgetting."""
        own: dict[str, float | str] = {"by": self._by, "strength": self._strength}
        return own if self._forgetting == Forgetting() else own | asdict(self._forgetting)

    @classmethod
    def from_state(cls, recipe: Recipe, state: bytes) -> PopularityLearner:
        """The learner that `state` was taken from."""
        header, _ = unpack(state)
        if header.get("kind") != cls.kind:
            raise Corrupt(f"the state holds a {header.get('kind')} learner, not {cls.kind}")
        learner = cls(recipe, chain=Chain.from_plain(header["chain"]))
        if header["options"] != learner._options:
            raise InvalidConfiguration(f"recipe {recipe.name}: the state was learned with other options")
        learner._counts = [{p: (pair[0], pair[1]) for p, pair in of_stage.items()} for of_stage in header["counts"]]
        learner._taught = header["taught"]
        learner._calendar.day = header.get("day")
        return learner


class StillLearner(Pupil):
    """The learner of a policy that does not learn: checks and counts its lessons, nothing else.

    Serves the recipes "uniform", and "static" with its option `order` ("pot, card").
    """

    def __init__(self, recipe: Recipe, *, chain: Chain, taught: int = 0) -> None:
        allowed = {"order"} if recipe.learner == "static" else set()
        if unknown := sorted(set(recipe.options) - allowed):
            raise InvalidConfiguration(f"{recipe.learner} has no option {unknown[0]}")
        super().__init__(recipe, chain=chain, taught=taught)

    @property
    def kind(self) -> str:
        """ "uniform" or "static"."""
        return self.recipe.learner

    def _learn(self, one: Taught) -> None:
        self._taught += 1

    def snapshot(self, version: int) -> Policy:
        """The policy, which never changes but in name."""
        return self._policy(f"{self.recipe.name}@{version}")

    def live(self) -> Policy:
        """The same."""
        return self._policy(f"{self.recipe.name}@live")

    def _policy(self, name: str) -> Policy:
        if self.kind == "uniform":
            return UniformPolicy(name)
        order = [product.strip() for product in str(self.recipe.options.get("order", "")).split(",")]
        return StaticPolicy([product for product in order if product], name=name)

    def state(self) -> bytes:
        """Chain and count."""
        return pack({"kind": self.kind, "chain": self.chain.plain, "taught": self._taught})

    @classmethod
    def from_state(cls, recipe: Recipe, state: bytes) -> StillLearner:
        """The learner that `state` was taken from."""
        header, _ = unpack(state)
        if header.get("kind") != recipe.learner:
            raise Corrupt(f"the state holds a {header.get('kind')} learner, not {recipe.learner}")
        return cls(recipe, chain=Chain.from_plain(header["chain"]), taught=header["taught"])


def new(recipe: Recipe, rewards: Rewards) -> PopularityLearner | StillLearner:
    """A learner that knows nothing yet."""
    chain = Chain.of(rewards, recipe.reward)
    if recipe.learner == "popularity":
        return PopularityLearner(recipe, chain=chain)
    return StillLearner(recipe, chain=chain)
