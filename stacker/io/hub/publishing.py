"""Uploads a finished output to the hub: what is there already is not sent again, so an interrupted upload goes on.

Files that are a donor's file unchanged are copied by the hub itself, where it can.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stacker.errors import Mark, SpecError, StackerError, StorageError
from stacker.io.disk.storage import explain_errors
from stacker.io.files.paths import read_status
from stacker.io.files.repository import FolderRepository
from stacker.io.hub.errors import HubAddress, translate_hub_errors
from stacker.io.hub.repository import check_id

_HIDDEN = (".*", ".*/**", "*.partial")
"""Files that are not uploaded."""
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class DonorCopy:
    """A file of the output that is the file `path` of the hub repository `repo` at a commit, byte for byte."""

    name: str
    repo: str
    commit: str
    path: str


@dataclass(frozen=True, slots=True)
class Published:
    """An output on the hub: the page of its repository, the last commit, and files that the hub copied itself."""

    url: str
    commit: str
    copied: tuple[DonorCopy, ...]


def check_repository(repo: str) -> None:
    """Raise a SpecError if `repo` cannot be the id of a repository, or if the hub is switched off."""
    from huggingface_hub import constants

    check_id(HubAddress(repo))
    if constants.HF_HUB_OFFLINE:
        raise SpecError.of("the hub is switched off (HF_HUB_OFFLINE)", "unset HF_HUB_OFFLINE to push")


def create_repository(repo: str, *, private: bool) -> str:
    """Create the repository `repo` if it does not exist; returns the address of its page."""
    from huggingface_hub import HfApi

    with _translate(repo):
        return str(HfApi().create_repo(repo, private=private or None, exist_ok=True, repo_type="model"))


def push_folder(folder: Path, repo: str, donors: Mapping[str, str], url: str) -> Published:
    """Upload the files of a folder to the repository `repo`, whose page is at `url`.

    `donors` maps hub ids of donors to commits. StorageError when the hub refuses or fails; the same call then goes on
    where it stopped.
    """
    from huggingface_hub import HfApi

    api, message = HfApi(), "Upload a stack made with stacker"
    copies = tuple(_find_copies(folder, donors))
    copied = _copy_on_hub(repo, copies)
    with _translate(repo):
        found = api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            repo_type="model",
            commit_message=message,
            ignore_patterns=[*_HIDDEN, *(each.name for each in copied)],
        )
    return Published(url, found.oid, copied)


@contextlib.contextmanager
def _translate(repo: str) -> Iterator[None]:
    """Turn exceptions of huggingface_hub into StorageErrors that say what happened and what to do."""
    try:
        with translate_hub_errors(HubAddress(repo)):
            yield
    except StackerError as error:
        (problem, *_) = error.problems
        hint = problem.hint or "the same command goes on where this one stopped"
        raise StorageError.of(f"cannot push: {problem.message}", hint, problem.mark or Mark(repo)) from error


def _find_copies(folder: Path, donors: Mapping[str, str]) -> Iterator[DonorCopy]:
    """Find the files of a folder that are large files of donors on the hub, unchanged, by size and SHA-256."""
    known: dict[tuple[int, str], DonorCopy] = {}
    for repo, commit in donors.items():
        with contextlib.suppress(StackerError):  # then its files are uploaded
            for path, size, digest in _list_large_files(repo, commit):
                known.setdefault((size, digest), DonorCopy("", repo, commit, path))
    sizes = {size for size, _ in known}
    for name in FolderRepository(folder).list_names():
        status = read_status(folder / name)
        if status and status.st_size in sizes and not name.startswith("."):
            copy = known.get((status.st_size, _digest(folder / name)))
            if copy:
                yield replace(copy, name=name)


def _list_large_files(repo: str, commit: str) -> Iterator[tuple[str, int, str]]:
    """The files of a repository that the hub stores by their SHA-256, as (path, size, SHA-256)."""
    from huggingface_hub import HfApi

    with translate_hub_errors(HubAddress(repo, commit)):
        siblings = HfApi().model_info(repo, revision=commit, files_metadata=True).siblings or []
    for file in siblings:
        if file.lfs is not None:
            yield file.rfilename, file.lfs.size, file.lfs.sha256


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with explain_errors(path, "read"), path.open("rb", buffering=0) as file:
        while data := file.read(_PIECE):
            digest.update(data)
    return digest.hexdigest()


def _copy_on_hub(repo: str, copies: Sequence[DonorCopy]) -> tuple[DonorCopy, ...]:
    """Let the hub copy files of donors in one commit; returns them, or nothing if the hub does not do it.

    It does not copy between storage regions, nor from repositories that this user may not read.
    """
    from huggingface_hub import CommitOperationCopy, HfApi

    if not copies:
        return ()
    operations = [
        CommitOperationCopy(each.path, each.name, each.commit, src_repo_id=each.repo, src_repo_type="model")
        for each in copies
    ]
    try:
        HfApi().create_commit(repo, operations, commit_message="Copy files of donors", repo_type="model")
    except Exception:
        return ()
    return tuple(copies)
