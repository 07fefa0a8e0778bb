"""The whole pipeline on tiny donors; what it wrote is read back with the safetensors library."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from stacker.checkpoint import verify, write_digests
from stacker.compose import Stack, load
from stacker.core.plan.plan_json import LOCK, plan_from_json, plan_to_json
from stacker.core.plan.shard_layout import Layout, LayoutKind
from stacker.errors import DonorError, LockedError, Severity, SpecError, VerifyError, raise_problems
from stacker.run.building import BuildOptions
from tests.donors import write_llama

SPEC = """\
stacker: 1
name: tiny
donors:
  a: ./a
  b: ./b
stack:
  - a[0:4]
  - b[2:6]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with two donors and a spec."""
    write_llama(tmp_path / "a", seed=1, shards=3)
    write_llama(tmp_path / "b", seed=2)
    (tmp_path / "spec.yml").write_text(SPEC)
    return tmp_path


def stack_of(home: Path, text: str = SPEC) -> Stack:
    """The stack of a spec text in a folder of donors."""
    (home / "spec.yml").write_text(text)
    return load(home / "spec.yml")


def tensors_in(folder: Path) -> dict[str, bytes]:
    """The bytes of all tensors of a checkpoint, read with the safetensors library (as 16-bit integers)."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found |= {name: bytes(_raw(file.get_tensor(name))) for name in file.keys()}  # noqa: SIM118 - not a dict
    return found


def _raw(tensor: Any) -> Any:
    import torch

    return tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.ndim else b""


def test_layers_are_the_donors_bytes(home: Path) -> None:
    """Every tensor of the output is the donor's, byte for byte, under its new name."""
    stack_of(home).build(home / "out")
    a, b, out = (tensors_in(home / name) for name in ("a", "b", "out"))
    for layer in range(8):
        donor, source = (a, layer) if layer < 4 else (b, layer - 2)
        for name, data in donor.items():
            if name.startswith(f"model.layers.{source}."):
                assert out[name.replace(f".{source}.", f".{layer}.", 1)] == data
    assert out["model.embed_tokens.weight"] == a["model.embed_tokens.weight"]
    assert out["lm_head.weight"] == b["lm_head.weight"]
    assert len(out) == 8 * 9 + 3


def test_the_config_counts_the_new_layers(home: Path) -> None:
    """config.json is the first donor's with the new depth, and `stacker config` shows the same."""
    stack = stack_of(home)
    stack.build(home / "out")
    written = json.loads((home / "out/config.json").read_text())
    assert written["num_hidden_layers"] == 8
    assert written == dict(stack.config)


@pytest.mark.parametrize("size", [1, 1000, 5000, 10**9], ids=["one tensor each", "small", "medium", "one"])
@pytest.mark.parametrize("workers", [1, 8])
def test_tensors_do_not_depend_on_shards_or_workers(home: Path, size: int, workers: int) -> None:
    """One tensor in shards of any size, by any number of threads: the same bytes."""
    text = SPEC.replace("  - b[2:6]", "  - blend: [a[4:6], b[4:6]]\n    op: slerp\n    t: [0.2, 0.7]").replace(
        "[a[4:6], b[4:6]]", "['a[4:6]', 'b[4:6]']"
    )
    stack_of(home, text).build(home / "plain")
    sized = stack_of(home, text + f"output: {{shard_size: {size}}}\n")
    sized.build(home / "other", BuildOptions(workers=workers))
    assert tensors_in(home / "other") == tensors_in(home / "plain")


