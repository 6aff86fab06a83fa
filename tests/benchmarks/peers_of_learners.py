"""Contextual bandits that a user could pick instead, on the rows that ours play. Run by tests/benchmarks/peers.py.

Each peer plays one pass over the same rows with rewards drawn the same way: reward of row i for choice a is 1
where a is the label and the row pays (`pays`). Their settings are tried over a small grid and the best is
reported for each peer on each set, which flatters them: ours has one setting for everything.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from contextualbandits.online import LinUCB
from mabwiser.mab import MAB, LearningPolicy
from vowpal_wabbit_next import TextFormatParser, Workspace

BATCH = 10  # rows between updates of the peers that learn in batches: as they document it, and kind to their clocks


def vowpal(x, y, pays, k, *, arguments, seed):
    """VW's contextual bandit with action-dependent features crossed by itself."""
    command = ["--cb_explore_adf", "--quiet", "--interactions", "sa", "-b", "20", *arguments.split()]
    workspace = Workspace([*command, "--random_seed", str(seed)])
    parser, rng, earned = TextFormatParser(workspace), np.random.default_rng(seed), 0.0
    for i, row in enumerate(x):
        shared = "shared |s " + " ".join(f"f{j}:{v:.5g}" for j, v in enumerate(row) if v)
        told = [parser.parse_line(shared), *(parser.parse_line(f"|a a{a}") for a in range(k))]
        chances = np.zeros(k)
        for action, chance in workspace.predict_one(told):
            chances[action] = chance
        chances /= chances.sum()
        a = int(rng.choice(k, p=chances))
        reward = float(a == y[i] and pays[i])
        earned += reward
        line = f"0:{-reward}:{chances[a]} |a a{a}"
        told = [
            parser.parse_line(shared),
            *(parser.parse_line(line if b == a else f"|a a{b}") for b in range(k)),
        ]
        workspace.learn_one(told)
    return earned / len(x)


def linucb(x, y, pays, k, *, alpha, seed):
    """contextualbandits' LinUCB, updated row by row."""
    learner, earned = LinUCB(nchoices=k, alpha=alpha, random_state=seed + 1, njobs=1), 0.0
    rng = np.random.default_rng(seed)
    for i in range(len(x)):
        a = int(learner.predict(x[i : i + 1])[0]) if i >= k else int(rng.integers(k))
        reward = float(a == y[i] and pays[i])
        earned += reward
        learner.partial_fit(x[i : i + 1], np.array([a]), np.array([reward]))
    return earned / len(x)


def mabwiser(x, y, pays, k, *, policy, seed):
    """MABWiser's linear policies; it learns in batches."""
    learner, earned = MAB(list(range(k)), policy, seed=seed), 0.0
    rng = np.random.default_rng(seed)
    for start in range(0, len(x), BATCH):
        rows = x[start : start + BATCH]
        if start:
            told = learner.predict(rows)
            choices = np.array(told if isinstance(told, list) else [told])
        else:
            choices = rng.integers(k, size=len(rows))
        rewards = ((choices == y[start : start + BATCH]) & pays[start : start + BATCH]).astype(float)
        earned += rewards.sum()
        (learner.partial_fit if start else learner.fit)(choices, rewards, rows)
    return earned / len(x)


PEERS = {
    "VowpalWabbit": [
        (vowpal, {"arguments": f"{explorer} --cb_type mtr -l {rate} {extra}"})
        for explorer, rate, extra in (
            ("--squarecb --gamma_scale 1000", 0.5, ""),
            ("--squarecb --gamma_scale 1000", 3, "--ignore_linear s"),
            ("--epsilon 0.02", 0.5, ""),
            ("--epsilon 0.02", 3, "--ignore_linear s"),
        )
    ],
    "contextualbandits LinUCB": [(linucb, {"alpha": alpha}) for alpha in (0.1, 1.0)],
    "MABWiser LinUCB": [(mabwiser, {"policy": LearningPolicy.LinUCB(alpha=alpha)}) for alpha in (0.1, 1.0)],
    "MABWiser LinTS": [(mabwiser, {"policy": LearningPolicy.LinTS(alpha=alpha)}) for alpha in (0.1, 1.0)],
}


def main(folder):
    """Play every peer on the given rows; the means of every setting."""
    settings = json.loads((folder / "in.json").read_text())
    with np.load(folder / "in.npz") as opened:
        x, y, pays = opened["x"], opened["y"], opened["pays"]
    with_level = np.hstack([x, np.ones((len(x), 1))])
    told = {}
    for name, variants in PEERS.items():
        for number, (play, options) in enumerate(variants):
            started = time.process_time()
            given = x if play in (vowpal, linucb) else with_level
            mean = play(given, y, pays, settings["products"], seed=settings["seed"], **options)
            told[f"{name}/{number}"] = {"mean": mean, "seconds": time.process_time() - started}
    (folder / "out.json").write_text(json.dumps(told))


main(Path(sys.argv[1]))
