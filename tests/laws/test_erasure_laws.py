"""A person is forgotten everywhere, and stays so: a canary is planted, erased, and searched for in every store."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from bandits.drawing import verify
from recsys import artefacts
from recsys import database as db
from recsys.compaction import compact
from recsys.customers import Stale
from recsys.errors import Corrupt
from recsys.evidence import Evidence
from recsys.joining import lessons
from recsys.quarantine import Refused
from recsys.vocabulary import CustomerId, Decision, Outcome
from serving.bootstrap import Installation, compose
from serving.commands.learn import learner_of
from serving.datasets import dataset, make, recorded, versions
from serving.erasure import erase, receipt_of, resume
from serving.exporting import export
from serving.housekeeping import keep_house
from serving.settings import Settings
from serving.tracked import tracker_of
from tests.laws.conftest import Store
from tests.service import ADULT, App, assert_problem, running, stamp
from tests.steered import administer, soon

CANARY = "canary-7d1f0b"
SECRETS = ("canary-7d1f0b", "canary-household", "canary-request", "canary-outcome", "canary-activity", "canary-shop",
           "48270193", "77310659", "60915287")  # fmt: skip
"""What is told of the canary and of nobody else: its id, ids that callers choose, and sums of money."""


@pytest.fixture
def app(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[App]:
    monkeypatch.setattr(db, "_PATIENCE_SECONDS", 2.0)  # nothing here is about a store that stalls
    with running(tmp_path / "house", database_url=store.url) as running_app:
        yield administer(running_app)
    with warnings.catch_warnings():  # on a busy machine the pool may let a connection to PostgreSQL go unclosed
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def live(app: App, customer: str, name: str = "other", *, pence: tuple[int, int, int] = (1, 2, 3)) -> str:
    """Everything a customer can leave behind; returns the id of a decision."""
    facts = {**ADULT, "household_id": f"{name}-household", "balance_pence": pence[0]}
    app.tell(customer, facts=facts)
    told = app.recommend(customer, surface="savings", request_id=f"{name}-request")
    product, at = told["slate"][0]["product_id"], stamp(app.clock.now())
    outcome = {"product_id": product, "happened_at": at}
    sent = [
        {"outcome_id": f"{name}-outcome-{kind}", "decision_id": told["decision_id"], "kind": kind} | outcome
        for kind in ("seen", "tapped")
    ]
    sent[1]["amount_pence"] = pence[1]
    sent.append({"outcome_id": f"{name}-outcome-o", "customer_id": customer, "kind": "opened"} | outcome)
    assert app.post("/v1/outcomes", {"outcomes": sent}).json()["accepted"] == 3
    shown = {"decision_id": told["decision_id"], "displayed_at": at, "product_ids": [product]}
    assert app.post("/v1/displays", {"displays": [shown]}).json()["accepted"] == 1
    activity = activity_in(customer, name, at=at, pence=pence[2])
    assert app.post("/v1/activity", {"activities": [activity]}).json()["accepted"] == 1
    token = app.service.customers.known_tokens([CustomerId(customer)])[CustomerId(customer)]
    [stale] = [each for each in app.service.customers.stale(after=0) if each.profile.token == token]
    app.service.customers.put_vectors([(token, stale.change, vector(stale))], bundle="b")
    return str(told["decision_id"])


def vector(_: Stale) -> Any:
    return pl.Series([0.6, 0.8]).to_numpy().astype("float32")


def activity_in(customer: str, name: str, *, at: str, pence: int) -> dict[str, Any]:
    return {"activity_id": f"{name}-activity", "customer_id": customer, "kind": "card_payment",
            "subject": f"{name}-shop", "happened_at": at, "amount_pence": pence}  # fmt: skip


def plant(app: App) -> str:
    live(app, "ben")
    return live(app, CANARY, "canary", pence=(48_270_193, 77_310_659, 60_915_287))


def tables(home: Installation) -> dict[str, str]:
    """Every table as text."""
    with home.database.reading() as connection:
        return {
            name: str([tuple(row) for row in connection.execute(select(t))]) for name, t in db.metadata.tables.items()
        }


def found(home: Installation, folder: Path) -> set[str]:
    """Where any of the secrets is: "table what" or a file's name."""
    places = {f"table {name}" for name, told in tables(home).items() if any(secret in told for secret in SECRETS)}
    for path in folder.rglob("*"):
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in SECRETS):
            places.add(path.name)
        if path.suffix == ".parquet" and any(secret in str(pl.read_parquet(path).rows()) for secret in SECRETS):
            places.add(path.name)
    return places


