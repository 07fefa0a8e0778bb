"""Absurd configs, headers, indexes, tokenizers and specs: each is refused, or read, with little time and memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tests.donors import write_llama
from tests.tokenizers import write_tokenizer
from tools.faults.attempts import STATED, run
from tools.faults.rows import Trial

SECONDS = 1.0
BYTES = 200_000_000
_FLAGS = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
_SPEC = "stacker: 1\ndonors: {a: ./a}\nstack: ['a[0:4]']\n"


def try_absurd_inputs(folder: Path) -> Iterator[Trial]:
    """`check` on each input; processor time and memory are counted above those of a plain spec."""
    for kind, inputs in INPUTS.items():
        yield Trial(f"absurd {kind}", "refused or read within 1 s and 200 MB", partial(_try_inputs, folder, inputs))


def _try_inputs(folder: Path, inputs: Mapping[str, Callable[[Path], object]]) -> Iterator[str]:
    usual = _measure(folder, lambda _: None)
    for name, write in inputs.items():
        yield _compare(name, usual, _measure(folder, write))


def _measure(folder: Path, write: Callable[[Path], object]) -> tuple[float, int, str]:
    """Processor seconds and peak bytes of a check of a damaged donor or spec, and what is wrong with its end."""
    place = folder / "input"
    shutil.rmtree(place, ignore_errors=True)
    write_tokenizer(write_llama(place / "a", layers=4), ["x", "y"], ["z"])
    (place / "stack.yml").write_text(_SPEC)
    write(place)
    ended = run(place, ("check", "stack.yml"))
    sound = ended.code in STATED and "Traceback" not in ended.text
    return ended.seconds, ended.peak, "" if sound else f"exit code {ended.code}: {ended.text[-2000:]}"


def _compare(name: str, usual: tuple[float, int, str], found: tuple[float, int, str]) -> str:
    seconds, nbytes = found[0] - usual[0], found[1] - usual[1]
    if found[2]:
        return f"{name}: {found[2]}"
    return f"{name}: {seconds:.1f} s, {nbytes:,} bytes" if seconds > SECONDS or nbytes > BYTES else ""


def _config(**entries: Any) -> Callable[[Path], object]:
    """Write entries of the donor's config; an entry of None is removed."""

    def write(place: Path) -> None:
        path = place / "a" / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | entries))

    return write


def _header(make: Callable[[], bytes]) -> Callable[[Path], object]:
    return lambda place: (place / "a" / "model.safetensors").write_bytes(make())


def _with_length(header: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header


def _tensors(count: int, shape: list[int], end: int = 0) -> bytes:
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}
    return _with_length(json.dumps({f"t{number}": entry for number in range(count)}).encode())


def _text(name: str, make: Callable[[], str]) -> Callable[[Path], object]:
    return lambda place: (place / name).write_text(make())


def _vocabulary(entries: Callable[[], dict[str, Any]]) -> Callable[[Path], object]:
    return _text("a/tokenizer.json", lambda: json.dumps({"model": {"type": "BPE", "vocab": entries(), "merges": []}}))


def _pieces(count: int) -> str:
    return json.dumps({"model": {"type": "Unigram", "vocab": [[f"t{number}", -1.5] for number in range(count)]}})


def _added(count: int) -> str:
    entries = [{"id": number, "content": f"<{number}>", **_FLAGS} for number in range(count)]
    return json.dumps({"model": {"type": "BPE", "vocab": {}, "merges": []}, "added_tokens": entries})


def _merges(count: int) -> str:
    merges = [f"ab{number} c{number}" for number in range(count)]
    return json.dumps({"model": {"type": "BPE", "vocab": {"x": 10**6}, "merges": merges}})


def _index(names: int) -> str:
    return json.dumps({"weight_map": {f"tensor.{number}": f"{number}.safetensors" for number in range(names)}})


def _spec_of(stack: str, donors: str = "{a: ./a}") -> Callable[[Path], object]:
    return _text("stack.yml", lambda: f"stacker: 1\ndonors: {donors}\nstack:\n{stack}")


