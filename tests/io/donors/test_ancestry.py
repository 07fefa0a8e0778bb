"""Family trees are read from lock files, mergekit's configs, cards, adapters and configs, in folders and on the hub."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import torch
import yaml
from rich.console import Console
from safetensors import safe_open

from stacker.checkpoint import trace_origins
from stacker.cli import main
from stacker.compose import build, load
from stacker.core.lineage.family_tree import Ancestor, State, find_conflicts, list_licences
from stacker.io.donors.ancestry import read_family_tree
from stacker.view.lineage.diagrams import lineage_mermaid, lineage_svg
from stacker.view.lineage.terminal import draw_tree
from tests.donors import write_llama
from tests.gguf_donors import write_gguf
from tests.hub_server import running_hub


def write_card(folder: Path, **metadata: object) -> Path:
    """Write a model card with this metadata."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(metadata)}---\n# card\n")
    return folder


def show(tree: Ancestor) -> list[tuple[str, str, str]]:
    """Source, relation and state of all ancestors, in the order of the tree."""
    return [(each.source.rpartition("/")[2], each.relation, str(each.state)) for each in tree.walk()]


def test_every_paper_is_read(tmp_path: Path) -> None:
    """The tree follows a lock file, mergekit's config, an adapter, a card and a config, and says what is missing."""
    a = write_card(write_llama(tmp_path / "a"), license="apache-2.0", base_model=str(tmp_path / "tuned"))
    write_card(tmp_path / "tuned", license="mit", base_model_relation="finetune", base_model=[str(tmp_path / "merged")])
    merged = write_card(tmp_path / "merged", license="mit")
    (merged / "mergekit_config.yml").write_text(
        f"merge_method: slerp\nmodels:\n- model: {tmp_path}/gone\n- model: {tmp_path}/saved+{tmp_path}/lora\n"
    )
    (write_card(tmp_path / "saved") / "config.json").write_text(json.dumps({"_name_or_path": str(tmp_path / "old")}))
    adapter = write_card(tmp_path / "lora")
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(tmp_path / "saved")}))
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: ['a[0:2]', 'a[1:3]']\n")
    build(load(tmp_path / "spec.yml"), tmp_path / "out")
    tree = read_family_tree(str(tmp_path / "out"))
    assert show(tree) == [
        ("out", "", "read"),
        ("a", "layers from", "read"),
        ("tuned", "based on", "read"),
        ("merged", "fine-tuned from", "read"),
        ("gone", "merged from", "missing"),
        ("saved", "merged from", "read"),
        ("old", "saved from", "missing"),
        ("lora", "merged from, an adapter", "read"),
        ("saved", "adapter of", "listed"),
    ]
    assert list_licences(tree)["mit"] == (str(tmp_path / "tuned"), str(tmp_path / "merged"))
    assert [each.source for each in find_conflicts(tree)] == [str(tmp_path / "tuned")]
    assert a.exists()


def test_cycles_end(tmp_path: Path) -> None:
    """A checkpoint that is said to be made of itself, through others, is shown once and marked."""
    write_card(tmp_path / "x", base_model=str(tmp_path / "y"))
    write_card(tmp_path / "y", base_model=str(tmp_path / "x"))
    tree = read_family_tree(str(tmp_path / "x"))
    assert [each.state for each in tree.walk()] == [State.READ, State.READ, State.CYCLE]


