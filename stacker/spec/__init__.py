"""The spec language: text to frozen values and back. Knows no files, donors or tensor bytes."""
