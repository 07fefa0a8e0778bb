"""Connects to a Ray cluster, and says what its tasks reserve there. What the tasks do is not known here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from stacker.errors import SpecError
from stacker.run.compute.device import HOST

RETRIES = 5
"""How often a task is begun again after its worker or its node died."""
_WAITING = 4
"""How many tasks, for each CPU of the cluster, are with Ray at once; the others wait in the driver."""


@contextmanager
def connect() -> Iterator[Any]:
    """Yield the module ray, connected to the cluster that RAY_ADDRESS names; without it, Ray is started here.

    A connection that was made before is used and kept. SpecError if Ray is not installed or does not answer.
    """
    try:
        import ray
    except ImportError as error:
        raise SpecError.of("this executor needs Ray", "install it: pip install 'stacker-llm[ray]'") from error
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        hint = "--address is that of a running cluster, such as 10.0.0.1:6379; start one with ray start --head"
        raise SpecError.of(f"cannot connect to Ray: {error}", hint) from error
    try:
        yield ray
    finally:
        ray.shutdown()


def count_waiting(ray: Any) -> int:
    """The most tasks that are with Ray at once."""
    return max(2, int(_WAITING * ray.cluster_resources().get("CPU", 1)))


def list_needed(cpus: int, device: str, **more: float) -> dict[str, float]:
    """The amounts of resources by Ray's names: CPUs, a GPU unless the device is the processor, and `more`."""
    return {"CPU": cpus, **({"GPU": 1} if device != HOST else {}), **more}


def choose_options(
    needed: Mapping[str, float], nodes: Iterable[Mapping[str, Any]], what: str, hint: str
) -> dict[str, Any]:
    """The options of a task of Ray that reserves what is `needed`; SpecError if no node has so much for `what`."""
    alive = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(all(node.get(name, 0) >= amount for name, amount in needed.items()) for node in alive):
        amounts = ", ".join(f"{amount:,.0f} {name}" for name, amount in needed.items())
        raise SpecError.of(f"no node of the cluster has what {what} needs: {amounts}", hint)
    known = {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
    options: dict[str, Any] = {known[name]: amount for name, amount in needed.items() if name in known}
    others = {name: amount for name, amount in needed.items() if name not in known}
    return {"max_retries": RETRIES, **options, "resources": others}
