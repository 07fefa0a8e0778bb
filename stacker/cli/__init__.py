"""The command line: one file a command group; the only floor that prints and exits."""
