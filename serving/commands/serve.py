"""`recsys serve`: the API, by one process or several, alone or with the learner and the encoder beside it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence

import click
import uvicorn
from prometheus_client.multiprocess import mark_process_dead

from recsys.database import Database
from recsys.errors import Conflict, InvalidConfiguration
from recsys.keys import Keys, Scope
from serving import settings
from serving.app import create_app
from serving.bootstrap import Installation, compose, patiently
from serving.bootstrap import serve as composed
from serving.leading import FOLLOWS_PARENT, Stop, calm_the_collector, orphaned
from serving.one_write import OneWrite
from serving.security import Gate
from serving.seen_keys import SEEN, SeenKeys
from serving.settings import LOOPBACK, Settings

CONSOLE = "console"  # the key whose sessions one-time links open; its secret is never shown
LISTENING = "RECSYS_LISTENING"  # a worker's number and the socket it inherits, as "0:7"
METRICS_OF_ALL = "PROMETHEUS_MULTIPROC_DIR"  # where the workers of one port add up what they count
_GRACE_SECONDS = 10
_SETTLED_SECONDS = 3
_SWITCH_SECONDS = 0.0005  # the writing thread asks for the interpreter often; waiting 5 ms each time adds up


@click.command
@click.option("--host", help="where to listen (default 127.0.0.1)")
@click.option("--port", type=click.IntRange(0, 65535), help="default 8080; 0 chooses a free one")
@click.option("--workers", type=click.IntRange(1, 64), help="processes that answer, on one port (default 1)")
@click.option("--all", "everything", is_flag=True, help="the learner and the encoder too, on this machine")
def command(host: str | None, port: int | None, workers: int | None, *, everything: bool) -> None:
    """Serve the API over what is in RECSYS_HOME, also where that is empty."""
    given = {"host": host, "port": port, "workers": workers}
    chosen = settings.load(**{name: value for name, value in given.items() if value is not None})
    inherited = os.environ.get(LISTENING)
    if inherited is not None:
        number, handle = inherited.split(":")
        _serve(chosen, listening=socket.socket(fileno=int(handle)), first=number == "0")
    elif everything or chosen.workers > 1:
        _supervise(chosen, beside=("learn", "encode") if everything else ())
    else:
        _serve(chosen, listening=None, first=True)


def _serve(chosen: Settings, *, listening: socket.socket | None, first: bool) -> None:
    """One worker; the first of several speaks for all."""
    home = compose(chosen, opened=patiently)
    if chosen.host not in LOOPBACK and not _a_key_exists(home):
        raise InvalidConfiguration(
            f"refusing to listen on {chosen.host} before a key exists: "
            "run `recsys keys create --name NAME --scope recommend`"
        )
    service = composed(home)
    listening = listening or _listen(chosen)
    url = f"http://{chosen.host}:{listening.getsockname()[1]}"
    if first:
        click.echo(f"recsys serves {url} (API description: {url}/docs)", err=True)
    if first and chosen.host in LOOPBACK and home.database.ready:
        click.echo(
            f"dashboard, signed in once: {url}/sign-in/{one_time(service.gate, service.home.database)}", err=True
        )
    sys.setswitchinterval(_SWITCH_SECONDS)
    calm_the_collector()
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(service),
            loop="uvloop",
            http=OneWrite,
            ws="none",  # no route speaks it: whoever asks for it is answered as by plain HTTP
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


def _supervise(chosen: Settings, *, beside: Sequence[str]) -> None:
    """Start the workers on one socket, and what runs beside them; when we are told to stop, end them all.

    A process that ends after it had run for a while is started again; one that ends at once ends everything.
    """
    listening = _listen(chosen)
    environment = os.environ | {FOLLOWS_PARENT: str(os.getpid()), "RECSYS_HOST": chosen.host}
    with tempfile.TemporaryDirectory(prefix="recsys-metrics-") as shared:
        if chosen.workers > 1:
            environment[METRICS_OF_ALL] = shared
        commands = {f"serve {n}": ("serve", {LISTENING: f"{n}:{listening.fileno()}"}) for n in range(chosen.workers)}
        commands |= {name: (name, {}) for name in beside}
        children = {name: _Started(*what, environment, handle=listening.fileno()) for name, what in commands.items()}
        stop = Stop()
        try:
            while not stop():
                for name, child in children.items():
                    if (code := child.process.poll()) is None:
                        continue
                    if child.lived < _SETTLED_SECONDS:
                        raise InvalidConfiguration(f"`recsys {name}` ended (exit {code}); its message is above")
                    click.echo(f"`recsys {name}` ended (exit {code}) and is started again", err=True)
                    mark_process_dead(child.process.pid, path=shared)  # type: ignore[no-untyped-call]
                    children[name] = _Started(*commands[name], environment, handle=listening.fileno())
                time.sleep(0.2)
        finally:
            for child in children.values():
                child.process.send_signal(signal.SIGTERM)
            for child in children.values():
                try:
                    child.process.wait(_GRACE_SECONDS + 5)
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()


class _Started:
    """One process of ours, and when it began."""

    def __init__(self, command: str, own: Mapping[str, str], environment: Mapping[str, str], *, handle: int) -> None:
        self._began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "serving.cli", command], env={**environment, **own}, pass_fds=[handle]
        )

    @property
    def lived(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began


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
    """A link's token; its key may read pages and receipts and steer experiments, and nobody knows its secret."""
    with contextlib.suppress(Conflict):
        Keys(database).create(CONSOLE, scopes=[Scope.ANALYSE, Scope.AUDIT, Scope.STEER])
    return gate.one_time_link(CONSOLE)


def _end_with_parent(server: uvicorn.Server) -> None:
    while not orphaned():
        time.sleep(0.5)
    server.should_exit = True
