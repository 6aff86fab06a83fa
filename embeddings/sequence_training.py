"""Teach the sequential network: windows of histories, batches without padding, a softmax over a sample.

Where the time goes, and what is done about it: windows of like length share a batch of equally many events,
so that hardly any place is padding; every event but the first of a window is a target; attention is fused;
logits against a shared sample live in the cache (`losses.shared_softmax`). No Python runs per row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from embeddings.fitting import Epoch, Precision, Schedule, Validated, best_device, compiled, fit, reduced
from embeddings.histories import Histories, Rows
from embeddings.losses import shared_softmax
from embeddings.ranking import Wanted, ranked
from embeddings.sequential import GAPS, Sequential, SequentialConfig
from recsys.artefacts import canonical, digest_of
from recsys.errors import InvalidConfiguration, InvalidTable
from recsys.vocabulary import Floats, Vector

_ENCODED = 32_768  # events encoded at once
_JUDGED = 2048  # customers who decide when to stop, evenly spread


@dataclass(frozen=True, slots=True)
class SequenceConfig:
    """How the network is taught; each default with its reason."""

    network: SequentialConfig = field(default_factory=SequentialConfig)
    epochs: int = 60
    patience: int = 3  # epochs without a better NDCG@10 before the rate falls, twice, and then the end
    falls: int = 2
    learning_rate: float = 3e-3
    warm_up: int = 100  # steps
    weight_decay: float = 0.0
    clip: float = 5.0
    tokens: int = 2048  # events a batch: smaller ones learn more from an epoch, larger ones waste less of the machine
    sampled: int = 512  # products of the shared sample; a catalogue no larger than `full_up_to` is the sample itself
    full_up_to: int = 1024
    smoothing: float = 0.5  # power of the counts that half of the sample is drawn by; the other half is drawn evenly
    threads: int = 1  # bytes must not depend on the number of cores
    precision: Precision = "auto"  # bfloat16 products on a GPU
    compiled: str = "auto"  # back end of torch.compile: "inductor" on a GPU, "" for none

    def __post_init__(self) -> None:
        if min(self.tokens, self.sampled) < 1 or not 0 <= self.smoothing <= 1:
            raise InvalidConfiguration("training: tokens and sampled must be at least 1, smoothing within [0, 1]")
        if self.tokens < self.network.length:
            raise InvalidConfiguration("training: a batch must hold at least one window (tokens ≥ length)")


def train_sequences(
    learn: Histories,
    *,
    later: tuple[Histories, Wanted],
    seed: int,
    config: SequenceConfig | None = None,
    seen: str = "keep",
    checkpoint: Path | None = None,
    start: Sequential | None = None,
) -> Iterator[Epoch]:
    """Yield an `Epoch` after each pass until NDCG@10 of `later` (histories, what was wanted) stops improving.

    Deterministic on a CPU, and resumable (`fitting.fit`). `start` goes on from a taught network.

    Raises:
        InvalidTable: nobody did two things, one of them a product, so there is nothing that follows.
        Corrupt, InvalidConfiguration: a checkpoint that cannot be read, or is of another training.
    """
    config = config or SequenceConfig()
    pupil = _Pupil(learn, later=later, config=config, seen=seen, network=start or network_of(learn, config, seed=seed))
    schedule = Schedule(
        config.epochs,
        config.patience,
        config.learning_rate,
        weight_decay=config.weight_decay,
        falls=config.falls,
        warm_up=config.warm_up,
        clip=config.clip,
        threads=config.threads,
    )
    key = digest_of(canonical([learn.digest, asdict(config)]))
    return fit(pupil, schedule=schedule, seed=seed, checkpoint=checkpoint, key=key)


def network_of(data: Histories, config: SequenceConfig, *, seed: int) -> Sequential:
    """A network that knows nothing yet but how popular each product is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Sequential(config.network, n_subjects=len(data.subjects), n_products=data.n_products)
    logs = np.log(data.product_counts + 1.0)
    with torch.no_grad():
        network.bias.copy_(torch.tensor(logs - logs.mean()))
    return network


