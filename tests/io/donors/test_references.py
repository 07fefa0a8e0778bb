"""Reference configs are read from a folder, a file, or the package."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoConfig

from stacker.arch.families import find_architecture
from stacker.arch.placement import list_expected_tensors
from stacker.errors import SpecError
from stacker.io.donors.location import packaged_references, read_reference
from stacker.spec.language.stack_spec import DonorSpec

PARAMETERS = {
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.1-405b-16kv": 410_081_247_232,
    "miqu-70b": 68_976_648_192,
    "phi-4": 14_659_507_200,
    "mistral-7b": 7_241_732_096,
    "qwen2-72b": 72_706_203_648,
    "qwen3.5-27b": 26_895_998_464,
}
"""Parameters as stated on the model cards."""


@pytest.mark.parametrize("place", [".", "config.json"])
def test_reads_a_config_of_a_folder_or_a_file(tmp_path: Path, place: str) -> None:
    """Paths of reference configs start at the spec's folder."""
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    assert read_reference(DonorSpec("a", "x", like=place), tmp_path) == {"model_type": "llama"}


def test_an_unknown_reference_is_an_error_of_the_spec(tmp_path: Path) -> None:
    """The error suggests the most similar name."""
    with pytest.raises(SpecError, match="did you mean 'llama-2-70b'"):
        read_reference(DonorSpec("a", "x", like="llama2-70b"), tmp_path)


@pytest.mark.parametrize("name", sorted(packaged_references()))
def test_packaged_references_are_the_models_of_their_names(name: str) -> None:
    """Their tensors have as many elements as the models have parameters, and transformers knows every key."""
    config = packaged_references()[name]
    architecture = find_architecture(config)
    assert architecture is not None
    assert sum(tensor.elements for tensor in list_expected_tensors(architecture, config)) == PARAMETERS[name]
    assert config.keys() <= AutoConfig.for_model(**config).to_dict().keys() | {"rope_theta", "torch_dtype"}
