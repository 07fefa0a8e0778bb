"""The table of families is current: it names every decoder family, and each still comes out as it says."""

from __future__ import annotations

import importlib.metadata

import pytest
import yaml
from rich.console import Console

from stacker.arch.families import architecture, tried_stacks
from stacker.view.tables.architectures import draw_architecture
from tests.families.tiny import decoder_families
from tests.families.wrappers import wrapped_languages, wrapper_families
from tests.house import ROOT
from tools.families.attempts import Words, try_family_named
from tools.families.table import families_page

TABLE: dict[str, Words] = yaml.safe_load((ROOT / "architectures/_tested.yaml").read_text(encoding="utf-8"))


def test_every_decoder_family_is_in_the_table() -> None:
    """No family that transformers knows is left out, and no wrapper of one."""
    assert sorted(TABLE) == sorted([*decoder_families(), *wrapper_families()])


def test_no_stack_is_wrong() -> None:
    """What is not refused is right."""
    assert {name for name, words in TABLE.items() for word in words.values() if word.startswith("wrong")} == set()


def test_page_shows_the_table() -> None:
    """docs/families.md is made from the table, reasons and counts included."""
    page = (ROOT / "docs/families.md").read_text(encoding="utf-8")
    assert page == families_page(TABLE, wrapped_languages(), importlib.metadata.version("transformers"))


def test_the_table_ships() -> None:
    """The program shows what was tried, word for word."""
    assert tried_stacks() == TABLE
    console = Console(width=200)
    with console.capture() as caught:
        console.print(draw_architecture(architecture("deepseek_v3")))
    assert "layers without experts must come first" in caught.get()
    assert "cross: right" in caught.get()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TABLE)
def test_family_is_as_the_table_says(name: str) -> None:
    """Tiny donors of the family, tried again, come out in every stack as before, reasons included."""
    assert try_family_named(name) == TABLE[name]
