"""A bank's feature store behind the service: its facts decide, later ones teach nothing, and it may break."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from recsys import features
from recsys.customers import Told
from recsys.errors import InvalidConfiguration, Misuse
from recsys.facts import FACTS
from recsys.vocabulary import CustomerId, Permissions
from serving import datasets, feast_definitions
from serving.bootstrap import compose
from serving.settings import Settings
from tests.builders import START
from tests.conftest import Recsys
from tests.feasts import Feast, columns_of, feast_on, feast_with
from tests.service import ADULT, App, outcome_in, running, stamp
from tests.steered import administer, products_of, soon

ANN, BEA = CustomerId("ann"), CustomerId("bea")
DEADLINE = {"deadline_ms": 2_000}


@pytest.fixture(scope="module")
def feast(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Feast]:
    with feast_on("sqlite", folder=tmp_path_factory.mktemp("feast")) as feast:
        yield feast


def consents(app: App, customer: CustomerId = ANN) -> None:
    """Permissions, which a bank tells us and no feature store."""
    told = Told(customer, START, {}, Permissions(in_app=True, push=True))
    app.service.customers.tell([told], log=app.service.log)


def test_its_facts_decide_and_stand_in_the_record(feast: Feast, tmp_path: Path) -> None:
    feast.tells(ANN, ADULT, as_of=START - timedelta(days=1))
    with running(tmp_path, feature_store=feast.folder) as app:
        consents(app)
        told = app.recommend("ann", surface="savings")
        assert told["mode"] == "fallback:uniform"  # nothing is learned yet; not the answer to an unknown customer
        assert products_of(told)
        [decision] = app.decisions()
        assert decision.facts["balance_pence"].value == ADULT["balance_pence"]
        assert decision.facts["balance_pence"].as_of == START - timedelta(days=1)
        assert "gambling_block" not in decision.facts
        stranger = app.recommend("nobody-knows", surface="savings")
        assert stranger["decision_id"]
        held = app.get("/v1/customers/ann/export", key="auditor").json()
        assert len(held["facts"]) == len(ADULT)
        assert app.get("/readyz", key=None).status_code == 200


def test_ers_1_the_receipt_says_whose_the_feature_store_is(feast: Feast, tmp_path: Path) -> None:
    with running(tmp_path, feature_store=feast.folder) as app:
        consents(app)
        app.recommend("ann")
        gone = administer(app).ask("DELETE", "/v1/customers/ann", key="admin")
        assert gone.status_code in (200, 202)
        [told] = [each["result"] for each in gone.json()["stores"] if each["store"] == "feature store"]
        assert told == "the bank's own, which is only read: erase there too; nothing older is used from it"


@pytest.mark.parametrize("fault", ["it hangs", "nobody listens"])
def test_ops_2_a_store_that_hangs_or_is_gone_is_answered_without_in_time(tmp_path: Path, fault: str) -> None:
    with _no_redis(hanging=fault == "it hangs") as address:
        folder = tmp_path / "feast"
        feast_with(folder, redis=address)
        with running(tmp_path / "home", feature_store=folder) as app:
            consents(app)
            app.recommend("ann", surface="savings")  # without a deadline it waits, and warms up
            for _ in range(5):
                started = time.perf_counter()
                told = app.recommend("ann", surface="savings", **DEADLINE)
                assert time.perf_counter() - started < 10.0  # nobody waits for what hangs
                assert told["decision_id"]
                assert app.decisions()[-1].facts == {}
            soon(lambda: app.get("/readyz", key=None).status_code == 503)
            assert app.get("/readyz", key=None).json()["missing"][0].startswith("the feature store does not answer")


@contextmanager
def _no_redis(*, hanging: bool) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if not hanging:
            listener.close()
        yield f"127.0.0.1:{port}"


def test_trn_2_a_training_set_holds_what_was_told_by_then_and_nothing_later(feast: Feast, tmp_path: Path) -> None:
    before, after = START - timedelta(days=2), START + timedelta(minutes=1)
    known = dict(ADULT) | {"balance_pence": 10_000, "savings_pence": 0}
    feast.tells(BEA, known, as_of=before)
    feast.history(
        [
            (BEA, before - timedelta(days=1), columns_of({"balance_pence": 777}, as_of=before - timedelta(days=1))),
            (BEA, before, columns_of(known, as_of=before)),
            (BEA, after, columns_of(known | {"balance_pence": -9_000}, as_of=after)),  # it happened later
            (BEA, after, columns_of(known | {"savings_pence": 9_000_000}, as_of=before)),  # it was heard of later
            (CustomerId("ben"), before, columns_of({"balance_pence": 1}, as_of=before)),
        ]
    )
    with running(tmp_path, feature_store=feast.folder) as app:
        consents(app, BEA)
        told = app.recommend("bea", surface="savings", slots=1)
        product = told["slate"][0]["product_id"]
        for number, kind in enumerate(("seen", "tapped")):
            body = outcome_in(f"o-{number}", decision_id=told["decision_id"], product_id=product, kind=kind)
            answer = app.post("/v1/outcomes", {"outcomes": [body | {"happened_at": stamp(START)}]})
            assert answer.json()["accepted"] == 1
        home = app.service.home
        stored, decided = (
            datasets.make(home, name, since=None, until=None, facts=facts).table("interactions")
            for name, facts in (("stored", datasets.IN_STORE), ("decided", datasets.AS_DECIDED))
        )
        assert stored.height == 1
        assert stored.equals(decided)  # the history gives what the request had read
        value = dict(zip(features.CUSTOMER_NAMES, stored["facts"][0].to_list(), strict=True))
        assert (value["overdrawn"], value["no_savings"], value["saver"]) == (0.0, 1.0, 1.0)


def test_without_a_store_a_training_set_from_one_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        app.tell("ann")
        app.recommend("ann")
        with pytest.raises(Misuse, match="no feature store"):
            datasets.make(app.service.home, "spring", since=None, until=None, facts=datasets.IN_STORE)


def test_one_definition_names_every_fact_and_who_reads_it(recsys: Recsys, tmp_path: Path) -> None:
    done = recsys("features", "--feast", tmp_path / "feast", "--redis", "redis:6379")
    assert done.code == 0
    text = (tmp_path / "feast" / "definitions.py").read_text()
    for name in FACTS:
        assert f'Field(name="{name}", ' in text
        assert f'Field(name="{name}_as_of", dtype=UnixTimestamp)' in text
    assert 'description="current account balance"),  # read by rules, log_balance, overdrawn' in text
    assert "redis:6379" in (tmp_path / "feast" / "feature_store.yaml").read_text()
    again = recsys("features", "--feast", tmp_path / "feast", "--redis", "other:6379")
    assert (again.code, "is there already" in again.sentence) == (2, True)
    assert "log_savings  ln(1 + savings in £) / 10 (savings_pence)" in recsys("features").out


def test_a_store_that_does_not_fit_is_refused_with_what_to_do(feast: Feast, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"nowhere: cannot be opened .*recsys features --feast"):
        compose(Settings(home=tmp_path, feature_store=tmp_path / "nowhere"))
    feast_definitions.write(tmp_path / "empty")
    with pytest.raises(InvalidConfiguration, match="there is no view customer_facts"):
        compose(Settings(home=tmp_path, feature_store=tmp_path / "empty"))
    feast_with(tmp_path / "wrong", changed=('name="balance_pence", dtype=Int64', 'name="balance_pence", dtype=Float64'))
    with pytest.raises(InvalidConfiguration, match="balance_pence is of type Float64, not Int64"):
        compose(Settings(home=tmp_path, feature_store=tmp_path / "wrong"))
