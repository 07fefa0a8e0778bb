"""Donors read from folders: the position of every tensor, and all problems reported together."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open

from stacker.arch.files.architecture import Part
from stacker.core.values.donor import Donor
from stacker.errors import DonorError, Mark, Severity, StackerError
from stacker.io.donors.local_files import fetch_donor
from stacker.io.donors.reader import read_donor
from stacker.spec.language.stack_spec import DonorSpec
from tests.donors import write_llama


def read(folder: Path, **spec: Any) -> Donor:
    """The donor in a folder."""
    return read_donor(DonorSpec("a", str(folder), mark=Mark("spec.yml", 2, 3), **spec), folder)


@pytest.mark.parametrize("shards", [1, 3])
def test_extents_are_the_tensors_bytes(tmp_path: Path, shards: int) -> None:
    """At each extent lie the bytes that the safetensors library gives for that tensor."""
    donor = read(write_llama(tmp_path / "a", shards=shards))
    assert (donor.depth, donor.weights, donor.architecture.name) == (6, True, "llama")
    for name, tensor in donor.tensors.items():
        assert tensor.extent is not None
        file = donor.files[tensor.extent.file]
        with safe_open(str(file.path), "pt") as opened:
            truth = opened.get_tensor(name)
        data = Path(str(file.path)).read_bytes()[tensor.extent.offset :][: tensor.extent.nbytes]
        assert data == truth.view(-1).view(torch.uint8).numpy().tobytes()
        assert tensor.spec.shape == tuple(truth.shape)


def test_tensors_are_placed(tmp_path: Path) -> None:
    """Layer, role and part are those of the family."""
    donor = read(write_llama(tmp_path / "a"))
    query = donor.tensors["model.layers.2.self_attn.q_proj.weight"]
    assert (query.layer, query.part, query.role, query.suffix) == (2, Part.LAYER, "attn.q", "self_attn.q_proj.weight")
    assert donor.tensors["model.embed_tokens.weight"].part is Part.EMBED
    assert donor.tensors["lm_head.weight"].part is Part.HEAD


def test_files_are_identified(tmp_path: Path) -> None:
    """Size, header hash and path of each file; another header is another hash."""
    one = read(write_llama(tmp_path / "a")).files[0]
    other = read(write_llama(tmp_path / "b", layers=4)).files[0]
    assert Path(str(one.path)).stat().st_size == one.size
    assert one.header != other.header


def test_tensors_that_no_stack_carries_are_ignored(tmp_path: Path) -> None:
    """Tensors that no stack carries are listed with the reason."""
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    donor = read(write_llama(tmp_path / "a", extra={name: ("F32", (4,))}))
    assert name not in donor.tensors
    assert [own for own, _ in donor.ignored] == [name]


def test_side_files_are_an_allowed_few(tmp_path: Path) -> None:
    """Tokenizer, generation config and licence; never code."""
    folder = write_llama(tmp_path / "a")
    carried = [
        "LICENSE", "USE_POLICY.md", "added_tokens.json", "chat_template.jinja", "generation_config.json", "merges.txt",
        "special_tokens_map.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json",
    ]  # fmt: skip
    for name in (*carried, "modeling_llama.py", "tokenization_x.py", "README.md", "training_args.bin", "x.json"):
        (folder / name).write_text("x")
    assert [file.name for file in read(folder).side_files] == carried


def test_a_quantised_donor_is_noted(tmp_path: Path) -> None:
    """The method is recorded, so that arithmetic can be refused."""
    assert read(write_llama(tmp_path / "a", quantization_config={"quant_method": "awq"})).quantized == "awq"
    assert read(write_llama(tmp_path / "b")).quantized == ""


def test_an_unknown_family_is_inferred(tmp_path: Path) -> None:
    """Inferred architectures are marked as inferred."""
    assert read(write_llama(tmp_path / "a", model_type="unheard_of")).architecture.inferred


@pytest.mark.parametrize(
    ("depth", "message"),
    [(7, "7 layers, but there are no tensors of layer 6"), (4, "4 layers, but there are tensors of layer 5")],
)
def test_depth_must_be_that_of_the_tensors(tmp_path: Path, depth: int, message: str) -> None:
    """A config of another donor, or shards that are missing."""
    with pytest.raises(DonorError, match=message):
        read(write_llama(tmp_path / "a", num_hidden_layers=depth))


def test_config_and_tensors_must_be_of_one_donor(tmp_path: Path) -> None:
    """Shapes that the config does not make, and tensors that it promises, are errors at the config."""
    with pytest.raises(DonorError, match=r"config\.json: .* has the shape"):
        read(write_llama(tmp_path / "a", intermediate_size=99))
    with pytest.raises(DonorError, match=r"missing: model\.norm\.weight"):
        read(write_llama(tmp_path / "b", drop=["model.norm.weight"]))


def test_tensors_that_the_family_does_not_have_are_noted(tmp_path: Path) -> None:
    """Unknown tensors are carried along."""
    name = "model.layers.0.self_attn.surprise.weight"
    donor = read(write_llama(tmp_path / "a", extra={name: ("F32", (4,))}))
    assert name in donor.tensors
    assert [(problem.severity, name in problem.message) for problem in donor.warnings] == [(Severity.NOTE, True)]


@pytest.mark.parametrize("depth", [None, "6", True, 6.0, 0, -1, 10**9, [6]])
def test_a_depth_that_is_none_is_refused(tmp_path: Path, depth: Any) -> None:
    """Whatever stands for the number of layers, there is an error with the file's name, and no traceback."""
    with pytest.raises(DonorError, match=r"config\.json"):
        read(write_llama(tmp_path / "a", num_hidden_layers=depth))


