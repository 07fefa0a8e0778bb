"""The logic of stacker: donors, stack graph, checks, the new config, the plan of a build. No IO, no clock."""
