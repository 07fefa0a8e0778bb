"""Settings that run code or read other files are removed at any depth, by key and not by bytes."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacker.core.side_files.cleaning import clean_side_file
from stacker.core.side_files.kinds import find_rule
from stacker.core.side_files.selection import CarriedFile
from stacker.core.values.donor import SideFile
from stacker.errors import DonorError, Problem, Severity

UNSAFE = ["auto_map", "custom_generate", "trust_remote_code", "custom_pipelines", "_attn_implementation",
          "_attn_implementation_internal", "_name_or_path", "attn_implementation"]  # fmt: skip
SETTINGS = ["tokenizer_config.json", "generation_config.json", "special_tokens_map.json", "processor_config.json",
            "preprocessor_config.json", "1_Pooling/config.json"]  # fmt: skip


def clean(name: str, data: bytes) -> tuple[bytes | None, tuple[Problem, ...]]:
    """The cleaned content of a file of donor `a`."""
    rule = find_rule(name)
    assert rule is not None
    return clean_side_file(CarriedFile("a", SideFile(name, ""), rule), data)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("key", UNSAFE)
def test_unsafe_keys_are_removed_and_named(name: str, key: str) -> None:
    """On top and inside lists and objects, with the key in every spelling that JSON allows."""
    spelled = "".join(f"\\u{ord(letter):04x}" for letter in key)
    data = f'{{"{spelled}": 1, "kept": [{{"{key}": {{}}, "x": 2}}]}}'.encode()
    written, problems = clean(name, data)
    assert json.loads(written or b"") == {"kept": [{"x": 2}]}
    assert [f"'{key}'" in problem.message for problem in problems] == [True]


@pytest.mark.parametrize("name", SETTINGS)
def test_bytes_stay_when_nothing_is_removed(name: str) -> None:
    """Even the spaces of the donor's file."""
    data = b'{ "a" :1 ,\n"b": [] }'
    assert clean(name, data) == (data, ())


def test_tokens_are_no_settings() -> None:
    """A vocabulary may have any token."""
    data = b'{"auto_map": 3, "_name_or_path": 4}'
    assert clean("vocab.json", data) == (data, ())


@pytest.mark.parametrize(
    ("key", "value", "removed"),
    [
        ("vocab_file", "/etc/passwd", True),
        ("tokenizer_file", "../../other/tokenizer.json", True),
        ("fast_tokenizer_files", ["a/../../tokenizer.9.json"], True),
        ("init_inputs", ["/etc/passwd"], True),
        ("vocab_file", "vocab.json", False),
        ("init_inputs", [], False),
    ],
)
def test_paths_of_other_files_are_removed(key: str, value: object, removed: bool) -> None:
    """A tokenizer would open them; plain names stay."""
    written, problems = clean("tokenizer_config.json", json.dumps({key: value}).encode())
    assert (json.loads(written or b"") == {}, len(problems)) == (removed, int(removed))


def test_what_may_be_missed_is_a_warning() -> None:
    """Code that the file needs is a warning, an old path of the author's machine only a note."""
    assert clean("tokenizer_config.json", b'{"auto_map": {}}')[1][0].severity is Severity.WARNING
    assert clean("tokenizer_config.json", b'{"name_or_path": "x"}')[1][0].severity is Severity.NOTE


def test_modules_that_are_code_are_left_out() -> None:
    """sentence-transformers would import them from the checkpoint."""
    known = b'[{"type": "sentence_transformers.models.Pooling"}]'
    assert clean("modules.json", known) == (known, ())
    for module in ('{"type": "custom_st.Transformer"}', known[1:-2].decode() + ', "path": "../x"}', '{"type": 1}', "1"):
        written, problems = clean("modules.json", f"[{module}]".encode())
        assert written is None
        assert "which is code or outside the donor" in problems[0].message


def test_quantization_by_layer_number_is_left_out() -> None:
    """Its numbers are those of the donor's layers."""
    plain = b'{"bits": 4, "group_size": 128}'
    assert clean("quantize_config.json", plain) == (plain, ())
    written, problems = clean("quantize_config.json", b'{"dynamic": {"model.layers.3.mlp": {}}}')
    assert written is None
    assert "names layers by their numbers" in problems[0].message


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"[" * 100_000, b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[[],"],
    ids=["empty", "text", "deep", "NaN", "twice", "cut off"],
)
def test_damaged_settings_are_the_donors_fault(data: bytes) -> None:
    """They are refused with the file's name; depth never ends in a traceback."""
    with pytest.raises(DonorError, match=r"generation_config\.json of 'a'"):
        clean("generation_config.json", data)


@pytest.mark.parametrize("depth", range(100, 1000, 50))
def test_any_depth_is_cleaned_or_refused(depth: int) -> None:
    """The depth that can be parsed differs from the depth that can be walked; neither ends in a traceback."""
    data = b'{"a":' * depth + b'{"auto_map": 1}' + b"}" * depth
    with suppress(DonorError):
        assert b"auto_map" not in (clean("generation_config.json", data)[0] or b"")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*UNSAFE, "x", "y"]), inner),
)


@given(JSON)
def test_nothing_unsafe_is_left(value: object) -> None:
    """In any JSON value, the result has no unsafe key and everything else."""
    written, _ = clean("processor_config.json", json.dumps(value).encode())
    assert json.loads(written or b"") == _expected(value)


def _expected(value: object) -> object:
    if isinstance(value, dict):
        return {key: _expected(item) for key, item in value.items() if key not in UNSAFE}
    return [_expected(item) for item in value] if isinstance(value, list) else value
