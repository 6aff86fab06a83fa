"""Keys that callers show: shown once, stored hashed, ended at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from recsys import database as db
from recsys.database import Database
from recsys.errors import Conflict, InvalidConfiguration, NotFound
from recsys.keys import Keys, Scope
from recsys.secrets_of_home import consume_once, home_secret, remember_once
from serving.security import Forbidden, Gate, Unauthorised
from serving.seen_keys import SeenKeys


@pytest.fixture
def keys(database: Database) -> Keys:
    return Keys(database)


def test_a_key_opens_what_its_scopes_say(keys: Keys) -> None:
    assert not keys.exist()
    secret = keys.create("app", scopes=[Scope.RECOMMEND, "analyse"])
    found = keys.check(secret)
    assert found is not None
    assert (found.name, found.scopes, found.state) == ("app", frozenset({"recommend", "analyse"}), "in force")
    assert keys.exist()


def test_the_secret_is_not_kept(keys: Keys, database: Database) -> None:
    secret = keys.create("app", scopes=["recommend"])
    with database.reading() as connection:
        row = connection.execute(select(db.api_keys)).one()
    assert all(secret not in str(value) and secret[3:] not in str(value) for value in row)
    assert secret not in repr(keys.all())


@pytest.mark.parametrize("secret", ["", "rk_", "rk_unknown", "\ud800", "x" * 5_000])
def test_an_unknown_secret_opens_nothing(keys: Keys, secret: str) -> None:
    keys.create("app", scopes=["recommend"])
    assert keys.check(secret) is None


def test_a_revoked_key_stops_at_once_everywhere(keys: Keys, database: Database) -> None:
    elsewhere = Database(database.url.render_as_string())
    secret = keys.create("app", scopes=["recommend"])
    assert Keys(elsewhere).check(secret) is not None
    keys.revoke("app")
    assert Keys(elsewhere).check(secret) is None
    (key,) = Keys(elsewhere).all()
    assert key.state == "revoked"
    keys.revoke("app")
    assert keys.all() == [key]  # when it ended is not rewritten
    elsewhere.close()


def test_one_look_at_a_key_answers_what_had_come_and_nothing_that_comes_later(
    keys: Keys, database: Database, tmp_path: Path
) -> None:
    secret = keys.create("app", scopes=["recommend"])
    gate = Gate(database, seen=SeenKeys(tmp_path / "keys.json"))

    def ask() -> str:
        return gate.caller_at_once(f"Bearer {secret}", scope=Scope.RECOMMEND).name

    async def revoked_meanwhile() -> None:
        assert ask() == "app"
        with pytest.raises(Forbidden):
            gate.caller_at_once(f"Bearer {secret}", scope=Scope.AUDIT)
        keys.revoke("app")
        await asyncio.sleep(0)  # the loop has gone through what was ready
        ask()

    with pytest.raises(Unauthorised):
        asyncio.run(revoked_meanwhile())


def test_an_expired_key_opens_nothing(keys: Keys) -> None:
    secret = keys.create("app", scopes=["recommend"], expires_in=timedelta(0))
    lasting = keys.create("web", scopes=["recommend"], expires_in=timedelta(days=1))
    assert keys.check(secret) is None
    assert keys.check(lasting) is not None
    assert [key.state for key in keys.all()] == ["expired", "in force"]


def test_a_name_is_used_once(keys: Keys) -> None:
    keys.create("app", scopes=["recommend"])
    keys.revoke("app")
    with pytest.raises(Conflict, match="a key named app exists"):
        keys.create("app", scopes=["recommend"])


@pytest.mark.parametrize("name", ["", "App", "a b", "-a", "a" * 81, "a\n"])
def test_a_name_that_is_none_is_refused(keys: Keys, name: str) -> None:
    with pytest.raises(InvalidConfiguration, match="a key's name is"):
        keys.create(name, scopes=["recommend"])


def test_scopes_must_be_known(keys: Keys) -> None:
    with pytest.raises(InvalidConfiguration, match='"root" is no scope: choose from recommend, analyse'):
        keys.create("app", scopes=["recommend", "root"])
    with pytest.raises(InvalidConfiguration, match="a key needs a scope"):
        keys.create("app", scopes=[])
    assert not keys.exist()


def test_revoking_what_is_not_there(keys: Keys) -> None:
    with pytest.raises(NotFound, match="no key is named app"):
        keys.revoke("app")


# -- the secrets an installation makes for itself ----------------------------------------------


def test_every_worker_signs_with_the_same_secret(database: Database) -> None:
    elsewhere = Database(database.url.render_as_string())
    assert home_secret(database) == home_secret(elsewhere)
    assert len(home_secret(database)) == 32
    elsewhere.close()


def test_a_token_opens_once_and_in_time(database: Database) -> None:
    remember_once(database, token="early", key_name="app", until=100)
    remember_once(database, token="late", key_name="app", until=100)
    assert consume_once(database, token="early", now=99) == "app"
    assert consume_once(database, token="early", now=99) is None
    assert consume_once(database, token="late", now=100) is None
    assert consume_once(database, token="\ud800", now=0) is None


def test_a_rotated_key_opens_under_both_secrets_until_the_overlap_ends(keys: Keys, database: Database) -> None:
    old = keys.create("app", scopes=["recommend"])
    new = keys.rotate("app", overlap=timedelta(hours=1))
    assert old != new
    assert [key.name for secret in (old, new) if (key := keys.check(secret)) is not None] == ["app", "app"]
    with database.writing() as connection:
        connection.execute(update(db.former_keys).values(until=0))
    assert keys.check(old) is None
    assert keys.check(new) is not None


def test_a_rotation_without_overlap_ends_the_old_secret_at_once(keys: Keys) -> None:
    old = keys.create("app", scopes=["recommend"])
    keys.rotate("app", overlap=timedelta(0))
    assert keys.check(old) is None


def test_revoking_ends_every_secret_of_a_key(keys: Keys) -> None:
    secrets = [keys.create("app", scopes=["recommend"])]
    secrets += [keys.rotate("app", overlap=timedelta(days=7)) for _ in range(2)]
    assert all(keys.check(secret) for secret in secrets)
    keys.revoke("app")
    assert not any(keys.check(secret) for secret in secrets)
    with pytest.raises(Conflict, match="make a new key"):
        keys.rotate("app", overlap=timedelta(0))
    with pytest.raises(NotFound, match="no key is named web"):
        keys.rotate("web", overlap=timedelta(0))
