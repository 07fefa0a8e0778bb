"""What the local hub answers to uploads: repositories, LFS objects, copies between repositories, and commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

WEIGHTS = ".safetensors"
_REPO = r"(?P<repo>[^/]+(?:/[^/]+)?)"


class Uploads:
    """What was uploaded to a hub: objects by SHA-256, the repositories created, and the commits made in each."""

    def __init__(self, hub: Any) -> None:
        self.hub = hub
        self.objects: dict[str, bytes] = {}
        self.created: dict[str, dict[str, Any]] = {}
        self.commits: list[tuple[str, list[str]]] = []
        self.xet_store: Path | None = None
        """Where clients of Xet store the bytes of large files; None to make them use LFS."""
        self.copies = True
        """Whether files are copied between repositories."""

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        """The status and the JSON of the answer to a request."""
        for verb, pattern, function in _ROUTES:
            match = re.fullmatch(pattern.replace("REPO", _REPO), path)
            if match and verb == method:
                found: tuple[int, Any] = function(self, body, **match.groupdict())
                return found
        return 404, {"error": "Not Found"}

    def create(self, body: bytes) -> tuple[int, Any]:
        wanted = json.loads(body)
        name = "/".join(filter(None, (wanted.get("organization"), wanted["name"])))
        url = {"url": f"{self.hub.endpoint}/{name}", "id": name}
        if name in self.hub.repos:
            return 409, url
        self.created[name] = wanted
        folder = self.hub.home / name.replace("/", "--") / "0"
        folder.mkdir(parents=True)
        self.hub.add(name, folder)
        return 200, url

    def validate(self, body: bytes) -> tuple[int, Any]:
        del body
        return 200, {"errors": [], "warnings": []}

    def preupload(self, body: bytes, repo: str, revision: str) -> tuple[int, Any]:
        files = [(each["path"], self.find(repo, revision, each["path"])) for each in json.loads(body)["files"]]
        modes = [
            {
                "path": path,
                "uploadMode": "lfs" if path.endswith(WEIGHTS) else "regular",
                "shouldIgnore": False,
                "oid": found and _oid(path, found),
            }
            for path, found in files
        ]
        return 200, {"files": modes}

    def find(self, repo: str, revision: str, path: str) -> bytes | None:
        """The content of a file, or None."""
        known = self.hub.repos[repo]
        file = known.commits[known.commit(revision)] / path
        return file.read_bytes() if file.is_file() else None

    def batch(self, body: bytes, repo: str) -> tuple[int, Any]:
        del repo
        found = []
        for each in json.loads(body)["objects"]:
            href = f"{self.hub.storage}/upload/{each['oid']}"
            known = each["oid"] in self.objects
            found.append(each | ({} if known else {"actions": {"upload": {"href": href}}}))
        return 200, {"transfer": "basic", "objects": found}

    def store(self, body: bytes, oid: str) -> tuple[int, Any]:
        assert hashlib.sha256(body).hexdigest() == oid
        self.objects[oid] = body
        return 200, {}

    def xet_token(self, body: bytes, repo: str, revision: str) -> tuple[int, Any]:
        del body, repo, revision
        return 200, {"accessToken": "t", "exp": 9_999_999_999, "casUrl": f"local://{self.xet_store}"}

    def paths_info(self, body: bytes, repo: str, revision: str) -> tuple[int, Any]:
        paths = parse_qs(body.decode())["paths"]
        found = ((path, self.find(repo, revision, path)) for path in paths)
        return 200, [
            {"type": "file", "path": path, "size": len(data), "oid": _oid(path, data), "xetHash": "0" * 64}
            | {"lfs": {"oid": _oid(path, data), "size": len(data), "pointerSize": 130, "sha256": _oid(path, data)}}
            for path, data in found
            if data is not None
        ]

    def duplicate(self, body: bytes, repo: str) -> tuple[int, Any]:
        if not self.copies:
            return 400, {"error": "another storage region"}
        files = json.loads(body)["files"]
        for file in files:
            data = self.find(repo, "main", file["filename"])
            assert data is not None
            self.objects[file["sha256"]] = data
        return 200, {"success": files, "failed": []}

    def commit(self, body: bytes, repo: str, revision: str) -> tuple[int, Any]:
        known = self.hub.repos[repo]
        folder = self.hub.home / repo.replace("/", "--") / str(len(self.commits) + 1)
        shutil.copytree(known.commits[known.commit(revision)], folder)
        names = list(self._write(folder, map(json.loads, body.splitlines())))
        self.commits.append((repo, names))
        commit = self.hub.add(repo, folder)
        return 200, {"commitUrl": f"{self.hub.endpoint}/{repo}/commit/{commit}", "commitOid": commit}

    def _write(self, folder: Path, items: Iterable[dict[str, Any]]) -> Iterable[str]:
        for item in items:
            value = item["value"]
            if item["key"] == "header":
                continue
            path = folder / value["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if item["key"] == "file":
                path.write_bytes(base64.b64decode(value["content"]))
            else:
                path.write_bytes(self.objects.get(value["oid"], f"sha256 {value['oid']}".encode()))
            yield value["path"]


_ROUTES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/api/repos/create", Uploads.create),
    ("POST", "/api/validate-yaml", Uploads.validate),
    ("POST", "/api/models/REPO/preupload/(?P<revision>.+)", Uploads.preupload),
    ("GET", "/api/models/REPO/xet-write-token/(?P<revision>.+)", Uploads.xet_token),
    ("POST", "/api/models/REPO/paths-info/(?P<revision>.+)", Uploads.paths_info),
    ("POST", "/api/models/REPO/lfs-files/duplicate", Uploads.duplicate),
    ("POST", "/api/models/REPO/commit/(?P<revision>.+)", Uploads.commit),
    ("POST", r"/REPO\.git/info/lfs/objects/batch", Uploads.batch),
    ("PUT", "/upload/(?P<oid>[0-9a-f]{64})", Uploads.store),
)


def _oid(path: str, data: bytes) -> str:
    """The id of a file: its SHA-256 if it is large, otherwise that of git."""
    if path.endswith(WEIGHTS):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()
