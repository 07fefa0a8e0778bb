"""Files beside the weights, built and loaded by transformers; bad ones end in an error before anything is written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen2AudioProcessor,
    WhisperFeatureExtractor,
)

from stacker.compose import Stack, load
from stacker.core.values.donor import SideFile
from stacker.errors import Blame, DonorError, Severity, SpecError, StackerError, UnsafeError
from stacker.io.donors import side_files
from stacker.run.executors import EXECUTORS
from tests.donors import write_llama
from tests.tokenizers import write_tokenizer

WORDS = [f"w{number}" for number in range(20)]
ADDED = ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Two donors with 24 rows and 23 tokens."""
    for seed, name in enumerate("ab"):
        write_tokenizer(write_llama(tmp_path / name, layers=2, seed=seed), WORDS, ADDED)
        settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
        (tmp_path / name / "tokenizer_config.json").write_text(json.dumps(settings))
    return tmp_path


def stack_of(home: Path, *lines: str, items: str = "[a, b]") -> Stack:
    """A stack of both donors, embedding of `a` and head of `b`, with more lines of a spec."""
    text = f"stacker: 1\nname: s\ndonors: {{a: ./a, b: ./b}}\nstack: {items}\n"
    (home / "s.yml").write_text(text + "\n".join(lines) + "\n")
    return load(home / "s.yml")


def errors_of(stack: Stack) -> list[str]:
    return [str(problem) for problem in stack.problems if problem.severity is Severity.ERROR]


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # transformers leaves templates open
def test_a_processor_with_its_templates_is_loaded(home: Path) -> None:
    """transformers saves a processor into a donor, and loads an equal one from the result."""
    templates = {"default": "{{ 'x' }}", "tool_use": "{{ 'y' }}"}
    tokenizer = PreTrainedTokenizerFast.from_pretrained(home / "a")
    Qwen2AudioProcessor(WhisperFeatureExtractor(feature_size=16), tokenizer, templates).save_pretrained(home / "a")
    stack_of(home).build(home / "out")
    donor, out = (AutoProcessor.from_pretrained(home / name) for name in ("a", "out"))
    assert out.to_dict() == donor.to_dict()
    assert out.chat_template == templates
    assert out.tokenizer.get_vocab() == donor.tokenizer.get_vocab()
    assert files_of(home / "a") <= files_of(home / "out")


@pytest.mark.parametrize(
    ("name", "line", "giver"),
    [
        ("tokenizer.model", "tokenizer: b", "b"),
        ("qwen.tiktoken", "tokenizer: b", "b"),
        ("preprocessor_config.json", "tokenizer: b", "a"),
        ("processor_config.json", "embed: b", "b"),
        ("video_preprocessor_config.json", "config: b", "a"),
        ("quantize_config.json", "config: b", "b"),
        ("generation_config.json", "config: b", "b"),
        ("modules.json", "", "b"),
        ("1_Pooling/config.json", "", "b"),
        ("2_Dense/model.safetensors", "head: a", "a"),
        ("additional_chat_templates/rag.jinja", "", "a"),
        ("LICENSE", "", "a"),
    ],
)
def test_each_file_comes_from_the_donor_it_belongs_to(home: Path, name: str, line: str, giver: str) -> None:
    """Byte by byte; the file of the other donor is listed with the reason."""
    for donor in "ab":
        path = home / donor / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("[]" if name == "modules.json" else f'{{ "of":"{donor}" }}' if name.endswith("json") else "")
    stack = stack_of(home, line)
    stack.build(home / "out")
    assert (home / "out" / name).read_bytes() == (home / giver / name).read_bytes()
    left = {(each.donor, each.name): each.reason for each in stack.side_files.left}
    assert f"come from '{giver}'" in left["ba"["ab".index(giver)], name]


def test_every_file_of_a_donor_is_written_or_named(home: Path) -> None:
    """No file disappears without a word."""
    for name in ("modeling_x.py", "pytorch_model.bin", "onnx/model.onnx", "README.md", "x.foo", "LICENSE", ".hidden"):
        (home / "a" / name).parent.mkdir(exist_ok=True)
        (home / "a" / name).write_text("x")
    stack = stack_of(home)
    stack.build(home / "out")
    left = {each.name for each in stack.side_files.left if each.donor == "a"}
    assert files_of(home / "a") - files_of(home / "out") <= left
    assert left - files_of(home / "a") == set()
    assert not {"modeling_x.py", "pytorch_model.bin", "x.foo"} & files_of(home / "out")


def test_files_of_a_nested_stack_go_on(home: Path) -> None:
    """The outer stack carries what the inner one does, and names what the inner donors leave behind."""
    (home / "b" / "modules.json").write_text("[]")
    (home / "a" / "x.foo").write_text("x")
    (home / "s.yml").write_text("stacker: 1\ndonors: {a: ./a, b: ./b}\nstack: [a, b]\n")
    (home / "o.yml").write_text("stacker: 1\nname: o\ndonors: {s: {stack: s.yml}}\nstack: [s]\n")
    stack = load(home / "o.yml")
    stack.build(home / "out")
    assert {"modules.json", "tokenizer.json", "tokenizer_config.json"} <= files_of(home / "out")
    assert ("s/a", "x.foo") in {(each.donor, each.name) for each in stack.side_files.left}


