"""A read-out as a run in the tracker: configuration, scorecard, plots and decision, linked both ways."""

from __future__ import annotations

import json

from recsys.scorecards import Scorecard
from recsys.tracking import Parameter, Tracker
from serving import charts
from serving.bootstrap import Installation

EXPERIMENT = "read-outs"


def recorded(home: Installation, card: Scorecard, *, tracker: Tracker, decision: str = "") -> tuple[str, str]:
    """Write a scorecard down; (run id, its page, or the run id where there is no page)."""
    experiment, told = card.experiment, card.to_json()
    parameters: dict[str, Parameter] = {
        "experiment": experiment.experiment_id,
        "primary": experiment.primary,
        "control": experiment.control,
        "unit": experiment.unit,
        "looks": experiment.looks,
        "planned_units": experiment.planned_units,
    }
    page = f"http://{home.settings.host}:{home.settings.port}/experiments/{experiment.experiment_id}"
    tags = {"status": card.status.word, "sentence": card.status.sentence, "page": page, "decision": decision}
    name = f"read-out of {experiment.experiment_id}"
    with tracker.run(name, experiment=EXPERIMENT, parameters=parameters, tags=tags) as run:
        run.record({"srm_p_value": card.srm_p_value, **{f"units_{name}": n for name, n in card.units.items()}})
        for comparison in card.primary.comparisons:
            if comparison.effect is not None:
                numbers = ("absolute", "low", "high", "p_value")
                run.record({f"{n}_{comparison.variant}": getattr(comparison.effect, n) for n in numbers})
        run.file("configuration.json", json.dumps(told["experiment"], indent=1))
        run.file("scorecard.json", json.dumps(told, indent=1))
        for title, chart in charts.charts_of(told).items():
            run.file(f"{title}.png", charts.png(chart))
        return run.run_id, run.url or run.run_id
