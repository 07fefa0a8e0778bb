"""The spec language: parse text into immutable values and write them back. No file and no donor is read here."""
