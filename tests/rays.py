"""A Ray cluster in processes of this machine: nodes that may be killed. Nothing tells anybody about it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.extras import needed

_MEMORY = 150_000_000  # bytes of each node's object store


@dataclass
class Nodes:
    """A head that does no work, and workers of one CPU each."""

    cluster: Any
    workers: list[Any] = field(default_factory=list)
    killed: int = 0

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> None:
        """One more machine; only from the main thread."""
        self.workers.append(self.cluster.add_node(num_cpus=1, object_store_memory=_MEMORY))

    def kill(self) -> None:
        """A machine that is at work dies, as by losing its power."""
        state = needed("ray._private.state", extra="ray")  # no public call says which machine is at work
        left = state.available_resources_per_node()
        busy = [each for each in self.workers if left.get(each.node_id, {}).get("CPU", 0) < 1]
        [dying, *_] = [*busy, *self.workers]
        self.cluster.remove_node(dying, allow_graceful=False)
        self.workers.remove(dying)
        self.killed += 1

    @contextmanager
    def serving(self, app: str, *, environment: Mapping[str, str]) -> Iterator[str]:
        """Serve an application by its import path, as a config does; its URL."""
        serve = needed("ray.serve", extra="ray")
        client = needed("ray.serve.context", extra="ray")
        schema = needed("ray.serve.schema", extra="ray")
        port = _free_port()
        serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
        one = {"name": "recsys", "import_path": app, "runtime_env": {"env_vars": dict(environment)}}
        deployed = schema.ServeDeploySchema.model_validate({"applications": [one]})
        try:
            client._get_global_client().deploy_apps(deployed, _blocking=True)
            yield f"http://127.0.0.1:{port}"
        finally:
            serve.shutdown()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def nodes(n: int) -> Iterator[Nodes]:
    """A head and `n` workers, and this process joined to them."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    ray = needed("ray", extra="ray")
    tools = needed("ray.cluster_utils", extra="ray")
    soon = {"health_check_period_ms": 1_000}  # else it takes a quarter of a minute to see that a machine is dead
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _MEMORY, "_system_config": soon}
    cluster = tools.Cluster(initialize_head=True, head_node_args=head)
    try:
        found = Nodes(cluster)
        for _ in range(n):
            found.add()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield found
    finally:
        ray.shutdown()
        cluster.shutdown()
