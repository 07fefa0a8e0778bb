"""Text as data that remembers where it stood: YAML 1.2 core, read without executing or exploding anything."""
