"""A real Ray cluster on this machine: a head without CPUs, and two nodes with one CPU and one `io` each."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def run_cluster() -> Iterator[Any]:
    """Run the cluster, which programs find by RAY_ADDRESS; its `workers` are the nodes."""
    import ray
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **store})
    try:
        cluster.workers = [cluster.add_node(num_cpus=1, resources={"io": 1}, **store) for _ in range(2)]
        os.environ["RAY_ADDRESS"] = cluster.address
        yield cluster
    finally:
        ray.shutdown()
        os.environ.pop("RAY_ADDRESS", None)
        cluster.shutdown()


def kill_worker(function: str) -> bool:
    """Kill one process that runs a task of this name; returns whether there was one."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    for line in listed.split("\n"):
        pid, _, words = line.strip().partition(" ")
        if words.startswith(f"ray::{function}"):
            os.kill(int(pid), signal.SIGKILL)
            return True
    return False
