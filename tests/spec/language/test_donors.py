"""Where donors come from, as text."""

from __future__ import annotations

import pytest

from stacker.errors import Mark, SpecError
from stacker.spec.language.settings import parse_source, short_name, shown_source

HERE = Mark("s", 1, 1)


@pytest.mark.parametrize(
    ("text", "source", "revision"),
    [
        pytest.param("org/name", "org/name", None, id="hub"),
        pytest.param("org/name@main", "org/name", "main", id="revision"),
        pytest.param("gpt2@refs/pr/3", "gpt2", "refs/pr/3", id="revision-with-slashes"),
        pytest.param("./folder@home", "./folder@home", None, id="folder-with-at"),
        pytest.param("/data/a@b", "/data/a@b", None, id="absolute-with-at"),
        pytest.param("~/m@1", "~/m@1", None, id="home-with-at"),
        pytest.param("a/b/c@d", "a/b/c@d", None, id="too-deep-for-a-hub-id"),
    ],
)
def test_parse_source(text: str, source: str, revision: str | None) -> None:
    """A revision is split off where what is before it can be a hub id."""
    donor = parse_source("x", text, HERE)
    assert (donor.source, donor.revision) == (source, revision)
    assert shown_source(donor) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(" ", "empty source", id="empty"),
        pytest.param("https://huggingface.co/org/name", "write org/name", id="hub-address"),
        pytest.param("s3://bucket/x", "is an address", id="other-address"),
        pytest.param("a\x1b[0m", "control characters", id="control"),
    ],
)
def test_bad_source(text: str, words: str) -> None:
    """Addresses, nothing, and control characters are refused."""
    with pytest.raises(SpecError, match=words):
        parse_source("x", text, HERE)


@pytest.mark.parametrize(
    ("source", "taken", "name"),
    [
        pytest.param("org/Name-7B", set(), "Name-7B", id="last-part"),
        pytest.param("./a b/", set(), "a-b", id="made-plain"),
        pytest.param("x/m", {"m", "m-2"}, "m-3", id="made-unique"),
        pytest.param("/", set(), "donor", id="nothing-left"),
    ],
)
def test_short_name(source: str, taken: set[str], name: str) -> None:
    """A donor of a mergekit file is called by the last part of its path, made plain and unique."""
    assert short_name(source, taken) == name
