"""Work in parts gives what it gives in one: here, and on a Ray cluster of several nodes of which one is killed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from embeddings.training import TrainingConfig, train
from recsys.errors import InvalidTable, StoreUnavailable
from recsys.vocabulary import CustomerId
from serving import judged_parts
from serving.encoder_loop import EncoderLoop
from serving.encoding_parts import encode_all
from serving.exporting import export
from serving.exporting_parts import export_all
from serving.judged_table import judge_table
from serving.judging import Judged
from serving.settings import Settings
from serving.spread import HERE, Spread, spread_of
from tests.embedding_worlds import planted_world
from tests.extras import needed
from tests.judged_worlds import world
from tests.rays import Nodes, nodes
from tests.service import running
from tests.test_fresh_vectors import publish_bundle

START = datetime(2026, 3, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    if "RECSYS_TEST_CLUSTER" not in os.environ:
        pytest.skip("a cluster of several machines in processes takes some minutes: make clusters")
    with nodes(3) as found:
        yield found


@pytest.fixture(params=["here", "ray"])
def spread(request: pytest.FixtureRequest) -> Spread:
    if request.param == "here":
        return HERE
    cluster: Nodes = request.getfixturevalue("cluster")
    return spread_of(Settings(ray=cluster.address))


# -- judging -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rounds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three files of 4,000 rounds with full distributions; some decisions are told again in a later file."""
    rng, folder = np.random.default_rng(5), tmp_path_factory.mktemp("rounds")
    n, k = 4_000, 4
    files = []
    for number in range(3):
        logged, target = (rng.dirichlet(np.ones(k), n) * 0.9 + 0.1 / k for _ in range(2))
        shown = (logged.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=k - 1)
        rows = np.arange(n)
        ids = np.arange(n) + number * (n - 150)
        frame = pl.DataFrame(
            {
                "decision_id": [f"d-{each}" for each in ids],
                "unit": [f"u-{each % 700}" for each in ids],
                "made_at": [START + timedelta(minutes=int(each)) for each in ids],
                "reward": (rng.random(n) < 0.1 + 0.1 * shown).astype(float),
                "propensity": logged[rows, shown],
                "shown": shown.astype(np.int64),
                "logged_pmf": logged.tolist(),
                "new": target.tolist(),
            }
        )
        files.append(folder / f"{number}.parquet")
        frame.write_parquet(files[-1], row_group_size=1_000)
    return files


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judged_parts, "ROWS", 1_500)


def assert_same(one: Judged, other: Judged) -> None:
    assert (one.rounds, one.left_out, one.first_at, one.last_at, one.digest) == (
        other.rounds, other.left_out, other.first_at, other.last_at, other.digest,
    )  # fmt: skip
    for mine, theirs in zip((*one.verdicts, *one.differences), (*other.verdicts, *other.differences), strict=True):
        assert (mine.policy, mine.estimator) == (theirs.policy, theirs.estimator)
        told = (mine.interval.estimate, mine.interval.low, mine.interval.high)
        assert told == pytest.approx((theirs.interval.estimate, theirs.interval.low, theirs.interval.high), rel=1e-9)
        assert mine.diagnostics.effective_rounds == pytest.approx(theirs.diagnostics.effective_rounds, rel=1e-9)


@pytest.mark.usefixtures("small_parts")
def test_a_log_in_parts_is_judged_as_in_one_to_1e_9(rounds: list[Path], spread: Spread) -> None:
    asked: dict[str, Any] = {"policies": ["new", "uniform"], "ripe_before": START + timedelta(minutes=11_000)}
    whole = judge_table(rounds, **asked)
    assert whole.left_out["told twice"] == 300
    assert whole.left_out["not ripe yet"] > 0
    assert {"dr", "sndr"} <= {each.estimator for each in whole.verdicts}
    assert_same(judge_table(rounds, spread=spread, **asked), whole)


