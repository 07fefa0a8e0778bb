"""Questions with choices: read from files or generated, and answered by the probabilities of the choices."""