def later(app: App, time: timedelta) -> None:
    app.clock.set(app.clock.now() + time)


def exported(app: App, folder: Path) -> None:
    """All days so far, as `recsys export` does."""
    later(app, timedelta(days=2))
    live(app, f"later-{app.clock.now():%d}", f"later-{app.clock.now():%d}")
    app.service.home.erasures.note_export(str(folder))
    export(app.service.log, out=folder, rewards=app.service.home.rewards)


def test_ers_1_ers_2_a_canary_is_nowhere_once_it_is_erased(app: App, tmp_path: Path) -> None:
    decision_id = plant(app)
    exported(app, tmp_path / "warehouse")
    home = app.service.home
    assert {"table tokens", "table profiles", "table events", "table activities"} <= found(home, tmp_path)
    answer = app.ask("DELETE", f"/v1/customers/{CANARY}", key="admin")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert found(home, tmp_path) == set()
    assert told["state"] == "done"
    stores = {each["store"]: each["result"] for each in told["stores"]}
    assert stores["mapping"] == stores["profile"] == stores["vectors"] == stores["requests"] == "1 row deleted"
    assert stores["exports"] == "1 partitions rewritten in 1 folders"
    assert app.get(f"/v1/erasures/{told['erasure_id']}", key="admin").json() == told
    kept = app.service.log.decision(decision_id).body
    assert isinstance(kept, Decision)
    assert kept.erased
    assert kept.slots
    assert not verify(kept)
    assert app.receipt(decision_id)["verification"]["draws"]["equal"]
    before = {path: path.read_bytes() for path in (tmp_path / "warehouse").rglob("*.parquet")}
    export(app.service.log, out=tmp_path / "warehouse", rewards=home.rewards)
    assert {path: path.read_bytes() for path in before} == before  # as exporting those days again would write them


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # mlflow's own
def test_ers_1_a_canary_leaves_datasets_archive_quarantine_and_what_tracks_runs(app: App, tmp_path: Path) -> None:
    plant(app)
    home = app.service.home
    later(app, timedelta(days=200))
    live(app, "ann", "last")  # windows have closed
    learner = learner_of(home)
    learner.catch_up()
    learner.publish()
    compact(home.database, folder=home.settings.archive, until=home.log.last_position() - 1)
    for until in (app.clock.now() - timedelta(days=100), None):  # two versions, the second in force
        made = make(home, "spring", since=None, until=until)
    recorded(made, tracker=tracker_of(home.settings))
    token = home.customers.known_tokens([CustomerId(CANARY)])[CustomerId(CANARY)]
    position = next(e.position for e in home.log.read(kinds=["outcome"]) if getattr(e.body, "token", "") == token)
    home.quarantine.put([Refused(f"event:{position}", position, "", "canary-request", "outcome")])
    folder = home.settings.artefacts
    [archived] = home.settings.archive.iterdir()
    assert {"events.parquet", "table quarantine", archived.name} <= found(home, tmp_path)
    assert token_files(tmp_path, token) >= {"lessons.parquet", "rounds.parquet", "interactions.parquet"}

    stores = erase(home, CustomerId(CANARY)).stores
    assert found(home, tmp_path) == set()
    assert token_files(tmp_path, token) == {"events.parquet"}  # the skeleton that the log keeps, too
    assert stores["archive"] == "1 files rewritten"
    assert stores["datasets"] == "2 of 2 versions rewritten without the person"
    left = dataset(folder, "spring")
    assert left.digest != made.digest
    assert dataset(folder, f"spring@{made.digest}").digest == left.digest  # as a run names it
    assert len(versions(folder, "spring")) == 2
    assert left.about["rounds"] == left.table("rounds").height < made.about["rounds"]
    assert left.log().digest(until=left.about["position"]) == left.about["log_digest"]
    assert left.log().digest(until=left.about["position"]) == home.log.digest(until=left.about["position"])
    assert erase(home, CustomerId(CANARY)).stores["datasets"] == "none holds them"


