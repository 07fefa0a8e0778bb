"""Donors in object storage: the same bytes as from folders, whatever breaks, and no credentials in what is written."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stacker.checkpoint import verify
from stacker.compose import build, load
from stacker.errors import DonorError, SpecError, StackerError
from stacker.io.donors.streaming import DonorAccess
from stacker.run.building import BuildOptions
from tests.donors import write_llama
from tests.gguf_donors import read_metadata, read_tensors, write_gguf
from tests.storage_server import BUCKET, KEY, SECRET, Request, StorageServer

SPEC = """\
stacker: 1
name: stored
donors: {a: "A", b: "B"}
stack:
  - a[0:3]
  - {blend: ["a[2:5]", "b[2:5]"], op: slerp, t: 0.3}
  - b[1:4]
"""
STREAM = BuildOptions(access=DonorAccess.STREAM, workers=2)
REMOTE = {"A": f"s3://{BUCKET}/org/first", "B": f"s3://{BUCKET}/org/second"}


def write_spec(home: Path, places: dict[str, str], out: str = "out") -> Path:
    """Write the spec with its donors at these places."""
    text = SPEC
    for name, place in places.items():
        text = text.replace(f'"{name}"', f'"{place}"')
    (home / f"{out}.yml").write_text(text)
    return home / f"{out}.yml"


def build_from(home: Path, places: dict[str, str], out: str, options: BuildOptions = STREAM) -> dict[str, bytes]:
    """Build the spec with its donors at these places; the bytes of all shards and side files."""
    path = write_spec(home, places, out)
    build(load(path), home / out, options)
    kept = ("*.safetensors", "config.json", "tokenizer*", "generation*")
    return {path.name: path.read_bytes() for kind in kept for path in sorted((home / out).glob(kind))}


def build_locally(home: Path) -> dict[str, bytes]:
    """Build the spec from the folders."""
    return build_from(home, {"A": str(home / "first"), "B": str(home / "second")}, "local")


def test_the_bytes_are_those_of_folders(home: Path) -> None:
    """A stack from object storage has the same files as one from folders, and `verify` compares it with the donors."""
    assert build_from(home, REMOTE, "out") == build_locally(home)
    assert not verify(home / "out", access=DonorAccess.STREAM).problems


def test_only_ranges_of_weights_are_read(home: Path, server: StorageServer) -> None:
    """Streamed weights are asked for by ranges alone, and no file of them is stored."""
    build_from(home, REMOTE, "out")
    asked = [request for request in server.requests if request.path.partition("?")[0].endswith(".safetensors")]
    assert asked
    assert all(request.range for request in asked)
    assert not list((home / "cache").rglob("*.safetensors"))


def test_donors_are_fetched_once(home: Path, server: StorageServer) -> None:
    """Without streaming, the files are fetched into the cache, and used from there as long as they are the same."""
    first = build_from(home, REMOTE, "out", BuildOptions())
    assert first == build_locally(home)
    server.requests.clear()
    assert build_from(home, REMOTE, "again", BuildOptions()) == first
    assert not [request for request in server.requests if request.path.partition("?")[0].endswith(".safetensors")]
    server.put_folder(write_llama(home / "new", hidden=64, ffn=160, vocab=96, seed=9), "org/second")
    assert build_from(home, REMOTE, "other", BuildOptions()) != first


@pytest.mark.parametrize("fault", [500, 503, 429, "cut"])
def test_what_breaks_is_repeated(home: Path, server: StorageServer, fault: int | str) -> None:
    """Every request fails or is cut off the first time, and the bytes are the same."""
    seen: set[tuple[str, str, str | None]] = set()

    def disturb(request: Request) -> int | str | None:
        key = (request.method, request.path, request.range)
        first = key not in seen
        seen.add(key)
        return fault if first else None

    server.fault = disturb
    assert build_from(home, REMOTE, "out") == build_locally(home)


def test_a_server_that_stays_broken_ends_the_build(home: Path, server: StorageServer) -> None:
    """After repeated failures the build ends with the status and the address, and goes on when the server is back."""
    server.fault = lambda request: 503 if request.range and ".safetensors" in request.path else None
    with pytest.raises(DonorError, match="HTTP 503"):
        build(load(write_spec(home, REMOTE)), home / "out", STREAM)
    server.fault = lambda _: None
    assert build_from(home, REMOTE, "out") == build_locally(home)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusals_say_what_to_do(home: Path, server: StorageServer, status: int) -> None:
    """A refusal is not repeated; the message has the address and no credentials, although the server repeats them."""
    server.fault = lambda _: status
    with pytest.raises(DonorError) as caught:
        load(write_spec(home, REMOTE))
    problems = list(caught.value.problems)
    assert all(REMOTE["A"] in str(problem) or REMOTE["B"] in str(problem) for problem in problems)
    assert len(server.requests) == len(REMOTE)
    assert KEY not in repr(problems)
    assert SECRET not in repr(problems)


@pytest.mark.parametrize("after", [1, 2, 3, 5])
def test_a_donor_that_changes_ends_the_build(home: Path, server: StorageServer, after: int) -> None:
    """An object that is replaced while it is read, by one with the same header, is never mixed with the old one."""
    stack = load(write_spec(home, REMOTE))
    other = write_llama(home / "new", hidden=64, ffn=160, vocab=96, seed=9)
    reading: list[Request] = []

    def replace_while_reading(request: Request) -> None:
        if request.range and "second/model.safetensors" in request.path:
            reading.append(request)
            if len(reading) == after:
                server.client().upload_file(str(other / "model.safetensors"), BUCKET, "org/second/model.safetensors")

    server.fault = replace_while_reading
    if after == 1:  # nothing was read before
        build(stack, home / "out", STREAM)
        return
    with pytest.raises(DonorError, match="changed"):
        build(stack, home / "out", STREAM)


def test_no_credentials_are_written(home: Path) -> None:
    """Neither keys nor secrets are in any file that a build writes, nor in the cache."""
    build_from(home, REMOTE, "out")
    for path in (*(home / "out").rglob("*"), *(home / "cache").rglob("*")):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes()
            assert SECRET.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "source",
    ["s3://KEY:secret@bucket/x", "https://user@host/x", "https://host/x?X-Amz-Signature=1", "az://a/c/x?sv=1&sig=2"],
)
def test_addresses_with_credentials_are_refused(home: Path, source: str) -> None:
    """A source that may hold credentials is refused without repeating it, because a spec is copied into outputs."""
    write_spec(home, {**REMOTE, "A": source})
    with pytest.raises(SpecError, match="may hold credentials") as caught:
        load(home / "out.yml")
    assert source not in "".join(problem.message + problem.hint for problem in caught.value.problems)


def test_a_missing_donor_is_an_error(home: Path) -> None:
    """A folder without files and a bucket that does not exist are errors with their addresses."""
    for source in (f"s3://{BUCKET}/nothing", "s3://no-such-bucket/x"):
        write_spec(home, {**REMOTE, "A": source})
        with pytest.raises(StackerError, match=r"no files|no such bucket") as caught:
            load(home / "out.yml")
        assert source in repr(caught.value.problems)


def test_a_web_server_is_read(home: Path) -> None:
    """Donors on a web server, which lists no files, have the same bytes; their shards come from the index."""
    with _web_server(home, _Ranges) as place:
        assert build_from(home, {"A": f"{place}/first", "B": f"{place}/second"}, "out") == build_locally(home)


def test_a_web_server_without_ranges_is_refused(home: Path) -> None:
    """A server that sends whole files where a range was asked for is an error with the file's address."""
    with _web_server(home, _Whole) as place, pytest.raises(DonorError, match=f"{place}/second/config.json"):
        build_from(home, {"A": f"{place}/first", "B": f"{place}/second"}, "out")


