"""The table of families is current: it lists every decoder family with its present results."""

from __future__ import annotations

import importlib.metadata

import pytest
import yaml
from rich.console import Console

from stacker.arch.families import read_architecture, read_tested_stacks
from stacker.view.tables.architectures import draw_architecture
from tests.families.tiny import decoder_families
from tests.families.wrappers import wrapped_languages, wrapper_families
from tests.house import ROOT
from tools.families.attempts import Results, try_deep_family
from tools.families.table import families_page

TABLE: dict[str, Results] = yaml.safe_load((ROOT / "architectures/_tested.yaml").read_text(encoding="utf-8"))


def test_every_decoder_family_is_in_the_table() -> None:
    """Every family and wrapper of transformers is in the table."""
    assert sorted(TABLE) == sorted([*decoder_families(), *wrapper_families()])


def test_no_stack_is_wrong() -> None:
    """Every stack that is not refused is right."""
    assert {name for name, words in TABLE.items() for word in words.values() if word.startswith("wrong")} == set()


def test_page_shows_the_table() -> None:
    """docs/families.md is generated from the table, with its reasons and counts."""
    page = (ROOT / "docs/families.md").read_text(encoding="utf-8")
    assert page == families_page(TABLE, wrapped_languages(), importlib.metadata.version("transformers"))


def test_the_table_ships() -> None:
    """The command shows the tested stacks word for word."""
    assert read_tested_stacks() == TABLE
    console = Console(width=200)
    with console.capture() as caught:
        console.print(draw_architecture(read_architecture("deepseek_v3")))
    assert "layers without experts must come first" in caught.get()
    assert "cross: right" in caught.get()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TABLE)
def test_family_is_as_the_table_says(name: str) -> None:
    """Tested again with tiny donors of 12 layers, every stack has the recorded result and reason."""
    assert try_deep_family(name) == {stack: word for stack, word in TABLE[name].items() if stack.endswith(" 12")}
