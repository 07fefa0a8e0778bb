"""Headers of GGUF files are read like the package gguf reads them, except that damaged files are refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf import GGUFReader
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacker.errors import DonorError
from stacker.formats.ggml_types import GGML_TYPES, find_dtype, find_type_number
from stacker.formats.gguf import GgufHeader, encode_entry, encode_infos, encode_start, parse_gguf_header
from stacker.formats.gguf_names import find_models, list_parts, make_part_name
from stacker.io.files.headers import read_header
from stacker.tensors import TensorSpec
from tests.gguf_donors import read_metadata, read_tensors, write_gguf


def parse(data: bytes) -> GgufHeader:
    return parse_gguf_header(lambda offset, count: data[offset : offset + count], len(data), "file.gguf")


def make_file(
    entries: list[bytes] | None = None, tensors: list[TensorSpec] | None = None, alignment: int = 32
) -> bytes:
    """A whole file of zeros with these entries and tensors."""
    tensors = tensors or []
    start = encode_start(len(tensors), len(entries or [])) + b"".join(entries or [])
    header = start + encode_infos(tensors, alignment)
    data = header.ljust(-(-len(header) // alignment) * alignment, b"\0")
    for tensor in tensors:
        data += bytes(-(-tensor.nbytes // alignment) * alignment)
    return data


@pytest.fixture(scope="module")
def donor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", types={"ffn_up.weight": "Q4_K"})


def test_reads_what_the_package_reads(donor: Path) -> None:
    """Tensors have the type, shape and bytes, and entries the values, that the package gguf finds."""
    header = read_header(donor)
    assert isinstance(header, GgufHeader)
    data = donor.read_bytes()
    found = {
        each.spec.name: (each.spec.dtype.label, each.spec.shape, data[each.begin : each.begin + each.nbytes])
        for each in header.tensors
    }
    assert found == read_tensors(donor)
    expected = read_metadata(donor)
    assert {entry.key for entry in header.entries} == expected.keys()
    kept = {entry.key: entry.value for entry in header.entries if entry.value is not None}
    assert kept == {key: expected[key] for key in kept}
    assert header.data_start == GGUFReader(donor).data_offset


def test_entries_know_their_bytes(donor: Path) -> None:
    """Encoding an entry again gives the bytes that the file has at its place."""
    data = donor.read_bytes()
    for entry in parse(data).entries:
        assert encode_entry(entry.key, entry.kind, entry.value) == data[entry.begin : entry.begin + entry.nbytes]


def test_types_are_those_of_the_package() -> None:
    """Every type of the package gguf has its number, block and size here."""
    for kind in GGMLQuantizationType:
        assert (GGML_TYPES[kind].block, GGML_TYPES[kind].size) == GGML_QUANT_SIZES[kind]
        assert GGML_TYPES[kind].label == kind.name
        assert find_type_number(GGML_TYPES[kind]) == kind


def test_every_cut_is_an_error(donor: Path) -> None:
    """A file that was cut off anywhere is refused, with its name."""
    data = donor.read_bytes()
    start = parse(data).data_start
    for length in (*range(0, start, 7), start, len(data) - 1 - 32):
        with pytest.raises(DonorError, match=r"file\.gguf"):
            parse(data[:length])


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_an_error_or_harmless(donor: Path, data: st.DataObject) -> None:
    """Whatever bytes are changed, nothing but a DonorError comes out."""
    raw = bytearray(donor.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, 2000))] = data.draw(st.integers(0, 255))
    try:
        parse(bytes(raw))
    except DonorError:
        return


ONE = encode_entry("general.name", "str", "x")
MATRIX = TensorSpec("a.weight", GGML_TYPES[8], (2, 32))
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "no-gguf": (lambda: b"GGML" + bytes(60), "not a GGUF file"),
    "version-1": (lambda: b"GGUF\1\0\0\0" + bytes(60), "version 1"),
    "big-endian": (lambda: b"GGUF\0\0\0\3" + bytes(60), "big-endian"),
    "two-keys": (lambda: make_file([ONE, ONE]), "appears twice"),
    "two-tensors": (lambda: make_file([], [MATRIX, MATRIX]), "same name"),
    "unknown-kind": (lambda: make_file([ONE[:-13] + struct.pack("<IQ", 13, 0)]), "unknown type"),
    "bad-flag": (
        lambda: make_file([encode_entry("a", "bool", True)[:-1] + b"\2"]),
        "neither 0 nor 1",
    ),
    "no-utf-8": (lambda: make_file([ONE[:-1] + b"\xff"]), "UTF-8"),
    "alignment": (lambda: make_file([encode_entry("general.alignment", "u32", 24)]), "power of two"),
    "many-tensors": (lambda: encode_start(10**9, 0) + bytes(64), "claims"),
    "long-name": (lambda: make_file([], [TensorSpec("n" * 64, GGML_TYPES[0], (8,))]), "64 bytes"),
    "half-a-block": (lambda: make_file([], [TensorSpec("a", GGML_TYPES[8], (33,))]), "whole blocks"),
}


@pytest.mark.parametrize(("made", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_refuses(made: Callable[[], bytes], message: str) -> None:
    """What llama.cpp does not load, or what could be read in two ways, is refused with the reason."""
    with pytest.raises(DonorError, match=message):
        parse(made())


def test_a_gap_between_tensors_is_refused() -> None:
    """Each tensor begins where the one before it ends, as llama.cpp demands."""
    data = make_file([], [MATRIX, TensorSpec("b.weight", GGML_TYPES[8], (2, 32))])
    place = data.index(b"b.weight") + 8 + 4 + 16 + 4
    moved = data[:place] + struct.pack("<Q", 128) + data[place + 8 :] + bytes(64)
    with pytest.raises(DonorError, match="begins at 128, not at 96"):
        parse(moved)


def test_an_unknown_type_is_sized_by_its_neighbours() -> None:
    """The bytes of a type that nobody knows end where the next tensor begins, and its number is kept."""
    spec = TensorSpec("a.weight", find_dtype("TYPE137", 64, 96), (2, 32))
    header = parse(make_file([], [spec, TensorSpec("b", GGML_TYPES[0], (8,))]))
    assert header.tensors[0].spec == spec
    assert find_type_number(header.tensors[0].spec.dtype) == 137


def test_parts_are_named_as_llama_cpp_names_them() -> None:
    """A set of parts has numbers from 1; projectors are no models."""
    assert make_part_name("x", 0, 1) == "x.gguf"
    assert list_parts("x-00002-of-00003.gguf") == tuple(f"x-0000{n}-of-00003.gguf" for n in (1, 2, 3))
    names = ["mmproj-x.gguf", "x-00001-of-00002.gguf", "x-00002-of-00002.gguf", "y.gguf", "sub/z.gguf", "a.txt"]
    assert find_models(names) == ("x-00001-of-00002.gguf", "y.gguf")


def test_a_file_without_tensors_has_none() -> None:
    """A file of metadata alone, as tokenizers are published, is read; what needs tensors refuses it."""
    header = parse(make_file([encode_entry("general.architecture", "str", "llama")]))
    assert header.tensors == ()
    assert [entry.value for entry in header.entries] == ["llama"]