GGUF = "stacker: 1\nname: both\ndonors: {{a: '{0}/a.gguf', b: '{0}/b.gguf'}}\nstack: ['a[0:3]', 'b[1:4]']\n"


@pytest.mark.parametrize("options", [STREAM, BuildOptions()], ids=["stream", "fetch"])
@pytest.mark.parametrize("kind", ["storage", "web"])
def test_gguf_files_are_read(home: Path, server: StorageServer, kind: str, options: BuildOptions) -> None:
    """A GGUF file is named by its address; tensors and tokens are the same as from a file on this machine."""
    for seed, name in enumerate("ab"):
        write_gguf(home / "gguf" / f"{name}.gguf", seed=seed)
    server.put_folder(home / "gguf", "org/gguf")
    with _web_server(home, _Ranges) as place:
        remote = f"{place}/gguf" if kind == "web" else f"s3://{BUCKET}/org/gguf"
        for name, where in (("local", str(home / "gguf")), ("remote", remote)):
            (home / f"{name}.yml").write_text(GGUF.format(where))
            build(load(home / f"{name}.yml"), home / f"{name}.gguf", options)
    assert read_tensors(home / "remote.gguf") == read_tensors(home / "local.gguf")
    tokens = [read_metadata(home / f"{name}.gguf")["tokenizer.ggml.tokens"] for name in ("local", "remote")]
    assert tokens[0] == tokens[1]


@contextmanager
def _web_server(folder: Path, kind: type[_Whole]) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(kind, directory=str(folder))) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}"
        web.shutdown()


class _Whole(http.server.SimpleHTTPRequestHandler):
    """A web server that knows no ranges."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


class _Ranges(_Whole):
    """A web server that sends ranges."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        begin, end = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
        data = path.read_bytes()
        part = data[begin : end + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {begin}-{begin + len(part) - 1}/{len(data)}")
        self.send_header("Last-Modified", self.date_time_string(int(path.stat().st_mtime)))
        self.end_headers()
        self.wfile.write(part)
