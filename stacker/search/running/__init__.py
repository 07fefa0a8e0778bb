"""The loop of a search: the table of strategies, what a strategy is, and how points are tried until the limit."""
