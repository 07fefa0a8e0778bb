"""Defines Blueprint: what a live stack is made from. Imports no torch, so that commands that only look can use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stacker.arch.placement import TensorPlacement, place_tensors
from stacker.core.plan.plan import Plan
from stacker.core.plan.planning import find_files
from stacker.core.plan.task_making import locate_tensors
from stacker.core.side_files.selection import SideFiles
from stacker.core.stack.graph import StackGraph
from stacker.core.study.kv_cache import KvCache, estimate_kv_cache
from stacker.core.values.donor import Donor, collect_donors
from stacker.io.donors.local_files import fetch_donors
from stacker.io.donors.side_files import fetch_side_files
from stacker.live.forecast.requirements import check_installed
from stacker.live.forecast.weight_keys import Places, WeightKey, make_weight_key
from stacker.progress import Watch, ignore_watch


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A stack that has been planned and whose donors' files are on this machine.

    `donors` has all donors by the names that the plan's expressions use, and `template` is the donor whose config is
    used. `side_files` are the files beside the weights, such as the tokenizer's. `places` says where donor tensors are
    stored. `placements` has the layer and the role of each tensor of the stack by its name, and `keys` what it is made
    of.
    """

    plan: Plan
    donors: Mapping[str, Donor] = field(repr=False)
    template: Donor = field(repr=False)
    side_files: SideFiles = field(repr=False)
    cache: KvCache = field(repr=False)
    places: Places = field(repr=False)
    placements: Mapping[str, TensorPlacement] = field(repr=False)
    keys: Mapping[str, WeightKey] = field(repr=False)


def make_blueprint(
    plan: Plan, graph: StackGraph, donors: Mapping[str, Donor], side_files: SideFiles, watch: Watch = ignore_watch
) -> Blueprint:
    """The blueprint of a planned stack; files that are only on the hub are fetched.

    `watch` is called with the bytes fetched and to fetch. DonorError if fetching fails, or if weights are missing.
    """
    check_installed()
    known = collect_donors(donors)
    fetched = fetch_donors(known, find_files(plan, known), watch)
    template, cache = donors[graph.template], estimate_kv_cache(graph, donors, plan.config)
    places = locate_tensors(plan.steps, fetched)
    tensors = {step.tensor.name: step.tensor for step in plan.steps}
    placements = place_tensors(template.architecture, plan.config, tensors)
    keys = {step.tensor.name: make_weight_key(step, places) for step in plan.steps}
    return Blueprint(plan, fetched, template, fetch_side_files(side_files), cache, places, placements, keys)
