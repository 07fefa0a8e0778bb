"""The stack as a line of nodes on the residual stream."""
