"""Tiny donors whose tokenizer knows a few words, and texts made of these words."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from tests.donors import write_llama

WORDS = ("<unk>", "<s>", "</s>", *(f"w{number}" for number in range(21)))


def make_tokenizer(*, start: bool = False) -> Any:
    """A tokenizer of one token a word; with `start`, it puts `<s>` before texts by itself."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if start:
        words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return PreTrainedTokenizerFast(tokenizer_object=words, **names)


def write_worded(home: Path, *names: str, start: bool = False, **config: Any) -> Path:
    """Donors in fp32 with these names and different weights, each with the tokenizer."""
    for seed, name in enumerate(names):
        write_llama(home / name, seed=seed, vocab=len(WORDS), **{"dtype": "F32", **config})
        make_tokenizer(start=start).save_pretrained(home / name)
    return home


def make_text(words: int, seed: int = 0, line: int = 12, paragraph: int = 5) -> str:
    """A text of random words, with blank lines between paragraphs of a few lines."""
    source = random.Random(seed)
    drawn = [source.choice(WORDS[3:]) for _ in range(words)]
    lines = [" ".join(drawn[at : at + line]) for at in range(0, words, line)]
    return "\n\n".join("\n".join(lines[at : at + paragraph]) for at in range(0, len(lines), paragraph))
