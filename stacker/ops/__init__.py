"""The blend ops, one file each, and the table that lists them; they compute with `stacker.arithmetic`."""
