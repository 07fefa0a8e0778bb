"""What the native and the mergekit dialect share: the values of a parsed spec, their grammars, and checks."""
