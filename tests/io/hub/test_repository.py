"""Donors on the hub: the requests made, the use of the cache, and the errors when neither has a file."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from stacker.errors import DonorError, SpecError, StorageError
from stacker.io.hub import download as hub_download
from stacker.io.hub import headers as hub_headers
from stacker.io.hub import requests as hub_requests
from stacker.io.hub.repository import HubRepository, open_hub
from tests.donors import write_llama
from tests.hub_server import Fault, HubServer, environment, running_hub

REPO = "anna/little-llama"
INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A donor of two shards, each a multiple of what is asked for first."""
    return write_llama(tmp_path / "anna", hidden=128, ffn=256, vocab=256, shards=2)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[HubServer]:
    """A hub that has the donor; retries do not wait."""
    monkeypatch.setattr(hub_requests, "RETRY_PAUSES", (0.0, 0.0))
    with running_hub(tmp_path / "home", monkeypatch) as server:
        server.add(REPO, folder)
        yield server


def switch_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def log_in(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)


def fetch_donors(repository: HubRepository) -> None:
    for name in repository.list_names():
        repository.fetch(name)


def tensors_of(path: Path) -> dict[str, tuple[str, list[int]]]:
    """What the safetensors library reads in a file."""
    with safe_open(path, "np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return {name: (part.get_dtype(), part.get_shape()) for name, part in slices.items()}


def test_the_files_are_those_of_the_commit(hub: HubServer, folder: Path) -> None:
    """The names are the repository's, and the branch is resolved to its commit."""
    repository = open_hub(REPO, None)
    assert repository.list_names() == tuple(sorted(path.name for path in folder.iterdir()))
    assert repository.revision == hub.repos[REPO].refs["main"]
    assert repository.source == REPO


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/2"], ids=["branch", "tag", "pull-request"])
def test_a_revision_is_a_branch_a_tag_or_a_pull_request(hub: HubServer, folder: Path, revision: str) -> None:
    """Any name of a commit leads to it, slashes included."""
    commit = hub.repos[REPO].refs["main"]
    hub.repos[REPO].refs[revision] = commit
    repository = open_hub(REPO, revision)
    assert (repository.revision, repository.source) == (commit, f"{REPO}@{revision}")
    assert repository.read("config.json", 10_000) == (folder / "config.json").read_bytes()


def test_everything_after_the_first_question_names_the_commit(hub: HubServer, folder: Path, tmp_path: Path) -> None:
    """A branch that moves meanwhile does not mix two commits."""
    repository = open_hub(REPO, "main")
    hub.add(REPO, write_llama(tmp_path / "newer", hidden=128, ffn=256, vocab=256, shards=2, seed=1))
    assert repository.read("config.json", 10_000) == (folder / "config.json").read_bytes()
    assert repository.fetch(FIRST).read_bytes() == (folder / FIRST).read_bytes()
    assert all(repository.revision in asked.path for asked in hub.asked[1:])


def test_a_header_is_what_the_library_reads_and_costs_no_weights(hub: HubServer, folder: Path) -> None:
    """One range request gives the table of a shard; nothing is downloaded."""
    header = open_hub(REPO, None).read_header(FIRST)
    read = {tensor.spec.name: (tensor.spec.dtype.label, list(tensor.spec.shape)) for tensor in header.tensors}
    assert read == tensors_of(folder / FIRST)
    assert header.size == (folder / FIRST).stat().st_size
    assert hub.weights_sent() == hub_headers.FIRST_REQUEST < header.size
    assert hub.downloaded() == set()


def test_a_long_header_takes_a_second_request(hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the first range left out of the header is asked for, from where it ended to where the data begins."""
    monkeypatch.setattr(hub_headers, "FIRST_REQUEST", 100)
    header = open_hub(REPO, None).read_header(FIRST)
    assert {tensor.spec.name for tensor in header.tensors} == tensors_of(folder / FIRST).keys()
    ranges = [asked.range for asked in hub.asked if asked.server == "storage"]
    assert ranges == ["bytes=0-99", f"bytes=100-{header.data_start - 1}"]


def test_a_file_shorter_than_the_first_range(hub: HubServer, tmp_path: Path) -> None:
    """A file smaller than what is asked for is read to its end."""
    hub.add("tiny", write_llama(tmp_path / "tiny", layers=1))
    header = open_hub("tiny", None).read_header("model.safetensors")
    assert len(header.tensors) == 12


def test_a_server_without_ranges_is_read_no_further_than_the_header(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer with the whole file serves as well."""
    monkeypatch.setattr(hub_headers, "FIRST_REQUEST", 100)
    hub.faults.append(Fault(FIRST, whole=True, times=9))
    header = open_hub(REPO, None).read_header(FIRST)
    assert (len(header.tensors), header.size) == (len(tensors_of(folder / FIRST)), (folder / FIRST).stat().st_size)


def test_a_header_is_asked_for_once(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second look at a header costs no request, in a later process and without the hub."""
    header = open_hub(REPO, None).read_header(FIRST)
    open_hub(REPO, None).fetch("config.json")
    before = hub.weights_sent()
    assert open_hub(REPO, None).read_header(FIRST) == header
    assert hub.weights_sent() == before
    switch_off(monkeypatch)
    assert open_hub(REPO, None).read_header(FIRST) == header


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("kept", [b"", b"1234567", b"\0" * 100], ids=["empty", "short", "zeros"])
def test_a_header_kept_badly_is_asked_for_again(tmp_path: Path, kept: bytes) -> None:
    """An incomplete saved header is ignored."""
    repository = open_hub(REPO, None)
    header = repository.read_header(FIRST)
    (path,) = (tmp_path / "home" / "assets").rglob(f"{FIRST}*")
    path.write_bytes(kept)
    assert repository.read_header(FIRST) == header
    assert path.read_bytes() != kept


def test_headers_are_read_where_none_can_be_kept(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a read-only cache, the header is requested each time."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "file"))
    assert open_hub(REPO, None).read_header(FIRST) == open_hub(REPO, None).read_header(FIRST)
    assert hub.weights_sent() == 2 * hub_headers.FIRST_REQUEST


@pytest.mark.usefixtures("hub")
def test_headers_can_be_fetched_at_once() -> None:
    """Threads may ask for different headers of one repository."""
    repository = open_hub(REPO, None)
    threads = [threading.Thread(target=repository.read_header, args=(name,)) for name in (FIRST, SECOND)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert repository.read_header(FIRST) != repository.read_header(SECOND)


def test_fetching_downloads_that_file_only(hub: HubServer, folder: Path) -> None:
    """The shard asked for is on this machine afterwards, the other is not."""
    repository = open_hub(REPO, None)
    assert repository.find_path(FIRST) is None
    path = repository.fetch(FIRST)
    assert path == repository.find_path(FIRST)
    assert path.read_bytes() == (folder / FIRST).read_bytes()
    assert repository.find_path(SECOND) is None
    assert hub.downloaded() == {FIRST}


@pytest.mark.usefixtures("hub")
def test_a_fetched_header_is_that_of_the_file() -> None:
    """The header read over the network and that read from the downloaded file are the same."""
    repository = open_hub(REPO, None)
    remote = repository.read_header(FIRST)
    repository.fetch(FIRST)
    assert repository.read_header(FIRST) == remote
    assert repository.read_header(FIRST).stamp is not None


@pytest.mark.usefixtures("hub")
def test_progress_adds_up_to_the_file(folder: Path) -> None:
    """The bytes told are those of the file, no more and no fewer."""
    told: list[int] = []
    open_hub(REPO, None).fetch(FIRST, told.append)
    assert sum(told) == (folder / FIRST).stat().st_size


def test_a_fetched_file_is_not_fetched_again(hub: HubServer) -> None:
    """What is in the cache costs no request, in this process or a later one."""
    open_hub(REPO, None).fetch(FIRST)
    repository = open_hub(REPO, None)
    before = len(hub.asked)
    repository.fetch(FIRST)
    assert len(hub.asked) == before


@pytest.mark.usefixtures("hub")
def test_a_shared_blob_is_part_of_the_cache(tmp_path: Path, folder: Path) -> None:
    """A file that the cache keeps once for several repositories is read through both links."""
    path = open_hub(REPO, None).fetch(FIRST)
    blob = path.resolve()
    shared = tmp_path / "home" / "hub" / "blobs" / "ab" / blob.name
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(shared)
    assert open_hub(REPO, None).fetch(FIRST).read_bytes() == (folder / FIRST).read_bytes()


def test_a_small_file_too_long_is_refused_before_it_is_fetched(hub: HubServer) -> None:
    """A config of gigabytes does not fill the disk."""
    with pytest.raises(DonorError, match=r"config\.json: the file has \d+ bytes; stacker reads at most 10"):
        open_hub(REPO, None).read("config.json", 10)
    assert not any(asked.path.endswith("config.json") for asked in hub.asked)


def test_the_token_goes_to_the_hub_and_not_to_its_storage(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another host never sees who is logged in."""
    log_in(monkeypatch, "hf_right")
    repository = open_hub(REPO, None)
    repository.read_header(FIRST)
    repository.fetch(SECOND)
    assert {asked.token for asked in hub.asked if asked.server == "hub"} == {"hf_right"}
    assert {asked.token for asked in hub.asked if asked.server == "storage"} == {None}


def test_a_private_repository_opens_with_its_token(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is logged in with the right token reads a private donor like any other."""
    hub.add("anna/secret", folder, private=True)
    log_in(monkeypatch, "hf_right")
    assert len(open_hub("anna/secret", None).read_header(FIRST).tensors) > 0


def offline(_: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """HF_HUB_OFFLINE=1."""
    switch_off(monkeypatch)


def unplugged(hub: HubServer, _: pytest.MonkeyPatch) -> None:
    """A hub address without a server."""
    from huggingface_hub import close_session

    close_session()
    hub.stop()


WITHOUT = pytest.mark.parametrize("without", [offline, unplugged], ids=["offline", "unplugged"])
Cut = Callable[[HubServer, pytest.MonkeyPatch], None]


@WITHOUT
@pytest.mark.parametrize("revision", [None, "main", "v1"], ids=["default", "branch", "tag"])
def test_a_whole_cache_needs_no_hub(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch, without: Cut, revision: str | None
) -> None:
    """What was fetched by a name is found by that name, at its commit."""
    hub.repos[REPO].refs["v1"] = hub.repos[REPO].refs["main"]
    before = open_hub(REPO, revision)
    fetch_donors(before)
    without(hub, monkeypatch)
    repository = open_hub(REPO, revision)
    assert (repository.revision, repository.list_names()) == (before.revision, before.list_names())
    assert repository.read_header(SECOND) == before.read_header(SECOND)
    assert repository.fetch(FIRST).read_bytes() == (folder / FIRST).read_bytes()


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("length", [40, 8], ids=["whole", "short"])
def test_a_cached_commit_needs_no_hub(monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """A commit is found in the cache by its id, or by the beginning of it."""
    repository = open_hub(REPO, None)
    repository.fetch("config.json")
    switch_off(monkeypatch)
    assert open_hub(REPO, repository.revision[:length]).revision == repository.revision


@WITHOUT
def test_of_a_partial_cache_what_is_there_is_used(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, without: Cut
) -> None:
    """Without the hub, cached files are read, and a shard that is not there is named with advice."""
    online = open_hub(REPO, None)
    for name in ("config.json", INDEX, FIRST):
        online.fetch(name)
    without(hub, monkeypatch)
    repository = open_hub(REPO, None)
    assert SECOND in repository.list_names()
    assert repository.read_header(FIRST) == online.read_header(FIRST)
    for ask in (repository.read_header, repository.fetch):
        with pytest.raises(DonorError, match=f"{SECOND}.*(its cache does not hold|cannot reach the hub)"):
            ask(SECOND)


def test_a_hub_that_comes_back_is_asked_again(hub: HubServer, folder: Path) -> None:
    """What the cache lacks is fetched although the hub was away when the repository was opened."""
    open_hub(REPO, None).fetch("config.json")
    hub.faults.append(Fault("/api/", status=503))
    repository = open_hub(REPO, None)
    assert not repository.reachable
    assert repository.fetch(INDEX).read_bytes() == (folder / INDEX).read_bytes()


def test_of_a_partial_cache_the_rest_is_fetched(hub: HubServer) -> None:
    """With the hub, only what the cache lacks is downloaded."""
    open_hub(REPO, None).fetch(FIRST)
    hub.asked.clear()
    fetch_donors(open_hub(REPO, None))
    assert hub.downloaded() == {SECOND}


def test_the_hub_knows_better_than_the_cache_what_a_branch_is(hub: HubServer, tmp_path: Path) -> None:
    """A branch that has moved is followed while the hub can be asked."""
    old = open_hub(REPO, None)
    old.fetch("config.json")
    newer = hub.add(REPO, write_llama(tmp_path / "newer", seed=1))
    assert open_hub(REPO, None).revision == newer != old.revision


def test_a_cached_repository_survives_its_end_on_the_hub(hub: HubServer) -> None:
    """A repository that was taken from the hub is still what the cache holds."""
    before = open_hub(REPO, None)
    before.fetch("config.json")
    del hub.repos[REPO]
    assert open_hub(REPO, None).revision == before.revision


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/api/", status=503),
        Fault("/api/", status=429, headers={"Retry-After": "0"}),
        Fault("/resolve/", status=500),
        Fault("/stored/", status=504, times=2),
        Fault("/stored/", drop=100),
    ],
    ids=["listing-503", "listing-429", "resolve-500", "storage-504-twice", "header-cut"],
)
def test_a_passing_fault_is_tried_again(hub: HubServer, fault: Fault) -> None:
    """A request that fails for a moment is retried without an error."""
    hub.faults.append(fault)
    assert len(open_hub(REPO, None).read_header(FIRST).tensors) > 0
    assert fault.times == 0


@pytest.mark.parametrize(
    "fault", [Fault("/stored/", status=503), Fault("/stored/", drop=100_000)], ids=["503", "cut-in-the-middle"]
)
def test_a_download_goes_on_after_a_fault(
    hub: HubServer, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    """A download that was cut off or refused for a moment ends with the right bytes."""
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
    told: list[int] = []
    hub.faults.append(fault)
    assert open_hub(REPO, None).fetch(FIRST, told.append).read_bytes() == (folder / FIRST).read_bytes()
    assert sum(told) == (folder / FIRST).stat().st_size


def test_a_download_that_cannot_fit_is_not_begun(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needed and free bytes are compared first, and said."""
    repository = open_hub(REPO, None)
    monkeypatch.setattr(hub_download, "count_free_bytes", lambda _: 1000)
    with pytest.raises(StorageError, match=r"it has [\d,]+ bytes, and 1,000 are free"):
        repository.fetch(FIRST)
    assert hub.downloaded() == set()


def unknown(hub: HubServer, _: pytest.MonkeyPatch) -> None:
    """No such repository."""
    del hub.repos[REPO]


def private(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private repository, and the wrong token."""
    hub.repos[REPO].private = True
    log_in(monkeypatch, "hf_wrong")


def gated(hub: HubServer, _: pytest.MonkeyPatch) -> None:
    """A gated repository, and nobody logged in."""
    hub.repos[REPO].gated = True


def gated_for_us(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gated repository, and an account without access."""
    hub.repos[REPO].gated = True
    log_in(monkeypatch, "hf_wrong")


def down(hub: HubServer, _: pytest.MonkeyPatch) -> None:
    """A hub that fails every time."""
    hub.faults.append(Fault("/", status=503, times=99))


def crowded(hub: HubServer, _: pytest.MonkeyPatch) -> None:
    """A hub that wants fewer requests."""
    hub.faults.append(Fault("/", status=429, times=99))


def refused(hub: HubServer, _: pytest.MonkeyPatch) -> None:
    """A token without the permission."""
    hub.faults.append(Fault("/", status=403, times=99))


def mistaken(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that nobody has."""
    log_in(monkeypatch, "hf_mistaken")
    about = {"X-Error-Message": "Invalid credentials in Authorization header"}
    hub.faults.append(Fault("/", status=401, headers=about, times=99))


def no_hub(_: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address of something else."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "nonsense://hub")


@pytest.mark.parametrize(
    ("trouble", "said", "advised"),
    [
        (offline, "the hub is switched off .HF_HUB_OFFLINE., and its cache does not hold this", f"hf download {REPO}"),
        (unplugged, "cannot reach the hub at http", "check the connection"),
        (unknown, "no such repository, or it is private", f"check the name at http.*/{REPO}"),
        (private, "no such repository, or it is private", "hf auth login"),
        (gated, "gated, and you are not logged in", f"accept its terms at http.*/{REPO}"),
        (gated_for_us, "gated, and your account has no access", f"ask for it at http.*/{REPO}"),
        (down, "the hub is failing \\(HTTP 503\\)", "try again later"),
        (crowded, "too many requests", "wait a few minutes"),
        (refused, "refuses access with your token", "permission"),
        (mistaken, "does not accept your token", "hf auth login"),
        (no_hub, "cannot reach the hub at nonsense", "HF_ENDPOINT"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_trouble_is_said_in_our_words(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, trouble: Cut, said: str, advised: str
) -> None:
    """Every failure is a DonorError that names the donor, the reason and what to do."""
    trouble(hub, monkeypatch)
    with pytest.raises(DonorError, match=f"(?s){REPO}.*{said}.*hint: .*{advised}"):
        open_hub(REPO, None).read("config.json", 10_000)


@pytest.mark.usefixtures("hub")
def test_a_revision_that_is_not_there() -> None:
    """A branch, tag or commit that the repository lacks is named."""
    with pytest.raises(DonorError, match=f"{REPO}@nowhere: the repository has no revision 'nowhere'"):
        open_hub(REPO, "nowhere")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("ask", [HubRepository.read_header, HubRepository.fetch], ids=["header", "fetch"])
def test_a_file_that_is_not_there(ask: Callable[[HubRepository, str], object]) -> None:
    """A file that the commit lacks is named."""
    with pytest.raises(DonorError, match=r"gone\.safetensors: the repository has no such file"):
        ask(open_hub(REPO, None), "gone.safetensors")


@pytest.mark.parametrize(
    "repo", ["", "a/b/c", "a b", "a//b", "../a", "-a/b", "a--b", "a/..", "a/b.", "x" * 200, "a/\x1b[31m"], ids=repr
)
def test_what_cannot_be_an_id_is_not_asked_for(hub: HubServer, repo: str) -> None:
    """A malformed id is the spec's fault, and no request is made."""
    with pytest.raises(SpecError, match="neither a folder here nor a hub id"):
        open_hub(repo, None)
    assert hub.asked == []


@pytest.mark.parametrize("revision", ["", "../x", "/x", "a b", "a@b"], ids=repr)
def test_what_cannot_be_a_revision_is_not_asked_for(hub: HubServer, revision: str) -> None:
    """A malformed revision is the spec's fault, and no request is made."""
    with pytest.raises(SpecError, match="cannot be a revision"):
        open_hub(REPO, revision)
    assert hub.asked == []


def test_the_client_is_not_imported_before_there_is_a_hub_donor() -> None:
    """Importing the module costs nothing of huggingface_hub or its HTTP client."""
    code = (
        "import sys, stacker.io.hub.repository; "
        "print([m for m in sys.modules if m.startswith(('huggingface_hub', 'httpx'))])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"[]\n"


def test_the_environment_says_where_the_hub_and_its_cache_are(hub: HubServer, tmp_path: Path) -> None:
    """A fresh process follows HF_ENDPOINT and HF_HOME."""
    code = f"from stacker.io.hub.repository import open_hub; print(open_hub('{REPO}', None).fetch('config.json'))"
    process = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(hub, tmp_path / "other"),
        capture_output=True,
        check=True,
        text=True,
    )
    assert process.stdout.startswith(str(tmp_path / "other" / "hub" / "models--anna--little-llama" / "snapshots"))
    assert process.stderr == ""


def test_a_broken_environment_is_said(hub: HubServer, tmp_path: Path) -> None:
    """A variable that huggingface_hub cannot read ends in a DonorError too."""
    code = f"from stacker.io.hub.repository import open_hub; open_hub('{REPO}', None)"
    env = environment(hub, tmp_path) | {"HF_HUB_ETAG_TIMEOUT": "soon"}
    process = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=False, text=True)
    assert "DonorError: anna/little-llama: the hub's client failed: ValueError" in process.stderr
