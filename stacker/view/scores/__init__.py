"""What was measured of models: tables, interval plots and coloured texts."""
