"""The only file that chooses: settings in, a composed installation out.

Everything else receives what it needs. `compose` makes what every process shares (database, log,
clock, configurations); `serve` adds what the API needs.
"""

from __future__ import annotations

import importlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

from bandits.recipe import Recipe, parse_recipes
from embeddings.text import checked_model
from recsys import contactfile, metrics, reasonfile, rewards, terms
from recsys.clocks import Clock, SimulatedClock, WallClock
from recsys.commit import GroupCommit
from recsys.customers import Customers, random_token
from recsys.database import Database
from recsys.erasures import Erasures
from recsys.errors import InvalidConfiguration, RecsysError, StoreUnavailable
from recsys.eventlog import EventLog
from recsys.layers import Layers
from recsys.metrics import Metric
from recsys.orders import Orders
from recsys.promotions import Promotion, Promotions
from recsys.quarantine import Quarantine
from recsys.register import Register
from recsys.rewards import Rewards
from recsys.rulebook import load_book
from recsys.scorecards import Scorecard, reads_from, roll_up
from recsys.steering import Known
from recsys.terms import Terms
from recsys.trail import Trail
from serving import inventory
from serving.explanations import Explainer
from serving.feature_store_profiles import FactStore, FeatureStoreProfiles
from serving.intake import Intake
from serving.inventory import Entry
from serving.ladder import Ladder
from serving.learning import learning
from serving.live_policy import LivePolicies
from serving.looking_up import LookUp
from serving.offer import Offers
from serving.patience import Patience
from serving.profiles import OwnProfiles, ProfileSource
from serving.recommender import Recommender, Traffic
from serving.retrievers import Retrievers
from serving.security import Gate
from serving.seen_keys import SEEN, SeenKeys
from serving.settings import Settings
from serving.telemetry import Telemetry
from serving.tracing import Tracing, Untraced, tracing_of

logger = logging.getLogger(__name__)
_LOOK_SECONDS = 5.0  # between two looks at how learning stands, for the metrics


def random_id() -> str:
    """A new decision id: 128 random bits, so that nobody chooses the dice."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Installation:
    """What every process of one home shares."""

    settings: Settings
    clock: Clock
    database: Database
    log: EventLog
    customers: Customers
    profiles: ProfileSource
    register: Register
    promotions: Promotions
    quarantine: Quarantine
    recipes: tuple[Recipe, ...]
    offers: Offers
    live: LivePolicies
    explainer: Explainer
    orders: Orders
    trail: Trail
    erasures: Erasures
    terms: Terms
    inventory: Mapping[str, Entry]

    @property
    def rewards(self) -> Rewards:
        """The reward configuration with the catalogue's points."""
        return self.offers.current.rewards

    def subjects(self) -> Known:
        """What a switch or an override may name."""
        catalogue = self.offers.current.catalogue
        return {
            "policy": (*(recipe.name for recipe in self.recipes), "uniform", "static", "search"),
            "product": catalogue.ids,
            "family": {product.family for product in catalogue.products},
            "surface": tuple(catalogue.surfaces),
        }

    def metrics(self) -> tuple[Metric, ...]:
        """What experiments measure, with the catalogue's points; raises `InvalidConfiguration`."""
        values = {product.product_id: product.value for product in self.offers.current.catalogue.products}
        return metrics.load(self.settings.metrics, values=values)

    def measured(self) -> frozenset[str]:
        """The kinds of outcomes that experiments measure; they are taken in beside those that rewards name."""
        return frozenset().union(*(metric.kinds | metric.per for metric in self.metrics()))

    def scorecard(self, experiment_id: str) -> Scorecard:
        """An experiment counted from the log, now; raises `UnknownExperiment`. For commands and notebooks."""
        experiment, known = self.register.experiment(experiment_id), self.metrics()
        start = self.log.position_before(reads_from(experiment, metrics=known))
        return roll_up(self.log.glance(after=start), experiment=experiment, metrics=known)

    def champion(self) -> str:
        """The recipe that serves by default: the one promoted last, else that of the settings.

        A champion that the recipes do not know any more, or only as something that was not approved, gives way to
        the settings' one.
        """
        promoted = self.promotions.champion(now=self.clock.now())
        return promoted.recipe if promoted is not None and self.approved(promoted) else self.settings.champion

    def estranged(self) -> str:
        """A sentence where the champion that was approved is not the one that serves; "" where it is."""
        promoted = self.promotions.champion(now=self.clock.now())
        if promoted is None or self.approved(promoted):
            return ""
        return (
            f"{promoted.recipe} was approved as champion, but {self.settings.recipes.name} has changed it since: "
            f"{self.settings.champion} serves until the changed recipe is promoted"
        )

    def approved(self, promotion: Promotion) -> bool:
        """Whether the recipe that was promoted still stands as it was approved, to the last option."""
        return any((each.name, each.digest) == (promotion.recipe, promotion.digest) for each in self.recipes)

    def layers(self) -> Layers:
        """Experiments and hold-out as they stand in the database."""
        return Layers(self.register.experiments(), holdout_share=self.settings.holdout_share)


