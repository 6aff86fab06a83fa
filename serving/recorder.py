"""The process that writes read-outs down: one task, one line of JSON for whoever started it (serving/recording.py).

`python -m serving.recorder read-out EXPERIMENT DECISION` records what the log says now; `… mirror` lets the
tracker's aliases follow who is champion.
"""

from __future__ import annotations

import json
import sys

from recsys.errors import RecsysError
from serving import settings
from serving.bootstrap import compose
from serving.promotion import mended
from serving.read_outs import recorded
from serving.tracked import tracker_of


def main(task: str, *told: str) -> None:
    """Do the task and say what came of it."""
    home = compose(settings.load())
    tracker = tracker_of(home.settings)
    if task == "mirror":
        print(json.dumps({"mended": mended(home, tracker=tracker)}))
        return
    experiment_id, decision = told
    run, link = recorded(home, home.scorecard(experiment_id), tracker=tracker, decision=decision)
    print(json.dumps({"run": run, "link": link}))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RecsysError as error:
        sys.exit(str(error))
