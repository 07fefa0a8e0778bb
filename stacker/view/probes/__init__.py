"""Shows what probes found: the layers of a donor, the map of edits, and how alike two donors are."""
