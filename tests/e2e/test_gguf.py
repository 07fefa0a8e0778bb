"""Stacks of GGUF donors, as the package gguf reads them: every tensor and every entry is what the spec says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants

from stacker.checkpoint import verify
from stacker.compose import Stack, load
from stacker.errors import DonorError, SpecError, StackerError, VerifyError, raise_problems
from stacker.run.building import BuildOptions
from tests.gguf_donors import HIDDEN, VOCAB, read_metadata, read_tensors, write_gguf

ITEMS = "a[0:3]\nb[1:4]"
Tensors = Mapping[str, tuple[str, tuple[int, ...], bytes]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with two donors, whose tensors have different types."""
    write_gguf(tmp_path / "a.gguf", seed=1, types={"ffn_down.weight": "Q4_K", "blk.1.ffn_up.weight": "Q6_K"}, name="A")
    write_gguf(tmp_path / "b.gguf", seed=2, kind="Q8_0", types={"attn_v.weight": "IQ4_XS"}, name="B")
    return tmp_path


def stack_of(home: Path, items: str = ITEMS, more: str = "", donors: str = "a: a.gguf, b: b.gguf") -> Stack:
    """The stack of a spec with these items, a line each."""
    stack = "".join(f"  - {item}\n" for item in items.splitlines())
    (home / "spec.yml").write_text(f"stacker: 1\nname: both\ndonors: {{{donors}}}\nstack:\n{stack}{more}")
    return load(home / "spec.yml")


def values(tensors: Tensors, name: str) -> np.ndarray[Any, Any]:
    kind, shape, data = tensors[name]
    raw = np.frombuffer(data, np.uint8)
    if kind == "F32":
        return raw.view(np.float32).reshape(shape)
    return quants.dequantize(raw.reshape(shape[0], -1), GGMLQuantizationType[kind]).reshape(shape)


def expected_tensors(home: Path, layers: list[tuple[str, int]], ends: tuple[str, str] = ("a", "b")) -> dict[str, Any]:
    """The tensors of a stack of copied layers, from the donors' files alone."""
    donors = {name: read_tensors(home / f"{name}.gguf") for name in ("a", "b")}
    found = {"token_embd.weight": donors[ends[0]]["token_embd.weight"]}
    for index, (name, layer) in enumerate(layers):
        inside = f"blk.{layer}."
        found |= {
            f"blk.{index}.{key.removeprefix(inside)}": each
            for key, each in donors[name].items()
            if key.startswith(inside)
        }
    return found | {key: donors[ends[1]][key] for key in ("output_norm.weight", "output.weight")}


LAYERS = [("a", 0), ("a", 1), ("a", 2), ("b", 1), ("b", 2), ("b", 3)]


def test_layers_move_as_bytes_in_their_own_types(home: Path) -> None:
    """Each tensor has the type and the bytes of its donor's, whatever the types are."""
    stack_of(home).build(home / "out.gguf")
    assert read_tensors(home / "out.gguf") == expected_tensors(home, LAYERS)
    assert sorted(path.name for path in home.iterdir()) == ["a.gguf", "b.gguf", "out.gguf", "spec.yml"]


def test_no_lint_speaks_of_other_files(home: Path) -> None:
    """Types may differ from tensor to tensor, and the names of tensors have one meaning."""
    found = stack_of(home, "a[0:3]\n{slice: 'b[1:4]', scale: {attn.v: 0.5}}").lints()
    assert not [each for each in found if "element types" in each.message or "guessed" in each.message]


def test_the_metadata_describes_the_stack(home: Path) -> None:
    """Depth, name, size and origin are those of the stack; tokens are the donor's."""
    stack_of(home).build(home / "out.gguf")
    found, donor = read_metadata(home / "out.gguf"), read_metadata(home / "a.gguf")
    assert found["llama.block_count"] == 6
    assert found["general.name"] == "both"
    assert found["general.size_label"] == "3.9M"
    assert found["general.file_type"] == 7
    assert [found["general.base_model.count"], found["general.base_model.1.name"]] == [2, "B"]
    same = [key for key in donor if key.startswith(("tokenizer.", "llama.")) and key != "llama.block_count"]
    assert {key: found[key] for key in same} == {key: donor[key] for key in same}
    lock = json.loads(found["stacker.lock"])
    assert lock["plan"]["name"] == "both"
    assert lock["stacker.yml"] == (home / "spec.yml").read_text()


