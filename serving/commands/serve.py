"""`recsys serve`: the API, alone or with the learner and the encoder beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import click
import uvicorn

from recsys.database import Database
from recsys.errors import Conflict, InvalidConfiguration
from recsys.keys import Keys, Scope
from serving import settings
from serving.app import create_app
from serving.bootstrap import Installation, compose, patiently
from serving.bootstrap import serve as composed
from serving.leading import FOLLOWS_PARENT, Stop, calm_the_collector, orphaned
from serving.security import Gate
from serving.seen_keys import SEEN, SeenKeys
from serving.settings import LOOPBACK, Settings

CONSOLE = "console"  # the key whose sessions one-time links open; its secret is never shown
_GRACE_SECONDS = 10
_SWITCH_SECONDS = 0.0005  # the writing thread asks for the interpreter often; waiting 5 ms each time adds up


@click.command
@click.option("--host", help="where to listen (default 127.0.0.1)")
@click.option("--port", type=click.IntRange(0, 65535), help="default 8080; 0 chooses a free one")
@click.option("--all", "everything", is_flag=True, help="the learner and the encoder too, on this machine")
def command(host: str | None, port: int | None, *, everything: bool) -> None:
    """Serve the API over what is in RECSYS_HOME, also where that is empty."""
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    chosen = settings.load(**given)
    if everything:
        _supervise(chosen)
    else:
        _serve(chosen)


def _serve(chosen: Settings) -> None:
    home = compose(chosen, opened=patiently)
    if chosen.host not in LOOPBACK and not _a_key_exists(home):
        raise InvalidConfiguration(
            f"refusing to listen on {chosen.host} before a key exists: "
            "run `recsys keys create --name NAME --scope recommend`"
        )
    service = composed(home)
    listening = _listen(chosen)
    url = f"http://{chosen.host}:{listening.getsockname()[1]}"
    click.echo(f"recsys serves {url} (API description: {url}/docs)", err=True)
    if chosen.host in LOOPBACK and home.database.ready:
        click.echo(
            f"dashboard, signed in once: {url}/sign-in/{one_time(service.gate, service.home.database)}", err=True
        )
    sys.setswitchinterval(_SWITCH_SECONDS)
    calm_the_collector()
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service),
            loop="uvloop",
            http="httptools",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    if os.environ.get(FOLLOWS_PARENT):
        threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    server.run(sockets=[listening])


def _a_key_exists(home: Installation) -> bool:
    return Keys(home.database).exist() if home.database.ready else len(SeenKeys(home.settings.folder / SEEN)) > 0


def _supervise(chosen: Settings) -> None:
    """Start the three processes; when one ends or we are told to stop, end the others."""
    environment = os.environ | {
        FOLLOWS_PARENT: str(os.getpid()),
        "RECSYS_HOST": chosen.host,
        "RECSYS_PORT": str(chosen.port),
    }
    stop = Stop()
    children = {
        name: subprocess.Popen([sys.executable, "-m", "serving.cli", name], env=environment)
        for name in ("serve", "learn", "encode")
    }
    try:
        while not stop():
            ended = next((name for name, child in children.items() if child.poll() is not None), None)
            if ended is not None:
                code = children[ended].returncode
                raise InvalidConfiguration(f"`recsys {ended}` ended (exit {code}); its message is above")
            time.sleep(0.2)
    finally:
        for child in children.values():
            child.send_signal(signal.SIGTERM)
        for child in children.values():
            try:
                child.wait(_GRACE_SECONDS + 5)
            except subprocess.TimeoutExpired:
                child.kill()


def _listen(chosen: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in chosen.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((chosen.host, chosen.port))
        listening.listen(2048)  # from here on a caller waits instead of being refused
    except OSError as error:
        raise InvalidConfiguration(f"cannot listen on {chosen.host}:{chosen.port}: {error.strerror}") from None
    return listening


def one_time(gate: Gate, database: Database) -> str:
    """A link's token; the key behind it may read the dashboard and receipts, and nobody knows its secret."""
    with contextlib.suppress(Conflict):
        Keys(database).create(CONSOLE, scopes=[Scope.ANALYSE, Scope.AUDIT])
    return gate.one_time_link(CONSOLE)


def _end_with_parent(server: uvicorn.Server) -> None:
    while not orphaned():
        time.sleep(0.5)
    server.should_exit = True