def test_pickled_modules_are_missed(home: Path) -> None:
    """A module whose weights are pickled only is a warning."""
    (home / "b/2_Dense").mkdir()
    (home / "b/2_Dense/config.json").write_text("{}")
    (home / "b/2_Dense/pytorch_model.bin").write_text("")
    (warning,) = stack_of(home).problems
    assert (warning.severity, "2_Dense/pytorch_model.bin" in warning.message) == (Severity.WARNING, True)


SPELLED = '{"auto\\u005fmap": {"AutoTokenizer": "x.Y"}, "custom_generate": "z", "kept": 1}'


@pytest.mark.parametrize("name", ["tokenizer_config.json", "generation_config.json", "special_tokens_map.json"])
def test_code_is_removed_however_it_is_spelled(home: Path, name: str) -> None:
    """An escape in a key hides nothing, and what was removed is named."""
    (home / "a" / name).write_text(SPELLED)
    stack = stack_of(home)
    stack.build(home / "out")
    assert json.loads((home / "out" / name).read_text()) == {"kept": 1}
    (warning,) = stack.problems
    assert f"{name} of 'a' has 'auto_map', 'custom_generate'" in warning.message


SETTINGS = ["tokenizer_config.json", "generation_config.json", "1_Pooling/config.json"]


def _dangling(path: Path) -> None:
    path.symlink_to("gone")


def _outside(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("name", ["LICENSE", "tokenizer.json", "vocab.txt", *SETTINGS])
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (os.mkfifo, DonorError, "a named pipe, not a regular file"),
        (_dangling, DonorError, "leads to 'gone', which is not there"),
        (_outside, UnsafeError, "leaves the donor's folder"),
        (_device, UnsafeError, "leaves the donor's folder"),
    ],
    ids=["pipe", "dangling", "outside", "device"],
)
def test_what_is_no_file_of_the_donor_is_refused(
    home: Path, name: str, make: Callable[[Path], None], error: type[StackerError], message: str
) -> None:
    """Before anything is written, in no time, with the file's name."""
    path = home / ("b" if "/" in name else "a") / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)
    stack = stack_of(home)
    assert [message in problem and name in problem for problem in errors_of(stack)] == [True]
    with pytest.raises(error, match=message):
        stack.build(home / "out")
    assert not list(home.glob("out*"))


def test_a_bad_file_of_another_donor_does_not_matter(home: Path) -> None:
    """Only files that the stack carries are opened."""
    os.mkfifo(home / "b/LICENSE")
    (home / "b/tokenizer.model").symlink_to("/dev/zero")
    assert errors_of(stack_of(home)) == []


@pytest.mark.parametrize(
    ("name", "size"),
    [("tokenizer.9.json", 199_000_000), ("LICENSE", 5_000_000), ("preprocessor_config.json", 17_000_000)],
)
def test_files_that_are_too_large_are_not_read(home: Path, name: str, size: int) -> None:
    """A tokenizer of 199 MB is refused by its size."""
    for number in range(20):
        path = home / "a" / name.replace("9", str(number))
        path.touch()
        os.truncate(path, size)
    problems = errors_of(stack_of(home))
    assert len(problems) == (20 if "9" in name else 1)
    assert all(f"this file has {size:,} bytes" in problem for problem in problems)


def test_many_large_files_are_refused_together(home: Path) -> None:
    """Each is small enough, but not all of them."""
    for number in range(9):
        (home / "a" / f"{number}.tiktoken").touch()
        os.truncate(home / "a" / f"{number}.tiktoken", 63_000_000)
    assert any("stacker carries at most 500,000,000" in problem for problem in errors_of(stack_of(home)))