def test_the_tokenizer_can_be_chosen(home: Path) -> None:
    """The tokens come from the donor that the spec names."""
    stack_of(home, more="tokenizer: b\n").build(home / "out.gguf")
    assert read_metadata(home / "out.gguf")["tokenizer.ggml.tokens"][0] == "token 2 0"


def test_a_tokenizer_of_another_size_is_refused(home: Path) -> None:
    """llama.cpp loads only files with one token for each row of the embedding."""
    write_gguf(home / "b.gguf", seed=2, tokens=VOCAB + 1)
    with pytest.raises(StackerError, match=f"{VOCAB + 1} tokens, the embedding of 'a' {VOCAB} rows"):
        stack_of(home, more="tokenizer: b\n").plan()


@pytest.mark.parametrize(("head", "written"), [("a", False), ("b", True)])
def test_a_tied_head_is_written_where_it_differs(home: Path, head: str, written: bool) -> None:
    """Donors without `output.weight` use their embedding; a stack with another donor's head has it written."""
    for number, name in enumerate("ab"):
        write_gguf(home / f"{name}.gguf", seed=number, head=False)
    stack_of(home, more=f"head: {head}\n").build(home / "out.gguf")
    found = read_tensors(home / "out.gguf")
    assert ("output.weight" in found) is written
    if written:
        assert found["output.weight"] == read_tensors(home / "b.gguf")["token_embd.weight"]


def test_a_set_of_parts(home: Path) -> None:
    """With a split size, the parts have llama.cpp's names and keys, and together the same tensors; they are a donor."""
    stack = stack_of(home, more="output: {shard_size: 1MB}\n")
    stack.build(home / "out.gguf")
    parts = sorted(home.glob("out-*.gguf"))
    assert len(parts) > 2
    assert parts[1].name == f"out-00002-of-0000{len(parts)}.gguf"
    assert read_tensors(*parts) == expected_tensors(home, LAYERS)
    keys = [read_metadata(part) for part in parts]
    assert [each["split.no"] for each in keys] == list(range(len(parts)))
    assert {(each["split.count"], each["split.tensors.count"]) for each in keys} == {(len(parts), 57)}
    assert "general.architecture" in keys[0]
    assert verify(parts[0]).problems == ()
    again = stack_of(home, "c[0:6]", donors=f"c: {parts[0].name}")
    again.build(home / "again.gguf")
    assert read_tensors(home / "again.gguf") == expected_tensors(home, LAYERS)


def test_a_missing_part_is_named(home: Path) -> None:
    """A set that is not complete is refused."""
    stack_of(home, more="output: {shard_size: 1MB}\n").build(home / "out.gguf")
    part = sorted(home.glob("out-*.gguf"))[1]
    part.unlink()
    with pytest.raises(DonorError, match=part.name):
        stack_of(home, "c[0:6]", donors=f"c: {min(home.glob('out-*.gguf')).name}")


def test_verify_finds_damage(home: Path) -> None:
    """A sound file is as planned; a changed byte is reported with its tensor, a changed entry as the header's."""
    stack_of(home).build(home / "out.gguf")
    assert verify(home / "out.gguf").problems == ()
    data = bytearray((home / "out.gguf").read_bytes())
    for place, message in ((-40, "output.weight"), (data.index(b"general.name") + 24, "header")):
        damaged = bytearray(data)
        damaged[place] ^= 1
        (home / "damaged.gguf").write_bytes(damaged)
        with pytest.raises(VerifyError, match=message):
            raise_problems(verify(home / "damaged.gguf").problems)


