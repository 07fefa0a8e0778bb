"""The table in docs/reliability.md is read and updated row by row."""

from __future__ import annotations

from pathlib import Path

from tools.faults.__main__ import ATTACKS, choose_trials
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
    """The page of the docs lists attacks, and no promise was broken."""
    rows = read_table(PAGE.read_text(encoding="utf-8"))
    assert rows
    assert all(row.held == row.tried for row in rows)


def test_single_rows_are_chosen(tmp_path: Path) -> None:
    """A pattern chooses rows of all attacks, and `missing` leaves out those that the page has."""
    wanted = {"blends: SIGTERM at a random moment", "blends: SIGTERM twice at a random moment"}
    chosen = list(choose_trials(tmp_path, ["signals", "calls"], "blends: SIGTERM*", missing=False))
    assert {f"{trial.subject}: {trial.attack}" for trial in chosen} == wanted
    known = {(row.subject, row.attack) for row in read_table(PAGE.read_text(encoding="utf-8"))}
    everything = choose_trials(tmp_path, list(ATTACKS), "*", missing=True)
    assert not known & {(trial.subject, trial.attack) for trial in everything}


def test_every_row_of_the_page_can_be_made_again(tmp_path: Path) -> None:
    """The page has no row of an attack that is no longer there."""
    possible = {(t.subject, t.attack) for t in choose_trials(tmp_path, list(ATTACKS), "*", missing=False)}
    assert {(row.subject, row.attack) for row in read_table(PAGE.read_text(encoding="utf-8"))} <= possible
