"""Tables of rounds: streamed or whole the same, each decision once, only ripe ones, and wrong rows are named."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bandits.batches import Batch
from bandits.evaluation import ESTIMATORS, Panel, Verdict
from bandits.once import Once
from bandits.silences import Silences
from bandits.tables import RoundTable
from recsys.errors import InvalidTable
from recsys.tracking import MemoryTracker
from serving.commands import evaluate
from serving.judged_table import judge_table
from tests.conftest import Recsys

START = datetime(2026, 3, 2, tzinfo=UTC)
PRODUCTS = 4


def frame(seed: int = 1, *, n: int = 3_000) -> pl.DataFrame:
    """Rounds of 500 units whose taste hangs on one number of context."""
    rng = np.random.default_rng(seed)
    logged = 0.05 + 0.8 * rng.dirichlet(np.ones(PRODUCTS), n)
    new, x = rng.dirichlet(np.ones(PRODUCTS), n), rng.normal(size=n)
    shown = (logged.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=PRODUCTS - 1)
    rates = 1.0 / (1.0 + np.exp(-np.outer(x, [-1.0, 0.0, 0.5, 1.5])))
    rows = np.arange(n)
    return pl.DataFrame(
        {
            "decision_id": [f"d-{row}" for row in rows],
            "unit": [f"u-{each}" for each in rng.integers(0, 500, n)],
            "made_at": [START + timedelta(minutes=int(row)) for row in rows],
            "shown": shown,
            "reward": (rng.random(n) < rates[rows, shown]).astype(float),
            "propensity": logged[rows, shown],
            "logged_pmf": logged,
            "new": new,
            "context": x[:, None],
        }
    ).with_columns(pl.col("logged_pmf", "new", "context").arr.to_list())


def judged(table: pl.DataFrame, *, size: int = 10**9, **more: object) -> tuple[Verdict, ...]:
    rounds = RoundTable(table.lazy(), policies=["new"], size=size, **more)  # type: ignore[arg-type]
    panel = Panel("new", ESTIMATORS)
    for rows in rounds.expecting(rounds.model()):
        panel.add(rows.batches[0])
    panel.excluded = rounds.left_out.total()
    return panel.verdicts()


@pytest.mark.parametrize("size", [7, 500])
def test_a_table_in_batches_gives_what_it_gives_whole(size: int) -> None:
    table = frame(n=1_200)
    for one, many in zip(judged(table), judged(table, size=size), strict=True):
        for bound in ("estimate", "low", "high"):
            assert getattr(many.interval, bound) == pytest.approx(getattr(one.interval, bound), rel=1e-9, abs=1e-12)
        assert many.diagnostics.effective_conversions == pytest.approx(one.diagnostics.effective_conversions, rel=1e-9)


def test_a_table_is_the_batch_of_its_columns() -> None:
    table = frame()
    [rows] = RoundTable(table.lazy(), policies=["new", "as-logged", "uniform"]).read()
    new, own, even = rows.batches
    assert own.target.tolist() == own.propensity.tolist()
    assert set(even.target.tolist()) == {1 / PRODUCTS}
    given = table["new"].to_numpy()
    direct = Batch(
        unit=new.unit,
        reward=table["reward"].to_numpy(),
        propensity=table["propensity"].to_numpy(),
        target=np.array([pmf[shown] for pmf, shown in zip(given, table["shown"], strict=True)]),
    )
    for name in ("reward", "propensity", "target"):
        np.testing.assert_array_equal(getattr(new, name), getattr(direct, name))
    assert np.unique(new.unit).size == table["unit"].n_unique()


def test_what_is_told_twice_counts_once_and_what_is_not_ripe_not_at_all() -> None:
    table = frame()
    cut = START + timedelta(minutes=2_500)
    spoiled = pl.concat([table, table.sample(fraction=0.1, seed=3)])
    rounds = RoundTable(spoiled.lazy(), policies=["new"], ripe_before=cut, size=700)
    n = sum(rows.batches[0].reward.size for rows in rounds.read())
    again = spoiled.height - table.height
    assert n == 2_500
    young = spoiled.filter(pl.col("made_at") >= cut).height
    assert rounds.left_out == {"not ripe yet": young, "told twice": 800 - young}
    assert again == 300
    for one, other in zip(judged(table), judged(spoiled, size=700), strict=True):
        assert other.interval.estimate == pytest.approx(one.interval.estimate, rel=1e-9)
        assert [f.sentence for f in other.diagnostics.findings if f.about == "left out"] == [
            "300 rounds were left out: not ripe yet, or told twice"
        ]


def test_once_is_a_set_of_any_length() -> None:
    rng, seen, once = np.random.default_rng(1), set[int](), Once()
    for _ in range(60):
        keys = rng.integers(0, 2_000, rng.integers(1, 90)).astype(np.uint64)
        wanted = []
        for key in keys.tolist():
            wanted.append(key not in seen)
            seen.add(key)
        assert once.first(keys).tolist() == wanted
    assert sum(run.size for run in once._runs) == len(seen)


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("propensity", 0.0, r"propensity must be in \(0, 1\] \(row 1234\)"),
        ("propensity", 1.7, r"propensity must be in \(0, 1\] \(row 1234\)"),
        ("reward", float("nan"), r"reward must be finite \(row 1234\)"),
        ("reward", None, r"reward is empty \(row 1234\)"),
        ("shown", 4, r"shown is no column of the 4 there are \(row 1234\)"),
        ("logged_pmf", [0.5, 0.5, 0.5, 0.5], r"logged_pmf is no distribution .* \(row 1234\)"),
        ("logged_pmf", [0.5, 0.5], r"logged_pmf is not as long as in the other rows \(row 1234\)"),
        ("new", [float("nan"), 0.0, 0.0, 1.0], r"new is no distribution .* \(row 1234\)"),
        ("context", [float("inf")], r"context must be finite \(row 1234\)"),
    ],
)
def test_wrong_rows_are_named_by_their_place_in_the_whole_table(column: str, value: object, why: str) -> None:
    table = frame()
    values = table[column].to_list()
    values[1_233] = value
    spoiled = table.with_columns(pl.Series(column, values, dtype=table[column].dtype))
    with pytest.raises(InvalidTable, match=why):
        list(RoundTable(spoiled.lazy(), policies=["new"], size=300).read())


def test_a_silent_product_is_named_and_a_sound_log_is_not_accused() -> None:
    rng, names = np.random.default_rng(5), ["pot", "fixed", "isa", "loan"]
    accused = 0
    for _ in range(200):
        heard = Silences(products=4, places=2)
        shown = rng.integers(-1, 4, (600, 2)).astype(float)
        heard.add(shown, (rng.random((600, 2)) < [0.6, 0.3]) & (shown >= 0))
        accused += any(heard.findings(names))
    assert accused <= 6  # at a rate of 1 % more than 6 of 200 once in 200
    lost = Silences(products=4, places=2)
    seen = (rng.random((600, 2)) < [0.6, 0.3]) & (shown >= 0) & (shown != 2)
    lost.add(shown[:300], seen[:300])
    rest = Silences(products=4, places=2)
    rest.add(shown[300:], seen[300:])
    [finding] = (lost + rest).findings(names)
    assert (finding.colour, finding.about) == ("red", "silence")
    assert finding.sentence.startswith("isa was seen 0 times where its places bring")


def test_files_are_judged_by_one_command_and_kept(
    recsys: Recsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = MemoryTracker()
    monkeypatch.setattr(evaluate, "tracker_of", lambda _: kept)
    log = tmp_path / "log"
    log.mkdir()
    table = frame()
    table[:2_000].write_parquet(log / "1.parquet")
    table[2_000:].write_parquet(log / "2.parquet")
    done = recsys("evaluate", "--log", log, "--policy", "new", "--compare", "as-logged", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    in_memory = {v.estimator: v.interval for v in judged(table)}
    for row in told["verdicts"]:
        if row["policy"] == "new":
            assert row["estimate"] == pytest.approx(in_memory[row["estimator"]].estimate, rel=1e-9)
    assert {row["estimator"] for row in told["verdicts"]} == {"dm", "ips", "snips", "dr", "sndr", "logged", "uplift"}
    assert told["rounds"] == 3_000
    assert kept.runs[0].metrics["new/sndr/estimate"] == in_memory["sndr"].estimate
    assert kept.runs[0].parameters["log_digest"] == told["log_digest"]
    assert "On the same rounds" in told["conclusion"] or "no difference" in told["conclusion"]
    for arguments, why in (
        (("--policy", "old"), "it has no column old"),
        ((), "name a policy to judge"),
        (("--policy", "new", "--surface", "home"), "--surface asks the home's log"),
    ):
        refused = recsys("evaluate", "--log", log, *arguments)
        assert refused.code == 2
        assert why in refused.sentence
    assert "there is no Parquet file" in recsys("evaluate", "--log", tmp_path / "x", "--policy", "new").sentence
    (log / "2.parquet").write_bytes((log / "2.parquet").read_bytes()[:1_000])
    assert (
        "1.parquet and 1 more: cannot be read as rounds" in recsys("evaluate", "--log", log, "--policy", "new").sentence
    )
    assert (
        "--ripe-before belongs to --log"
        in recsys("evaluate", "--policy", "uniform", "--ripe-before", "2026-03-03").sentence
    )


def test_without_distributions_only_weights_speak(tmp_path: Path) -> None:
    table = frame().with_columns(new=pl.col("new").list.get(0)).drop("logged_pmf", "shown")
    table.write_parquet(tmp_path / "log.parquet")
    found = judge_table([tmp_path / "log.parquet"], policies=["new"])
    assert [v.estimator for v in found.verdicts] == ["ips", "snips", "logged", "uplift"]
    assert found.notes
    assert found.first_at == START
