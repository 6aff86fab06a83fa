"""Schemathesis against a running service: what the description says, tried with odd and wrong requests.

All checks but one: `positive_data_acceptance` wants every body that fits the schema to be accepted, and a
schema cannot say that a switch ends in the future or that an experiment's control is one of its variants.
Such bodies are refused with the sentence to mend them. EXAMPLES asks for more than 50 a call.
Run: python -m tests.benchmarks.hostile
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from recsys.catalogue import BANK_CATALOGUE
from recsys.keys import Keys, Scope
from serving.bootstrap import compose
from serving.offer import apply_catalogue
from serving.settings import Settings
from tests.benchmarks.peers import python_of
from tests.service import started

REQUIREMENTS = ("schemathesis==4.32.5",)
EXAMPLES = os.environ.get("EXAMPLES", "50")


def main() -> None:
    """Print what Schemathesis says; its exit status is this command's."""
    tool = python_of(REQUIREMENTS).with_name("st")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        secret = _prepared(home)
        with started(home, "serve", "--port", "0") as server:
            told = subprocess.run(
                [tool, "run", f"{server.wait_for_url()}/openapi.json", "-H", f"Authorization: Bearer {secret}",
                 "--max-examples", EXAMPLES, "--seed", "1", "--phases", "examples,coverage,fuzzing",
                 "--exclude-checks", "positive_data_acceptance"],
                check=False, cwd=folder,
            )  # fmt: skip
    if told.returncode:
        sys.exit(told.returncode)


def _prepared(home: Path) -> str:
    """A home with the bank's catalogue; the secret of a key that may do everything."""
    installed = compose(Settings(home=home))
    apply_catalogue(installed.settings.artefacts, text=BANK_CATALOGUE.read_text(encoding="utf-8"), where="catalogue")
    secret = Keys(installed.database).create("tester", scopes=list(Scope))
    installed.database.close()
    return secret


if __name__ == "__main__":
    main()