class _Pupil:
    """The network with the histories it learns from."""

    def __init__(
        self,
        learn: Histories,
        *,
        later: tuple[Histories, Wanted],
        config: SequenceConfig,
        seen: str,
        network: Sequential,
    ) -> None:
        follows = np.ones(learn.n_events, dtype=np.bool_)
        follows[learn.starts[:-1][learn.lengths > 0]] = False
        self._asked = follows & (learn.subject_rows < learn.n_products)  # (N,) events that are targets
        if not self._asked.any():
            raise InvalidTable("nobody chose a product after doing something; bring longer histories", where="training")
        device = best_device()
        self.network = network.to(device)
        self._learn, self._config, self._seen, self._device = learn, config, seen, device
        self._subjects = learn.subject_rows.astype(np.int64)
        self._gaps = gaps_of(learn)
        self._later, self._wanted = _judges(later)
        self._counts = learn.product_counts
        self._chances = _chances(self._counts, smoothing=config.smoothing)
        self._forward = compiled(network, backend=config.compiled, device=device)

    def losses(self, dice: np.random.Generator) -> Iterator[tuple[Tensor, int]]:
        windows = windows_of(self._learn, length=self._config.network.length, dice=dice)
        for batch in batched(windows, tokens=self._config.tokens, dice=dice):
            places = np.arange(batch[:, 1].max())  # (L,)
            events = np.minimum(batch[:, :1] + places, self._learn.n_events - 2)  # (B, L)
            inside = places < batch[:, 1:]
            asked = inside & self._asked[events + 1]  # (B, L)
            if not (n := int(asked.sum())):
                continue
            sampled, log_q = self._sample(dice)
            with reduced(self._config.precision, device=self._device):
                gaps = None if self._gaps is None else self._put(np.where(inside, self._gaps[events], 0))
                hidden = self._forward(self._put(np.where(inside, self._subjects[events] + 1, 0)), gaps=gaps)
                hidden = hidden[self._put(asked)].float()  # (N, D)
            yield (
                shared_softmax(
                    torch.cat([hidden, hidden.new_ones(n, 1)], dim=1),
                    products=self.network.products,
                    targets=self._put(self._subjects[events + 1][asked]),
                    sampled=sampled,
                    log_q=log_q,
                ),
                n,
            )

    def validated(self) -> Validated:
        def scores(histories: Histories) -> Vector:
            return preferences(self.network, histories)

        found = ranked(scores, histories=self._later, wanted=self._wanted, counts=self._counts, k=10, seen=self._seen)
        quality = float(found.ndcg(10).mean())
        return Validated(self._loss(), float(found.hit_rate(10).mean()), quality)

    def _loss(self) -> float:
        """Mean −log P of the first product each wanted, over the whole catalogue."""
        some = np.flatnonzero(self._wanted.lengths > 0)[:1024]
        logits = torch.from_numpy(preferences(self.network, self._later.only(some)))
        targets = torch.from_numpy(self._wanted.product_rows[self._wanted.starts[some]])
        return float(torch.nn.functional.cross_entropy(logits, targets))

    def _sample(self, dice: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Distinct product rows (K,) and the log probability of each to be among them."""
        n_products = len(self._chances)
        if n_products <= max(self._config.full_up_to, self._config.sampled):
            return self._put(np.arange(n_products)), self._put(np.zeros(n_products, dtype=np.float32))
        draws = self._config.sampled
        rows = np.unique(np.searchsorted(np.cumsum(self._chances), dice.random(draws)).clip(max=n_products - 1))
        log_q = np.log(-np.expm1(draws * np.log1p(-self._chances[rows])))
        return self._put(rows), self._put(log_q.astype(np.float32))

    def _put(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def windows_of(data: Histories, *, length: int, dice: np.random.Generator) -> Rows:
    """(w, 2) first event and number of inputs of each window: a history's events but the last, cut at random.

    A history no longer than `length` is one window. Every event that has a successor is in exactly one.
    """
    inputs = np.maximum(data.lengths - 1, 0)  # (U,)
    head = np.where(inputs > length, dice.integers(1, length + 1, size=len(inputs)), inputs)
    n_rest = -(-(inputs - head) // length)  # (U,) windows after the first
    owner = np.repeat(np.arange(len(inputs)), n_rest)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(n_rest) - n_rest, n_rest)
    done = head[owner] + number * length
    rest = np.stack([data.starts[owner] + done, np.minimum(length, inputs[owner] - done)], axis=1)
    first = np.stack([data.starts[:-1], head], axis=1)[head > 0]
    return np.concatenate([first, rest])


def batched(windows: Rows, *, tokens: int, dice: np.random.Generator) -> Iterator[Rows]:
    """Windows of like length together, about `tokens` inputs in each batch, the batches in random order."""
    windows = windows[np.lexsort((dice.random(len(windows)), -windows[:, 1]))]  # the longest first
    cuts = [0]
    while cuts[-1] < len(windows):
        cuts.append(min(len(windows), cuts[-1] + max(1, tokens // int(windows[cuts[-1], 1]))))
    return (windows[cuts[place] : cuts[place + 1]] for place in dice.permutation(len(cuts) - 1).tolist())


def preferences(network: Sequential, histories: Histories) -> Vector:
    """(b, P) float32: what the network expects each customer to choose next; popularity for who did nothing."""
    hidden = hidden_of(network, histories)  # (b, D)
    products = network.products.detach().float().cpu().numpy()
    found: Vector = hidden @ products[:, :-1].T + products[:, -1]
    return found


def hidden_of(network: Sequential, histories: Histories) -> Vector:
    """(b, D) float32: the state after each customer's last event, zeros for who did nothing."""
    recent = histories.recent(network.config.length)
    lengths, gaps = recent.lengths, gaps_of(recent)
    found = np.zeros((len(recent), network.config.dim), dtype=np.float32)
    order = np.argsort(-lengths, kind="stable")[: int((lengths > 0).sum())]  # the longest first, nobody without events
    device = next(network.parameters()).device
    was_training = network.training
    network.eval()
    start = 0
    with torch.inference_mode():
        while start < len(order):
            width = int(lengths[order[start]])
            rows = order[start : start + max(1, _ENCODED // width)]
            events = np.minimum(recent.starts[rows][:, None] + np.arange(width), recent.n_events - 1)  # (b, L)
            inside = np.arange(width) < lengths[rows][:, None]
            put = [np.where(inside, recent.subject_rows[events].astype(np.int64) + 1, 0)]
            put += [] if gaps is None else [np.where(inside, gaps[events], 0)]
            tensors = [torch.from_numpy(each).to(device) for each in put]
            hidden = network(tensors[0], gaps=tensors[1] if gaps is not None else None)
            last = torch.from_numpy(lengths[rows] - 1).to(device)
            found[rows] = hidden[torch.arange(len(rows), device=device), last].float().cpu().numpy()
            start += len(rows)
    network.train(was_training)
    return found


def gaps_of(data: Histories) -> Rows | None:
    """(N,) bucket of the time since the customer's event before, 0 for the first; None where times are unknown."""
    if not data.timed:
        return None
    seconds = np.diff(data.happened_at, prepend=data.happened_at[:1]) / 1e6  # (N,)
    buckets = 1 + np.log2(np.maximum(seconds, 1.0)).astype(np.int64).clip(max=GAPS - 2)
    buckets[data.starts[:-1][data.lengths > 0]] = 0
    return buckets


def _chances(counts: Rows, *, smoothing: float) -> Floats:
    """(P,) of each product in one draw of the shared sample."""
    lifted = (counts + 1.0) ** smoothing
    return np.asarray(0.5 * lifted / lifted.sum() + 0.5 / len(counts))


def _judges(later: tuple[Histories, Wanted]) -> tuple[Histories, Wanted]:
    """At most `_JUDGED` of those who wanted something."""
    histories, wanted = later
    able = np.flatnonzero(wanted.lengths > 0)
    some = able[np.unique(np.linspace(0, max(len(able) - 1, 0), num=_JUDGED).astype(np.int64))] if len(able) else able
    return histories.only(some), wanted.only(some)