def test_the_hub_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hub ids are followed on the hub, at the commits of a lock file, and no weights are downloaded."""
    with running_hub(tmp_path / "home", monkeypatch) as hub:
        base = write_card(write_llama(tmp_path / "base"), license="llama2")
        commit = hub.add("anna/base", base)
        path = "/data/of/somebody"
        (write_card(tmp_path / "tune", license="mit", base_model="anna/base") / "config.json").write_text(
            json.dumps({"_name_or_path": path})
        )
        hub.add("ben/tune", tmp_path / "tune")
        tree = read_family_tree("ben/tune")
        assert show(tree) == [("tune", "", "read"), ("base", "based on", "read"), ("somebody", "saved from", "missing")]
        assert tree.parents[0].revision == commit
        assert not hub.downloaded()
    console = Console(width=200, record=True, file=StringIO())
    console.print(draw_tree(tree))
    text = console.export_text()
    assert "based on anna/base@" in text
    assert "another licence than what is made from it: anna/base" in text
    assert "a path on another machine" in text


def test_diagrams_name_every_ancestor(tmp_path: Path) -> None:
    """Mermaid and SVG have a box for each ancestor; names are text, not syntax."""
    write_card(tmp_path / "x", base_model=['a"]<b>', str(tmp_path / "y")], license="mit")
    write_card(tmp_path / "y", license="llama2")
    tree = read_family_tree(str(tmp_path / "x"))
    mermaid = lineage_mermaid(tree)
    assert mermaid.count("-->") == 2
    assert 'a"]<b>' not in mermaid
    drawing = ET.fromstring(lineage_svg(tree))
    assert len(drawing.findall("{http://www.w3.org/2000/svg}rect")) == 3


def test_a_layer_is_traced_to_bytes(tmp_path: Path) -> None:
    """The bytes that are named for each copied tensor of a layer are those of the output."""
    write_llama(tmp_path / "a", seed=1, shards=3)
    write_llama(tmp_path / "b", seed=2)
    (tmp_path / "spec.yml").write_text(
        "stacker: 1\ndonors: {a: ./a, b: ./b}\nstack: ['a[0:2]', {blend: ['a[2:3]', 'b[2:3]'], op: slerp, t: 0.5}]\n"
    )
    build(load(tmp_path / "spec.yml"), tmp_path / "out")
    found = trace_origins(tmp_path / "out", 1)
    assert len(found) == 9
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        for each in found:
            (origin,) = each.origins
            data = Path(origin.file).read_bytes()[origin.offset : origin.offset + origin.nbytes]
            assert file.get_tensor(each.tensor).contiguous().view(torch.uint8).numpy().tobytes() == data
    blended = trace_origins(tmp_path / "out", 2)
    assert {each.how for each in blended} == {"slerp"}
    assert all([origin.donor for origin in each.origins] == ["a", "b"] for each in blended)


def test_the_command_prints_trees_and_origins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`stacker lineage` prints JSON, diagrams and tables; a layer that is not there is an error."""
    write_llama(tmp_path / "a")
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: ./a}\nstack: ['a[0:2]']\n")
    build(load(tmp_path / "spec.yml"), tmp_path / "out")
    assert main(["lineage", str(tmp_path / "out"), "--json"]) == 0
    tree = json.loads(capsys.readouterr().out)["tree"]
    assert (tree["kind"], tree["parents"][0]["relation"]) == ("stack", "layers from")
    assert main(["lineage", str(tmp_path / "out"), "--format", "mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart BT\n")
    assert main(["lineage", str(tmp_path / "out"), "--tensor", "model.norm.weight", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["how"] == "copied"
    assert main(["lineage", str(tmp_path / "out"), "--layer", "2"]) == 2
    assert main(["lineage", str(tmp_path / "nothing")]) == 3


def test_the_lock_in_a_gguf_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tree of a stack in GGUF names its donors, wherever the command runs."""
    for seed, name in enumerate("ab", 1):
        write_gguf(tmp_path / f"{name}.gguf", seed=seed, name=name)
    (tmp_path / "spec.yml").write_text("stacker: 1\ndonors: {a: a.gguf, b: b.gguf}\nstack: ['a[0:3]', 'b[1:4]']\n")
    build(load(tmp_path / "spec.yml"), tmp_path / "out.gguf")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    tree = read_family_tree("../out.gguf")
    assert tree.kind == "stack"
    assert show(tree)[1:] == [("a.gguf", "layers from", "read"), ("b.gguf", "layers from", "read")]


@pytest.mark.parametrize(
    "options", [("--layer", "0", "--tensor", "x"), ("--format", "svg", "--json"), ("--format", "svg", "--layer", "0")]
)
def test_options_that_exclude_each_other(options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """Neither of the two is ignored without a word."""
    assert main(["lineage", "out", *options]) == 2
    assert options[0] in "".join(capsys.readouterr())
