"""What a decision, a customer, an outcome and a training interaction cost at three sizes, and what many a day need.

A size is a number of customers, each of whom has had one decision and its outcomes: N more decisions are then asked for
over HTTP. CPU is of the process that does the work, so what else the machine does hardly matters; space is what lies on
disk. SIZES (500,2000,8000) names others. Run: python -m tests.benchmarks sizing
"""

from __future__ import annotations

import json
import multiprocessing
import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from embeddings.bundling import made as encoder_of
from embeddings.fitting import limited_threads
from embeddings.interactions import TrainingSet
from embeddings.product_facts import ProductFacts
from embeddings.training import TrainingConfig, train
from recsys.compaction import compact, shrink
from recsys.eventlog import Entry
from recsys.layers import Layers
from recsys.vocabulary import CustomerId, Decision, Outcome
from serving.bootstrap import Installation, random_id, recommender_of
from serving.nightly import training_set
from serving.slates import Ask
from tests.benchmarks.callers import open_loop, post
from tests.benchmarks.capacity import Costs, Habits, Machine, limits, need
from tests.benchmarks.million import made
from tests.benchmarks.rig import SHOWN, SURFACE, Home, cpu_seconds, fill, resident_mib, served
from tests.benchmarks.sizing_learner import learned, opened, spent, waited

