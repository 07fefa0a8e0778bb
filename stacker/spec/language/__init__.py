"""Holds what the native and the mergekit dialect share: the classes of a parsed spec, grammars, and checks."""
