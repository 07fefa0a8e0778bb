"""Every example in the README and the docs works, and every link inside the checkout leads somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stacker.cli.recipes import load_recipe
from stacker.view.files.file_views import FILE_VIEWS
from tests.docs.blocks import ROOT, Block, blocks_of, commands, make_donors, missing_line, pages, run_command
from tests.docs.specs import try_yaml
from tools.docs import on_page_markdown

KINDS = {"yaml", "console", "python", "text"}
PAGES = {page.name: page for page in pages()}
_LINK = re.compile(r"\[[^\]]*\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)")


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_every_block_holds(name: str, tmp_path: Path) -> None:
    """From top to bottom of a page, specs parse, commands exit and print as shown, and programs run."""
    make_donors(tmp_path)
    for block in blocks_of(PAGES[name]):
        where = f"{name}:{block.line}"
        assert block.kind in KINDS, f"{where}: a block of kind '{block.kind}' cannot be tested; is it text?"
        if block.title:
            (tmp_path / block.title).write_text(block.text)
        if block.kind == "yaml" and not (block.title and block.exit_code):
            try_yaml(block.text, where)
        elif block.kind == "console":
            _run_console(block, tmp_path, where)
        elif block.kind == "python":
            done = subprocess.run([sys.executable, "-c", block.text], cwd=tmp_path, capture_output=True, check=False)
            assert done.returncode == 0, f"{where}: {done.stderr.decode()}"


def _run_console(block: Block, folder: Path, where: str) -> None:
    steps = list(commands(block))
    assert steps, f"{where}: no line begins with '$ '"
    for at, (command, expected) in enumerate(steps):
        done = run_command(command, folder)
        wanted = block.exit_code if at == len(steps) - 1 else 0
        assert done.returncode == wanted, f"{where}: $ {command}\nended with {done.returncode}:\n{done.stdout}"
        missing = missing_line(expected, done.stdout)
        assert missing is None, f"{where}: $ {command}\ndid not print: {missing}\nbut:\n{done.stdout}"


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    """Links inside the checkout point to existing files and headings."""
    page = PAGES[name]
    for target, anchor in _LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{name}: {target}"
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", path.read_text(encoding="utf-8"))
            slugs = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{name}: {target}#{anchor}"


def test_the_picture_is_what_the_tool_draws() -> None:
    """The README's picture is what `stacker preview slices/goliath-120b.yaml --svg docs/goliath.svg` writes."""
    drawn = FILE_VIEWS["svg"](load_recipe("goliath-120b").scene())
    assert (ROOT / "docs" / "goliath.svg").read_text(encoding="utf-8") == drawn


@pytest.mark.slow
def test_tables_are_put_in() -> None:
    """Markers in the source of a page are replaced by the tables that the program prints."""
    shown = on_page_markdown((ROOT / "docs/ops.md").read_text(encoding="utf-8"))
    assert "slerp        " in shown
    assert "<!-- stacker" not in shown


def test_every_page_is_in_the_navigation() -> None:
    """mkdocs.yml lists every page exactly once."""
    settings = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = [path for entry in settings["nav"] for path in entry.values()]
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))
