"""The command line: what it prints, what it refuses and with which sentence, and what it leaves behind."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.keys import Keys, Scope
from serving import settings
from serving.bootstrap import compose
from serving.cli import COMMANDS, module_of
from tests.conftest import Recsys
from tests.test_experiments import TEXT

ROOT = Path(__file__).parent.parent
CATALOGUE = ROOT / "recsys" / "bank" / "catalogue.toml"
DRAFT = TEXT.replace('"running"', '"draft"')
EXPERIMENT = DRAFT.replace("popularity-taps", "popularity").replace('"vowpal"', '"bandit"')


# -- as a whole --------------------------------------------------------------------------------


def test_help_lists_every_command_and_each_is_there(recsys: Recsys) -> None:
    told = recsys("--help")
    assert told.code == 0
    for name, purpose in COMMANDS.items():
        assert f"{name} " in told.out
        assert purpose in told.out
        assert importlib.util.find_spec(module_of(name))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["experiment"], 'recsys: no command is called "experiment": did you mean experiments?'),
        (["frobnicate"], 'recsys: no command is called "frobnicate": there are demo, serve'),
        (["--frob"], "recsys: No such option"),
        (["keys", "make"], "recsys: No such command 'make'"),
        (["keys", "create"], "recsys: Missing option '--name' (recsys keys create --help tells more)"),
        (["serve", "--port", "99999"], "recsys: Invalid value for '--port'"),
        (["replay", "x.parquet"], "recsys: Missing option '--dataset'"),
        (["replay", "--dataset", "zoo", "x.parquet"], 'recsys: no dataset is called "zoo"'),
        (["verify-log", "now"], "recsys: Got unexpected extra argument (now) (recsys verify-log --help tells more)"),
    ],
)
def test_misuse_is_one_sentence_and_exit_2(recsys: Recsys, arguments: list[str], sentence: str) -> None:
    done = recsys(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(sentence)
    assert done.err.count("\n") == 1


def test_the_console_script_ends_with_its_code(home: Path) -> None:
    command = [sys.executable, "-m", "serving.cli", "keyz"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == 'recsys: no command is called "keyz": did you mean keys? (recsys --help tells more)\n'


@pytest.mark.parametrize(
    ("text", "named"), [("prot = 8081", "prot"), ("port = 'x'", "port"), ("port =", "settings.toml")]
)
def test_a_bad_settings_file_is_one_sentence(recsys: Recsys, home: Path, text: str, named: str) -> None:
    home.mkdir()
    (home / "settings.toml").write_text(text)
    done = recsys("keys", "list")
    assert done.code == 2
    assert done.err.startswith("recsys: ")
    assert named in done.err
    assert done.err.count("\n") == 1


def test_a_home_that_cannot_be_is_one_sentence_and_exit_1(recsys: Recsys, home: Path) -> None:
    home.write_text("not a folder")
    done = recsys("keys", "list")
    assert (done.code, done.err) == (1, f"recsys: {home}: File exists\n")


# -- keys, catalogue, experiments, serve --------------------------------------------------------


def _keys() -> Keys:
    return Keys(compose(settings.load()).database)


def test_a_key_is_made_listed_and_revoked(recsys: Recsys) -> None:
    assert recsys("keys", "list").out.startswith("no keys yet")
    made = recsys("keys", "create", "--name", "app", "--scope", "recommend", "--scope", "analyse", "--expires", "90d")
    secret = made.out.strip()
    key = _keys().check(secret)
    assert made.code == 0
    assert key is not None
    assert key.scopes == {Scope.RECOMMEND, Scope.ANALYSE}
    assert key.expires_at is not None
    assert (key.expires_at - key.created_at).days == 90
    listed = recsys("keys", "list").out
    assert listed.startswith("app ")
    assert "in force until" in listed
    assert secret not in listed
    assert recsys("keys", "revoke", "app").code == 0
    assert _keys().check(secret) is None
    assert "revoked" in recsys("keys", "list").out


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        (["create", "--name", "app", "--scope", "everything"], 2, '"everything" is no scope: choose from recommend'),
        (["create", "--name", "App 1", "--scope", "audit"], 2, "a key's name is 1 to 80 of"),
        (["create", "--name", "app", "--scope", "audit", "--expires", "soon"], 2, '--expires "soon": write a number'),
        (["create", "--name", "taken", "--scope", "audit"], 1, "a key named taken exists"),
        (["revoke", "nobody"], 1, "no key is named nobody"),
    ],
)
def test_a_key_that_cannot_be_is_refused(recsys: Recsys, arguments: list[str], code: int, why: str) -> None:
    recsys("keys", "create", "--name", "taken", "--scope", "audit")
    done = recsys("keys", *arguments)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"recsys: {why}")


def test_a_catalogue_is_put_in_force_or_refused_whole(recsys: Recsys, tmp_path: Path) -> None:
    assert recsys("catalogue", "show").out.startswith("no catalogue yet")
    bad = tmp_path / "bad.toml"
    bad.write_text(CATALOGUE.read_text().replace('class = "promo', 'class = "pormo', 1))
    refused = recsys("catalogue", "apply", bad)
    assert refused.code == 2
    assert refused.err.startswith("recsys: bad.toml: product pot: ")
    assert refused.err.count("\n") == 1
    assert recsys("catalogue", "apply", tmp_path / "none.toml").code == 2
    assert recsys("catalogue", "show").out.startswith("no catalogue yet")
    assert recsys("catalogue", "apply", CATALOGUE).out.startswith("21 products are in force")
    shown = recsys("catalogue", "show").out
    assert "21 products" in shown
    assert "\npot " in shown


def test_an_experiment_is_made_started_and_stopped(recsys: Recsys, tmp_path: Path) -> None:
    file = tmp_path / "experiments.toml"
    file.write_text(EXPERIMENT)
    assert recsys("experiments", "list").out.startswith("no experiments yet")
    assert recsys("experiments", "create", file).out == "home-bandit: draft\n"
    assert recsys("experiments", "start", "home-bandit").out == "home-bandit: running\n"
    listed = recsys("experiments", "list").out.split()
    assert listed == ["home-bandit", "running", "2026-03-02", "to", "2026-03-30"]
    asked = json.loads(recsys("experiments", "checklist", "home-bandit", "--json").out)
    assert {item["question"]: item["ok"] for item in asked["items"]}["Will it be able to answer?"] == "unknown"
    scorecard = json.loads(recsys("experiments", "read-out", "home-bandit", "--json").out)
    assert scorecard["experiment"]["experiment_id"] == "home-bandit"
    assert recsys("experiments", "stop", "home-bandit", "--why", "time is up").out == "home-bandit: stopped\n"
    history = json.loads(recsys("experiments", "show", "home-bandit", "--json").out)["history"]
    assert [change["what"] for change in history] == ["created", "running", "stopped"]
    assert history[2]["why"] == "time is up"
    assert all(change["by"].endswith("@console") for change in history)
    assert recsys("experiments", "create", file).code == 1
    assert recsys("experiments", "start", "another").err == "recsys: no experiment has the id another\n"


def test_an_experiment_with_an_unknown_recipe_is_refused_with_its_whole_file(recsys: Recsys, tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    other = EXPERIMENT.replace("home-bandit", "other").replace('["home"]', '["savings"]')
    file.write_text(EXPERIMENT + other.replace('"bandit"\nshare', '"magic"\nshare'))
    refused = recsys("experiments", "create", file)
    assert refused.code == 2
    assert refused.err == (
        'recsys: two.toml: experiment other: no recipe is called "magic"; known are bandit, popularity, uniform\n'
    )
    assert recsys("experiments", "list").out.startswith("no experiments yet")
    file.write_text("")
    assert recsys("experiments", "create", file).code == 2


def test_the_api_listens_to_the_world_only_behind_a_key(recsys: Recsys) -> None:
    refused = recsys("serve", "--host", "0.0.0.0", "--port", "0")
    assert refused.code == 2
    assert refused.err.startswith("recsys: refusing to listen on 0.0.0.0 before a key exists: run `recsys keys create")


# -- switches and overrides ------------------------------------------------------------------------


def test_ops_1_mrm_6_orders_on_the_command_line_are_taken_listed_and_ended(recsys: Recsys) -> None:
    recsys("catalogue", "apply", CATALOGUE)
    off = recsys("switches", "off", "family", "savings", "--reason", "rates are wrong", "--for", "2h")
    assert (off.code, off.out.startswith("family savings is off until")) == (0, True)
    assert "rates are wrong" in recsys("switches", "list").out
    assert "is on" in recsys("switches", "on", "family", "savings", "--reason", "mended").out
    given = ("overrides", "put", "isa-week", "boost", "pot", "--strength", "2", "--reason", "season", "--for", "30d")
    assert recsys(*given).code == 0
    assert "boost pot ×2: in force until" in recsys("overrides", "list").out
    assert "has ended" in recsys("overrides", "withdraw", "isa-week", "--reason", "enough").out
    assert "ended" in recsys("overrides", "list").out
    assert recsys("overrides", "effect", "--json").out.strip() == "{}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("switches", "off", "product", "lona", "--reason", "drill", "--for", "2h"), "no product is called"),
        (("switches", "off", "everything", "--reason", "drill", "--for", "soon"), "write a number"),
        (("switches", "off", "everything", "--reason", "x", "--for", "2h"), "say why"),
        (("overrides", "put", "o", "boost", "pot", "--reason", "drill", "--for", "2h"), "--strength"),
        (("overrides", "put", "o", "ban", "pot", "--reason", "drill", "--for", "91d"), "at most 90 days"),
    ],
)
def test_ops_1_mrm_6_an_order_that_cannot_be_meant_is_one_sentence(
    recsys: Recsys, arguments: tuple[str, ...], sentence: str
) -> None:
    recsys("catalogue", "apply", CATALOGUE)
    done = recsys(*arguments)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.sentence


def test_an_override_that_nobody_gave_cannot_be_withdrawn(recsys: Recsys) -> None:
    done = recsys("overrides", "withdraw", "nothing", "--reason", "because")
    assert (done.code, "no override is called" in done.sentence) == (1, True)
