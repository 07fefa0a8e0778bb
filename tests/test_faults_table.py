"""The table in docs/reliability.md is read and updated row by row."""

from __future__ import annotations

from pathlib import Path

from tools.faults.rows import PAGE, Row, make_row, read_table, update_table

_PAGE = "text\n<!-- made by `make faults` -->\n<!-- end -->\nmore\n"


def test_a_row_replaces_the_older_one_of_its_attack(tmp_path: Path) -> None:
    """Rows of other attacks and the text around the table stay, and the last line has the sums."""
    page = tmp_path / "page.md"
    page.write_text(_PAGE)
    update_table(make_row("copies", "SIGKILL", ["", "wrong"]), page)
    update_table(make_row("blends", "SIGKILL", [""] * 1_000), page)
    update_table(make_row("copies", "SIGKILL", ["", "", ""]), page)
    assert read_table(page.read_text()) == [Row("copies", "SIGKILL", 3, 3), Row("blends", "SIGKILL", 1_000, 1_000)]
    assert "| **all** | | **1,003** | **1,003** |" in page.read_text()
    assert page.read_text().startswith("text\n")
    assert page.read_text().endswith("\nmore\n")


def test_the_page_has_a_table() -> None:
    """The page of the docs lists attacks, and no build in it broke a promise."""
    rows = read_table(PAGE.read_text(encoding="utf-8"))
    assert rows
    assert all(row.held == row.tried for row in rows if not row.subject.startswith("absurd"))
