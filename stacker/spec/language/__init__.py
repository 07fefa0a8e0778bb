"""What both dialects share: the values of a spec, the grammars inside them, and their checks."""
