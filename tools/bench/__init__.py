"""Measurements of stacker against `cp` and mergekit: ratios within one run, as machines and their moods differ."""
