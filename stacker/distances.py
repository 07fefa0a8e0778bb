"""Measures how far the weights of two checkpoints are from each other."""

from __future__ import annotations

from stacker.core.study.distances import WeightDistances
from stacker.io.donors.pairs import read_pair
from stacker.progress import Watch, ignore_watch
from stacker.run.distances import measure_distances

FIRST, SECOND = "first", "second"


def compare_weights(first: str, second: str, *, watch: Watch = ignore_watch) -> WeightDistances:
    """Compare the weights of two checkpoints, each a folder or hub id, tensor by tensor.

    Distances are relative to the norms of `first`. `watch` is called with the bytes of `first` done and in all.
    DonorError if a checkpoint cannot be read.
    """
    return measure_distances(*read_pair((FIRST, first), (SECOND, second), "diff"), watch)
