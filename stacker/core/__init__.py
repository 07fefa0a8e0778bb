"""What stacker is for: donors, the stack graph, checks, the new config, the plan. Pure: no IO, no clock."""