INPUTS: dict[str, dict[str, Callable[[Path], object]]] = {
    "configs": {
        "a billion layers": _config(num_hidden_layers=10**9),
        "16,384 layers of absurd widths": _config(
            num_hidden_layers=16_384, hidden_size=10**12, intermediate_size=10**15
        ),
        "a vocabulary of 10**30": _config(vocab_size=10**30),
        "a number as text of 4 MB": _config(num_key_value_heads="9" * 4_000_000),
        "a number of 4,000 digits": _config(num_attention_heads=10**4_000),
        "no heads": _config(num_attention_heads=0),
        "a list of a million layers": _config(layer_types=["full_attention"] * 1_000_000),
        "a billion experts": _config(model_type="mixtral", num_local_experts=10**9),
        "200,000 unknown entries": _config(**{f"k{number}": number for number in range(200_000)}),
        "depth of 100,000": _text("a/config.json", lambda: "[" * 100_000),
        "60 MB of text": _config(name="x" * 60_000_000),
    },
    "headers": {
        "a length of 2**63": _header(lambda: (1 << 63).to_bytes(8, "little") + b"{}"),
        "100 MB of spaces": _header(lambda: _with_length(b" " * 99_999_999 + b"}")),
        "a million empty tensors": _header(lambda: _tensors(1_000_000, [0])),
        "200,000 tensors at one place": _header(lambda: _tensors(200_000, [1], 4)),
        "an absurd shape": _header(lambda: _tensors(1, [2**60, 2**60, 2**60], 2**63)),
        "a shape of 100,000 dimensions": _header(lambda: _tensors(1, [1] * 100_000, 4)),
        "depth of a million": _header(lambda: _with_length(b'{"a":' * 1_000_000)),
    },
    "indexes": {
        "300,000 shards": _text("a/model.safetensors.index.json", lambda: _index(300_000)),
        "depth of 100,000": _text("a/model.safetensors.index.json", lambda: '{"weight_map":' + "[" * 100_000),
    },
    "tokenizers": {
        "an id of 10**9": _vocabulary(lambda: {"x": 10**9}),
        "a million tokens": _vocabulary(lambda: {f"t{number}": number for number in range(1_000_000)}),
        "800,000 tokens": _vocabulary(lambda: {f"t{number}": number for number in range(799_000)}),
        "800,000 pieces with scores": _text("a/tokenizer.json", lambda: _pieces(799_000)),
        "110,000 added tokens": _text("a/tokenizer.json", lambda: _added(110_000)),
        "2 million merges": _text("a/tokenizer.json", lambda: _merges(2_000_000)),
        "800,000 ids": _text("a/vocab.json", lambda: json.dumps({f"t{number}": number for number in range(799_000)})),
        "32 million lines": _text("a/a.tiktoken", lambda: "\n" * 31_999_999),
        "800,000 ranks": _text("a/a.tiktoken", lambda: "".join(f"IQ== {number}\n" for number in range(799_000))),
        "a million settings": _text("a/tokenizer_config.json", lambda: json.dumps(dict.fromkeys(range(1_000_000), 0))),
        "lists in lists of settings": _text("a/tokenizer_config.json", lambda: json.dumps({"x": [[0]] * 199_000})),
        "settings in settings": _text("a/tokenizer_config.json", lambda: json.dumps({"x": [{"y": 0}] * 199_000})),
        "60 MB of one token": _vocabulary(lambda: {"x" * 60_000_000: 0}),
        "depth of 100,000": _text("a/tokenizer.json", lambda: "[" * 100_000),
        "a settings file of 60 MB": _text("a/tokenizer_config.json", lambda: json.dumps({"x": "y" * 60_000_000})),
    },
    "specs": {
        "10,001 layers": _spec_of("  - {repeat: 'a[0:4]', times: 2501}\n"),
        "a billion copies": _spec_of("  - {repeat: 'a[0:4]', times: 1000000000}\n"),
        "repeats in repeats": _spec_of("  - " + "{repeat: [" * 40 + "'a[0:4]'" + "], times: 1000}" * 40 + "\n"),
        "a pattern of many stars": _spec_of("  - {slice: a, scale: {'" + "*" * 400 + "zz': 0.5}}\n"),
        "5,000 donors with mistakes": _spec_of(
            "".join(f"  - d{number}[0:9\n" for number in range(5_000)),
            "{" + ", ".join(f"d{number}: ./d{number}" for number in range(5_000)) + "}",
        ),
        "aliases of aliases": _text(
            "stack.yml",
            lambda: "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)),
        ),
        "100,000 brackets": _text("stack.yml", lambda: "[" * 100_000),
        "1 MB of one word": _text("stack.yml", lambda: "x" * 1_000_000),
        "60 MB": _text("stack.yml", lambda: "x: 1\n" * 12_000_000),
        "a slice to 10**4000": _spec_of(f"  - a[0:{'9' * 4_000}]\n"),
    },
}
"""For each kind of input, what is written into a folder with the donor `a` and the spec `stack.yml`, by name."""
