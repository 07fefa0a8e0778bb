"""A local model hub with as much of the API as huggingface_hub needs to list and download repositories.

Two servers on 127.0.0.1: the hub, and the storage that it sends clients to for weights. Every request is kept, so that
a test can say what was asked for; faults are put in as data.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

from tests.hub_uploads import WEIGHTS, Uploads

_API = re.compile(r"/api/models/(?P<repo>[^/]+(?:/[^/]+)?)(?:/revision/(?P<revision>.+))?")
_RESOLVE = re.compile(r"/(?P<repo>[^/]+(?:/[^/]+)?)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")
_STORED = re.compile(r"/stored/(?P<repo>[^/]+(?:/[^/]+)?)/at/(?P<revision>[^/]+)/(?P<file>.+)")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass
class HubRepo:
    """A repository: a folder for each commit, and which commit each branch and tag is.

    `token` is what it takes to see a private repository, or to read the files of a gated one.
    """

    commits: dict[str, Path]
    refs: dict[str, str]
    private: bool = False
    gated: bool = False
    token: str = "hf_right"

    def commit(self, revision: str) -> str | None:
        if revision in self.commits:
            return revision
        return self.refs.get(revision)


@dataclass
class Fault:
    """What goes wrong with the next `times` requests of `method` whose path holds `match`.

    An answer of `status` (with `headers` and `value` as JSON), or the connection cut after `drop` bytes of the body;
    `whole` answers a request for a range with the whole file, `pause` sends an endless body, a byte in so many seconds.
    `stall` waits so many seconds where `drop` cuts, `shift` sends a range that begins so many bytes later, and `about`
    replaces headers of an otherwise right answer.
    """

    match: str
    method: str = "GET"
    status: int | None = None
    drop: int | None = None
    whole: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    value: Any = field(default_factory=lambda: {"error": "injected"})
    pause: float | None = None
    stall: float = 0.0
    shift: int = 0
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request as it came in; `sent` are the bytes of the body of the answer."""

    server: str
    method: str
    path: str
    range: str | None
    token: str | None
    status: int
    sent: int = 0


class HubServer:
    """The hub, with its repositories, the requests received and the faults to inject."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.uploads = Uploads(self)
        self.repos: dict[str, HubRepo] = {}
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        self._servers = [self._start("hub"), self._start("storage")]
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def add(self, repo: str, folder: Path, **about: Any) -> str:
        """Add a commit with the files of `folder` to the main branch of `repo`; returns its id."""
        commit = hashlib.sha1(f"{repo} {folder}".encode()).hexdigest()
        if repo not in self.repos:
            self.repos[repo] = HubRepo({}, {}, **about)
        self.repos[repo].commits[commit] = folder
        self.repos[repo].refs["main"] = commit
        return commit

    def weights_sent(self) -> int:
        """Bytes sent of safetensors files, headers included."""
        return sum(asked.sent for asked in self.asked if asked.path.endswith(WEIGHTS))

    def downloaded(self, repo: str = "") -> set[str]:
        """The names of weight files requested without a range, of one repository or of all."""
        return {
            asked.path.rpartition("/")[2]
            for asked in self.asked
            if asked.path.endswith(WEIGHTS) and asked.method == "GET" and asked.range is None and repo in asked.path
        }

    def fault(self, method: str, path: str) -> Fault | None:
        """The fault to inject into this request, counted down; None if there is none."""
        for fault in self.faults:
            if fault.method == method and fault.match in path and fault.times > 0:
                fault.times -= 1
                return fault
        return None

    def stop(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()
        self._servers = []

    def _start(self, name: str) -> ThreadingHTTPServer:
        server = _Server(("127.0.0.1", 0), _handler(self, name))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Ignore clients that close the connection early; print any other exception."""
        if not isinstance(sys.exception(), ConnectionError):
            traceback.print_exc()


