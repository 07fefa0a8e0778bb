"""The command that publishes an output on the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stacker.cli.app import BUILD, Json, app, format_examples
from stacker.cli.build import Quiet
from stacker.cli.terminal.printing import make_console, print_json, print_warnings
from stacker.cli.terminal.progress import show_progress
from stacker.errors import Mark, SpecError, raise_problems

if TYPE_CHECKING:
    from stacker.core.study.publication import Origin
    from stacker.formats.model_card import Card

Written = Annotated[Path, typer.Argument(metavar="OUT", help="A folder written by stacker build.")]
Repository = Annotated[str, typer.Argument(metavar="ID", help="The repository on the hub: owner/name.")]
Private = Annotated[bool, typer.Option("--private", help="If the repository is created, nobody else can see it.")]
Licence = Annotated[
    str | None,
    typer.Option("--license", metavar="NAME", help="The licence of the stack, where those of donors differ."),
]
Bases = Annotated[
    list[str] | None,
    typer.Option("--base-model", metavar="ID", help="The hub id of a donor that was a folder. May be repeated."),
]


@app.command(
    rich_help_panel=BUILD,
    epilog=format_examples("push ./out anna/my-stack --private", "push ./out anna/my-stack --license llama2"),
)
def push(
    out: Written,
    repository: Repository,
    *,
    private: Private = False,
    licence: Licence = None,
    base_model: Bases = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Upload a checkpoint written by stacker to the hub, after checking it and its card; the same command goes on.

    Missing entries of the card's metadata are added to README.md in OUT: base_model, base_model_relation and license.
    """
    from stacker.checkpoint import read_lock, verify_at_hand
    from stacker.core.study.publication import check_options
    from stacker.formats.model_card import CARD, format_card
    from stacker.io.hub.publishing import check_repository, create_repository, push_folder
    from stacker.io.output.placing import replace_file

    raise_problems(check_options(base_model or [], licence))
    _check_folder(out)
    check_repository(repository)
    donors = read_lock(out)["plan"]["donors"]
    with show_progress("checking", "comparing", quiet=quiet or json) as (checking, _):
        checked = verify_at_hand(out, checking)
    raise_problems(checked.problems)
    print_warnings(checked.problems)
    card, changes = _complete_card(out, [_find_origin(donor, out) for donor in donors], base_model or [], licence)
    commits = {donor["source"]: donor["revision"] for donor in donors if donor["revision"]}
    url = create_repository(repository, private=private)
    if changes:
        replace_file(out / CARD, format_card(card))
    found = push_folder(out, repository, commits, url)
    if json:
        copied = [{"file": each.name, "from": f"{each.repo}@{each.commit}/{each.path}"} for each in found.copied]
        print_json({"ok": True, "url": found.url, "commit": found.commit, "card": changes, "copied": copied})
    elif not quiet:
        text = f"{out} is at {found.url}" + (f", {len(found.copied)} files copied from donors" if found.copied else "")
        make_console(stderr=True).print(text, soft_wrap=True, markup=False)


def _complete_card(
    out: Path, origins: Sequence[Origin], bases: Sequence[str], licence: str | None
) -> tuple[Card, Mapping[str, object]]:
    """The card of an output with what it lacks, and the entries that change; SpecError for what is not known."""
    from stacker.core.study.publication import check_card, complete_card, list_changes
    from stacker.io.donors.cards import read_own_card

    before = read_own_card(out)
    card = complete_card(before, origins, bases, licence)
    raise_problems(check_card(card, origins))
    return card, list_changes(before, card)


def _check_folder(out: Path) -> None:
    """Raise a SpecError for an output in GGUF, which is a file."""
    from stacker.io.files.paths import is_file

    if is_file(out, SpecError):
        hint = "upload a GGUF file with the hub's own program: hf upload owner/name FILE"
        raise SpecError.of("push uploads folders, and this is a file", hint, Mark(str(out)))


def _find_origin(donor: dict[str, object], out: Path) -> Origin:
    """What the card needs to know about a donor in a lock file; its licence is read from its card or its config."""
    from stacker.core.study.publication import Origin

    hub_id = str(donor["source"]) if donor["revision"] else None
    card = _read_donor_card(donor, out)
    return Origin(str(donor["name"]), hub_id, card.licence() if card else None)


def _read_donor_card(donor: dict[str, object], out: Path) -> Card | None:
    from stacker.errors import StackerError
    from stacker.io.donors.cards import read_card
    from stacker.io.donors.location import open_donor
    from stacker.spec.language.stack_spec import Dialect, DonorSpec

    revision = donor["revision"]
    source = str(donor["source"] if revision else donor.get("found") or donor["source"])
    try:
        spec = DonorSpec(str(donor["name"]), source, str(revision) if revision else None)
        return read_card(open_donor(spec, out, Dialect.NATIVE))
    except StackerError:
        return None
