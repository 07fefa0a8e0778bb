"""Reads files of donors and spec files, and reports files that are missing, damaged or unsafe."""
