"""`recsys dataset`: what is in it was known at its decision, made again it is the same, and runs use it by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from embeddings.identifiers import IdMap
from embeddings.interactions import TrainingSet
from recsys import activities, features
from recsys.errors import Corrupt, Misuse
from recsys.eventlog import Entry
from recsys.tracking import MemoryTracker, MlflowTracker, UsingDataset
from recsys.vocabulary import Activity, CustomerId, Decision, Outcome, Token
from serving.bootstrap import Installation
from serving.commands import dataset as command
from serving.commands import evaluate, replay
from serving.datasets import Made, dataset, make
from serving.nightly import training_set
from tests.builders import START
from tests.conftest import Recsys
from tests.judged_worlds import World, world

CUT = START + timedelta(days=25)


@pytest.fixture
def lived(home: Path) -> Iterator[World]:
    made = world(home, decisions=400, days=40)
    yield made
    made.home.database.close()


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> MemoryTracker:
    """Where the commands write, instead of MLflow."""
    kept = MemoryTracker()
    for module in (command, evaluate, replay):
        monkeypatch.setattr(module, "tracker_of", lambda _: kept)
    return kept


def made(home: Installation, name: str = "spring", *, until: datetime | None = CUT) -> Made:
    return make(home, name, since=None, until=until)


def heard_of(home: Installation, subject: str, *, token: str, happened_at: datetime, told_at: datetime) -> None:
    """Plant an activity."""
    customer = CustomerId(f"c-{token}")
    told = Activity(f"a-{subject}", customer, "spending", subject, happened_at)
    with home.database.writing() as connection:
        activities.add(connection, [told], tokens={customer: Token(token)}, told_at=told_at)


def test_trn_2_a_planted_fact_of_the_future_is_in_no_table(lived: World) -> None:
    """What happened after a decision, what we were told after it, what came after its window, what came after all."""
    home = lived.home
    plain = made(home).table("interactions").sort("made_at")
    row = plain.row(plain.height // 2, named=True)
    token, at = row["token"], row["made_at"]
    hour = timedelta(hours=1)
    heard_of(home, "in-time", token=token, happened_at=at - 3 * hour, told_at=at - 2 * hour)
    heard_of(home, "at-that-moment", token=token, happened_at=at, told_at=at)
    heard_of(home, "told-too-late", token=token, happened_at=at - 3 * hour, told_at=at + hour)
    heard_of(home, "happened-later", token=token, happened_at=at + hour, told_at=at + hour)
    again = made(home).table("interactions")
    [found] = again.filter(*(pl.col(name) == row[name] for name in ("decision_id", "kind", "product_id")))["history"]
    assert found.to_list() == ["in-time"]
    untouched = again.filter(pl.col("made_at") < at - 4 * hour)
    assert not untouched["history"].list.len().sum()


def test_trn_2_nothing_recorded_after_the_cut_is_known(lived: World) -> None:
    home, longest = lived.home, lived.home.rewards.longest
    before = made(home)
    everything = made(home, "whole", until=None)
    for table in ("interactions", "lessons", "rounds"):
        known, later = before.table(table), everything.table(table)
        assert 0 < known.height < later.height
        assert known["made_at"].max() < CUT  # type: ignore[operator]
        ours = [name for name in known.columns if name != "position"]
        assert known.join(later, on=ours, how="anti", nulls_equal=True).height == 0 or table == "rounds"
    watermark = before.log().recorded_at(before.log().last_position())
    assert watermark < CUT
    assert (before.table("lessons")["ripe_at"] <= watermark).all()
    assert (before.table("rounds")["made_at"] + longest <= watermark).all()
    tapped = home.log.decision(before.table("interactions").row(-1, named=True)["decision_id"]).body
    assert isinstance(tapped, Decision)
    late = Outcome("late", tapped.token, tapped.shown[0].product_id, "opened", CUT, tapped.decision_id)
    home.log.append([Entry(late)])  # about a decision of the dataset, but heard of after its cut
    assert made(home).digest == before.digest


def test_made_again_of_the_same_days_it_is_the_same_version(
    recsys: Recsys, lived: World, tracker: MemoryTracker
) -> None:
    asked = ("dataset", "create", "spring", "--until", CUT.isoformat(), "--json")
    first = json.loads(recsys(*asked).out)
    lived.clock.set(lived.clock.now() + timedelta(days=3))
    lived.home.log.append([Entry(Outcome("more", Token("t-1"), "pot", "opened", lived.clock.now()))])
    again = json.loads(recsys(*asked).out)
    assert again["digest"] == first["digest"]
    whole = json.loads(recsys("dataset", "create", "spring", "--json").out)
    assert whole["digest"] != first["digest"]
    listed = recsys("dataset", "list").out
    assert listed.startswith(f"spring@{whole['digest'][:12]}: ")
    assert "(and 1 earlier version)" in listed
    shown = recsys("dataset", "show", f"spring@{first['digest'][:8]}").out
    assert "interactions: " in shown
    assert "pmf List(Float64)" in shown
    assert [run.datasets[0].digest for run in tracker.runs] == [first["digest"]] * 2 + [whole["digest"]]
    assert tracker.runs[0].metrics["rounds"] == first["manifest"]["rounds"] > 0


def test_a_copied_log_reads_like_the_log(lived: World) -> None:
    copied, log = made(lived.home, until=None).log(), lived.home.log
    for one, other in zip(copied.read(), log.read(), strict=True):
        assert (one.position, one.recorded_at, type(one.body)) == (other.position, other.recorded_at, type(other.body))
    assert [e.position for e in copied.read(kinds=("decision",))] == [e.position for e in log.read(kinds=("decision",))]
    assert copied.counts() == log.counts()
    assert copied.last_position() == log.last_position()
    for at in (START, CUT, CUT + timedelta(days=999)):
        assert copied.position_before(at) == log.position_before(at)
    assert copied.recorded_at(7) == log.recorded_at(7)
    assert copied.digest(until=300) == log.digest(until=300)
    assert copied.decision("d-1-3").position == log.decision("d-1-3").position
    third = log.decision("d-1-3").body
    assert isinstance(third, Decision)
    assert [e.position for e in copied.sequel(third)] == [e.position for e in log.sequel(third)]
    assert copied.permissions_of(third.token, before=10**9) == log.permissions_of(third.token, before=10**9)
    with pytest.raises(Misuse, match="only read"):
        copied.append([])


def test_a_dataset_judges_and_teaches_as_the_log_does(recsys: Recsys, lived: World, tracker: MemoryTracker) -> None:
    recsys("dataset", "create", "whole")
    asked = ("evaluate", "--policy", "uniform", "--outcome", "tapped", "--json")
    ours, logs = json.loads(recsys(*asked, "--dataset", "whole").out), json.loads(recsys(*asked).out)
    ours.pop("run")
    logs.pop("run")
    assert ours == logs
    assert [len(run.datasets) for run in tracker.runs] == [1, 1, 0]
    whole = dataset(lived.home.settings.artefacts, "whole")
    catalogue = lived.home.offers.current.catalogue.ids
    again = TrainingSet.of(
        whole.interactions(among=catalogue), products=IdMap(catalogue), fact_names=features.CUSTOMER_NAMES
    )
    assert again.digest == training_set(lived.home).digest


def test_a_recipe_is_replayed_over_what_was_drawn_evenly(recsys: Recsys, lived: World, tracker: MemoryTracker) -> None:
    recsys("dataset", "create", "whole")
    found = json.loads(recsys("replay", "--dataset", "whole", "--json").out)
    assert found["rows"] == 400
    assert 400 / 5 * 0.6 < found["counted"] < 400 / 5 * 1.4  # five choices: every fifth draw agrees
    assert found["dataset"] == "whole"
    assert tracker.runs[-1].datasets[0].name == "whole"
    for arguments, why in (
        (("whole", "file.parquet"), "takes no PATH"),
        (("whole", "--label", "x"), "takes no PATH"),
        (("hole",), 'no dataset is called "hole"; did you mean whole?'),
        (("open-bandit",), "takes a PATH"),
    ):
        done = recsys("replay", "--dataset", *arguments)
        assert (done.code, done.out) == (2, "")
        assert why in done.sentence


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "no/name"), '"no/name" names no dataset'),
        (("create", "open-bandit"), "is a form of `recsys replay`"),
        (("create", "spring"), "there is neither a decision nor an imported opening in this part of the log"),
        (("show", "spring"), 'no dataset is called "spring"; there are none yet'),
        (("create", "spring", "--until", "soon"), '"soon" is no time'),
    ],
)
def test_misuse_is_one_sentence(recsys: Recsys, arguments: tuple[str, ...], sentence: str) -> None:
    done = recsys("dataset", *arguments)
    assert done.code == 2
    assert sentence in done.sentence


def test_damage_and_other_features_are_told(lived: World, monkeypatch: pytest.MonkeyPatch) -> None:
    spring = made(lived.home)
    with pytest.raises(Misuse, match="0 versions that begin with 0000"):
        dataset(lived.home.settings.artefacts, "spring@0000")
    monkeypatch.setattr(features, "CUSTOMER_NAMES", ("other",))
    with pytest.raises(Misuse, match="make it again"):
        spring.interactions(among=())
    (spring.artefact.path / "rounds.parquet").write_bytes(b"PAR1")
    with pytest.raises(Corrupt, match=r"rounds\.parquet is not what was published"):
        spring.table("rounds")


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_mlflow_shows_the_dataset_of_a_run(lived: World, tmp_path: Path) -> None:
    spring = made(lived.home)
    plain = MlflowTracker(f"sqlite:///{tmp_path / 'mlflow.db'}", artefacts=tmp_path / "files")
    with UsingDataset(plain, spring.tracked).run("a run", experiment="examples", parameters={}) as run:
        pass
    [found] = plain._client.get_run(run.run_id).inputs.dataset_inputs
    assert (found.dataset.name, found.dataset.digest) == ("spring", spring.digest)
    assert json.loads(found.dataset.profile)["rounds"] == spring.about["rounds"]
    assert replace(spring.tracked).source.startswith("file://")
