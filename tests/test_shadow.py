"""A recipe in the shadow decides beside the live one: logged, watched, and shown to nobody; and facts have no skew."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys import records, tables
from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.vocabulary import CustomerId
from serving.skew import read, skewed
from serving.slates import Ask
from serving.watching import Reading, Thresholds, days_of, readings
from tests.api.test_ladder import published
from tests.conftest import Recsys
from tests.service import ADULT, App, running
from tests.steered import administer, products_of, switch


def decided(app: App, n: int = 40) -> list[dict[str, Any]]:
    """Slates for as many customers; two products to choose from, so that recipes may differ."""
    return [app.recommend(f"c-{i}", surface="savings", slots=1, request_id=f"r-{i}") for i in range(n)]


def told(app: App, n: int = 40) -> App:
    for i in range(n):
        app.tell(f"c-{i}")
    return app


def test_a_shadow_is_logged_and_changes_nothing_of_what_is_shown(tmp_path: Path) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path, shadow=("popularity", "uniform")) as app:
        slates = decided(told(app))
        found = app.decisions()[-40:]
        assert all([each.policy for each in decision.shadows][:1] == ["popularity@3"] for decision in found)
        for decision in found:
            [shadow, *_] = decision.shadows
            assert shadow.slots
            assert 0.0 < shadow.slots[0][1] <= 1.0
            assert shadow.snapshot == app.service.live.policy("popularity").snapshot  # type: ignore[union-attr]
            again = records.encode(decision)
            assert records.decode("decision", again.text, token=decision.token, schema=records.SCHEMA,
                                  lookup=lambda ref, parts=again.parts: records.parsed_part(parts[ref]),
                                  ).shadows == decision.shadows  # type: ignore[union-attr]  # fmt: skip
        receipt = app.receipt(found[0].decision_id)
        assert receipt["shadows"][0]["policy"] == "popularity@3"
        assert receipt["verification"]["draws"]["equal"]
        assert "shadows" not in slates[0]
        ids = [decision.decision_id for decision in found]
        kept = {d.decision_id: ([s.product_id for s in d.slots], [s.propensity for s in d.slots]) for d in found}
        service = app.service
        service.recommender._traffic = replace(service.recommender._traffic, shadows=())
        for i, decision_id in enumerate(ids):
            profile = service.profiles.profile(CustomerId(f"c-{i}"))
            again_ = service.recommender.decide(
                Ask(CustomerId(f"c-{i}"), "savings", 1), profile=profile, decision_id=decision_id
            )
            assert ([s.product_id for s in again_.slots], [s.propensity for s in again_.slots]) == kept[decision_id]
            assert again_.shadows == ()


class Broken:
    """A policy that fails whatever it is asked."""

    name = "popularity@9"

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError("as planted")


def test_a_shadow_that_fails_harms_nobody_and_is_counted_red(tmp_path: Path) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path, shadow=("popularity",)) as app:
        told(app)
        live = app.service.live
        live._live["popularity"] = replace(live._live["popularity"], policy=Broken())  # type: ignore[arg-type]
        assert all(products_of(each) for each in decided(app))
        shadows = [shadow for decision in app.decisions()[-40:] for shadow in decision.shadows]
        assert {shadow.failed for shadow in shadows} == {"ZeroDivisionError"}
        found = {each.name: each for each in _readings(app) if each.kind == "shadow"}
        assert (found["popularity failed"].value, found["popularity failed"].light) == (1.0, "red")


def _readings(app: App) -> list[Reading]:
    return readings(days_of(app.service.log.read(), rewards=app.service.home.rewards))


def test_ops_1_a_switch_stops_a_shadow_too_and_there_is_none_where_nothing_is_chosen(tmp_path: Path) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path, shadow=("popularity",)) as app:
        administer(told(app, 3))
        app.tell("objector", permissions={"in_app": False})
        app.recommend("objector", surface="savings")
        assert app.decisions()[-1].shadows == ()  # a list for everybody is nobody's choice
        switch(app, "policy", "popularity")
        app.recommend("c-1", surface="savings")
        assert app.decisions()[-1].shadows == ()


def test_how_a_shadow_chooses_is_read_from_the_log(tmp_path: Path) -> None:
    published(tmp_path, "bandit", "popularity")
    with running(tmp_path, shadow=("popularity",)) as app:
        decided(told(app))
        found = {each.name: each for each in _readings(app) if each.kind == "shadow"}
        made = [decision for decision in app.decisions() if decision.shadows]
        differ = [d for d in made if d.shadows[0].slots[0][0] != d.slots[0].product_id]
        assert found["popularity chose otherwise"].value == pytest.approx(len(differ) / len(made))
        its = [each for name, each in found.items() if each.before is not None]
        assert sum(each.value for each in its) == pytest.approx(1.0)
        assert sum(each.before or 0.0 for each in its) == pytest.approx(1.0)


def test_a_shadow_that_no_recipe_is_called_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(InvalidConfiguration, match='shadow: no recipe is called "bandti"'),
        running(tmp_path, shadow=("bandti",)),
    ):
        pass


# -- skew ------------------------------------------------------------------------------------------


def exported(app: App, *, n: int = 40, **changed: Any) -> pl.DataFrame:
    """The bank's table of customers as of now; `changed` facts differ for the first half."""
    rows = []
    for i in range(n):
        facts = {name: value for name, value in ADULT.items() if value is not None}
        row: dict[str, Any] = dict.fromkeys(tables.CUSTOMERS.schema) | facts
        if i < n // 2:
            row |= changed
        row |= {"customer_id": f"c-{i}", "as_of": app.clock.now(), "in_app": True, "push": True, "email": False}
        known_none = [name for name, value in ADULT.items() if value is None]
        rows.append(row | {"targeted_support": False, "known_none": known_none})
    frame = pl.DataFrame(rows, infer_schema_length=None, orient="row")
    schema = dict(tables.CUSTOMERS.schema)
    dates = [name for name, kind in schema.items() if kind == pl.Date and frame[name].dtype == pl.String]
    frame = frame.with_columns(pl.col(dates).str.to_date())
    return frame.cast(schema)  # type: ignore[arg-type]