def test_an_index_stands_beside_several_shards(home: Path) -> None:
    """The index names every tensor's shard, and counts bytes and parameters as transformers does."""
    plan = stack_of(home, SPEC + "output: {shard_size: 4000}\n").build(home / "out").plan
    index = json.loads((home / "out/model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_parameters": plan.total_parameters, "total_size": plan.total_size}
    for name, shard in index["weight_map"].items():
        with safe_open(home / "out" / shard, "pt") as file:
            assert name in file.keys()  # noqa: SIM118 - not a dict


def test_one_shard_has_no_index(home: Path) -> None:
    """transformers would prefer the single file anyway."""
    stack_of(home).build(home / "out")
    assert not (home / "out/model.safetensors.index.json").exists()


def test_a_plan_survives_its_json(home: Path) -> None:
    """The lock file holds the whole plan, headers included."""
    text = SPEC + "output: {shard_size: 3000, dtype: float32}\n"
    plan = stack_of(home, text).plan()
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan


def test_the_plan_id_is_of_the_result_and_the_donors(home: Path) -> None:
    """The same donors elsewhere give the same id; other donors, layers or layouts another."""
    first = stack_of(home).plan().id
    (home / "moved").mkdir()
    (home / "a").rename(home / "moved/a")
    assert stack_of(home, SPEC.replace("./a", "./moved/a")).plan().id == first
    assert stack_of(home, SPEC.replace("./a", "./moved/a").replace("b[2:6]", "b[1:5]")).plan().id != first
    assert stack_of(home, SPEC.replace("./a", "./moved/a")).plan(Layout(1000)).id != first
    write_llama(home / "moved/a", seed=1, shards=2)
    assert stack_of(home, SPEC.replace("./a", "./moved/a")).plan().id != first


def test_the_plan_counts_what_is_written(home: Path) -> None:
    """Sizes, shards and bytes in the plan are those on the disk."""
    built = stack_of(home, SPEC + "output: {shard_size: 4000}\n").build(home / "out")
    for shard in built.plan.shards:
        assert (home / "out" / shard.name).stat().st_size == shard.size
        assert (home / "out" / shard.name).read_bytes().startswith(shard.header)
    report = built.report
    assert report.cloned + report.copied + report.holes + report.computed == built.plan.costs.written


def test_every_donor_tensor_is_used_or_accounted_for(home: Path) -> None:
    """Nothing is dropped silently: used and unused together are all tensors of all donors."""
    stack = stack_of(home)
    plan = stack.plan()
    unused = {str(each.tensor): each.reason for each in plan.unused}
    assert unused["a:model.layers.5.mlp.up_proj.weight"] == "layer 5 is in no slice"
    assert unused["b:model.embed_tokens.weight"] == "the embedding is a's"
    assert unused["a:lm_head.weight"] == "the head is b's"
    total = sum(len(donor.tensors) for donor in stack.donors.values())
    assert len(plan.steps) + len(plan.unused) == total


def test_verify_finds_nothing_wrong_with_a_fresh_output(home: Path) -> None:
    """What was built is as planned."""
    stack_of(home).build(home / "out")
    assert verify(home / "out").problems == ()


def test_verify_names_the_damaged_tensor(home: Path) -> None:
    """One flipped bit is enough."""
    plan = stack_of(home).build(home / "out").plan
    step = next(step for step in plan.steps if step.tensor.name == "model.layers.5.mlp.up_proj.weight")
    path = home / "out" / plan.shards[step.shard].name
    data = bytearray(path.read_bytes())
    data[step.offset + 3] ^= 1
    path.write_bytes(data)
    (problem,) = verify(home / "out").problems
    assert "model.layers.5.mlp.up_proj.weight" in problem.message
    with pytest.raises(VerifyError):
        raise_problems([problem])


def test_verify_follows_a_donor_that_moved(home: Path) -> None:
    """Donors are looked for where they were, or where the user says they are."""
    stack_of(home).build(home / "out")
    (home / "b").rename(home / "elsewhere")
    with pytest.raises(DonorError):
        verify(home / "out")
    assert verify(home / "out", {"b": str(home / "elsewhere")}).problems == ()


def test_verify_looks_from_the_current_folder_for_a_donor(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path that the user gives starts where the user is, and not at an output that was moved."""
    stack_of(home).build(home / "out")
    (home / "far").mkdir()
    (home / "out").rename(home / "far/out")
    monkeypatch.chdir(home)
    with pytest.raises(DonorError) as caught:
        verify(Path("far/out"))
    assert [problem.hint.partition("--donor ")[2] for problem in caught.value.problems] == ["a=FOLDER", "b=FOLDER"]
    assert verify(Path("far/out"), {"a": "a", "b": "./b"}).problems == ()


def test_verify_names_a_missing_output(home: Path) -> None:
    """A mistyped folder is called missing, and not a folder without a lock file."""
    with pytest.raises(SpecError, match="there is no such folder"):
        verify(home / "nothing")


def test_verify_refuses_another_donor(home: Path) -> None:
    """A donor with other headers is not the one that was used."""
    stack_of(home).build(home / "out")
    write_llama(home / "b", seed=2, vocab=32)
    with pytest.raises(DonorError, match="not the one that was used"):
        verify(home / "out")


@pytest.mark.parametrize("how", ["by build", "by verify"])
def test_verify_without_donors_compares_digests(home: Path, how: str) -> None:
    """Where the donors are not at hand, a shard whose SHA-256 is not that of the lock file is named."""
    plan = stack_of(home).build(home / "out", BuildOptions(digests=how == "by build")).plan
    if how == "by verify":
        write_digests(home / "out")
    lock = json.loads((home / "out" / LOCK).read_text())
    paths = [home / "out" / shard.name for shard in plan.shards]
    assert lock["sha256"] == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    assert verify(home / "out").problems == ()
    (home / "b").rename(home / "elsewhere")
    (note,) = verify(home / "out").problems
    assert note.severity is Severity.NOTE
    assert "not with the donors: " in note.message
    data = bytearray(paths[0].read_bytes())
    data[-1] ^= 1
    paths[0].write_bytes(data)
    with pytest.raises(VerifyError, match="its SHA-256 is not the one in the lock file"):
        raise_problems(verify(home / "out").problems)
    with pytest.raises(DonorError):
        verify(home / "out", {"b": str(home / "nowhere")})


@pytest.mark.parametrize("digests", [{"x": "0"}, {"model.safetensors": "0"}, 7], ids=["name", "text", "number"])
def test_verify_refuses_digests_of_other_shards(home: Path, digests: object) -> None:
    """Digests in the lock file that do not belong to its shards are damage."""
    stack_of(home).build(home / "out")
    lock = json.loads((home / "out" / LOCK).read_text())
    (home / "out" / LOCK).write_text(json.dumps({**lock, "sha256": digests}))
    with pytest.raises(VerifyError, match="the lock file is damaged"):
        verify(home / "out")


@pytest.mark.parametrize(
    "text",
    ["[]", '{"plan": []}', '{"plan": {"donors": ["a"]}}', "[" * 100_000],
    ids=["a list", "no plan", "no donor", "nested"],
)
def test_verify_refuses_a_damaged_lock_file(home: Path, text: str) -> None:
    """A lock file that is not a plan is damage, not a traceback."""
    (home / "out").mkdir()
    (home / "out" / "stacker.lock.json").write_text(text)
    with pytest.raises(VerifyError, match="the lock file is damaged"):
        verify(home / "out")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"shard": 9}, id="no such shard"),
        pytest.param({"shard": -1}, id="negative shard"),
        pytest.param({"from": "zz:foo"}, id="no such donor"),
        pytest.param({"from": "foo"}, id="no donor"),
        pytest.param({"offset": -5}, id="before the file"),
        pytest.param({"dtype": "Q9"}, id="no such type"),
    ],
)
def test_verify_refuses_a_plan_that_does_not_fit_together(home: Path, damage: dict[str, object]) -> None:
    """A lock file whose tensors contradict its shards and donors is damage too."""
    stack_of(home).build(home / "out")
    path = home / "out" / "stacker.lock.json"
    lock = json.loads(path.read_text())
    lock["plan"]["tensors"][3] |= damage
    path.write_text(json.dumps(lock))
    with pytest.raises(VerifyError, match="the lock file is damaged"):
        verify(home / "out")


def test_a_stack_of_a_stack_writes_nothing_between(home: Path) -> None:
    """A donor that is a spec is never built; its tensors come straight from the inner donors."""
    (home / "inner.yml").write_text(SPEC)
    outer = "stacker: 1\nname: outer\ndonors:\n  inner: {stack: inner.yml}\nstack:\n  - inner[2:6]\n  - inner[4:8]\n"
    stack_of(home, outer).build(home / "out")
    stack_of(home).build(home / "whole")
    out, whole = tensors_in(home / "out"), tensors_in(home / "whole")
    for layer, source in enumerate([2, 3, 4, 5, 4, 5, 6, 7]):
        name = "model.layers.{}.mlp.up_proj.weight"
        assert out[name.format(layer)] == whole[name.format(source)]
    assert sorted(path.name for path in home.iterdir()) == ["a", "b", "inner.yml", "out", "spec.yml", "whole"]
    assert verify(home / "out").problems == ()


def test_a_stack_of_itself_is_refused(home: Path) -> None:
    """A circle of specs is named, not followed."""
    text = "stacker: 1\nname: x\ndonors:\n  inner: {stack: spec.yml}\nstack:\n  - inner[0:2]\n"
    with pytest.raises(SpecError, match=r"made of itself: spec\.yml → spec\.yml"):
        stack_of(home, text)


def test_every_problem_is_told_at_once(home: Path) -> None:
    """Ranges, ops and parameters that are wrong in one spec are all named."""
    text = SPEC + "  - a[3:9]\n  - blend: ['a[0:1]', 'b[0:1]']\n    op: slrep\n"
    problems = "\n".join(str(problem) for problem in stack_of(home, text).problems)
    assert "spec.yml:9:5: slice a[3:9] ends past donor 'a', which has 6 layers" in problems
    assert "did you mean 'slerp'?" in problems


def test_all_missing_donors_are_told_at_once(home: Path) -> None:
    """Two folders that are not there are two problems of one error."""
    with pytest.raises(DonorError) as caught:
        stack_of(home, SPEC.replace("./a", "./x").replace("./b", "./y"))
    assert len(caught.value.problems) == 2


def test_donors_of_other_widths_are_refused(home: Path) -> None:
    """Layers that do not fit each other are named with both shapes, before anything is written."""
    write_llama(home / "b", hidden=32, seed=2)
    stack = stack_of(home)
    assert "hidden" in "\n".join(str(problem) for problem in stack.problems)
    with pytest.raises((SpecError, DonorError)):
        stack.build(home / "out")
    assert not (home / "out").exists()
    assert not (home / "out.partial").exists()


def test_an_interrupted_build_goes_on_to_the_same_bytes(home: Path) -> None:
    """What was safe before an interruption is kept, and the end is the same."""
    text = SPEC + "output: {shard_size: 3000}\n"
    stack_of(home, text).build(home / "whole")

    def interrupt(done: int, total: int) -> None:
        del total
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stack_of(home, text).build(home / "out", BuildOptions(workers=1), interrupt)
    assert not (home / "out").exists()
    assert stack_of(home, text).build(home / "out").report.kept > 0
    assert tensors_in(home / "out") == tensors_in(home / "whole")


def test_the_layout_for_clones_holds_the_same_tensors(home: Path) -> None:
    """Shards laid out for a filesystem that clones have other offsets and the same bytes."""
    stack_of(home).build(home / "plain", BuildOptions(layout=LayoutKind.PLAIN))
    stack_of(home).build(home / "clone", BuildOptions(layout=LayoutKind.CLONE))
    assert tensors_in(home / "clone") == tensors_in(home / "plain")


def test_an_existing_output_is_only_replaced_with_force(home: Path) -> None:
    """Refused without, replaced at the end with."""
    stack_of(home).build(home / "out")
    with pytest.raises(SpecError, match="exists"):
        stack_of(home).build(home / "out")
    stack_of(home, SPEC.replace("b[2:6]", "b[5]")).build(home / "out", BuildOptions(force=True))
    assert json.loads((home / "out/config.json").read_text())["num_hidden_layers"] == 5


def test_a_second_writer_is_turned_away(home: Path) -> None:
    """The folder being written is locked."""
    stack = stack_of(home)

    def meet(done: int, total: int) -> None:
        del done, total
        with pytest.raises(LockedError):
            stack.build(home / "out")

    stack.build(home / "out", BuildOptions(), meet)


def test_casting_is_what_numpy_says(home: Path) -> None:
    """A bf16 donor written as float32 has exactly the same values."""
    import numpy as np

    stack_of(home, SPEC + "output: {dtype: float32}\n").build(home / "out")
    out = load_file(home / "out/model.safetensors")
    name = "model.layers.4.mlp.up_proj.weight"
    source = np.frombuffer(tensors_in(home / "b")["model.layers.2.mlp.up_proj.weight"], dtype=np.uint16)
    expected = (source.astype(np.uint32) << 16).view(np.float32)
    assert out[name].dtype == np.float32
    assert np.array_equal(out[name].ravel(), expected)
    assert json.loads((home / "out/config.json").read_text())["dtype"] == "float32"


def test_the_tokenizer_follows_its_donor(home: Path) -> None:
    """Tokenizer files are copied as bytes from the donor that the spec names."""
    for name in "ab":
        (home / name / "tokenizer.json").write_text(f'{{"of": "{name}"}}')
    stack_of(home, SPEC + "tokenizer: b\n").build(home / "out")
    assert (home / "out/tokenizer.json").read_text() == '{"of": "b"}'
