"""Finding a donor's weight files, and the errors where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacker.errors import DonorError, Severity, UnsafeError
from stacker.io.donors.weights import has_weights, read_weight_headers
from stacker.io.files.repository import FolderRepository
from tests.donors import write_llama


def test_a_single_file(tmp_path: Path) -> None:
    """One file needs no index."""
    weights = read_weight_headers(FolderRepository(write_llama(tmp_path / "a")))
    assert list(weights.headers) == ["model.safetensors"]
    assert not weights.warnings


def test_shards_with_an_index(tmp_path: Path) -> None:
    """All shards of the index, by name."""
    weights = read_weight_headers(FolderRepository(write_llama(tmp_path / "a", shards=3)))
    assert list(weights.headers) == [f"model-0000{k}-of-00003.safetensors" for k in (1, 2, 3)]


def test_shards_without_an_index(tmp_path: Path) -> None:
    """A complete set of numbered shards needs no index; an incomplete one is refused."""
    folder = write_llama(tmp_path / "a", shards=3)
    (folder / "model.safetensors.index.json").unlink()
    assert len(read_weight_headers(FolderRepository(folder)).headers) == 3
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(DonorError, match=r"neither model\.safetensors nor model\.safetensors\.index\.json"):
        read_weight_headers(FolderRepository(folder))


def test_a_single_file_wins_over_an_index(tmp_path: Path) -> None:
    """The single file is preferred to an index, with a warning, as in transformers."""
    folder = write_llama(tmp_path / "a", shards=2)
    write_llama(folder)
    weights = read_weight_headers(FolderRepository(folder))
    assert list(weights.headers) == ["model.safetensors"]
    assert [warning.severity for warning in weights.warnings] == [Severity.WARNING]


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    """A missing shard and a damaged one are two problems of one error."""
    folder = write_llama(tmp_path / "a", shards=3)
    (folder / "model-00001-of-00003.safetensors").unlink()
    (folder / "model-00002-of-00003.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 1")
    with pytest.raises(DonorError, match="Git LFS pointer") as caught:
        read_weight_headers(FolderRepository(folder))
    assert len(caught.value.problems) == 2
    assert "1 of 3 shards are missing: model-00001-of-00003.safetensors" in str(caught.value)


def test_an_unsafe_link_is_the_gravest(tmp_path: Path) -> None:
    """A shard that is a link out of the folder decides the kind of error."""
    folder = write_llama(tmp_path / "a", shards=2)
    (folder / "model-00001-of-00002.safetensors").unlink()
    (folder / "model-00001-of-00002.safetensors").symlink_to("/etc/passwd")
    (folder / "model-00002-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(UnsafeError) as caught:
        read_weight_headers(FolderRepository(folder))
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adapter_config.json", "LoRA adapter"),
        ("adapter_model.safetensors", "LoRA adapter"),
        ("model.Q4_K_M.gguf", "GGUF"),
        ("pytorch_model.bin", "pickled weights"),
        ("pytorch_model-00001-of-00002.bin", "pickled weights"),
        ("consolidated.00.pth", "pickled weights"),
        ("abc.incomplete", "did not finish"),
        ("tf_model.h5", "no weights that stacker reads"),
        ("consolidated.safetensors", r"only consolidated\.safetensors"),
        ("README.md", "there are no weights"),
    ],
)
def test_advice_where_there_are_no_weights(tmp_path: Path, name: str, message: str) -> None:
    """The hint depends on the files that the donor has instead."""
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(DonorError, match=message):
        read_weight_headers(FolderRepository(tmp_path))


def test_has_weights() -> None:
    """Adapters are not weights."""
    assert has_weights(["config.json", "model.safetensors"])
    assert not has_weights(["config.json", "adapter_model.safetensors", "x.bin"])