@pytest.mark.usefixtures("small_parts")
def test_a_wrong_row_is_named_as_it_is_counted_over_the_whole(
    rounds: list[Path], spread: Spread, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.parquet"
    pl.read_parquet(rounds[1]).with_columns(
        propensity=pl.when(pl.int_range(pl.len()) == 3_499).then(1.5).otherwise("propensity")
    ).write_parquet(bad)
    with pytest.raises(InvalidTable, match=r"row 7500\)") as whole:
        judge_table([rounds[0], bad], policies=["new"])
    with pytest.raises(InvalidTable) as parts:
        judge_table([rounds[0], bad], policies=["new"], spread=spread)
    assert str(parts.value) == str(whole.value)


# -- encoding and exporting --------------------------------------------------------------------


def test_everybody_is_encoded_in_parts_as_in_one(spread: Spread, tmp_path: Path) -> None:
    with running(tmp_path / "home") as app:
        home = app.service.home
        publish_bundle(home.settings.artefacts, seed=1)
        ids = [CustomerId(f"c-{n}") for n in range(40)]
        for n, each in enumerate(ids):
            app.tell(each, facts={"savings_pence": 1_000 * n})
        EncoderLoop(home.customers, root=home.settings.artefacts, clock=home.clock).catch_up()
        one = {each: profile.vector for each, profile in home.customers.profiles(ids).items()}
        publish_bundle(home.settings.artefacts, seed=2)
        EncoderLoop(home.customers, root=home.settings.artefacts, clock=home.clock).catch_up()
        two = {each: profile.vector for each, profile in home.customers.profiles(ids).items()}
        publish_bundle(home.settings.artefacts, seed=1)
        assert encode_all(home, spread=spread, changes=15) == 40
        for each, profile in home.customers.profiles(ids).items():
            np.testing.assert_allclose(profile.vector, one[each], rtol=1e-5, atol=1e-6)  # single precision
            assert not np.allclose(two[each], one[each])


def test_days_are_exported_in_parts_to_the_same_bytes(spread: Spread, tmp_path: Path) -> None:
    home = world(tmp_path / "home", decisions=120, days=90).home
    whole = export(home.log, out=tmp_path / "one", rewards=home.rewards)
    parts = export_all(home, out=tmp_path / "two", spread=spread)
    assert (parts.days, parts.rows, parts.files) == (whole.days, whole.rows, whole.files)
    names = [sorted(path.relative_to(tmp_path / each) for path in (tmp_path / each).rglob("*.parquet"))
             for each in ("one", "two")]  # fmt: skip
    assert names[0] == names[1]
    assert len(names[0]) > 300
    assert all((tmp_path / "one" / each).read_bytes() == (tmp_path / "two" / each).read_bytes() for each in names[0])
    home.database.close()


# -- training, and killing: the cluster is one smaller after each ---------------------------------


def test_two_workers_teach_what_one_process_teaches_and_a_killed_node_changes_nothing(
    cluster: Nodes, tmp_path: Path
) -> None:
    """Losses within 1e-4 of one process's, weights within 1e-2: sums of floats in another order, over 60 steps."""
    door = needed("serving.ray_training", extra="ray")
    made, config = planted_world(n=1_300), TrainingConfig(epochs=12, patience=12, batch=200)
    given: dict[str, Any] = {"products": made.products, "seed": 3, "config": config}
    alone = list(train(made.interactions, **given))
    shared = tmp_path / "shared"
    shared.mkdir()
    killer = _when(lambda: any(shared.rglob("training.pt")), cluster.kill)
    teach = door.RayTeacher(cluster.address, workers=2, shared=shared)
    [best] = teach(made.interactions, **given)
    killer.join()
    assert cluster.killed == 1
    expected = [each for each in alone if each.weights is not None][-1]
    assert best.number == expected.number
    assert best.validation_loss == pytest.approx(expected.validation_loss, abs=1e-4)
    assert best.loss == pytest.approx(expected.loss, abs=1e-3)
    assert best.weights is not None
    assert expected.weights is not None
    for name, weights in expected.weights.items():
        np.testing.assert_allclose(best.weights[name], weights, atol=1e-2)


def test_a_node_killed_during_an_evaluation_changes_nothing(
    rounds: list[Path], cluster: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judged_parts, "ROWS", 100)  # 120 parts, so that many are left when the first is done
    spread = spread_of(Settings(ray=cluster.address))
    before = cluster.killed

    def told(step: str, _: int) -> None:
        if step == "judging" and cluster.killed == before:
            cluster.kill()

    found = judge_table(rounds, policies=["new"], spread=spread, told=told)
    assert cluster.killed > before
    assert_same(found, judge_table(rounds, policies=["new"]))


def _when(ready: Callable[[], bool], work: Callable[[], None]) -> threading.Thread:
    def wait() -> None:
        while not ready():
            time.sleep(0.05)
        work()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


# -- serving -----------------------------------------------------------------------------------


def test_replicas_answer_with_the_app_of_the_house(cluster: Nodes, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(home) as app:
        app.tell("ann")
        key = app.keys["backend"]
    with (
        cluster.serving("serving.ray_serving:app", environment={"RECSYS_HOME": str(home)}) as url,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as client,
    ):
        body = {"customer_id": "ann", "surface": "savings", "slots": 2}
        told = client.post("/v1/recommendations", json=body).json()
        assert told["decision_id"]
        assert client.get("/readyz").status_code == 200
        assert client.post("/v1/recommendations", json=body, headers={"Authorization": "no"}).status_code == 401


def test_the_config_names_what_is_there() -> None:
    config = (Path(__file__).parent.parent / "serving" / "deploy" / "ray.yaml").read_text()
    schema = needed("ray.serve.schema", extra="ray")
    found = schema.ServeDeploySchema.model_validate(needed("yaml", extra="ray").safe_load(config))
    [one] = found.applications
    module, _, name = one.import_path.partition(":")
    bound = getattr(needed(module, extra="ray"), name)
    assert [each.name for each in one.deployments] == [bound._bound_deployment.name]


# -- choosing ----------------------------------------------------------------------------------


def test_a_cluster_that_does_not_answer_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    door = needed("serving.ray_spread", extra="ray")
    monkeypatch.setattr(door.ray, "is_initialized", lambda: False)

    def init(**_: object) -> None:
        raise ConnectionError("nobody")

    monkeypatch.setattr(door.ray, "init", init)
    with pytest.raises(StoreUnavailable, match=r"ray: no cluster answers at 127\.0\.0\.1:1"):
        spread_of(Settings(ray="127.0.0.1:1"))


def test_without_the_setting_everything_is_done_here(tmp_path: Path) -> None:
    assert spread_of(Settings(home=tmp_path)) is HERE
