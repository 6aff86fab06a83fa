"""`recsys rules publish`: packs come into force together and without a restart, or not at all."""

from __future__ import annotations

from pathlib import Path

from recsys import artefacts
from serving.offer import RULES
from serving.settings import Settings
from tests.conftest import Recsys
from tests.service import App, apply_products, running

PACK = Settings().rules[0]


def stricter(tmp_path: Path) -> Path:
    """The pack with another version."""
    text = PACK.read_text()
    line = next(line for line in text.splitlines() if line.startswith("version"))
    changed = tmp_path / PACK.name
    changed.write_text(text.replace(line, 'version = "2026.99"', 1))
    return changed


def digest_in_use(app: App) -> str:
    app.tell()
    return str(app.receipt(app.recommend(surface="savings")["decision_id"])["versions"]["rule_pack"])


def test_a_pack_that_was_published_holds_from_the_next_look_and_after_a_restart(
    recsys: Recsys, home: Path, tmp_path: Path
) -> None:
    with running(home) as app:
        before = digest_in_use(app)
        done = recsys("rules", "publish", stricter(tmp_path), "--reason", "a new year")
        assert done.code == 0, done.err
        assert "2026.99" in done.out
        app.service.refresh()
        after = digest_in_use(app)
        assert after != before
        assert any("a new year" in line.subject for line in app.service.trail.read())
    with running(home) as again:
        assert digest_in_use(again) == after


def test_a_pack_that_is_wrong_changes_nothing(recsys: Recsys, home: Path, tmp_path: Path) -> None:
    apply_products(home)
    broken = tmp_path / "gb.toml"
    broken.write_text(PACK.read_text()[:2_000])
    done = recsys("rules", "publish", broken, "--reason", "a slip")
    assert done.code == 2
    assert "gb.toml" in done.sentence
    twice = recsys("rules", "publish", PACK, PACK, "--reason", "a slip")
    assert (twice.code, "2 times" in twice.sentence) == (2, True)
    assert artefacts.pointed(Settings(home=home).artefacts, RULES) is None


def test_a_damaged_publication_leaves_the_pack_in_force(recsys: Recsys, home: Path, tmp_path: Path) -> None:
    with running(home) as app:
        before = digest_in_use(app)
        recsys("rules", "publish", stricter(tmp_path), "--reason", "a new year")
        [published] = (home / "artefacts" / RULES).glob("*/gb.toml")
        published.write_text("")
        app.service.refresh()
        assert digest_in_use(app) == before
        assert app.metric("recsys_artefact_refusals") >= 1
