"""The door to Ray Serve: replicas of the API from the same app factory as `recsys serve` (serving/deploy/ray.yaml).

Each replica opens the home of its settings, so all need a database on a server (PostgreSQL) and artefacts within
reach. Learner and encoder stay processes of their own.
"""

from __future__ import annotations

from fastapi import FastAPI
from ray import serve

from serving import settings
from serving.app import create_app
from serving.bootstrap import compose, patiently
from serving.bootstrap import serve as parts_of
from serving.leading import calm_the_collector


def built() -> FastAPI:
    """The application of one replica, over the home of its settings."""
    calm_the_collector()
    return create_app(parts_of(compose(settings.load(), opened=patiently)))


app = serve.deployment(name="recsys")(serve.ingress(built)()).bind()
"""What the config names: `serving.ray_serving:app`."""
