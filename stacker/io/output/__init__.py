"""The output folder: locked, journalled, resumed, and put in place whole."""