def test_a_file_that_is_exchanged_during_the_build_does_not_matter(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the weights are being written, side files are on the disk already; a link put there is not followed."""
    (home / "a/LICENSE").write_text("free")
    (home / "secret").write_text("secret")
    stack, execute = stack_of(home), EXECUTORS["local"]

    def attack(*words: Any, **more: Any) -> Any:
        (home / "a/LICENSE").unlink()
        (home / "a/LICENSE").symlink_to("../secret")
        return execute(*words, **more)

    monkeypatch.setitem(EXECUTORS, "local", attack)
    stack.build(home / "out")
    assert (home / "out/LICENSE").read_text() == "free"
    assert not (home / "out/LICENSE").is_symlink()


def test_a_link_put_there_after_the_check_is_refused(home: Path) -> None:
    """Between checking and building."""
    (home / "a/LICENSE").write_text("free")
    (home / "secret").write_text("secret")
    stack = stack_of(home)
    (home / "a/LICENSE").unlink()
    (home / "a/LICENSE").symlink_to("../secret")
    with pytest.raises(UnsafeError, match="leaves the donor's folder"):
        stack.build(home / "out")
    assert not list(home.glob("out*"))


def test_settings_that_change_after_the_check_are_cleaned(home: Path) -> None:
    """What is written is what was read and cleaned, not what was checked."""
    stack = stack_of(home)
    (home / "a/generation_config.json").write_text(SPELLED)
    stack.build(home / "out")
    assert json.loads((home / "out/generation_config.json").read_text()) == {"kept": 1}


def test_each_file_is_opened_once_in_a_build(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the checks, its content is read from one descriptor."""
    stack = stack_of(home)
    opened: list[str] = []
    read = side_files.read_side_file

    def watch(file: SideFile) -> bytes:
        opened.append(file.name)
        return read(file)

    monkeypatch.setattr(side_files, "read_side_file", watch)
    stack.build(home / "out")
    assert len(opened) == len(set(opened)) == len(stack.side_files.carried)


def test_a_file_is_inspected_once_for_all_stacks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading another stack of the same donors reads no side file; one that was changed meanwhile is read again."""
    stack_of(home)
    opened: list[str] = []
    read = side_files.read_side_file

    def watch(file: SideFile) -> bytes:
        opened.append(file.name)
        return read(file)

    monkeypatch.setattr(side_files, "read_side_file", watch)
    assert not errors_of(stack_of(home, items="['a[0:1]', b]"))
    assert opened == []
    (home / "a/tokenizer_config.json").write_text('{"added_tokens_decoder": {"24": {"content": "<far>"}}}')
    assert "tokenizer_config.json of 'a' has ids up to 24" in errors_of(stack_of(home))[0]
    assert opened == ["tokenizer_config.json"]


def beyond(home: Path, count: int = 24) -> None:
    """Give `b` a tokenizer with more tokens than its embedding has rows."""
    write_tokenizer(home / "b", [f"w{number}" for number in range(count)], ["<far>"])
    (home / "b/tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')


@pytest.mark.parametrize(
    ("lines", "remedy"),
    [
        (["tokenizer: b"], ["tokenizer: {source: b}"]),
        (["tokenizer: b"], ["tokenizer: a"]),
        (["tokenizer: b", "embed: b"], ["tokenizer: {source: b}", "embed: b"]),
    ],
    ids=["rows", "other", "own"],
)
def test_ids_beyond_the_rows_are_refused_with_a_remedy_that_works(
    home: Path, lines: list[str], remedy: list[str]
) -> None:
    """The hint names the line, and with that line the stack builds and every token has a row."""
    beyond(home)
    (problem,) = (each for each in stack_of(home, *lines).problems if each.severity is Severity.ERROR)
    assert "tokenizer.json of 'b' has ids up to 24 ('<far>')" in problem.message
    assert "24 rows" in problem.message
    assert f"`{remedy[0]}`" in problem.hint
    assert problem.blame is Blame.SPEC
    stack_of(home, *remedy).build(home / "out")
    rows = json.loads((home / "out/config.json").read_text())["vocab_size"]
    assert len(AutoTokenizer.from_pretrained(home / "out")) <= rows


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("added_tokens.json", {"<far>": 24}),
        ("tokenizer_config.json", {"added_tokens_decoder": {"24": {"content": "<far>"}}}),
        ("vocab.json", {"<far>": 24}),
    ],
)
def test_every_list_of_tokens_is_held_against_the_rows(home: Path, name: str, content: object) -> None:
    """An id in any file of the tokenizer counts."""
    (home / "a" / name).write_text(json.dumps(content))
    assert [f"{name} of 'a' has ids up to 24" in problem for problem in errors_of(stack_of(home))] == [True]


def test_an_id_of_a_billion_makes_no_billion_rows(home: Path) -> None:
    """With a vocabulary in the spec, rows follow the ids; an id far beyond all tokens is refused."""
    content = json.loads((home / "b/tokenizer.json").read_text())
    content["added_tokens"][0]["id"] = 1_000_000_000
    (home / "b/tokenizer.json").write_text(json.dumps(content))
    stack = stack_of(home, "tokenizer: {source: b}")
    assert "the id 1,000,000,000, but has 23 tokens" in errors_of(stack)[0]
    with pytest.raises((SpecError, DonorError)):
        stack.build(home / "out")


@pytest.mark.parametrize("vocabulary", ['{"x": Infinity}', "[[]]", "[1]", '{"x": -1}', '{"x": 1.5}'])
@pytest.mark.parametrize("line", ["tokenizer: b", "tokenizer: {source: b}", "tokenizer: {source: union}"])
def test_damaged_vocabularies_are_the_donors_fault(home: Path, vocabulary: str, line: str) -> None:
    """Ids that are no numbers of rows, and pieces without a text."""
    (home / "b/tokenizer.json").write_text(f'{{"model": {{"vocab": {vocabulary}}}}}')
    with pytest.raises(DonorError, match=r"b/tokenizer\.json: this is not (a tokenizer|valid JSON)"):
        stack_of(home, line).build(home / "out")
