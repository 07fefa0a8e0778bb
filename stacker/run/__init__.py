"""Carries out a Plan: executors write the weights of the output, and `verify` compares an output with its plan."""
