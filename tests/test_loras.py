"""The table of what extracted LoRAs keep: its arithmetic, and its place in the page."""

from __future__ import annotations

import re
from pathlib import Path

from tests.house import ROOT
from tools.tunes.loras import SIZES, Row, table_text, write_page

PAGE = ROOT / "docs" / "adapters.md"


def test_the_share_of_the_gain() -> None:
    """A LoRA in the middle between base and fine-tune keeps half of the gain."""
    rows = [Row("base", 8.0), Row("fine-tune", 6.0), Row("half", 7.0, 1_500_000, 0.25)]
    assert table_text(rows).splitlines()[-1] == "| half | 1.5 million | 25% | 7.00 | 50% |"


def test_the_page_has_a_row_for_each_size(tmp_path: Path) -> None:
    """The docs list every size that the tool tries, and writing the same table changes nothing."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(r"(?m)^\| .* \| [\d.]+ \| \d+% \|$", text)
    assert [row.split(" | ")[0] for row in found] == ["| base", "| fine-tune", *(f"| `{a} {b}`" for a, b in SIZES)]
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    table = text.partition("<!-- written by `make loras` -->\n\n")[2].partition("\n<!-- end -->")[0]
    write_page(tmp_path / "page.md", table)
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == text
