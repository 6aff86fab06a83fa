"""implicit's ALS and BPR, in an environment of their own: `python peers_of_embeddings.py FOLDER`.

in.npz: users and items (n,), asked (m,) users; in.json: which, k, drop, n_items, tries ((factors, strength,
regularisation), …): alpha of ALS, the learning rate of BPR.
out.npz: lists (tries, m, k) of items, -1 where there is none; out.json: CPU seconds of the last fit.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking
from scipy import sparse


def main(folder: Path) -> None:
    told = json.loads((folder / "in.json").read_text())
    with np.load(folder / "in.npz") as opened:
        users, items, asked = opened["users"], opened["items"], opened["asked"]
    n_users = max(int(users.max()), int(asked.max())) + 1
    values = np.ones(len(users), dtype=np.float32)
    matrix = sparse.coo_matrix((values, (users, items)), shape=(n_users, told["n_items"])).tocsr()
    lists, seconds = [], 0.0
    for factors, strength, penalty in told["tries"]:
        same = {"factors": factors, "regularization": penalty, "random_state": 0}
        if told["which"] == "als":
            model = AlternatingLeastSquares(alpha=strength, iterations=15, **same)
        else:
            model = BayesianPersonalizedRanking(learning_rate=strength, iterations=100, **same)
        began = time.process_time()
        model.fit(matrix, show_progress=False)
        seconds = time.process_time() - began
        found, _ = model.recommend(asked, matrix[asked], N=told["k"], filter_already_liked_items=told["drop"])
        lists.append(np.asarray(found, dtype=np.int64))
    np.savez(folder / "out.npz", lists=np.stack(lists))
    (folder / "out.json").write_text(json.dumps({"seconds": seconds, "passes": 0}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
