"""The loop every network is taught by: passes, early stopping, a rate that falls, and waking up after a kill.

It yields after each pass, so that the caller prints, records or stops. What one pass is, and what is good,
a `Pupil` says. Every pass draws its dice anew from the seed and its own number, so that a training that
was killed and resumed from its checkpoint ends in the same bytes as one that was not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from embeddings.together import ALONE, Together
from recsys.errors import Corrupt, InvalidConfiguration

Weights: TypeAlias = Mapping[str, NDArray[Any]]
Precision: TypeAlias = Literal["auto", "float32", "bf16"]
Part = TypeVar("Part", bound=Callable[..., Any])


class Validated(NamedTuple):
    """What the later rows say after a pass."""

    loss: float  # nats, whole catalogue
    recall: float  # @k
    quality: float  # what early stopping watches, higher is better


@dataclass(frozen=True, slots=True, eq=False)
class Epoch:
    """One pass over the data. `weights` is there when this is the best epoch so far."""

    number: int  # 1-based
    loss: float  # mean over the pass, nats; NaN for what is solved in closed form
    validation_loss: float  # whole catalogue, later rows, nats
    recall: float  # @k on the later rows
    seconds: float
    weights: Weights | None
    quality: float = float("nan")  # what early stopping watched
    learning_rate: float = float("nan")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast."""

    epochs: int  # an upper bound; patience usually ends sooner
    patience: int  # epochs without a better quality before the rate falls, or, at the last rate, before stopping
    learning_rate: float
    weight_decay: float = 0.0
    falls: int = 0  # how often the rate falls to a third before patience ends the training
    warm_up: int = 0  # steps over which the rate rises from nothing
    clip: float = float("inf")  # of the gradient's norm
    threads: int = 1  # bytes must not depend on the number of cores

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience, self.threads) < 1 or min(self.falls, self.warm_up) < 0:
            raise InvalidConfiguration("training: epochs, patience and threads must be at least 1")
        if not (self.learning_rate > 0 and self.clip > 0):
            raise InvalidConfiguration("training: learning_rate and clip must be positive")


class Pupil(Protocol):
    """A network with its data: what one pass and one examination are."""

    @property
    def network(self) -> nn.Module:
        """What is taught."""

    def losses(self, dice: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
        """One pass: the mean loss of each batch, to be differentiated, and its number of rows."""

    def validated(self) -> Validated:
        """Quality on the later rows."""


def fit(
    pupil: Pupil,
    *,
    schedule: Schedule,
    seed: int,
    checkpoint: Path | None = None,
    key: str = "",
    together: Together = ALONE,
) -> Iterator[Epoch]:
    """Yield an `Epoch` after each pass until the later rows stop improving.

    `checkpoint` is written after each pass (whole or not at all) and read at the start: a training of the same
    `key` (data, configuration) and seed yields its best epoch once more and goes on with the passes that are left.
    `together` are those who teach the same network, each with its own share of every batch of the pupil's.

    Raises:
        Corrupt: a checkpoint that cannot be read; delete it to begin anew.
        InvalidConfiguration: a checkpoint of another training.
    """
    network = pupil.network
    fused = next(network.parameters()).device.type in {"cpu", "cuda"}
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay, fused=fused
    )
    state = _State()
    if checkpoint is not None and checkpoint.is_file():
        state = _read(checkpoint, key=f"{key}/{seed}", network=network, optimiser=optimiser)
        if state.best is not None:
            yield state.best
    while state.number < schedule.epochs and not state.over(schedule):
        state.number += 1
        started = time.perf_counter()
        with limited_threads(schedule.threads), own_dice(seed, number=state.number) as dice:
            loss = _one_pass(pupil, optimiser, schedule=schedule, state=state, dice=dice, together=together)
            network.eval()
            validated = pupil.validated()
        better = validated.quality > (float("-inf") if state.best is None else state.best.quality)  # never NaN
        epoch = Epoch(
            state.number,
            loss,
            validated.loss,
            validated.recall,
            time.perf_counter() - started,
            weights_of(network) if better else None,
            validated.quality,
            schedule.learning_rate / 3**state.fallen,
        )
        state.heed(epoch, schedule=schedule)
        if checkpoint is not None:
            _write(checkpoint, key=f"{key}/{seed}", network=network, optimiser=optimiser, state=state)
        yield epoch


