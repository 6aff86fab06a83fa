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
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

from recsys.catalogue import BANK_CATALOGUE
from recsys.keys import Keys, Scope
from serving.bootstrap import compose
from serving.offer import apply_catalogue
from serving.settings import Settings
from tests.benchmarks.peers import python_of

REQUIREMENTS = ("schemathesis==4.32.5",)
EXAMPLES = os.environ.get("EXAMPLES", "50")
PORT = 8127


def main() -> None:
    """Print what Schemathesis says; its exit status is this command's."""
    tool = python_of(REQUIREMENTS).with_name("st")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        secret = _prepared(home)
        environment = os.environ | {"RECSYS_HOME": str(home)}
        with (Path(folder) / "serve.log").open("wb") as said:
            command = [sys.executable, "-m", "serving.cli", "serve", "--port", str(PORT)]
            server = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        try:
            _ready(server)
            told = subprocess.run(
                [tool, "run", f"http://127.0.0.1:{PORT}/openapi.json", "-H", f"Authorization: Bearer {secret}",
                 "--max-examples", EXAMPLES, "--seed", "1", "--phases", "examples,coverage,fuzzing",
                 "--exclude-checks", "positive_data_acceptance"],
                check=False, cwd=folder,
            )  # fmt: skip
        finally:
            server.terminate()
            server.wait()
    if told.returncode:
        sys.exit(told.returncode)


def _prepared(home: Path) -> str:
    """A home with the bank's catalogue; the secret of a key that may do everything."""
    installed = compose(Settings(home=home))
    apply_catalogue(installed.settings.artefacts, text=BANK_CATALOGUE.read_text(encoding="utf-8"), where="catalogue")
    secret = Keys(installed.database).create("tester", scopes=list(Scope))
    installed.database.close()
    return secret


def _ready(server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=1):
            return
        time.sleep(0.2)
    sys.exit("the service did not start")


if __name__ == "__main__":
    main()
