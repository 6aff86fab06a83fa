"""`recsys bank`: what it makes, and the one sentence with which it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recsys import tables
from tests.conftest import Recsys

SMALL = ("--customers", 80, "--days", 15)


def test_tables_and_pictures_are_made(recsys: Recsys, tmp_path: Path) -> None:
    done = recsys("bank", *SMALL, "--out", tmp_path / "bank", "--plots", tmp_path / "plots")
    assert done.code == 0
    assert f"tables in {tmp_path / 'bank'}" in done.out
    assert "transactions" in done.out
    assert "customer-days" in done.err
    assert tables.scan(tmp_path / "bank", table=tables.BALANCES).collect().height == 80 * 15
    page = (tmp_path / "plots" / "bank.html").read_text()
    assert "The bank of seed 1" in page
    assert 'src="http' not in page
    assert "cdn." not in page
    assert (tmp_path / "plots" / "bank.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_one_object_and_pictures_need_no_tables(recsys: Recsys, tmp_path: Path) -> None:
    told = json.loads(recsys("bank", *SMALL, "--plots", tmp_path, "--json").out)
    assert told == {"plots": [str(tmp_path / "bank.html"), str(tmp_path / "bank.png")]}
    slice_ = ("--first", 10, "--last", 20, "--policy", "nothing", "--until", "2026-01-09")
    made = json.loads(recsys("bank", "--customers", 80, *slice_, "--out", tmp_path / "b", "--json").out)
    assert made["rows"]["balances"] == 10 * 4
    assert made["rows"]["decisions"] == 0


def test_base_rates_stand_beside_public_figures(recsys: Recsys) -> None:
    told = recsys("bank", "--customers", 150, "--days", 4, "--describe")
    assert told.code == 0
    assert "UK Finance" in told.out
    assert "of the oracle" in told.out


def test_the_schema_is_printed(recsys: Recsys) -> None:
    told = recsys("bank", "--schema").out
    assert all(f"{name}: " in told for name in tables.TABLES)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say what to make: --out DIR for tables, --plots DIR for pictures, or --describe"),
        (["--customers", "0"], "a bank needs at least one customer, got 0"),
        (["--days", "0"], "a bank lives at least one day, got 0"),
        (["--seed", "-1"], "the seed must not be negative, got -1"),
        (["--start", "soon"], '--start "soon": write a day such as 2026-01-05'),
        (["--until", "2026-01-05"], "--until 2026-01-05 is not after --start 2026-01-05: the bank would live no day"),
        (["--until", "2026-01-09", "--days", "3"], "--days and --until say the same thing: give one of them"),
        (["--first", "9", "--last", "3"], "a slice of 5,000 customers is 0 <= first < last <= 5000"),
        (["--world", "plane"], "there is no world plane; did you mean plain?"),
        (["--persona", "teens=1"], "there is no persona 'teens'; did you mean teen?"),
        (["--persona", "teen"], '--persona "teen": write a name and a share such as "teen=0.1"'),
        (["--persona", "teen=0"], "the share of 'teen' must lie above 0 and not above 1, got 0"),
        (["--persona", "teen=nan"], "the share of 'teen' must lie above 0 and not above 1, got nan"),
        (["--persona", "teen=.5", "--persona", "teen=.5"], "the persona 'teen' is named twice"),
        (
            ["--persona", "teen=.5", "--persona", "family=.4"],
            "the shares of the personas must add up to 1, they add up",
        ),
        (["--jobs", "0"], "Invalid value for '--jobs'"),
        (["--policy", "best"], "there is no policy best; there are nothing, uniform, popular"),
        (["--with", "duds"], "the bank has no switch 'duds'; did you mean dud?"),
        (["--with", "dud", "--without", "dud"], "the switch 'dud' is asked to be on and off at once"),
        (["--customers", "many"], "Invalid value for '--customers'"),
    ],
)
def test_misuse_is_one_sentence_and_leaves_nothing(
    recsys: Recsys, tmp_path: Path, arguments: list[str], sentence: str
) -> None:
    out = ["--out", str(tmp_path / "bank")] if arguments else []
    done = recsys("bank", *arguments, *out)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"recsys: {sentence}")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "bank").exists()


def test_a_full_folder_is_refused(recsys: Recsys, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    done = recsys("bank", *SMALL, "--out", tmp_path)
    assert done.code == 2
    assert done.err == f"recsys: {tmp_path} is not an empty folder: the tables need one of their own\n"
