"""Index files: names that lead out of the folder are unsafe, the rest is compared with the shards."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stacker.errors import DonorError, Problem, Severity, StackerError, UnsafeError
from stacker.formats.index import check_index, find_shards, make_index, make_shard_name, parse_index
from stacker.formats.json_object import format_json
from stacker.formats.safetensors import Header, parse_header


def index_of(weight_map: Any, **more: Any) -> bytes:
    """The bytes of an index."""
    return json.dumps({"weight_map": weight_map, **more}).encode()


def header_of(*names: str) -> Header:
    """The header of a shard of one-byte tensors."""
    table = {name: {"dtype": "U8", "shape": [1], "data_offsets": [k, k + 1]} for k, name in enumerate(names)}
    text = json.dumps(table).encode()
    return parse_header(len(text).to_bytes(8, "little") + text, 8 + len(text) + len(names), "shard")


def problems_of(weight_map: dict[str, str], headers: dict[str, Header], **more: Any) -> list[Problem]:
    """The problems of an index compared with its shards."""
    return list(check_index(parse_index(index_of(weight_map, **more), "index"), headers))


@pytest.mark.parametrize(
    "name",
    [
        "../x.safetensors", "a/../../x.safetensors", "/etc/x.safetensors", "C:\\x.safetensors", "C:x.safetensors",
        "..\\x.safetensors", "\\\\host\\x.safetensors", "a\0.safetensors", "..",
    ],
)  # fmt: skip
def test_a_shard_outside_the_folder_is_unsafe(name: str) -> None:
    """A name that climbs, is absolute, has a drive or a backslash is refused before anything is opened."""
    with pytest.raises(UnsafeError, match="leads out of the donor's folder"):
        parse_index(index_of({"a": name}), "index")


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (None, "no `weight_map`"),
        ({}, "no `weight_map`"),
        ([], "no `weight_map`"),
        ({"a": 1}, "not a file name"),
        ({"a": "pytorch_model.bin"}, "a pickle"),
        ({"a": "sub/x.safetensors"}, "not a safetensors file beside it"),
        ({"a": "x.json"}, "not a safetensors file beside it"),
        ({"a": "X.safetensors", "b": "x.safetensors"}, "differ only in case"),
    ],
    ids=["absent", "empty", "list", "number", "pickle", "subfolder", "JSON", "case"],
)
def test_refuses_what_is_no_index(weight_map: Any, message: str) -> None:
    """An index must map tensors to safetensors files beside it."""
    with pytest.raises(DonorError, match=message):
        parse_index(index_of(weight_map), "index")


@pytest.mark.parametrize("more", [{}, {"metadata": {}}, {"metadata": {"total_size": 2}}], ids=["none", "{}", "size"])
def test_a_sound_index_has_no_problems(more: dict[str, Any]) -> None:
    """Metadata is optional."""
    headers = {"1.safetensors": header_of("a"), "2.safetensors": header_of("b")}
    assert not problems_of({"a": "1.safetensors", "b": "2.safetensors"}, headers, **more)


def test_a_wrong_total_is_a_warning() -> None:
    """Nobody reads `total_size`, but a wrong one tells that something was done to the donor."""
    (problem,) = problems_of({"a": "1.safetensors"}, {"1.safetensors": header_of("a")}, metadata={"total_size": 9})
    assert (problem.severity, problem.message) == (
        Severity.WARNING,
        "the index says 9 bytes of tensors, the shards have 1",
    )


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        ({"a": "2.safetensors", "b": "2.safetensors"}, "a (not in 2.safetensors but in 1.safetensors)"),
        ({"a": "1.safetensors", "b": "2.safetensors", "c": "1.safetensors"}, "c (in 1.safetensors)"),
    ],
    ids=["wrong shard", "no shard"],
)
def test_a_misplaced_tensor_is_an_error(weight_map: dict[str, str], message: str) -> None:
    """A tensor must be where the index says it is."""
    (problem,) = problems_of(weight_map, {"1.safetensors": header_of("a"), "2.safetensors": header_of("b")})
    assert problem.severity is Severity.ERROR
    assert message in problem.message


def test_a_tensor_in_two_shards_is_an_error() -> None:
    """A tensor in two shards is ambiguous, because loaders may take either."""
    headers = {"1.safetensors": header_of("a"), "2.safetensors": header_of("a")}
    (problem,) = problems_of({"a": "1.safetensors", "b": "2.safetensors"} | {}, headers)[:1]
    assert "a (in 1.safetensors and 2.safetensors)" in problem.message


def test_a_tensor_that_is_not_listed_is_a_warning() -> None:
    """An unlisted tensor is still read, as in transformers."""
    (problem,) = problems_of({"a": "1.safetensors"}, {"1.safetensors": header_of("a", "b")})
    assert problem.severity is Severity.WARNING


def test_long_lists_are_cut() -> None:
    """A thousand lost tensors are one problem of a few lines."""
    places = {f"t{number}": "1.safetensors" for number in range(1000)}
    (problem,) = problems_of(places, {"1.safetensors": header_of("t0")})
    assert problem.message.startswith("999 tensors")
    assert problem.message.endswith("and 996 more")


def test_errors_are_stackers() -> None:
    """Bytes that are no JSON are refused like any other."""
    with pytest.raises(StackerError):
        parse_index(b"PK", "index")


def test_large_models_have_large_indices() -> None:
    """60 layers of 384 experts with three parts of three matrices each are not too many tensors."""
    weight_map = {f"model.layers.{at // 3456}.part.{at % 3456}": "1.safetensors" for at in range(60 * 384 * 3 * 3)}
    assert parse_index(json.dumps({"weight_map": weight_map}).encode(), "index").weight_map == weight_map


def test_reads_back_the_index_it_makes() -> None:
    """An index that was made names the same files and size when it is parsed."""
    weight_map = {"a": "1.safetensors", "b": "2.safetensors"}
    index = parse_index(format_json(make_index(weight_map, 8, 4)), "index")
    assert (index.weight_map, index.total_size) == (weight_map, 8)


def test_finds_complete_sets_of_shards() -> None:
    """Numbered shards are found in order, and not at all when one is missing or of another set."""
    names = [make_shard_name(number, 12) for number in range(12)]
    assert find_shards([*reversed(names), "other.safetensors"]) == names
    assert find_shards(names[1:]) == find_shards([*names, make_shard_name(0, 3)]) == find_shards([]) == []