@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "vocab_size", "model_type", "layer_types"])
@pytest.mark.parametrize("value", [None, "x", True, -1, 0, [], {}, 1.5], ids=repr)
def test_odd_configs_never_end_in_a_traceback(tmp_path: Path, key: str, value: Any) -> None:
    """A donor is read, or refused with an error of ours."""
    folder = write_llama(tmp_path / "a", layers=2, **{key: value})
    for spec in ({}, {"like": str(folder)}):
        with suppress(StackerError):
            read(folder if not spec else tmp_path / "absent", **spec)


def test_config_and_weights_are_both_looked_at(tmp_path: Path) -> None:
    """Two broken files are two problems of one error."""
    folder = write_llama(tmp_path / "a")
    (folder / "config.json").write_text("[]")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(DonorError) as caught:
        read(folder)
    assert len(caught.value.problems) == 2


def test_an_empty_folder_says_both(tmp_path: Path) -> None:
    """An empty folder has two problems: no config and no weights."""
    with pytest.raises(DonorError, match="there is no such file") as caught:
        read(tmp_path)
    assert "there are no weights" in str(caught.value)


def test_like_stands_in_for_a_donor_that_is_away(tmp_path: Path) -> None:
    """All the tensors that the reference's family promises, and no bytes."""
    true = read(write_llama(tmp_path / "a", layers=3))
    donor = read(tmp_path / "absent", like=str(tmp_path / "a"))
    assert not donor.weights
    assert {name: tensor.spec for name, tensor in donor.tensors.items()} == {
        name: tensor.spec for name, tensor in true.tensors.items()
    }
    assert all(tensor.extent is None for tensor in donor.tensors.values())


def test_like_stands_in_for_a_folder_without_weights(tmp_path: Path) -> None:
    """A config alone is not a donor; with a reference it can be looked at."""
    write_llama(tmp_path / "a")
    (tmp_path / "b").mkdir()
    assert not read(tmp_path / "b", like=str(tmp_path / "a")).weights


def test_like_is_not_used_where_there_are_weights(tmp_path: Path) -> None:
    """A donor with weights is read although it has a reference config."""
    donor = read(write_llama(tmp_path / "a", layers=3), like="llama-2-70b")
    assert (donor.weights, donor.depth) == (True, 3)


def test_like_does_not_hide_a_broken_donor(tmp_path: Path) -> None:
    """Damaged weights are an error even with a reference config."""
    folder = write_llama(tmp_path / "a")
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(DonorError, match="has 0 bytes"):
        read(folder, like="llama-2-70b")


def test_like_needs_a_family_that_is_known(tmp_path: Path) -> None:
    """Without tensors, an unknown family is an error."""
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "unheard_of"}))
    with pytest.raises(DonorError, match="'unheard_of' are unknown without weights"):
        read(tmp_path / "absent", like=str(tmp_path))


def test_a_folder_needs_no_fetching(tmp_path: Path) -> None:
    """Fetching a local donor changes nothing."""
    donor = read(write_llama(tmp_path / "a", shards=2))
    assert fetch_donor(donor, [file.name for file in donor.files]) is donor


def test_an_inferred_family_is_noted(tmp_path: Path) -> None:
    """A donor of an unknown family comes with a note that its layers and roles are inferred; a known one does not."""
    write_llama(tmp_path / "known")
    write_llama(tmp_path / "strange", model_type="strange")
    notes = {name: read(tmp_path / name).warnings for name in ("known", "strange")}
    assert notes["known"] == ()
    (note,) = notes["strange"]
    assert "no architecture file describes 'strange'" in note.message


@pytest.mark.parametrize("key", ["", "vision_config"])
def test_a_config_of_absurdly_many_entries_is_refused(tmp_path: Path, key: str) -> None:
    """The config, and configs inside it, have at most 10,000 entries; lists of labels may be longer."""
    donor = write_llama(tmp_path / "a")
    path = donor / "config.json"
    config, many = json.loads(path.read_text()), {f"k{number}": number for number in range(10_001)}
    path.write_text(json.dumps(config | {"id2label": many}))
    assert read(donor).depth == 6
    path.write_text(json.dumps(config | ({key: many} if key else many)))
    with pytest.raises(
        DonorError, match=r"config\.json: this config has 10,0\d\d entries; stacker reads at most 10,000"
    ):
        read(donor)
