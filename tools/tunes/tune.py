"""A simple fine-tuning run of a few minutes; all runs on one machine result in the same weights."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tools import smollm2
from tools.tunes.texts import Subject, training_pieces

STEPS = 120
BATCH = 2
WINDOW = 256
"""How many tokens a training window has."""
RATE = 1e-4
SEED = 0


def tune(base: Path, subject: Subject, folder: Path, steps: int = STEPS) -> Path:
    """Train `base` on a subject and save it as a bf16 checkpoint in `folder`; an existing checkpoint is kept."""
    if (folder / "config.json").exists():
        return folder
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(SEED)
    checkpoint = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    _train(checkpoint, windows(tokenizer, subject), steps)
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    checkpoint.to(torch.bfloat16).save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    smollm2.move_into_place(partial, folder)
    return folder


def windows(tokenizer: Any, subject: Subject) -> Iterator[list[int]]:
    """Windows of WINDOW tokens: the start of every piece of the training text that has so many tokens."""
    for piece in training_pieces(subject, SEED):
        tokens = tokenizer(piece).input_ids[:WINDOW]
        if len(tokens) == WINDOW:
            yield tokens


def _train(checkpoint: Any, source: Iterator[list[int]], steps: int) -> None:
    """Train with AdamW and a learning rate that falls linearly to 0; weights in fp32, arithmetic in bf16."""
    import torch

    optimizer = torch.optim.AdamW(checkpoint.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    checkpoint.train()
    for step in range(steps):
        batch = torch.tensor(list(islice(source, BATCH)))
        with torch.autocast("cpu", torch.bfloat16):
            loss = checkpoint(batch, labels=batch, use_cache=False).loss
        loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 10 == 0:
            print(f"step {step} of {steps}, loss {loss.item():.3f}", file=sys.stderr, flush=True)
