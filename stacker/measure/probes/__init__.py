"""What probes are asked and what they return: edits of a stack, figures of layers, proposed specs. Imports no torch."""
