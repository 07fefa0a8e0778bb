"""What the native and the mergekit dialect share: the values of a parsed spec, the grammars of single values, and
checks.
"""
