"""The nightly walk: split by time, train, encode, index, judge, and publish whole or not at all.

The last tenth of the time span judges; the training never sees it. The gate: recall@5 on it, ranked
over the whole catalogue, must reach nine tenths of popularity's, and must not be significantly below that of
the bundle in force on the same rows. The tenth is room for noise on a few hundred customers, not for a bad
model. The gate holds for the first bundle too: without a bundle everything works (no affinity, every
eligible product a candidate), with a bad one a policy is misled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from embeddings import bundle as bundles
from embeddings.approximate import Index, index_of
from embeddings.bundle import Bundle, Reference
from embeddings.bundling import Made, made, prepared, settings_of
from embeddings.drift import View, drift
from embeddings.encoding import CustomerEncoder, encoder_of
from embeddings.evaluation import Recall, popularity_recall, recall
from embeddings.fitting import Epoch, limited_threads
from embeddings.interactions import TrainingSet
from embeddings.product_facts import ProductFacts
from embeddings.proxy import probed
from embeddings.training import Teach, TrainingConfig
from embeddings.training import train as teach_here
from recsys.artefacts import Artefact, canonical
from recsys.errors import ArtefactMissing, InvalidTable, RecsysError
from recsys.tracking import Run, Tracker
from recsys.vocabulary import Bools, Vector

GATE = 0.9  # of popularity's recall
K = 5
REGISTERED = "recsys-embeddings"
"""The registered model whose versions are bundles that passed the gate."""
_JUDGE_SHARE = 0.1
_REFERENCE_ROWS = 2000  # customers and products whose cosines make the reference
_CERTAIN = 2.0  # standard errors by which a new bundle must be below the one in force to be refused


class BundleRefused(RecsysError):
    """The new bundle ranks worse than popularity or than the one in force, which stays."""

    def __init__(self, found: float, *, popularity: float, in_force: float | None = None) -> None:
        bound = (
            f"below {GATE:g} of popularity's {popularity:.3f}"
            if in_force is None
            else f"significantly below that of the bundle in force, {in_force:.3f}"
        )
        super().__init__(f"bundle not published: recall@{K} {found:.3f} is {bound}")


@dataclass(frozen=True, slots=True)
class Judgement:
    """Recall@5 of the bundle, of popularity and of the bundle in force, on the same later rows."""

    found: Recall
    popularity: Recall
    n_rows: int
    in_force: Recall | None = None
    slices: Mapping[str, float] | None = None

    @property
    def passed(self) -> bool:
        """Whether the gate opens."""
        return self.found.mean >= GATE * self.popularity.mean and not self.worse

    @property
    def worse(self) -> bool:
        """Whether the bundle in force is better by more than chance explains, customer by customer."""
        if self.in_force is None:
            return False
        lost = Recall(K, self.in_force.per_customer - self.found.per_customer)
        return lost.mean > _CERTAIN * lost.standard_error

    def metrics(self) -> dict[str, float]:
        """Numbers for the tracker and the manifest."""
        told = {
            "recall_at_5": self.found.mean,
            "recall_at_5_standard_error": self.found.standard_error,
            "popularity_recall_at_5": self.popularity.mean,
            "judged_rows": float(self.n_rows),
        }
        if self.in_force is not None:
            told["in_force_recall_at_5"] = self.in_force.mean
        return told | dict(self.slices or {})


def train_bundle(
    interactions: TrainingSet,
    *,
    products: ProductFacts,
    root: Path,
    features_version: str,
    tracker: Tracker,
    seed: int,
    config: TrainingConfig | None = None,
    eligible: Bools | None = None,
    family: str = "two-tower",
    traits: Mapping[str, Sequence[str]] | None = None,
    checkpoint: Path | None = None,
    teach: Teach = teach_here,
    progress: Callable[[Epoch], None] = lambda _: None,
    experiment: str = "embeddings",
) -> Artefact:
    """Train on `interactions`, and publish the bundle under `root` if it passes the gate.

    `products` has the rows of `interactions.products`; `eligible` (n, P), or that of the interactions, keeps
    what could not have been shown out of what is learned and out of the judged rankings, for the bundle and for
    popularity alike. `family` is one of
    `bundling.FAMILIES`. `traits` are protected values by row, "" for unknown, which no encoder sees: how
    well the vectors give them away is reported (FAIR-2). With a `checkpoint` a training that was killed goes on.
    `teach` is how the two towers are taught.
    The same inputs and seed publish the same digest.

    Raises:
        InvalidTable: interactions that cannot be split by time, products or eligibility that do not fit them.
        InvalidConfiguration: no such family, or the learning rate is so high that nothing finite was learned.
        BundleRefused: the gate stayed shut (the run is tracked all the same).
    """
    config = config or TrainingConfig()
    if eligible is not None:
        interactions = interactions.choosing_among(eligible)
    data = prepared(interactions, family=family)
    learn, judge = data.split(1 - _JUDGE_SHARE)
    if len(np.unique(judge.customer_rows)) < 2:
        raise InvalidTable("one customer alone cannot judge a bundle; bring a longer log", where="training")
    parameters = {
        "encoder": family,
        "seed": seed,
        "features_version": features_version,
        "data": interactions.digest,
        "n_interactions": len(interactions),
        "n_products": len(products),
        **settings_of(family, config=config),
    }
    with tracker.run(family, experiment=experiment, parameters=parameters) as run:
        fitted = made(
            learn,
            family=family,
            products=products,
            seed=seed,
            config=config,
            told=_telling(run, progress=progress, k=config.k),
            checkpoint=checkpoint,
            teach=teach,
        )
        rival = _rival(root, features_version=features_version, products=products)
        with limited_threads(config.threads):  # vectors too must not depend on the number of cores
            encoder = fitted.encoder()
            some = learn.where(np.unique(np.linspace(0, len(learn) - 1, num=_REFERENCE_ROWS).astype(np.int64)))
            customers = encoder.encode_rows(some.facts, history=some.history)
            index = index_of(encoder.encode_products(products), ids=products.ids, queries=customers)
            reference = _reference(customers, index=index)
            judgement = _judgement(
                encoder,
                index=index,
                learn=learn,
                judge=judge,
                eligible=judge.eligible,
                rival=rival,
            )
            run.record({} if rival is None else _drift(rival, encoder=encoder, index=index, judge=judge))
            run.record(_proxies(encoder, data=data, traits=traits or {}))
        run.record(judgement.metrics())
        told = judgement.metrics() | {"passed": judgement.passed, "best_epoch": fitted.best_epoch}
        run.file("judgement.json", canonical(told))
        if not judgement.passed:
            bound = judgement.in_force.mean if judgement.worse and judgement.in_force is not None else None
            raise BundleRefused(judgement.found.mean, popularity=judgement.popularity.mean, in_force=bound)
        artefact = _published(
            fitted,
            root=root,
            features_version=features_version,
            index=index,
            interactions=data,
            reference=reference,
            notes=judgement.metrics() | {"seed": seed, "best_epoch": fitted.best_epoch, "data": interactions.digest},
        )
        run.file("bundle.json", canonical({"digest": artefact.digest, "encoder": family}))
        tracker.register(REGISTERED, run_id=run.run_id, tags={"digest": artefact.digest, "encoder": family})
        return artefact


def _published(
    fitted: Made,
    *,
    root: Path,
    features_version: str,
    index: Index,
    interactions: TrainingSet,
    reference: Reference,
    notes: Mapping[str, float | int | str],
) -> Artefact:
    return bundles.publish(
        root,
        features_version=features_version,
        index=index,
        n_chosen=interactions.product_counts,
        reference=reference,
        blueprint=fitted.blueprint,
        weights=fitted.weights,
        notes=notes,
    )


def _telling(run: Run, *, progress: Callable[[Epoch], None], k: int) -> Callable[[Epoch], None]:
    """Every epoch goes to the tracker and to the caller."""

    def tell(epoch: Epoch) -> None:
        numbers = {
            "loss": epoch.loss,
            "validation_loss": epoch.validation_loss,
            f"recall_at_{k}_validation": epoch.recall,
        }
        run.record(numbers, step=epoch.number)
        progress(epoch)

    return tell


def _rival(root: Path, *, features_version: str, products: ProductFacts) -> Bundle | None:
    """The bundle in force, if it can be read, and knows every product that is judged."""
    try:
        bundle = bundles.load(root, features_version=features_version)
    except (ArtefactMissing, RecsysError):
        return None  # none, or one of another time: there is nothing to compare with
    return bundle if all(id_ in bundle.products for id_ in products.ids.ids) else None


def _judgement(
    encoder: CustomerEncoder,
    *,
    index: Index,
    learn: TrainingSet,
    judge: TrainingSet,
    eligible: Bools | None,
    rival: Bundle | None,
) -> Judgement:
    found = recall(
        encoder.encode_rows(judge.facts, history=judge.history),
        vectors=index.vectors,
        product_rows=judge.product_rows,
        customer_rows=judge.customer_rows,
        k=K,
        eligible=eligible,
    )
    popularity = popularity_recall(
        learn.product_counts,
        product_rows=judge.product_rows,
        customer_rows=judge.customer_rows,
        k=K,
        eligible=eligible,
    )
    in_force = None
    if rival is not None:
        in_force = recall(
            encoder_of(rival).encode(judge.facts, judge.histories()),
            vectors=rival.index.vectors[rival.products.rows(index.ids.ids, where="training")],
            product_rows=judge.product_rows,
            customer_rows=judge.customer_rows,
            k=K,
            eligible=eligible,
        )
    return Judgement(found, popularity, len(judge), in_force, _slices(found, learn=learn, judge=judge))


def _drift(rival: Bundle, *, encoder: CustomerEncoder, index: Index, judge: TrainingSet) -> dict[str, float]:
    """How far the new bundle is from the one in force, on an even spread of later rows and of products."""
    some = judge.where(np.unique(np.linspace(0, len(judge) - 1, num=_REFERENCE_ROWS).astype(np.int64)))
    places = np.unique(np.linspace(0, len(index) - 1, num=_REFERENCE_ROWS).astype(np.int64))
    theirs = rival.products.rows([index.ids.ids[place] for place in places.tolist()], where="drift")
    old = View(encoder_of(rival).encode(some.facts, some.histories()), rival.index.vectors[theirs])
    new = View(encoder.encode_rows(some.facts, history=some.history), index.vectors[places])
    return {f"drift_{name}": value for name, value in asdict(drift(old, new)).items()}


def _slices(found: Recall, *, learn: TrainingSet, judge: TrainingSet) -> dict[str, float]:
    """Recall@5 of customers who are new and known, and with short and long histories."""
    customers, first = np.unique(judge.customer_rows, return_index=True)
    known = np.isin(customers, learn.customer_rows)
    busy = (judge.history[first] > 0).sum(axis=1) >= 10
    groups = {"new_customers": ~known, "known_customers": known, "short_history": ~busy, "long_history": busy}
    return {
        f"recall_at_5_{name}": float(found.per_customer[members].mean())
        for name, members in groups.items()
        if members.any()
    }


def _proxies(encoder: CustomerEncoder, *, data: TrainingSet, traits: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """AUC of each protected value guessed from the latest vector of each customer."""
    if not traits:
        return {}
    _, from_the_end = np.unique(data.customer_rows[::-1], return_index=True)
    latest = len(data) - 1 - from_the_end  # (customers,)
    vectors = encoder.encode_rows(data.facts[latest], history=data.history[latest])
    told: dict[str, float] = {}
    for trait, values in traits.items():
        mine = np.asarray(values, dtype=np.str_)[latest]
        for probe in probed(vectors[mine != ""], trait=trait, values=mine[mine != ""].tolist()):
            told[f"proxy_auc_{trait}_{probe.value}"] = probe.auc
            told[f"proxy_auc_{trait}_{probe.value}_standard_error"] = probe.standard_error
    return told


def _reference(customers: Vector, *, index: Index) -> Reference:
    """Mean and spread of cosines over an even spread of customers and products."""
    places = np.unique(np.linspace(0, len(index) - 1, num=_REFERENCE_ROWS).astype(np.int64))
    cosines = customers @ index.vectors[places].T
    return Reference(float(cosines.mean(dtype=np.float64)), max(float(cosines.std(dtype=np.float64)), 1e-6))
