"""Lets `stacker build` accept mergekit's options, so that only the command name has to be changed in a script.

Each option of mergekit is replaced by an option of stacker or dropped. All dropped options cause one warning together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stacker.errors import Problem, Severity

_COMMAND = "build"
_GPU = "--device cuda computes blends on the GPU"
_LEAN = "memory does not grow with the donors in any case"
_SAFE = "only safetensors are read and written"
_WHY = "mergekit's options: docs/mergekit.md says for each what stacker does instead"
_NO_LORA = "LoRAs are folded into tiles as they are read, in fp32; nothing is merged beforehand"


@dataclass(frozen=True, slots=True)
class Option:
    """An option of mergekit: stacker replaces it by its option `ours`, or drops it and says `instead` why.

    If `flag` is true, the option takes no value, and its negative form, such as `--no-cuda`, is dropped with the
    reason `off`. `ours` is empty if the option is dropped, and without a reason nothing is said.
    """

    name: str
    flag: bool = True
    ours: str = ""
    instead: str = ""
    off: str = ""


OPTIONS = {
    option.name: option
    for option in (
        Option("--allow-crimes", instead="stacks that cannot work are always refused"),
        Option("--async-write", instead="reading and writing overlap in any case"),
        Option("--clone-tensors"),
        Option("--copy-tokenizer", off="the tokenizer is carried along in any case"),
        Option("--cuda", ours="--device auto"),
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
        Option("--transformers-cache", flag=False, instead="HF_HUB_CACHE sets the folder of the hub's cache"),
        Option("--trust-remote-code", instead="code that comes with a donor is never run"),
        Option("--unsafe-truncate-embeddings", instead="blended embeddings are cut to the rows that all have"),
        Option("--verbosity", flag=False, instead="--verbose tells more, and `stacker plan` shows all details"),
        Option("--write-model-card", off="a model card is written in any case"),
        Option("--write-threads", flag=False, instead="--workers sets the number of threads"),
        *(Option(f"-{'v' * count}", ours="--verbose") for count in range(2, 6)),
    )
}


def translate_options(words: Sequence[str]) -> tuple[list[str], list[Problem]]:
    """Replace or drop mergekit's options in the arguments of `stacker build`; `words` of other commands stay unchanged.

    Returns the new arguments and at most one warning, about all dropped options.
    """
    if not words or words[0] != _COMMAND:
        return list(words), []
    kept: list[str] = []
    reasons: dict[str, str] = {}
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
            kept += [] if option.flag else [_translate_size(value) if option.ours == "--shard-size" else value]
        elif reason := option.off if off else option.instead:
            reasons[name] = reason
    return kept, _warn_of_dropped(reasons)


def _warn_of_dropped(reasons: Mapping[str, str]) -> list[Problem]:
    """The warning about the options in `reasons`; it gives the reason if there is only one option."""
    if not reasons:
        return []
    *names, last = reasons
    message = f"{', '.join(names)} and {last} have no effect" if names else f"{last} has no effect: {reasons[last]}"
    return [Problem(message, _WHY if names else "", severity=Severity.WARNING)]


def _translate_size(size: str) -> str:
    """Translate a size from mergekit's notation to stacker's: `5B`, which means 5 billion bytes, becomes `5GB`."""
    units = {"k": "kB", "m": "MB", "b": "GB", "g": "GB"}
    unit = units.get(size[-1:].lower())
    return f"{size[:-1]}{unit}" if unit else size