def lights(found: list[Reading]) -> dict[str, str]:
    return {each.name: each.light for each in found if each.light != "green"}


def test_mrm_5_facts_served_are_those_exported_and_each_planted_difference_is_named(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        told(app)
        same, other = exported(app), exported(app, balance_pence=7, savings_pence=None)
        app.clock.set(app.clock.now() + timedelta(minutes=5))
        decided(app)
        found = skewed(app.service.home, same, thresholds=Thresholds())
        assert {each.name for each in found} >= {"balance_pence", "savings_pence"}
        assert lights(found) == {}
        found = skewed(app.service.home, other, thresholds=Thresholds())
        assert lights(found) == {"balance_pence": "red", "savings_pence": "red"}
        assert {each.value for each in found if each.light == "red"} == {0.5}
        assert lights(skewed(app.service.home, other, thresholds=Thresholds(skew=(0.4, 0.6)))) == {
            "balance_pence": "amber",
            "savings_pence": "amber",
        }


def test_what_was_told_since_the_export_is_newer_and_no_skew(tmp_path: Path) -> None:
    with running(tmp_path) as app:
        told(app)
        then = exported(app)
        app.clock.set(app.clock.now() + timedelta(minutes=5))
        for i in range(40):
            app.tell(f"c-{i}", facts={**ADULT, "balance_pence": 1})
        decided(app)
        assert skewed(app.service.home, then, thresholds=Thresholds()) == []


def test_the_command_reads_an_export_and_refuses_what_is_none(recsys: Recsys, home: Path, tmp_path: Path) -> None:
    with running(home) as app:
        told(app, 3)
        exported(app, n=3, balance_pence=7).write_parquet(tmp_path / "customers.parquet")
        decided(app, 3)
    done = recsys("watch", "--facts", tmp_path / "customers.parquet", "--json")
    assert done.code == 0, done.err
    found = {each["name"]: each["light"] for each in json.loads(done.out)["readings"] if each["kind"] == "skew"}
    assert found["balance_pence"] == "red"
    pl.DataFrame({"customer": ["x"]}).write_parquet(tmp_path / "odd.parquet")
    assert recsys("watch", "--facts", tmp_path / "odd.parquet").code == 2
    with pytest.raises(InvalidTable, match="no such file"):
        read(tmp_path / "none.parquet")
