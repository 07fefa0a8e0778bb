"""Helpers that several commands share: printing, progress bars, shell completion, and mergekit's options."""
