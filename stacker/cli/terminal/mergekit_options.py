"""The options of mergekit's commands as rows, so that its users' scripts run by replacing the command.

Each is put into this program's words, or dropped with a word on what happens instead. None of them is in `--help`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stacker.errors import Problem, Severity

_COMMAND = "build"
_GPU = "--device cuda computes blends on the GPU"
_LEAN = "memory does not grow with the donors in any case"
_SAFE = "only safetensors are read and written"
_NO_LORA = "LoRAs are not merged here"


@dataclass(frozen=True, slots=True)
class Option:
    """An option of mergekit. `ours` is the same here, "" where there is none; `instead` is what happens instead.

    `flag` options take no value, and are switched off by `--no-` before their name. Without `instead`, the option asks
    for what is done anyway, and nothing is said; `off` is what to say of its opposite.
    """

    name: str
    flag: bool = True
    ours: str = ""
    instead: str = ""
    off: str = ""


OPTIONS = {
    option.name: option
    for option in (
        Option("--allow-crimes", instead="what cannot work is refused all the same"),
        Option("--async-write", instead="reading and writing overlap in any case"),
        Option("--clone-tensors"),
        Option("--copy-tokenizer", off="the tokenizer is carried along in any case"),
        Option("--cuda", ours="--device cuda"),
        Option("--gpu-rich", instead=_GPU),
        Option("--lazy-unpickle", instead=_SAFE),
        Option("--lora-merge-cache", flag=False, instead=_NO_LORA),
        Option("--lora-merge-dtype", flag=False, instead=_NO_LORA),
        Option("--low-cpu-memory", instead=_LEAN),
        Option("--multi-gpu", instead=_GPU),
        Option("--num-threads", flag=False, ours="--workers"),
        Option("--out-shard-size", flag=False, ours="--shard-size"),
        Option("--random-seed", flag=False, instead="random ops draw by the tensor's name: every build is the same"),
        Option("--read-to-gpu", instead=_GPU),
        Option("--safe-serialization", off=_SAFE),
        Option("--transformers-cache", flag=False, instead="HF_HUB_CACHE says where the hub's cache is"),
        Option("--trust-remote-code", instead="code that comes with a donor is never run"),
        Option("--verbosity", flag=False, instead="`stacker plan` tells everything"),
        Option("--write-model-card", off="a model card is written in any case"),
        Option("--write-threads", flag=False, instead="--workers says how many threads there are"),
        *(Option(f"-{'v' * count}", instead="`stacker plan` tells everything") for count in range(1, 6)),
    )
}


def translate_options(words: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """The words of a command in this program's options, and a warning for each that means nothing here."""
    if not words or words[0] != _COMMAND:
        return list(words), []
    kept: list[str] = []
    said: dict[str, Problem] = {}
    rest = iter(words)
    for word in rest:
        name, _, value = word.partition("=")
        option = OPTIONS.get(name.replace("--no-", "--", 1))
        if option is None or (option.flag and value):
            kept.append(word)
            continue
        off = name not in OPTIONS
        if not option.flag and not value:
            value = next(rest, "")
        if option.ours and not off:
            kept += option.ours.split()
            kept += [] if option.flag else [_size(value) if option.ours == "--shard-size" else value]
        elif warning := option.off if off else option.instead:
            said[name] = Problem(f"{name} has no effect: {warning}", severity=Severity.WARNING)
    return kept, list(said.values())


def _size(size: str) -> str:
    """mergekit's size of a shard in our units: it counts in powers of 1,000, and calls the third B."""
    units = {"k": "kB", "m": "MB", "b": "GB", "g": "GB"}
    unit = units.get(size[-1:].lower())
    return f"{size[:-1]}{unit}" if unit else size
