"""The demo (`make demo`): stack two slices of a small real language model, verify the result, and ask it a question.

At last, the same stack answers and is scored live beside its donor, without the files that were built.

It uses stacker's command line, as a user would; then transformers loads the output.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools import smollm2

BUILD = Path(__file__).resolve().parent.parent / "build"
LAYERS = [*range(20), *range(10, 30)]
SPEC = """\
stacker: 1
name: smollm2-40
donors:
  smollm2: ./smollm2
stack:
  - smollm2[0:20]
  - smollm2[10:30]
"""
CHARACTERS = 16_000
"""How much text donor and stack are scored on: seven passages, enough for intervals."""
QUESTION = "What is the capital of France?"


def main() -> int:
    os.environ.update(HF_HUB_OFFLINE="1", TQDM_DISABLE="1")
    BUILD.mkdir(exist_ok=True)
    try:
        donor = smollm2.make_donor(BUILD / "smollm2")
    except smollm2.MissingPackageError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    spec, out = BUILD / "smollm2-40.yml", BUILD / "smollm2-40"
    spec.write_text(SPEC, encoding="utf-8")
    for arguments in (("preview", spec), ("build", spec, out, "--force"), ("verify", out)):
        status = run_stacker(*map(str, arguments))
        if status:
            return status
    text = BUILD / "english.txt"
    text.write_text(smollm2.english("specialnames")[:CHARACTERS], encoding="utf-8")
    return (
        compare(donor, out)
        or run_stacker("run", str(spec), str(donor), "--prompt", QUESTION, "--max-new-tokens", "24")
        or run_stacker("eval", str(donor), str(spec), "--text", str(text))
    )


def run_stacker(*arguments: str) -> int:
    """Print a stacker command as a user would type it, run it, and return its exit code."""
    shown = " ".join(os.path.relpath(word) if os.sep in word else word for word in arguments)
    print(f"\n$ stacker {shown}", flush=True)
    return subprocess.run([sys.executable, "-m", "stacker", *arguments], check=False).returncode


def compare(donor: Path, out: Path) -> int:
    """Print the answers and perplexities of donor and stack; 1 if the stack differs from the rearranged donor."""
    print(f"\n{QUESTION}")
    found = {}
    for folder in (donor, out):
        checkpoint, tokenizer = smollm2.load(folder)
        found[folder] = smollm2.perplexity(*smollm2.logits_of(checkpoint, tokenizer, smollm2.english()))
        layers = checkpoint.config.num_hidden_layers
        print(f"  {folder.name:<11} {layers} layers, perplexity {found[folder]:8.2f}: ", end="", flush=True)
        print(repr(smollm2.answer(checkpoint, tokenizer, QUESTION)))
    checkpoint, tokenizer = smollm2.load(donor)
    memory = smollm2.rearrange(checkpoint, LAYERS)
    expected = smollm2.perplexity(*smollm2.logits_of(memory, tokenizer, smollm2.english()))
    same = expected == found[out]
    print(f"  the same layers rearranged in memory: perplexity {expected:8.2f}: {'equal' if same else 'NOT EQUAL'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
