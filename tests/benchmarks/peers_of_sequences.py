"""RecTools' SASRec, in an environment of its own: `python peers_of_sequences.py FOLDER`.

in.npz: users and items (n,), each user's in order, asked (m,) users; in.json: k, drop, epochs, length, seconds
(0 for all epochs).
out.npz: lists (1, m, k) of items, -1 where there is none; out.json: CPU seconds of the fit and passes made.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import Callback, Trainer, seed_everything
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models.nn.transformers.sasrec import SASRecModel

warnings.filterwarnings("ignore")


class AsLong(Callback):
    """Ends after the first epoch that passes the CPU seconds given; counted by the class, of which copies are made."""

    passes = 0

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.began = seconds, time.process_time()

    def on_train_epoch_end(self, trainer, module) -> None:
        AsLong.passes += 1
        trainer.should_stop = 0 < self.seconds <= time.process_time() - self.began


def main(folder: Path) -> None:
    told = json.loads((folder / "in.json").read_text())
    with np.load(folder / "in.npz") as opened:
        users, items, asked = opened["users"], opened["items"], opened["asked"]
    torch.set_num_threads(1)
    seed_everything(0, workers=False)
    watch = AsLong(told["seconds"])

    def trainer() -> Trainer:
        return Trainer(
            max_epochs=told["epochs"],
            min_epochs=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            accelerator="cpu",
            devices=1,
            callbacks=[watch],
        )

    when = pd.to_datetime(np.arange(len(users)), unit="s")
    frame = pd.DataFrame({Columns.User: users, Columns.Item: items, Columns.Weight: 1.0, Columns.Datetime: when})
    dataset = Dataset.construct(frame)
    model = SASRecModel(
        n_factors=64,
        n_blocks=2,
        n_heads=2,
        session_max_len=told["length"],
        batch_size=128,
        dropout_rate=0.2,
        lr=1e-3,
        loss="softmax",
        epochs=told["epochs"],
        get_trainer_func=trainer,
        recommend_torch_device="cpu",
    )
    began = watch.began = time.process_time()
    model.fit(dataset)
    seconds = time.process_time() - began
    known = asked[np.isin(asked, users)]
    found = model.recommend(
        users=known,
        dataset=dataset,
        k=told["k"],
        filter_viewed=told["drop"],
        on_unsupported_targets="ignore",  # it knows nobody by a single event
    )
    lists = np.full((len(asked), told["k"]), -1, dtype=np.int64)
    place = {user: row for row, user in enumerate(asked.tolist())}
    lists[found[Columns.User].map(place).to_numpy(), found[Columns.Rank].to_numpy() - 1] = found[
        Columns.Item
    ].to_numpy()
    np.savez(folder / "out.npz", lists=lists[None])
    (folder / "out.json").write_text(json.dumps({"seconds": seconds, "passes": AsLong.passes}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
