"""What every command needs of a terminal: printing, progress bars, shell completion, mergekit's options."""