@dataclass(slots=True)
class _State:
    number: int = 0
    steps: int = 0
    waited: int = 0
    fallen: int = 0
    best: Epoch | None = None

    def heed(self, epoch: Epoch, *, schedule: Schedule) -> None:
        """Note a pass: the best so far, or one more in vain, after enough of which the rate falls."""
        if epoch.weights is not None:
            self.best, self.waited = epoch, 0
            return
        self.waited += 1
        if self.waited >= schedule.patience and self.fallen < schedule.falls:
            self.fallen, self.waited = self.fallen + 1, 0

    def over(self, schedule: Schedule) -> bool:
        return self.waited >= schedule.patience and self.fallen >= schedule.falls


def _one_pass(
    pupil: Pupil,
    optimiser: torch.optim.Optimizer,
    *,
    schedule: Schedule,
    state: _State,
    dice: np.random.Generator,
    together: Together,
) -> float:
    pupil.network.train()
    total, n_rows = 0.0, 0
    for loss, n in pupil.losses(dice):
        state.steps += 1
        risen = min(1.0, state.steps / max(schedule.warm_up, 1))
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate / 3**state.fallen * risen
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        together.combine(pupil.network.parameters(), n=n)
        if schedule.clip < float("inf"):
            nn.utils.clip_grad_norm_(pupil.network.parameters(), schedule.clip)
        optimiser.step()
        total, n_rows = total + float(loss.detach()) * n, n_rows + n
    total, n_all = together.total(total, n_rows)
    return total / max(n_all, 1)


def weights_of(network: nn.Module) -> Weights:
    """A copy of the network's arrays by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def put_weights(network: nn.Module, weights: Weights) -> None:
    """Let the network have these arrays; raises `Corrupt` where they do not fit."""
    try:
        network.load_state_dict({name: torch.tensor(array) for name, array in weights.items()})
    except (RuntimeError, TypeError) as error:
        raise Corrupt("the weights do not fit the network") from error


def best_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def reduced(precision: Precision, *, device: torch.device) -> torch.autocast:
    """A context in which matrix products are bfloat16: on a GPU by default, elsewhere where asked for."""
    wanted = precision == "bf16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted)


def compiled(part: Part, *, backend: str, device: torch.device) -> Part:
    """A network, or a method of one, through torch.compile; "auto" is "inductor" on a GPU, and nothing elsewhere."""
    chosen = {"auto": "inductor" if device.type == "cuda" else ""}.get(backend, backend)
    return cast(Part, torch.compile(part, backend=chosen, dynamic=True)) if chosen else part


@contextmanager
def own_dice(seed: int, *, number: int) -> Iterator[np.random.Generator]:
    """Dice of one pass, for numpy and for torch inside; torch's own go on afterwards as if nothing had been."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        dice = np.random.default_rng([seed, number])
        torch.manual_seed(int(dice.integers(2**62)))
        yield dice


@contextmanager
def limited_threads(n: int) -> Iterator[None]:
    """Let torch use `n` threads inside, and what it used before again after."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _write(path: Path, *, key: str, network: nn.Module, optimiser: torch.optim.Optimizer, state: _State) -> None:
    content: dict[str, object] = {
        "key": key,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "state": [state.number, state.steps, state.waited, state.fallen],
    }
    if (best := state.best) is not None and best.weights is not None:
        content["best"] = [best.number, best.loss, best.validation_loss, best.recall, best.seconds, best.quality]
        content["rate"] = best.learning_rate
        content["weights"] = {name: torch.tensor(array) for name, array in best.weights.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f"{path.name}.{os.getpid()}.half")
    torch.save(content, half)
    half.replace(path)


def _read(path: Path, *, key: str, network: nn.Module, optimiser: torch.optim.Optimizer) -> _State:
    try:
        content = torch.load(path, weights_only=True)
        found, (number, steps, waited, fallen) = content["key"], content["state"]
    except (RuntimeError, OSError, KeyError, TypeError, ValueError, EOFError, UnpicklingError) as error:
        raise Corrupt(f"checkpoint {path.name} cannot be read; delete it to begin anew") from error
    if found != key:
        raise InvalidConfiguration(f"checkpoint {path.name} is of another training; delete it to begin anew")
    network.load_state_dict(content["network"])
    optimiser.load_state_dict(content["optimiser"])
    best = None
    if "best" in content:
        at, loss, validation_loss, recall, seconds, quality = content["best"]
        weights = {name: tensor.numpy() for name, tensor in content["weights"].items()}
        best = Epoch(int(at), loss, validation_loss, recall, seconds, weights, quality, content["rate"])
    return _State(number, steps, waited, fallen, best)
