"""Reads donors' files and spec files, safely and completely."""
