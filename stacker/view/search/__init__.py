"""Shows searches: the progress, what was tried, the lineage of the winner, and what the final part says."""
