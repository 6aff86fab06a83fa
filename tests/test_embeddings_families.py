"""Every family finds the planted order, finds nothing in shuffled targets, and gives the same bytes twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from embeddings import families
from embeddings.blending import Blend, weighed
from embeddings.families import Family, Later, SequentialFamily
from embeddings.fitting import Epoch, Schedule, Validated, fit, weights_of
from embeddings.histories import Histories
from embeddings.losses import shared_softmax
from embeddings.ranking import Ranked, Wanted, ranked
from embeddings.sequence_training import (
    SequenceConfig,
    batched,
    network_of,
    preferences,
    train_sequences,
    windows_of,
)
from embeddings.sequential import Sequential, SequentialConfig
from recsys.errors import Corrupt, InvalidConfiguration, InvalidTable
from tests.sequence_worlds import last_out, of_rows, walks

SMALL = SequenceConfig(
    network=SequentialConfig(dim=16, blocks=1, length=16, dropout=0.1), epochs=6, tokens=256, warm_up=10
)


def judged(family: Family, data: Histories, *, seed: int = 1) -> Ranked:
    train, wanted = last_out(data)
    learn, later = last_out(train)
    for _ in family.fit(learn, later=Later(learn, later), seed=seed):
        pass
    family.refit(train, seed=seed)
    return ranked(family.scores, histories=train, wanted=wanted, counts=train.product_counts)


def all_families() -> list[Callable[[], Family]]:
    return [
        families.transitions,
        lambda: SequentialFamily(SMALL),
        lambda: Blend([families.popularity(), families.transitions(), families.ease(), families.graph()]),
    ]


@pytest.mark.parametrize("make", all_families(), ids=["transitions", "sequential", "blend"])
def test_a_planted_order_is_found_far_beyond_popularity(make: Callable[[], Family]) -> None:
    data = walks()
    popular = judged(families.popularity(), data).ndcg(10).mean()
    assert judged(make(), data).ndcg(10).mean() > max(0.6, 2 * popular)


@pytest.mark.parametrize("make", all_families(), ids=["transitions", "sequential", "blend"])
def test_shuffled_targets_score_like_popularity(make: Callable[[], Family]) -> None:
    data = walks(shuffled="yes", customers=1200)
    popular, found = judged(families.popularity(), data).ndcg(10), judged(make(), data).ndcg(10)
    gained = found - popular
    error = gained.std(ddof=1) / np.sqrt(len(gained))
    assert gained.mean() < 3 * error < 0.06  # it cannot be better, by more than chance in 1 of 700 worlds


@pytest.mark.parametrize("make", [families.ease, families.graph], ids=["ease", "graph"])
def test_what_belongs_together_is_found_in_sets(make: Callable[[], Family]) -> None:
    dice = np.random.default_rng(3)
    kinds = dice.integers(0, 4, size=600)
    data = of_rows(np.array([dice.permutation(10)[:6] + 10 * kind for kind in kinds]))
    popular = judged(families.popularity(), data).recall(10).mean()
    assert popular < 0.4
    assert judged(make(), data).recall(10).mean() > 0.95


@pytest.mark.parametrize("make", [families.ease, families.graph, families.transitions], ids=lambda make: make.__name__)
def test_histories_are_left_as_they_were(make: Callable[[], Family]) -> None:
    data = walks(customers=50)
    before = data.digest
    judged(make(), data)
    assert data.digest == before


def test_a_member_that_knows_nothing_gets_no_weight() -> None:
    dice = np.random.default_rng(0)
    wanted = dice.integers(0, 30, size=400)
    knows = dice.normal(size=(400, 30)).astype(np.float32)
    knows[np.arange(400), wanted] += 2.0
    other = dice.normal(size=(400, 30)).astype(np.float32)
    other[np.arange(400), wanted] += 1.5
    noise = (3 * dice.normal(size=(400, 30))).astype(np.float32)
    found = weighed([noise, knows, other], wanted=wanted)
    assert found[0] <= 0.05
    assert found[1] > 0.0
    assert found[2] > 0.0


def test_the_same_seed_gives_the_same_weights_and_a_killed_training_ends_in_them_too(tmp_path: Path) -> None:
    learn, later = last_out(walks(customers=100))

    def epochs(checkpoint: Path | None = None) -> Iterator[Epoch]:
        return train_sequences(learn, later=(learn, later), seed=5, config=SMALL, checkpoint=checkpoint)

    def best(passes: Iterator[Epoch]) -> dict[str, bytes]:
        *_, last = [epoch for epoch in passes if epoch.weights is not None]
        assert last.weights is not None
        return {name: array.tobytes() for name, array in last.weights.items()}

    whole = best(epochs())
    killed = epochs(tmp_path / "half")
    numbers = [next(killed).number for _ in range(3)]
    killed.close()
    torch.manual_seed(7)  # what the process does in between is nobody's business
    resumed = list(epochs(tmp_path / "half"))
    assert numbers == [1, 2, 3]
    assert resumed[-1].number == 6 > 3
    assert all(epoch.number > 3 for epoch in resumed[1:])
    assert best(iter(resumed)) == whole == best(epochs())


def test_a_checkpoint_of_another_training_or_of_nothing_is_refused(tmp_path: Path) -> None:
    learn, later = last_out(walks(customers=50))
    path = tmp_path / "checkpoint"
    one = replace(SMALL, epochs=1)
    list(train_sequences(learn, later=(learn, later), seed=5, config=one, checkpoint=path))
    with pytest.raises(InvalidConfiguration, match="of another training"):
        list(train_sequences(learn, later=(learn, later), seed=6, config=one, checkpoint=path))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(Corrupt, match="cannot be read; delete it"):
        list(train_sequences(learn, later=(learn, later), seed=5, config=one, checkpoint=path))


def test_the_gpu_path_bfloat16_and_a_compiled_network_learn_the_same_order() -> None:
    learn, later = last_out(walks(customers=150))
    short = replace(SMALL, epochs=4)
    config = replace(short, precision="bf16", compiled="eager")
    *_, plain = train_sequences(learn, later=(learn, later), seed=5, config=short)
    *_, reduced = train_sequences(learn, later=(learn, later), seed=5, config=config)
    assert reduced.quality == pytest.approx(plain.quality, abs=0.1)
    assert reduced.loss == pytest.approx(plain.loss, rel=0.1)


def test_nothing_later_is_seen_and_padding_changes_nothing() -> None:
    network = Sequential(SequentialConfig(dim=8, length=8), n_subjects=9, n_products=5).eval()
    long = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    with torch.inference_mode():
        whole, half = network(long), network(long[:, :4])
        padded = network(torch.cat([long[:, :4], torch.zeros(1, 4, dtype=torch.int64)], dim=1))
    torch.testing.assert_close(whole[:, :4], half, atol=1e-5, rtol=0)
    torch.testing.assert_close(padded[:, :4], half, atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [3, 7, 50])
def test_every_event_with_a_successor_is_in_one_window(length: int) -> None:
    dice = np.random.default_rng(1)
    lengths = dice.integers(1, 30, size=60)
    data = Histories.of(
        [f"c{row}" for row in np.repeat(np.arange(60), lengths)], subjects=[f"p{i % 7}" for i in range(lengths.sum())]
    )
    windows = windows_of(data, length=length, dice=dice)
    met = np.concatenate([np.arange(start, start + n) for start, n in windows.tolist()])
    expected = np.flatnonzero(data.from_the_end > 0)
    assert sorted(met.tolist()) == expected.tolist()
    assert windows[:, 1].max() <= length
    batches = list(batched(windows, tokens=60, dice=dice))
    assert sum(map(len, batches)) == len(windows)
    padded = sum(len(each) * int(each[:, 1].max()) for each in batches)
    assert padded < 1.3 * len(met) + 60


def test_the_shared_softmax_is_the_softmax_and_its_gradient() -> None:
    dice = torch.Generator().manual_seed(0)
    hidden = torch.randn((500, 6), generator=dice, requires_grad=True)
    products = torch.randn((700, 6), generator=dice, requires_grad=True)
    targets = torch.randint(700, (500,), generator=dice)
    every = torch.arange(700)
    ours = shared_softmax(hidden, products=products, targets=targets, sampled=every, log_q=torch.zeros(700))
    ours.backward()
    found = [hidden.grad, products.grad]
    hidden.grad = products.grad = None
    expected = torch.nn.functional.cross_entropy(hidden @ products.T, targets)
    expected.backward()
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(found[0], hidden.grad)
    torch.testing.assert_close(found[1], products.grad)


def test_what_a_network_knows_of_nobody_is_popularity() -> None:
    data = walks(customers=50)
    network = network_of(data, SMALL, seed=0)
    scores = preferences(network, data.kept(np.zeros(data.n_events, dtype=np.bool_)))
    assert (np.argmax(scores, axis=1) == np.argmax(data.product_counts)).all()


def test_the_rate_falls_where_patience_ends_and_then_training_does() -> None:
    class Stuck:
        network = torch.nn.Linear(1, 1)

        def losses(self, dice: np.random.Generator) -> Iterator[tuple[torch.Tensor, int]]:
            yield self.network(torch.ones(1, 1)).sum(), 1

        def validated(self) -> Validated:
            return Validated(1.0, 0.5, quality=0.5)

    passes = list(fit(Stuck(), schedule=Schedule(50, 2, 0.9, falls=1), seed=0))
    assert [round(each.learning_rate, 3) for each in passes] == [0.9, 0.9, 0.9, 0.3, 0.3]
    assert [each.weights is not None for each in passes] == [True, False, False, False, False]
    assert set(weights_of(Stuck.network)) == {"weight", "bias"}


def test_histories_that_teach_nothing_are_refused_in_words() -> None:
    with pytest.raises(InvalidTable, match="nothing to learn from"):
        Histories.of([], subjects=[])
    with pytest.raises(InvalidTable, match="a catalogue of 1 leaves nothing to choose"):
        Histories.of(["a", "a"], subjects=["p", "p"])
    once = Histories.of(["a", "b"], subjects=["p", "q"])
    with pytest.raises(InvalidTable, match="bring longer histories"):
        next(train_sequences(once, later=(once, Wanted.one(np.array([0, 1]))), seed=0))
    before, wanted = last_out(once)
    with pytest.raises(InvalidTable, match="nobody is left to judge by"):
        ranked(families.popularity().scores, histories=before, wanted=wanted, counts=once.product_counts)


def test_time_running_backwards_is_put_in_order() -> None:
    forwards = Histories.of(["a", "a", "b"], subjects=["p", "q", "p"], happened_at=[1, 2, 3])
    backwards = Histories.of(
        ["b", "a", "a"], subjects=["p", "q", "p"], happened_at=[3, 2, 1], products=forwards.products
    )
    names = [backwards.subjects.ids[row] for row in backwards.only(np.array([1])).subject_rows]
    assert names == ["p", "q"]
    with pytest.raises(InvalidTable, match=r"a time is negative \(row 1\)"):
        Histories.of(["a", "a"], subjects=["p", "q"], happened_at=[-1, 2])


def test_all_the_same_product_is_no_mishap() -> None:
    data = Histories.of(["a"] * 5 + ["b"] * 4 + ["c"], subjects=["p"] * 9 + ["q"])
    found = judged(Blend([families.popularity(), families.transitions(), families.ease(), families.graph()]), data)
    assert found.hit_rate(1).mean() == 1.0
    assert judged(SequentialFamily(replace(SMALL, epochs=2)), data).hit_rate(1).mean() == 1.0


def test_vul_2_sensitive_subjects_are_forgotten_before_anything_is_counted() -> None:
    data = Histories.of(["a"] * 4, subjects=["p", "gambling", "q", "pharmacy"], masked={"gambling", "pharmacy"})
    assert data.subjects.ids == ("p", "q")
    assert data.n_events == 2
