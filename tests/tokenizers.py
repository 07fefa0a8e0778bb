"""Tiny tokenizers on disk, with words as tokens and some added tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path


def write_tokenizer(folder: Path, words: Sequence[str], added: Sequence[str] = ()) -> Path:
    """A tokenizer.json of these words and, after them, these added tokens."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": len(words) + n, "content": token, **flags} for n, token in enumerate(added)],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {word: n for n, word in enumerate(words)}, "unk_token": words[0]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "{{ 'old' }}", "auto_map": {"A": "x.A"}}
        )
    )
    return folder