def token_files(folder: Path, token: str) -> set[str]:
    """Parquet files with rows of a token."""
    return {p.name for p in folder.rglob("*.parquet") if token in str(pl.read_parquet(p).rows())}


def test_ers_4_a_dataset_that_was_half_rewritten_is_rewritten_whole(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(app)
    home = app.service.home
    made = make(home, "spring", since=None, until=None)
    with monkeypatch.context() as patch:
        patch.setattr(artefacts, "remove", _stumble)
        with pytest.raises(ZeroDivisionError):
            erase(home, CustomerId(CANARY))
    assert len(versions(home.settings.artefacts, "spring")) == 2
    resume(home)
    assert found(home, tmp_path) == set()
    assert versions(home.settings.artefacts, "spring") == [dataset(home.settings.artefacts, "spring").digest]
    assert made.digest not in versions(home.settings.artefacts, "spring")


def test_ers_1_a_dataset_made_while_somebody_is_forgotten_does_not_hold_them(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(app)
    home = app.service.home
    whole, times = artefacts.publish, []

    def meanwhile(*given: Any, **more: Any) -> Any:
        if not times:
            erase(home, CustomerId(CANARY))
        times.append(1)
        return whole(*given, **more)

    monkeypatch.setattr(artefacts, "publish", meanwhile)
    make(home, "spring", since=None, until=None)
    assert len(times) == 2
    assert found(home, tmp_path) == set()
    assert len(versions(home.settings.artefacts, "spring")) == 1


def test_ers_3_evidence_of_promotions_is_kept_under_a_keyed_token_and_goes_when_its_term_ends(
    app: App, tmp_path: Path
) -> None:
    decision_id = plant(app)
    home = app.service.home
    token = home.customers.known_tokens([CustomerId(CANARY)])[CustomerId(CANARY)]
    decided = app.service.log.decision(decision_id).body
    assert isinstance(decided, Decision)
    told = erase(home, CustomerId(CANARY)).stores["evidence"]
    assert told == "1 promotion is kept under a keyed token, as the law asks"
    with closing(Evidence(home.settings.restricted)) as evidence:
        [kept] = evidence.of(CustomerId(CANARY))
        assert evidence.of(CustomerId("ben")) == []
    assert kept.decision_id == decision_id
    assert kept.told["products"] == [[slot.product_id, slot.creative_id] for slot in decided.shown]
    assert kept.told["displayed"] == [slot.product_id for slot in decided.shown][:1]
    assert kept.told["permitted"]["in_app"]
    content = (home.settings.restricted / "evidence.db").read_bytes()
    assert token.encode() not in content
    assert CANARY.encode() not in content
    assert [path.stat().st_mode & 0o077 for path in (home.settings.restricted, *home.settings.restricted.iterdir())
            if not path.name.endswith(("-wal", "-shm"))] == [0, 0, 0]  # fmt: skip
    until = kept.until
    assert until is not None
    for at, n in ((until - timedelta(days=1), 1), (until + timedelta(days=1), 0)):
        app.clock.set(at)
        soon(lambda: keep_house(home))  # the service keeps house by itself, too
        with closing(Evidence(home.settings.restricted)) as evidence:
            assert len(evidence.of(CustomerId(CANARY))) == n


def test_ers_3_without_its_store_nobody_is_forgotten_and_without_its_key_it_says_so(app: App) -> None:
    plant(app)
    home = app.service.home
    home.settings.restricted.mkdir()
    (home.settings.restricted / "evidence.db").write_bytes(b"no database")
    with pytest.raises(Corrupt, match="put it back"):
        erase(home, CustomerId(CANARY))
    assert home.customers.profiles([CustomerId(CANARY)])
    (home.settings.restricted / "evidence.key").write_text("no key")
    with pytest.raises(Corrupt, match="holds no key"):
        erase(home, CustomerId(CANARY))


def test_ers_3_nothing_that_learns_or_copies_the_log_opens_the_restricted_store(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(app)
    home = app.service.home
    erase(home, CustomerId(CANARY))
    live(app, "carl", "carl")
    opened: list[str] = []

    mine = threading.get_ident()  # the service's own housekeeping, in a thread of its own, may look after the store

    def seen(event: str, given: tuple[Any, ...]) -> None:
        opens = event in ("open", "sqlite3.connect") and threading.get_ident() == mine
        if opens and home.settings.restricted.name in str(given[0]):
            opened.append(event)

    sys.addaudithook(seen)
    learner_of(home).catch_up()
    make(home, "summer", since=None, until=None)
    export(home.log, out=tmp_path / "warehouse", rewards=home.rewards)
    assert opened == []
    erase(home, CustomerId("carl"))
    assert "sqlite3.connect" in opened  # it would have been seen


def test_ers_3_commands_of_training_do_not_even_import_it() -> None:
    commands = ("learn", "train", "dataset", "export", "evaluate", "encode", "promote", "replay")
    names = ", ".join(f"serving.commands.{command}" for command in commands)
    code = f"import sys, {names}; print('recsys.evidence' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_ers_1_nobody_else_loses_anything(app: App) -> None:
    plant(app)
    before = app.get("/v1/customers/ben/export", key="auditor").json()
    erase(app.service.home, CustomerId(CANARY))
    assert app.get("/v1/customers/ben/export", key="auditor").json() == before
    assert_problem(app.get(f"/v1/customers/{CANARY}/export", key="auditor"), 404)


def test_ers_4_erasing_again_is_no_error_and_names_nobody(app: App) -> None:
    plant(app)
    first, again = (erase(app.service.home, CustomerId(CANARY)) for _ in range(2))
    assert again.erasure_id != first.erasure_id
    assert again.stores["mapping"] == "nothing was held"
    assert CANARY not in str(receipt_of(first)) + str(receipt_of(again))
    unknown = app.ask("DELETE", "/v1/customers/nobody-ever", key="admin")
    assert (unknown.status_code, unknown.json()["state"]) == (200, "done")


def test_ers_4_what_comes_late_is_turned_away_and_what_is_new_is_about_somebody_new(app: App, tmp_path: Path) -> None:
    decision_id = plant(app)
    then, home = stamp(app.clock.now()), app.service.home
    later(app, timedelta(hours=1))
    erase(home, CustomerId(CANARY))
    app.tell(CANARY, at=app.clock.now() - timedelta(minutes=30), facts={**ADULT, "household_id": "canary-household"})
    outcome = {"product_id": "pot", "happened_at": then, "kind": "seen"}
    late = [
        {"outcome_id": "canary-outcome-l", "customer_id": CANARY} | outcome,
        {"outcome_id": "canary-outcome-m", "decision_id": decision_id} | outcome
        | {"product_id": app.receipt(decision_id)["slate"][0]["product_id"]},
    ]  # fmt: skip
    answer = app.post("/v1/outcomes", {"outcomes": late}).json()
    assert (answer["accepted"], len(answer["rejected"])) == (0, 2), answer
    assert all("erased" in each["reason"] for each in answer["rejected"])
    shown = {"decision_id": decision_id, "displayed_at": then, "product_ids": ["pot", "cash-isa"]}
    assert app.post("/v1/displays", {"displays": [shown]}).json()["accepted"] == 0
    activity = activity_in(CANARY, "canary", at=then, pence=60_915_287)
    assert app.post("/v1/activity", {"activities": [activity]}).json()["accepted"] == 0
    assert found(home, tmp_path) == set()
    assert home.customers.profile(CustomerId(CANARY)) is None
    later(app, timedelta(minutes=1))
    now = {"happened_at": stamp(app.clock.now())}
    mixed = [
        {"outcome_id": "canary-outcome-n", "customer_id": CANARY} | outcome,
        {"outcome_id": "new-o", "customer_id": CANARY} | outcome | now | {"kind": "nonsense"},
    ]
    assert app.post("/v1/outcomes", {"outcomes": mixed}).json()["accepted"] == 0
    assert home.customers.profile(CustomerId(CANARY)) is None  # nothing that was refused makes anybody known
    mixed[1] |= {"kind": "seen"}
    answer = app.post("/v1/outcomes", {"outcomes": mixed}).json()
    assert (answer["accepted"], [each["outcome_id"] for each in answer["rejected"]]) == (1, ["canary-outcome-n"])
    later(app, timedelta(hours=1))
    app.tell(CANARY)
    assert home.customers.profiles([CustomerId(CANARY)])[CustomerId(CANARY)].facts
    assert app.recommend(CANARY, surface="savings")["slate"]


def test_mkt_5_ers_3_an_objection_outlives_the_erasure(app: App) -> None:
    at = stamp(app.clock.now())
    app.tell(CANARY, permissions={"in_app": False, "objected_at": at})
    erase(app.service.home, CustomerId(CANARY))
    later(app, timedelta(days=1))
    app.tell(CANARY)
    assert app.recommend(CANARY, surface="savings")["mode"] == "broadcast"


def test_ers_2_who_was_forgotten_teaches_no_more(app: App) -> None:
    plant(app)
    home = app.service.home
    before = list(home.log.read())
    erase(home, CustomerId(CANARY))
    later(app, timedelta(days=200))
    live(app, "ann", "last")
    events = list(home.log.read())
    fresh = events[len(before) :]
    for told in (events, [*before, *fresh]):  # read anew, and by a learner that had read them before
        taught = {lesson.decision.unit for lesson in lessons(told, rewards=home.rewards)}
        assert len(taught) == 1  # Ben


@pytest.mark.parametrize("step", ["seal", "wipe", "finish"])
def test_ers_4_an_erasure_that_was_interrupted_is_carried_on(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    home = app.service.home
    plant(app)
    with monkeypatch.context() as patch:
        patch.setattr(type(home.erasures), step, _stumble)
        with pytest.raises(ZeroDivisionError):
            erase(home, CustomerId(CANARY))
    assert home.customers.profiles([CustomerId(CANARY)]) == {}  # forgotten for every request already
    [under_way] = home.erasures.under_way()
    assert receipt_of(under_way)["state"] == "under_way"
    [done] = resume(home)
    assert (done.erasure_id, receipt_of(done)["state"]) == (under_way.erasure_id, "done")
    assert home.erasures.under_way() == []
    assert found(home, tmp_path) == set()


@pytest.mark.parametrize("step", ["seal", "finish"])
def test_ers_4_the_service_carries_on_by_itself_when_it_starts(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, step: str
) -> None:
    plant(app)
    home = app.service.home
    with monkeypatch.context() as patch:
        patch.setattr(type(home.erasures), step, _stumble)
        with pytest.raises(ZeroDivisionError):
            erase(home, CustomerId(CANARY))
    [under_way] = home.erasures.under_way()
    with running(tmp_path / "house", database_url=store.url) as again:
        for _ in range(200):
            if not again.service.home.erasures.under_way():
                break
            again.loop.run(asyncio.sleep(0.05))
        assert again.service.home.erasures.get(under_way.erasure_id).done_at
    assert found(home, tmp_path) == set()


def _stumble(*_: object, **__: object) -> None:
    raise ZeroDivisionError


_KILLED = """
import os, sys
from recsys import erasures
def killed(*_, **__): os.kill(os.getpid(), 9)
setattr(*{target})
from serving.cli import main
main(["erase", "{customer}", "--yes"])
"""


@pytest.mark.parametrize("target", ["(erasures, 'bury', killed)", "(erasures.Erasures, 'seal', killed)"])
def test_ers_4_killed_at_any_step_nothing_is_half_forgotten(tmp_path: Path, target: str) -> None:
    house = tmp_path / "house"
    with running(house) as app:
        plant(app)
    script = _KILLED.format(target=target, customer=CANARY)
    environment = {"RECSYS_HOME": str(house), "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    home = compose(Settings(home=house))
    if "bury" in target:  # inside the transaction: as if nobody had asked
        assert home.customers.profiles([CustomerId(CANARY)])
        assert home.erasures.under_way() == []
        erase(home, CustomerId(CANARY))
    else:
        assert home.customers.profiles([CustomerId(CANARY)]) == {}
        resume(home)
    assert found(home, tmp_path) == set()
    home.database.close()


def test_trn_3_all_that_is_held_on_a_person_is_told(app: App) -> None:
    decision_id = plant(app)
    answer = app.get(f"/v1/customers/{CANARY}/export", key="auditor")
    told = answer.json()
    assert all(secret in answer.text for secret in SECRETS)
    assert {each["name"]: each["value"] for each in told["facts"]}["balance_pence"] == 48_270_193
    [decision] = told["decisions"]
    assert decision["decision_id"] == decision_id
    assert all(slot["reasons"] for slot in decision["slate"])
    assert [each["kind"] for each in decision["outcomes"]] == ["seen", "tapped"]
    assert [each["kind"] for each in told["outcomes_without_a_decision"]] == ["opened"]
    assert told["vector"]["numbers"] == pytest.approx([0.6, 0.8])
    assert [each["subject"] for each in told["activities"]] == ["canary-shop"]
    assert {each["kind"] for each in told["contact"]} == {"seen", "opened"}
    assert "other-household" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [("GET", "customers/c/export", "auditor"), ("DELETE", "customers/c", "admin"), ("GET", "erasures/e", "admin")],
)
@pytest.mark.parametrize("key", ["backend", "analyst", "auditor", "admin", "nobody", None])
def test_trn_3_ers_1_only_who_may_asks(app: App, method: str, path: str, scope: str, key: str | None) -> None:
    status = app.ask(method, f"/v1/{path}", key=key).status_code
    assert status in ((200, 404) if key == scope else (403,) if key else (401,))


def test_ops_8_the_trail_of_an_erasure_names_nobody(app: App) -> None:
    plant(app)
    app.get(f"/v1/customers/{CANARY}/export", key="auditor")
    app.ask("DELETE", f"/v1/customers/{CANARY}", key="admin")
    lines = app.service.trail.read()
    assert {"export_customer", "erase_customer"} <= {line.action for line in lines}
    assert CANARY not in str(lines)


def test_an_outcome_without_its_person_keeps_what_happened(app: App) -> None:
    decision_id = plant(app)
    erase(app.service.home, CustomerId(CANARY))
    bodies = [event.body for event in app.service.log.read(kinds=["outcome"])]
    kept = [body for body in bodies if isinstance(body, Outcome) and body.decision_id == decision_id]
    assert [(each.kind, each.amount_pence) for each in kept] == [("seen", None), ("tapped", None)]
    assert all(each.outcome_id.startswith("erased-") for each in kept)