SIZES = tuple(int(each) for each in os.environ.get("SIZES", "500,2000,8000").split(","))
VOLUMES = (1e6, 10e6, 50e6)
WARM, ASKED, RATE = 250, 500, 200.0  # decisions over HTTP at each size, before and while it counts; a second
LOT = 20  # outcomes in one request
GROUP = 16  # decisions in one transaction: what gathers while a worker is busy
EPOCHS, ENCODED = 3, 20_000  # timed
TAPPED_EACH = 20
PER_DECISION = SHOWN + 1 / TAPPED_EACH  # outcomes
LABELS = {
    "decision_us": "decision: µs in the API's process, over HTTP",
    "decide_us": "  of which to decide, µs",
    "write_us": "decision and outcomes: µs to write",
    "learn_us": "decision and outcomes: µs to join and learn",
    "judge_us": "decision and outcomes: µs to evaluate",
    "decision_bytes": "decision: bytes in the log",
    "compacted_bytes": "  once compacted",
    "outcome_us": "outcome: µs in the API's process, over HTTP",
    "outcome_bytes": "outcome: bytes in the log",
    "customer_bytes": "customer: bytes, all facts and a vector",
    "tell_us": "customer: µs to take in",
    "encode_us": "customer: µs to encode",
    "train_us": "training interaction and epoch: µs",
    "interaction_bytes": "training interaction: bytes in memory",
    "api_mib": "API process: MiB",
    "learner_mib": "learner: MiB with nothing open",
    "open_bytes": "  bytes a decision that is open",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One size: what its parts cost, and what is told beside."""

    costs: Costs
    decide_us: float
    tell_us: float
    api_mib: float
    learner_mib: float

    def row(self) -> dict[str, float]:
        """Every number by its name."""
        beside = asdict(self)
        return {**beside.pop("costs"), **beside}


def main() -> None:
    """Print the costs, how they grow, and the table of volumes."""
    sizes = [measured(size) for size in tqdm(SIZES, unit="sizes")]
    print(f"\n{'':<46}" + "".join(f"{size:>10,}" for size in SIZES) + f"{'ratio':>8}{'exponent':>10}")
    for name, label in LABELS.items():
        values = [each.row()[name] for each in sizes]
        slope = np.polyfit(np.log(SIZES), np.log(values), 1)[0] if len(SIZES) > 1 else 0.0
        numbers = "".join(f"{each:>10,.1f}" for each in values)
        print(f"{label:<46}{numbers}{values[-1] / values[0]:>8.2f}{slope:>10.2f}")
    tell(sizes[-1])


def tell(at: Measured) -> None:
    """Print the table of volumes, and where each part outgrows one machine."""
    habits, machine, mib = Habits(), Machine(), 1024.0
    print(f"\n{habits}\n{machine}\n\n{'decisions a day':<46}" + "".join(f"{each:>12,.0f}" for each in VOLUMES))
    needs = [need(volume, costs=at.costs, habits=habits) for volume in VOLUMES]
    lines = {
        "decisions a second, busiest hour": [each.peak for each in needs],
        "API processes": [each.api_processes for each in needs],
        "  memory of all, GiB": [each.api_processes * at.api_mib / mib for each in needs],
        "learner processes": [each.learner_processes for each in needs],
        "  memory, GiB": [at.learner_mib / mib + each.learner_bytes / (1 << 30) for each in needs],
        "writer busy, busiest hour, %": [100 * each.writer_share for each in needs],
        "training, core hours": [each.train_hours for each in needs],
        "  arrays, GB": [each.train_bytes / 1e9 for each in needs],
        "evaluation, core hours": [each.judge_hours for each in needs],
        "encoding everybody, core hours": [each.encode_hours for each in needs],
        "customers, GB": [each.customer_bytes / 1e9 for each in needs],
        "log of a year, TB": [each.year_bytes / 1e12 for each in needs],
        "  compacted after 90 days, TB": [each.compacted_year_bytes / 1e12 for each in needs],
    }
    for name, numbers in lines.items():
        print(f"{name:<46}" + "".join(f"{each:>12,.1f}" for each in numbers))
    print("\nwhat outgrows one machine, first to last, and at how many decisions a day")
    for part, volume in limits(at.costs, habits=habits, machine=machine).items():
        print(f"{part:<46}{volume / 1e6:>12,.1f} million")


def measured(size: int) -> Measured:
    """Every cost at one size."""
    with tempfile.TemporaryDirectory() as name:
        home, customer_bytes, _ = made(Path(name) / "home", size=size)
        start = _bytes(home)
        with opened(home.folder) as installed:
            decisions, decide, append = _decided(installed, home)
            last = installed.log.last_position()
        decided = _bytes(home)
        with opened(home.folder) as installed:
            outcomes = list(_outcomes(decisions))
            note = spent(lambda: _in_lots(installed, outcomes))
        heard = _bytes(home)
        decision_us, outcome_us, api_mib = _over_http(home)
        [open_bytes] = aside(waited, home.folder)
        learn, judged, learner_mib = aside(learned, home.folder)
        encode_us, train_us, interaction_bytes = aside(_trained, home.folder, size)
        with opened(home.folder) as installed:
            shrink(installed.database)
        before = _bytes(home)
        with opened(home.folder) as installed:
            done = compact(installed.database, folder=installed.settings.archive, until=last)
            shrink(installed.database)
        gone = (before - _bytes(home) - done.file_bytes) / done.decisions
        with opened(home.folder) as installed:
            taken = spent(lambda: fill(installed, range(size, size + ASKED)))
    decision_bytes = (decided - start) / size
    micro, every = 1e6, size + WARM + ASKED
    return Measured(
        Costs(
            decision_us=decision_us,
            outcome_us=outcome_us,
            write_us=(append + note) / size * micro,
            learn_us=learn / every * micro,
            judge_us=judged / every * micro,
            encode_us=encode_us,
            train_us=train_us,
            decision_bytes=decision_bytes,
            outcome_bytes=(heard - decided) / len(outcomes),
            compacted_bytes=decision_bytes - gone,
            customer_bytes=customer_bytes,
            interaction_bytes=interaction_bytes,
            open_bytes=open_bytes,
        ),
        decide_us=decide / size * micro,
        tell_us=taken / ASKED * micro,
        api_mib=api_mib,
        learner_mib=learner_mib,
    )


def _decided(home: Installation, of: Home) -> tuple[list[Decision], float, float]:
    """A decision a customer; seconds of CPU to decide, and to append."""
    recommender = recommender_of(home, layers=lambda: Layers((), holdout_share=0.0), new_id=random_id)
    for n in range(50):  # warm
        recommender.decide(
            Ask(CustomerId(f"c-{n}"), SURFACE, SHOWN), profile=home.customers.profile(CustomerId(f"c-{n}"))
        )
    made_, decide, append = list[Decision](), 0.0, 0.0
    for first in range(0, of.customers, GROUP):
        began = time.process_time()
        ids = [CustomerId(f"c-{n}") for n in range(first, min(first + GROUP, of.customers))]
        known = [home.customers.profile(each) for each in ids]
        group = [recommender.decide(Ask(each, SURFACE, SHOWN), profile=p) for each, p in zip(ids, known, strict=True)]
        middle = time.process_time()
        entries = [Entry(d, None, recommender.reservation(d, profile=p)) for d, p in zip(group, known, strict=True)]
        receipts = home.log.append(entries)
        decide, append = decide + middle - began, append + time.process_time() - middle
        assert all(receipt.position for receipt in receipts)
        made_ += group
    return made_, decide, append


def _outcomes(decisions: Sequence[Decision]) -> Iterator[Outcome]:
    """Every slot seen, and the first tapped now and then."""
    for number, decision in enumerate(decisions):
        kinds = [(slot.product_id, "seen") for slot in decision.shown]
        if number % TAPPED_EACH == 0:
            kinds.append((decision.shown[0].product_id, "tapped"))
        for product_id, kind in kinds:
            at = decision.made_at + timedelta(seconds=1)
            yield Outcome(
                secrets.token_hex(8), decision.token, product_id, kind, at, decision.decision_id, source="app"
            )


def _in_lots(home: Installation, outcomes: Sequence[Outcome]) -> None:
    for first in range(0, len(outcomes), LOT):
        home.log.append([Entry(each) for each in outcomes[first : first + LOT]])


def _over_http(home: Home) -> tuple[float, float, float]:
    """µs of the API's process a decision and an outcome, and its MiB afterwards."""
    answers = list[dict[str, Any]]()
    with served(home) as (url, child):
        pid = child.process.pid

        def cost(bodies: Sequence[bytes], *, keep: list[dict[str, Any]]) -> float:
            def answered(_: int, status: int, body: bytes) -> None:
                keep.append(json.loads(body))

            began = cpu_seconds(pid)
            counted = open_loop(url, lambda n: bodies[n], rate=RATE, seconds=len(bodies) / RATE, answered=answered)
            if counted.failures or len(counted.times) != len(bodies):
                raise LookupError(f"not what is to be measured: {counted.told()} {counted.failures[:3]}")
            return (cpu_seconds(pid) - began) * 1e6

        def asks(n: int) -> list[bytes]:
            dice = np.random.default_rng(n).integers(home.customers, size=n)
            return [post(url, "/v1/recommendations", home.key, home.ask(int(each))) for each in dice]

        cost(asks(WARM), keep=[])
        asking = cost(asks(ASKED), keep=answers) / ASKED
        at = datetime.now(UTC).isoformat()
        told = [
            {"outcome_id": secrets.token_hex(8), "decision_id": answer["decision_id"], "product_id": slot["product_id"],
             "kind": "seen", "happened_at": at}
            for answer in answers for slot in answer["slate"]
        ]  # fmt: skip
        lots = [told[first : first + LOT] for first in range(0, len(told), LOT)]
        posts = [post(url, "/v1/outcomes", home.key, {"outcomes": lot}) for lot in lots]
        telling = cost(posts, keep=[]) / len(told)
        return asking, telling, resident_mib(pid)


def _trained(home: Path, size: int) -> tuple[float, float, float]:
    """µs a customer to encode, µs an interaction and epoch to train; bytes an interaction."""
    with opened(home) as installed:
        data = training_set(installed)
        products = ProductFacts.of_products(installed.offers.current.catalogue.products)
    data = data.where(np.arange(size) % len(data))  # the home's own, over and over
    epochs, config = list[float](), TrainingConfig(epochs=EPOCHS + 1, patience=EPOCHS + 1)
    at = time.process_time()
    for _ in train(data, products=products, seed=0, config=config):
        epochs.append(time.process_time() - at)
        at = time.process_time()
    encoder = encoder_of(
        data, family="two-tower", products=products, seed=0, config=TrainingConfig(epochs=1),
        told=lambda _: None, checkpoint=None,
    ).encoder()  # fmt: skip
    many = data.where(np.arange(ENCODED) % len(data))
    with limited_threads(1):
        encoder.encode_rows(many.facts, history=many.history)  # warm
        encode = spent(lambda: encoder.encode_rows(many.facts, history=many.history))
    return encode / ENCODED * 1e6, float(np.mean(epochs[1:])) / size * 1e6, _held(data) / size


def _held(data: TrainingSet) -> float:
    """Bytes of its arrays."""
    arrays = (data.facts, data.history, data.product_rows, data.customer_rows, data.happened_at, data.eligible)
    return float(sum(each.nbytes for each in arrays if each is not None))


def aside(work: Callable[..., tuple[float, ...]], *given: object) -> tuple[float, ...]:
    """Do it in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(work, *given).result()


def _bytes(home: Home) -> int:
    """Of the closed database."""
    return sum(path.stat().st_size for path in home.folder.glob("recsys.db*"))


if __name__ == "__main__":
    main()
