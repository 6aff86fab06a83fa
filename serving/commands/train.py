"""`recsys train`: train and publish embeddings from the log, or try an encoder on a file of interactions."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import cast

import click

from embeddings.bundle import opened
from embeddings.bundling import FAMILIES
from embeddings.fitting import Epoch
from embeddings.protocols import ENCODERS, Judged, Protocol, family_of, judge, split_of
from recsys import features
from recsys.artefacts import canonical
from recsys.errors import Misuse
from recsys.tracking import Parameter, Tracker, UsingDataset
from serving import settings
from serving.bootstrap import compose
from serving.bundle_shift import shift_of
from serving.commands.moments import MOMENT
from serving.datasets import dataset
from serving.nightly import train
from serving.tracked import tracker_of

_SHOWN = ("hr", "recall", "ndcg")
_HELP = f"from the log: {', '.join(FAMILIES)} [two-tower]; from a file: {', '.join(ENCODERS)} [blend]"


@click.command
@click.option(
    "--encoder",
    default=None,
    help=_HELP,
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--until", type=MOMENT, help="learn from what was recorded before then, however the log goes on")
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
@click.option("--dataset", "asked", help="train on a dataset (recsys dataset create) instead of the log as it is now")
@click.option(
    "--interactions",
    type=click.Path(path_type=Path),
    help="a file of `user item` lines in order (or `user item time`), or a pair of LightGCN's",
)
@click.option(
    "--protocol", type=click.Choice(["leave-one-out", "given-split"]), default="leave-one-out", show_default=True
)
@click.option(
    "--test", type=click.Path(path_type=Path), help="the test file of a given split [test.txt beside the other]"
)
@click.option(
    "--seen",
    type=click.Choice(["auto", "keep", "drop"]),
    default="auto",
    show_default=True,
    help="whether what is in a history may be proposed again; auto asks the data",
)
@click.option(
    "--threads", type=click.IntRange(min=1), default=1, show_default=True, help="more are faster, and round otherwise"
)
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), help="written after each pass; the same command goes on from it"
)
def command(
    encoder: str | None,
    *,
    seed: int,
    until: datetime | None,
    as_json: bool,
    asked: str | None,
    interactions: Path | None,
    protocol: str,
    test: Path | None,
    seen: str,
    threads: int,
    checkpoint: Path | None,
) -> None:
    """Train on taps and openings as the log froze them; publish if the gate opens.

    With --interactions an encoder is fitted to a file and judged by a published protocol, ranking the whole catalogue;
    nothing is published. The default blends popularity, transition counts, EASE, the graph filter and the
    sequential network by what came just before the test.
    """
    installed = settings.load()
    tracker = tracker_of(installed)
    if interactions is not None:
        if asked is not None:
            raise Misuse("--dataset is a part of the log, and --interactions another file: name one of them")
        name = cast(Protocol, protocol)
        found = _tried(
            interactions, encoder=encoder or "blend", protocol=name, test=test, seen=seen, seed=seed,
            threads=threads, checkpoint=checkpoint, tracker=tracker,
        )  # fmt: skip
        click.echo(json.dumps(_told(found)) if as_json else _table(found))
        return
    if test is not None or seen != "auto" or protocol != "leave-one-out":
        raise Misuse("--test, --seen and --protocol belong to --interactions FILE")
    if asked is not None and until is not None:
        raise Misuse("a dataset ends where it was cut: leave --until out")
    home = compose(installed)
    made = None if asked is None else dataset(installed.artefacts, asked)
    published = train(
        home,
        tracker=tracker if made is None else UsingDataset(tracker, made.tracked),
        interactions=None if made is None else made.interactions(among=home.offers.current.catalogue.ids),
        seed=seed,
        until=until,
        family=encoder or "two-tower",
        checkpoint=checkpoint,
        progress=_tell,
    )
    manifest = dict(published.manifest)
    home.live.refresh()
    shift = shift_of(home, opened(published, features_version=features.VERSION))
    if as_json:
        click.echo(json.dumps({"digest": published.digest, "manifest": manifest, "shift": asdict(shift)}))
    else:
        click.echo(f"bundle {published.digest[:12]} goes into force with the learner's next snapshots: {shift}")


def _tried(
    path: Path,
    *,
    encoder: str,
    protocol: Protocol,
    test: Path | None,
    seen: str,
    seed: int,
    threads: int,
    checkpoint: Path | None,
    tracker: Tracker,
) -> Judged:
    split = split_of(path, protocol=protocol, test=test)
    family = family_of(encoder, protocol=protocol)
    parameters: dict[str, Parameter] = {
        "encoder": encoder,
        "protocol": protocol,
        "seed": seed,
        "data": split.train.digest,
    }
    with tracker.run(encoder, experiment="protocols", parameters=parameters) as run:
        number = 0

        def tell(name: str, epoch: Epoch) -> None:
            nonlocal number
            number += 1
            run.record({"ndcg_at_10_validation": epoch.quality}, step=number)
            _tell(epoch)

        found = judge(
            split,
            family=family,
            protocol=protocol,
            seed=seed,
            seen=seen,
            progress=tell,
            checkpoint=checkpoint,
            threads=threads,
        )
        run.record(found.metrics())
        run.file("judged.json", canonical(_told(found)))
    return found


def _tell(epoch: Epoch) -> None:
    loss = "" if math.isnan(epoch.loss) else f"loss {epoch.loss:.3f}, "
    click.echo(f"epoch {epoch.number}: {loss}recall {epoch.recall:.3f} ({epoch.seconds:.1f} s)", err=True)


def _told(found: Judged) -> dict[str, object]:
    return {
        "encoder": found.encoder,
        "protocol": found.protocol,
        "seen": found.seen,
        "data": found.data,
        **found.shape,
        "chosen": dict(found.chosen),
        "metrics": found.metrics(),
    }


def _table(found: Judged) -> str:
    metrics = found.metrics()
    shape = ", ".join(f"{count:,} {what}" for what, count in found.shape.items())
    repeats = "proposed" if found.seen == "keep" else "not proposed"
    lines = [f"{found.encoder}, {found.protocol}, {shape}; repeats are {repeats}"]
    lines.append(f"{'':>8}" + "".join(f"{f'@{k}':>9}" for k in (5, 10, 20)))
    lines += [f"{what:>8}" + "".join(f"{metrics[f'{what}_at_{k}']:>9.4f}" for k in (5, 10, 20)) for what in _SHOWN]
    lines.append(f"{'mrr':>8}{metrics['mrr']:>9.4f}")
    lines.append(
        f"coverage {metrics['coverage']:.3f}, novelty {metrics['novelty']:.2f} bits, "
        f"popularity bias {metrics['popularity_bias']:.2f}, {int(metrics['customers']):,} customers judged"
    )
    lines.append("chosen: " + ", ".join(f"{name} {value:g}" for name, value in found.chosen.items()))
    return "\n".join(lines)
