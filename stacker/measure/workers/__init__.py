"""Has stacks measured by other processes, on a Ray cluster, before their figures are needed in this one."""
