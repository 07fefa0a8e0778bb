"""A card is completed with what is known of the donors, and asks for what is not."""

from __future__ import annotations

from stacker.core.study.publication import Origin, check_card, check_options, complete_card, list_changes
from stacker.formats.model_card import Card

SAME = (Origin("a", "o/a", "mit"), Origin("b", "o/b", "mit"))
MIXED = (Origin("a", "o/a", "mit"), Origin("b", None, None))


def test_one_licence_of_all_donors_is_taken() -> None:
    """Donors, relation and the common licence are added, and what the card says is kept."""
    before = Card({"tags": ["merge"], "base_model": ["x/y"]})
    after = complete_card(before, SAME, (), None)
    assert after.metadata == {
        "tags": ["merge"],
        "base_model": ["x/y", "o/a", "o/b"],
        "base_model_relation": "merge",
        "license": "mit",
    }
    assert set(list_changes(before, after)) == {"base_model", "base_model_relation", "license"}
    assert not list(check_card(after, SAME))


def test_the_card_and_the_option_come_first() -> None:
    """The licence of the option replaces that of the card, and that of the card is kept before the donors'."""
    card = Card({"license": "llama2"})
    assert complete_card(card, SAME, (), None).metadata["license"] == "llama2"
    assert complete_card(card, SAME, (), "other").metadata["license"] == "other"


def test_an_unknown_licence_is_not_a_common_one() -> None:
    """A donor whose licence is not known counts as another one, and the problem lists what each donor says."""
    card = complete_card(Card(), MIXED, (), None)
    (problem,) = check_card(card, MIXED)
    assert "a: mit, b: unknown" in problem.message


def test_folders_alone_need_names() -> None:
    """Without any hub id there is a problem, which names the donors that are folders; an id for them solves it."""
    folders = (Origin("b", None, "mit"),)
    (problem,) = check_card(complete_card(Card(), folders, (), None), folders)
    assert "b are folders" in problem.message
    assert not list(check_card(complete_card(Card(), folders, ("o/b",), None), folders))


def test_named_bases_replace_those_of_an_earlier_call() -> None:
    """A second call with other base models does not keep the first one's; donors on the hub stay."""
    first = complete_card(Card(), MIXED, ("o/wrong",), "mit")
    assert first.metadata["base_model"] == ["o/a", "o/wrong"]
    assert complete_card(first, MIXED, ("o/right",), None).metadata["base_model"] == ["o/a", "o/right"]
    assert complete_card(first, MIXED, (), None).metadata["base_model"] == ["o/a", "o/wrong"]


def test_options_of_a_wrong_form_are_all_named() -> None:
    """Ids that the hub cannot have, and licences that are sentences."""
    assert not list(check_options(["o/a", "open-r1/OlympicCoder-7B", "a/b_c.d"], "llama3.1"))
    bad = ["nonsense", "a/b/c", "o/", "/a", "o/a b", "o/a..b", "./o", ""]
    problems = [*check_options(bad, "not a licence!!")]
    assert len(problems) == len(bad) + 1
    assert "not a licence!!" in problems[-1].message
