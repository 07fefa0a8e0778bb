"""What commands share: printing, progress bars, shell completion, mergekit's options."""
