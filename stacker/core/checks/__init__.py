"""Checks find errors that prevent a build; lints find weaknesses of stacks that can be built."""
