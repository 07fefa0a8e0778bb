"""Benchmarks of stacker against `cp` and mergekit, reported as ratios within one run because machines differ."""
