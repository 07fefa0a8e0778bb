"""Model families as data, one YAML a family; `docs/architectures.md` says how they are written."""
