"""Native specs converted to mergekit's language and back make the same plans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from stacker.cli.app import app
from stacker.compose import Stack, load_text
from stacker.core.plan.plan_json import plan_to_json
from tests.donors import write_llama
from tests.tokenizers import write_tokenizer

DONORS = "stacker: 1\ndonors: {a: ./a, b: ./b, base: ./base}\n"


def _whole(op: str, more: str = "", sources: str = "a, b") -> str:
    """Layers, embedding and head blended alike, as mergekit requires."""
    blend = f"{{blend: [{sources}], op: {op}{more}}}"
    return f"stack:\n - {blend}\nembed: {blend}\nhead: {blend}\n"


BASED = {
    "task_arithmetic": ", weight: 0.5, lambda: 0.9",
    "ties": ", density: [0.2, 0.8]",
    "dare_linear": ", density: 0.5",
    "dare_ties": ", density: 0.5",
    "della": ", density: 0.5",
    "della_linear": ", density: 0.5",
    "breadcrumbs": ", density: 0.5",
    "breadcrumbs_ties": ", gamma: {mlp: 0.1, default: 0.05}",
    "sce": ", select_topk: 0.5",
    "model_stock": ", filter_wise: true",
    "ram": ", epsilon: 0.01",
    "ramplus_tl": ", r: 0.2",
    "nuslerp": ", weight: 2",
    "multislerp": "",
}
SPECS = {
    "slices": "stack: ['a[0:4]', 'b[2:6]']\n",
    "scales": "stack:\n - a[0:2]\n - {slice: 'a[2:4]', scale: {attn.o: 0.5, mlp: [0, 1]}}\n - b[4:]\n",
    "repeat": "stack:\n - a[0:3]\n - repeat: ['a[3]']\n   times: 3\n   scale: {attn.o: 0.5, mlp.down: 0.2}\n - a[4:]\n",
    "hops": "stack:\n - a[0:2]\n - {slice: 'a[2:4]', hop: 0.7}\n - repeat: 'b[4]'\n   times: 2\n   hop: 0.9\n"
    " - {slice: 'b[5]', scale: {attn.o: 0.5, mlp.down: 0.3}, hop: 2}\n",
    "named": "stack: ['a[0:2]', use: tail, use: tail]\nstacks: {tail: ['b[2:4]']}\n",
    "config": "stack: ['a[0:4]', 'b[2:6]']\nconfig: b\ntokenizer: b\n",
    "dtype": "stack: [a]\noutput: {dtype: float32}\n",
    "rows": "stack: [a]\ntokenizer: {source: a, pad_to_multiple_of: 32}\n",
    "union": "stack: ['a[0:4]', 'b[2:4]', 'base[4:6]']\nbase: a\n"
    "tokenizer: {source: union, tokens: {<z>: {source: zero, force: true}}}\n",
    "linear beside slices": "stack:\n - a[0:2]\n - {blend: [{slice: 'a[2:4]', weight: 2}, 'b[2:4]'], op: linear}\n"
    " - b[4:6]\n",
    "crossfade": "stack:\n - crossfade: ['a[0:4]', 'b[2:6]']\n   over: 2\n   op: linear\n",
    "crossfade of three": "stack:\n - crossfade: [a, 'b[3:6]', 'a[2:6]']\n   over: 1\n   op: linear\n",
    "crossfade by weights": "stack:\n - crossfade: [a, b]\n   over: 3\n   op: linear\n   weight: [1, 2]\n",
    "slerp": _whole("slerp", ", t: [0, 0.5, 1]"),
    "nuslerp without a base": _whole("nuslerp"),
    "karcher": _whole("karcher"),
    "nearswap": _whole("nearswap", ", t: 0.01", "a") + "base: base\n",
    "arcee_fusion": _whole("arcee_fusion", "", "a") + "base: base\n",
    "bases of slices": _whole("ties").replace(
        "stack:\n", "stack:\n - {blend: ['a[0:3]', 'b[1:4]'], op: ties, base: 'base[2:5]', density: 0.3}\n"
    ).replace("embed: {", "embed: {density: 0.3, ") + "base: base\nconfig: base\ntokenizer: base\n",
    **{op: _whole(op, more) + "base: base\n" for op, more in BASED.items()},
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three donors that have tokenizers."""
    folder = tmp_path_factory.mktemp("home")
    for seed, name in enumerate(("a", "b", "base")):
        write_llama(folder / name, seed=seed)
        write_tokenizer(folder / name, [f"w{number}" for number in range(22)], ["<x>", f"<{name}>"])
    return folder


def _made(stack: Stack) -> tuple[Any, Any]:
    """The dtype and expression of every tensor, and the config."""
    plan = plan_to_json(stack.plan())
    return {each["name"]: (each["dtype"], each["from"]) for each in plan["tensors"]}, plan["config"]


def _converted(spec: Path, to: str) -> str:
    result = CliRunner().invoke(app, ["convert", str(spec), "--to", to])
    assert not result.exit_code, result.output
    return result.stdout


@pytest.mark.parametrize("text", SPECS.values(), ids=SPECS)
def test_the_same_plan_in_mergekits_words(home: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Native to mergekit's, to native, and to mergekit's again: every spec makes every tensor in the same way."""
    monkeypatch.chdir(home)
    spec = home / "spec.yml"
    spec.write_text(DONORS + text)
    wanted = _made(load_text(spec.read_bytes(), spec))
    for to in ("mergekit", "native", "mergekit"):
        spec.write_text(_converted(spec, to))
        assert _made(load_text(spec.read_bytes(), spec)) == wanted, spec.read_text()


def test_nested_specs_become_stages(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A donor that is another spec, in another folder and itself nested, becomes an earlier document."""
    monkeypatch.chdir(home)
    (home / "more").mkdir()
    (home / "more" / "deep.yml").write_text("stacker: 1\ndonors: {b: ../b}\nstack: ['b[1:3]', b]\n")
    half = "{blend: ['a[0:2]', 'deep[2:4]'], op: linear}"
    ends = "embed: {blend: [a, deep], op: linear}\nhead: {blend: [a, deep], op: linear}\n"
    donors = "donors: {a: ../a, deep: {stack: deep.yml}}\n"
    (home / "more" / "inner.yml").write_text(f"stacker: 1\n{donors}stack:\n - {half}\n - {half}\n{ends}")
    spec = home / "spec.yml"
    spec.write_text(
        "stacker: 1\ndonors: {x: {stack: more/inner.yml}, a: ./a}\nstack: ['x[1:]', 'a[0:2]']\n"
        "embed: x\nhead: a\nconfig: a\ntokenizer: a\n"
    )
    native = json.dumps(_made(load_text(spec.read_bytes(), spec)))
    text = _converted(spec, "mergekit")
    assert [line for line in text.splitlines() if line.startswith("name")] == ["name: x-deep", "name: x"]
    spec.write_text(text)
    assert json.dumps(_made(load_text(spec.read_bytes(), spec))).replace("x-deep", "deep") == native
    assert _converted(spec, "mergekit") == text