def test_verify_by_digests(home: Path) -> None:
    """With digests in the lock, a file is checked without its donors."""
    stack_of(home).build(home / "out.gguf", BuildOptions(digests=True))
    (home / "a.gguf").unlink()
    assert "SHA-256" in verify(home / "out.gguf").problems[0].message
    data = bytearray((home / "out.gguf").read_bytes())
    data[-40] ^= 1
    (home / "out.gguf").write_bytes(data)
    with pytest.raises(VerifyError, match="SHA-256 is not the one"):
        raise_problems(verify(home / "out.gguf").problems)


def test_an_interrupted_build_is_resumed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an interrupted run has copied is kept, and the file appears only when it is complete."""
    from stacker.io.output.folder import Output

    stack = stack_of(home)
    with monkeypatch.context() as context:
        context.setattr(Output, "commit", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            stack.build(home / "out.gguf")
    assert not (home / "out.gguf").exists()
    built = stack.build(home / "out.gguf")
    assert built.report.kept == built.plan.total_size
    assert read_tensors(home / "out.gguf") == expected_tensors(home, LAYERS)


def test_the_same_bytes_every_time(home: Path) -> None:
    """Neither the number of workers nor the name of the output changes a byte of it."""
    stack = stack_of(home)
    stack.build(home / "one.gguf", BuildOptions(workers=1))
    stack.build(home / "two.gguf", BuildOptions(workers=3))
    assert (home / "one.gguf").read_bytes() == (home / "two.gguf").read_bytes()


def test_an_existing_file_is_replaced_only_with_force(home: Path) -> None:
    """A file is not overwritten by mistake, and a donor not at all."""
    (home / "out.gguf").write_text("mine")
    with pytest.raises(SpecError, match="the output file exists"):
        stack_of(home).build(home / "out.gguf")
    stack_of(home).build(home / "out.gguf", BuildOptions(force=True))
    assert read_tensors(home / "out.gguf") == expected_tensors(home, LAYERS)
    with pytest.raises(SpecError, match="would be overwritten"):
        stack_of(home).build(home / "a.gguf", BuildOptions(force=True))


def test_the_output_is_named_for_what_it_is(home: Path) -> None:
    """A folder cannot be asked for where the donors are GGUF files."""
    with pytest.raises(SpecError, match=r"name the output out\.gguf"):
        stack_of(home).build(home / "out")


SCALED = "a[0:1]\n{slice: 'a[1:2]', scale: {mlp.down: 0.5, attn.q: 0.3}}"


def test_scaling_keeps_the_type(home: Path) -> None:
    """A factor multiplies the scales of blocks: by a power of two without any rounding."""
    stack_of(home, SCALED, "head: a\n").build(home / "out.gguf")
    found, donor = read_tensors(home / "out.gguf"), read_tensors(home / "a.gguf")
    assert found["blk.1.ffn_down.weight"][0] == "Q4_K"
    down = values(donor, "blk.1.ffn_down.weight")
    np.testing.assert_array_equal(values(found, "blk.1.ffn_down.weight"), down * np.float32(0.5))
    query = values(donor, "blk.1.attn_q.weight")
    rounding = np.abs(query).max() * 2.0**-10
    np.testing.assert_allclose(values(found, "blk.1.attn_q.weight"), query * 0.3, rtol=2**-10, atol=rounding)


BLENDED = "{blend: ['a[0:2]', 'b[0:2]'], op: linear, weight: 0.5}"


def test_blends_are_computed_from_the_numbers_that_blocks_mean(home: Path) -> None:
    """A blend equals the blend of the dequantised donors, quantised as the package gguf does."""
    stack_of(home, BLENDED, "output: {dtype: q8_0}\n").build(home / "out.gguf")
    found = read_tensors(home / "out.gguf")
    donors = [read_tensors(home / f"{name}.gguf") for name in "ab"]
    for name in ("blk.0.ffn_down.weight", "blk.1.ffn_up.weight", "blk.0.attn_v.weight", "blk.0.attn_q.weight"):
        kind, shape, data = found[name]
        mean = np.mean([values(donor, name).astype(np.float64) for donor in donors], axis=0)
        assert (kind, shape) == ("Q8_0", donors[0][name][1])
        packed = quants.quantize(mean.astype(np.float32), GGMLQuantizationType.Q8_0).tobytes()
        assert np.mean(np.frombuffer(data, np.uint8) == np.frombuffer(packed, np.uint8)) > 0.999
        steps = np.abs(mean).reshape(-1, 32).max(axis=1, keepdims=True) / 127
        assert (np.abs(values(found, name) - mean).reshape(-1, 32) <= 0.6 * steps).all()
    norm = np.mean([values(donor, "blk.0.attn_norm.weight") for donor in donors], axis=0)
    np.testing.assert_allclose(values(found, "blk.0.attn_norm.weight"), norm, rtol=1e-6)
    assert verify(home / "out.gguf").problems == ()


def test_a_type_that_cannot_be_written_is_refused(home: Path) -> None:
    """Nothing here quantises to K-quants, and the error says what to write instead."""
    with pytest.raises(StackerError, match=r"nothing here can quantise to Q4_K(.|\n)*dtype: q8_0"):
        stack_of(home, BLENDED).plan()


def test_dequantised_output(home: Path) -> None:
    """`dtype: bfloat16` writes matrices as BF16 and leaves vectors in F32."""
    stack_of(home, more="output: {dtype: bfloat16}\n").build(home / "out.gguf")
    kinds = {(len(shape), kind) for kind, shape, _ in read_tensors(home / "out.gguf").values()}
    assert kinds == {(1, "F32"), (2, "BF16")}


def test_a_stack_is_a_donor(home: Path) -> None:
    """A nested stack is read without building it, with its own metadata."""
    (home / "inner.yml").write_text("stacker: 1\ndonors: {a: a.gguf, b: b.gguf}\nstack: ['a[0:3]', 'b[1:4]']\n")
    stack = stack_of(home, "c[0:2]\nc[4:6]", donors="c: {stack: inner.yml}")
    stack.build(home / "out.gguf")
    assert read_tensors(home / "out.gguf") == expected_tensors(home, [LAYERS[0], LAYERS[1], LAYERS[4], LAYERS[5]])
    assert read_metadata(home / "out.gguf")["llama.block_count"] == 4
    assert verify(home / "out.gguf").problems == ()


def test_kinds_of_donors_do_not_mix(home: Path) -> None:
    """A safetensors donor beside a GGUF donor is refused."""
    from tests.donors import write_llama

    write_llama(home / "c", layers=4)
    with pytest.raises(StackerError, match="is gguf, donor 'c' is safetensors"):
        stack_of(home, "a[0:2]\nc[2:4]", donors="a: a.gguf, c: ./c")


def test_unknown_types_are_copied(home: Path) -> None:
    """A tensor type that nobody knows keeps its number and its bytes."""
    data = (home / "a.gguf").read_bytes()
    name = b"blk.2.ffn_gate.weight"
    place = data.index(name) + len(name) + 4 + 16
    (home / "a.gguf").write_bytes(data[:place] + (137).to_bytes(4, "little") + data[place + 4 :])
    stack_of(home).build(home / "out.gguf")
    out = (home / "out.gguf").read_bytes()
    assert int.from_bytes(out[(at := out.rindex(name) + len(name) + 20) : at + 4], "little") == 137
    assert verify(home / "out.gguf").problems == ()


def test_looking_imports_neither_torch_nor_the_package(home: Path) -> None:
    """Checking, planning and copying a GGUF stack import no torch, transformers, numpy or gguf."""
    stack_of(home)
    code = (
        "import sys; from pathlib import Path; from stacker.compose import load; stack = load(Path('spec.yml'));"
        "stack.preview(); stack.build('out.gguf');"
        "print(sorted({'torch', 'transformers', 'gguf', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_more_layers_than_llama_cpp_loads_are_refused(home: Path) -> None:
    """A stack of more than 512 layers is an error."""
    with pytest.raises(StackerError, match="at most 512"):
        stack_of(home, "{repeat: 'a[0:4]', times: 129}", "head: a\n").plan()


assert HIDDEN % 256 == 0