def compose(
    settings: Settings,
    *,
    clock: Clock | None = None,
    new_token: Callable[[], str] = random_token,
    opened: Callable[[Database], Database] = Database.create,
) -> Installation:
    """Open a home, making what is missing. Raises `InvalidConfiguration` or `StoreUnavailable`."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    clock = clock or _clock(settings)
    database = opened(Database(settings.database))
    recipes = parse_recipes(_text(settings.recipes), where=settings.recipes.name)
    if settings.champion not in {recipe.name for recipe in recipes}:
        raise InvalidConfiguration(f'champion: no recipe is called "{settings.champion}" in {settings.recipes.name}')
    if unknown := set(settings.shadow) - {recipe.name for recipe in recipes}:
        raise InvalidConfiguration(f'shadow: no recipe is called "{min(unknown)}" in {settings.recipes.name}')
    if settings.search_model is not None:
        checked_model(settings.search_model)
    contact = contactfile.load(settings.contact)
    retrievers = Retrievers(settings.artefacts)
    offers = Offers(
        settings.artefacts,
        rules=load_book(settings.rules),
        rewards=rewards.load(settings.rewards),
        contact=contact,
        retrievers=retrievers,
    )
    offers.refresh()
    log = EventLog(database, clock=clock, memory=contact.memory, archive=settings.archive)
    customers = Customers(database, new_token=new_token)
    return Installation(
        settings=settings,
        clock=clock,
        database=database,
        log=log,
        customers=customers,
        profiles=_profiles(settings, customers=customers, clock=clock),
        register=Register(database, clock=clock),
        promotions=Promotions(database),
        quarantine=Quarantine(database),
        recipes=recipes,
        offers=offers,
        live=LivePolicies(settings.artefacts, recipes=recipes, retrievers=retrievers),
        explainer=Explainer(reasonfile.load(settings.reasons)),
        orders=Orders(database, log=log, clock=clock, file=settings.folder / "steering.json"),
        trail=Trail(database),
        erasures=Erasures(database, log=log, clock=clock),
        terms=terms.load(settings.retention),
        inventory=inventory.load(settings.inventory),
    )


def patiently(database: Database) -> Database:
    """The database, also where it is away: a service starts all the same, and answers what it can."""
    try:
        return database.create()
    except StoreUnavailable as error:
        logger.error("starting without the database: %s", error)
        return database


def recommender_of(
    home: Installation, *, layers: Callable[[], Layers], new_id: Callable[[], str], champion: str | None = None
) -> Recommender:
    """The recommender over an installation; `champion` serves by default, without it the one promoted last."""
    settings = home.settings
    home.orders.refresh()
    traffic = Traffic(
        champion=champion or home.champion(),
        uniform_share=settings.uniform_share,
        candidates=settings.candidates,
        decision_life=timedelta(minutes=settings.decision_life_minutes),
        privacy_notice=settings.privacy_notice,
        code=version("recsys"),
        terms=home.terms,
        shadows=settings.shadow,
        search_model=settings.search_model,
    )
    return Recommender(
        ladder=Ladder(home.live, approved=settings.approved, inventory=home.inventory),
        offer=lambda: home.offers.current,
        layers=layers,
        steering=lambda: home.orders.current,
        clock=home.clock,
        traffic=traffic,
        explainer=home.explainer,
        new_id=new_id,
    )


@dataclass(slots=True)
class Service:
    """The API's parts. `refresh` is called again and again and swaps references; requests only read."""

    home: Installation
    commit: GroupCommit
    gate: Gate
    telemetry: Telemetry
    intake: Intake
    tracing: Tracing = field(default_factory=Untraced)
    looking_up: LookUp = field(init=False)
    patience: Patience = field(init=False)
    recommender: Recommender = field(init=False)
    _layers: Layers | None = None
    _champion: str = ""
    _look_again_at: float = 0.0

    def __post_init__(self) -> None:
        self.patience = Patience(lambda: self.commit.commits)
        self.looking_up = LookUp(self.home.profiles)
        self.home.orders.follow()
        try:
            self.refresh()
        except StoreUnavailable as error:
            logger.error("experiments and the champion are not known yet: %s", error)
        if not self._champion:
            self._serve(self.home.settings.champion)

    @property
    def log(self) -> EventLog:
        """The event log."""
        return self.home.log

    @property
    def trail(self) -> Trail:
        """Who did what to this installation."""
        return self.home.trail

    @property
    def clock(self) -> Clock:
        """Business time."""
        return self.home.clock

    @property
    def offers(self) -> Offers:
        """What is on offer."""
        return self.home.offers

    @property
    def live(self) -> LivePolicies:
        """Policies in force."""
        return self.home.live

    @property
    def customers(self) -> Customers:
        """The store of customers."""
        return self.home.customers

    @property
    def profiles(self) -> ProfileSource:
        """Where facts about a customer come from."""
        return self.home.profiles

    def _known_layers(self) -> Layers:
        if self._layers is None:
            raise StoreUnavailable("nobody can say yet who is in which experiment")
        return self._layers

    def refresh(self) -> None:
        """Take in what was published or changed since the last look."""
        self.home.offers.refresh()
        self.home.live.refresh()
        self.looking_up.look()
        if not self.home.database.ready:
            self.home.database.create()
        self._layers = self.home.layers()
        if time.monotonic() >= self._look_again_at:
            self.telemetry.tell_learning(learning(self.home.database, self.live.recipes))
            self._look_again_at = time.monotonic() + _LOOK_SECONDS
        if (champion := self.home.champion()) != self._champion:  # promoted, rolled back, or expired
            self._serve(champion)

    def _serve(self, champion: str) -> None:
        self.recommender = recommender_of(self.home, layers=self._known_layers, new_id=random_id, champion=champion)
        self._champion = champion

    def readiness(self) -> tuple[list[str], list[str]]:
        """(what is missing for service, what is worth knowing)."""
        missing, notes = [], []
        try:
            self.log.last_position()
            if estranged := self.home.estranged():
                notes.append(estranged)
        except RecsysError:
            missing.append("the database does not answer")
        if self.looking_up.trouble:
            missing.append(self.looking_up.trouble)
        if not self.offers.current.catalogue.products:
            missing.append("there is no catalogue: run `recsys catalogue apply FILE`")
        if self.live.policy(self._champion) is None:
            notes.append(f"the champion {self._champion} has no snapshot yet: the fallback answers")
        for name in self.home.settings.shadow:
            if self.live.policy(name) is None:
                notes.append(f"the shadow {name} has no snapshot yet: it decides nothing")
        if self.home.orders.trouble:
            missing.append(self.home.orders.trouble)
        newest, live = self.offers.current.retriever, self.live.policy(self._champion)
        if newest is None:
            notes.append("no embeddings yet: candidates carry no affinity")
        elif live is not None and live.retriever not in (None, newest):
            notes.append("the newest embeddings wait for a snapshot of the learner: the pair before them serves")
        return missing, notes

    def metrics_text(self) -> bytes:
        """The Prometheus exposition."""
        self.telemetry.swaps.set(self.live.swaps)
        self.telemetry.refusals.set(self.live.refusals + self.offers.refusals)
        self.telemetry.commits.set(self.commit.commits)
        return self.telemetry.text()

    def close(self) -> None:
        """Commit what is queued and let go."""
        self.tracing.close()
        self.home.orders.close()
        self.looking_up.close()
        self.commit.close()
        self.home.database.close()


def serve(home: Installation) -> Service:
    """Everything the API needs."""
    return Service(
        home=home,
        commit=GroupCommit(home.log),
        gate=Gate(home.database, seen=SeenKeys(home.settings.folder / SEEN)),
        telemetry=Telemetry(),
        intake=Intake(home.log, customers=home.customers, clock=home.clock, measured=home.measured()),
        tracing=tracing_of(home.settings.tracing, share=home.settings.tracing_share),
    )


def _profiles(settings: Settings, *, customers: Customers, clock: Clock) -> ProfileSource:
    if settings.feature_store is None:
        return OwnProfiles(customers)
    try:
        door = importlib.import_module("serving.feast_store")  # an extra: only where it is asked for
    except ImportError:
        raise InvalidConfiguration("feature_store: Feast is not installed: pip install 'recsys[feast]'") from None
    store: FactStore = door.FeastFacts(settings.feature_store.expanduser())
    return FeatureStoreProfiles(customers, store, clock)


def _clock(settings: Settings) -> Clock:
    return WallClock() if settings.clock == "wall" else SimulatedClock(settings.clock_file)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidConfiguration(f"{path}: cannot be read ({type(error).__name__})") from None