def _handler(hub: HubServer, name: str) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        pass

    Handler.hub, Handler.server_name = hub, name
    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    hub: HubServer
    server_name: str

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer_upload()

    def do_PUT(self) -> None:
        self._answer_upload()

    def _answer_upload(self) -> None:
        path = unquote(urlsplit(self.path).path)
        chunked = self.headers.get("Transfer-Encoding") == "chunked"
        body = b"".join(self._read_chunks()) if chunked else self.rfile.read(int(self.headers["Content-Length"]))
        self.fault = self.hub.fault(self.command, path)
        status, value = (self.fault.status, self.fault.value) if self.fault else (None, None)
        self._send(*((status, value) if status else self.hub.uploads.answer(self.command, path, body)))

    def log_message(self, *_: object) -> None:
        """Prints nothing; requests are recorded in the hub."""

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.fault = self.hub.fault(self.command, path)
        if self.fault and self.fault.pause is not None:
            self._send_endlessly(self.fault)
        elif self.fault and self.fault.status:
            self._send(self.fault.status, self.fault.value, self.fault.headers)
        elif match := _API.fullmatch(path):
            self._api(match["repo"], match["revision"] or "main")
        elif match := _RESOLVE.fullmatch(path):
            self._resolve(match["repo"], match["revision"], match["file"])
        elif self.server_name == "storage" and (match := _STORED.fullmatch(path)):
            self._send_file(self.hub.repos[match["repo"]].commits[match["revision"]] / match["file"])
        else:
            self._send(*self.hub.uploads.answer(self.command, path, b""))

    def _read_chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send_endlessly(self, fault: Fault) -> None:
        """Send spaces until the client closes the connection: one in `pause` seconds, or a megabyte at once if 0."""
        self.send_response(fault.status or 200)
        for key, value in fault.headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(b" " if fault.pause else b" " * 1_000_000)
            time.sleep(fault.pause or 0)

    def _api(self, name: str, revision: str) -> None:
        repo = self._visible(name)
        if repo is None:
            return
        commit = repo.commit(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        folder = repo.commits[commit]
        files = [
            {"rfilename": path.relative_to(folder).as_posix(), "size": path.stat().st_size} | _describe_large(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        ]
        self._send(200, {"id": name, "modelId": name, "sha": commit, "siblings": files, "private": repo.private})

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repo = self._visible(name)
        if repo is None:
            return
        if repo.gated and self._token() != repo.token:
            self._refuse(403 if self._token() else 401, "GatedRepo", f"Access to model {name} is restricted.")
            return
        commit = repo.commit(revision)
        if commit is None:
            self._refuse(404, "RevisionNotFound", f"Invalid rev id: {revision}")
            return
        path = repo.commits[commit] / file
        about = {"X-Repo-Commit": commit}
        if not path.is_file():
            self._refuse(404, "EntryNotFound", "Entry not found", about)
        elif file.endswith(WEIGHTS):
            self._send(302, None, about | self._stored(f"/stored/{name}/at/{commit}/{file}", path))
        else:
            self._send_file(path, about)

    def _stored(self, place: str, path: Path) -> dict[str, str]:
        return {
            "Location": self.hub.storage + place,
            "X-Linked-Size": str(path.stat().st_size),
            "X-Linked-Etag": f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"',
        }

    def _visible(self, name: str) -> HubRepo | None:
        repo = self.hub.repos.get(name)
        if repo and (not repo.private or self._token() == repo.token):
            return repo
        self._refuse(404 if self._token() else 401, "RepoNotFound", "Repository not found")
        return None

    def _token(self) -> str | None:
        return self.headers.get("Authorization", "").removeprefix("Bearer ") or None

    def _refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, {"error": message}, {"X-Error-Code": code, "X-Error-Message": message} | dict(headers or {}))

    def _send(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
        body = b"" if value is None else json.dumps(value).encode()
        self._send_bytes(status, body, {"Content-Type": "application/json"} | dict(headers or {}))

    def _send_file(self, path: Path, headers: Mapping[str, str] | None = None) -> None:
        data = path.read_bytes()
        about = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "Accept-Ranges": "bytes"} | dict(headers or {})
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if not wanted or (self.fault and self.fault.whole):
            self._send_bytes(200, data, about)
            return
        shift = self.fault.shift if self.fault else 0
        begin, end = int(wanted[1]) + shift, min(int(wanted[2] or len(data) - 1) + 1 + shift, len(data))
        if begin >= end:
            self._send_bytes(416, b"", about | {"Content-Range": f"bytes */{len(data)}"})
            return
        about |= {"Content-Range": f"bytes {begin}-{end - 1}/{len(data)}"} | dict(
            self.fault.about if self.fault else {}
        )
        self._send_bytes(206, data[begin:end], about)

    def _send_bytes(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        drop = self.fault.drop if self.fault and status in (200, 206) else None
        sent = b"" if self.command == "HEAD" else body[:drop]
        path = unquote(urlsplit(self.path).path)
        asked = (self.server_name, self.command, path, self.headers.get("Range"), self._token(), status, len(sent))
        self.hub.asked.append(Asked(*asked))
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        if drop is not None:
            self.close_connection = True
        self.end_headers()
        self.wfile.write(sent)
        if drop is not None and self.fault and self.fault.stall:
            self.wfile.flush()
            time.sleep(self.fault.stall)


def _describe_large(path: Path) -> dict[str, Any]:
    """What the hub lists for a file that it stores by its SHA-256."""
    if path.suffix != WEIGHTS:
        return {}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"lfs": {"size": path.stat().st_size, "sha256": digest, "pointerSize": 130}}


@contextmanager
def running_hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A running hub that huggingface_hub uses in this process, with its cache under `home` and no token."""
    from huggingface_hub import close_session, constants

    hub = HubServer(home / "repositories")
    places = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": str(home),
        "HF_HUB_CACHE": str(home / "hub"),
        "HF_ASSETS_CACHE": str(home / "assets"),
        "HF_TOKEN_PATH": str(home / "token"),
        "HF_HUB_OFFLINE": False,
    }
    for name, value in places.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    try:
        yield hub
    finally:
        close_session()
        hub.stop()


def environment(hub: HubServer, home: Path) -> dict[str, str]:
    """The environment that makes a new process use `hub`, with its cache under `home`."""
    return {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
