"""Helpers that commands share: printing, progress bars, shell completion, and mergekit's options."""
