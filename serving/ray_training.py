"""The door to Ray Train: the two towers taught by several workers at once, and again from the last pass if one dies.

The workers run `embeddings.training.train` itself; what they share are gradients. Its checkpoint comes home, where the
same function finds no pass left to teach and tells the best.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ray
from ray import train as ray_train
from ray.train import Checkpoint, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from embeddings.fitting import Epoch
from embeddings.interactions import TrainingSet
from embeddings.product_facts import ProductFacts
from embeddings.together import Group
from embeddings.training import TrainingConfig, train
from recsys.errors import RecsysError
from serving.ray_spread import joined

_FILE = "training.pt"
_FAILURES = 3  # workers or machines that may die before a training is given up


class RayTeacher:
    """Teaches on a cluster; fulfils `embeddings.training.Teach`."""

    def __init__(self, address: str, *, workers: int, shared: Path) -> None:
        """`shared` is a folder that every machine of the cluster reaches."""
        self._address, self._workers, self._shared = address, workers, shared

    def __call__(
        self,
        interactions: TrainingSet,
        *,
        products: ProductFacts,
        seed: int,
        config: TrainingConfig | None = None,
        checkpoint: Path | None = None,
    ) -> Iterator[Epoch]:
        """The best epoch, when all is taught.

        Raises `StoreUnavailable` where no cluster answers, and `RecsysError` where workers died too often.
        """
        joined(self._address)
        with tempfile.TemporaryDirectory(dir=self._shared, prefix="training-") as folder:
            given = ray.put((interactions, products, seed, config, _read(checkpoint)))
            finished = Path(folder) / _FILE
            with self._taught(given, folder=folder).as_directory() as left:
                shutil.copyfile(Path(left) / _FILE, finished)
            if checkpoint is not None:
                checkpoint.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(finished, checkpoint)
            yield from train(interactions, products=products, seed=seed, config=config, checkpoint=finished)

    def _taught(self, given: ray.ObjectRef, *, folder: str) -> Checkpoint:
        trainer = TorchTrainer(
            _teach,
            train_loop_config={"given": given},
            torch_config=TorchConfig(backend="gloo"),
            scaling_config=ScalingConfig(num_workers=self._workers, resources_per_worker={"CPU": 1}),
            run_config=RunConfig(
                name="two-tower", storage_path=folder, failure_config=FailureConfig(max_failures=_FAILURES)
            ),
        )
        try:
            found = trainer.fit().checkpoint
        except Exception as error:  # Ray has several kinds, by version
            raise RecsysError(f"ray: the training was given up ({type(error).__name__})") from error
        if found is None:
            raise RecsysError("ray: the training left no checkpoint")
        return found


def _read(checkpoint: Path | None) -> bytes | None:
    return checkpoint.read_bytes() if checkpoint is not None and checkpoint.is_file() else None


def _teach(given: Mapping[str, Any]) -> None:
    """One worker: teach with the others, from the last checkpoint if there is one, and report each pass."""
    interactions, products, seed, config, begun = ray.get(given["given"])
    with tempfile.TemporaryDirectory() as folder:
        mine = Path(folder) / _FILE
        if (last := ray_train.get_checkpoint()) is not None:
            with last.as_directory() as left:
                shutil.copyfile(Path(left) / _FILE, mine)
        elif begun is not None:
            mine.write_bytes(begun)
        first = ray_train.get_context().get_world_rank() == 0
        for epoch in train(
            interactions, products=products, seed=seed, config=config, checkpoint=mine, together=Group()
        ):
            ray_train.report(_told(epoch), checkpoint=Checkpoint.from_directory(folder) if first else None)


def _told(epoch: Epoch) -> dict[str, float]:
    return {
        "epoch": epoch.number,
        "loss": epoch.loss,
        "validation_loss": epoch.validation_loss,
        "recall": epoch.recall,
    }
