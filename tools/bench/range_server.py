"""`python -m tools.bench.range_server FOLDER LOG`: a hub on this machine that is as fast as its disk.

Every folder in FOLDER is the repository `bench/NAME`. The port is printed, and ranges that are sent are written to LOG.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
import threading
from pathlib import Path
from typing import TextIO

COMMIT = "0" * 40
_RANGE = re.compile(r"^range: bytes=(\d+)-(\d+)", re.MULTILINE | re.IGNORECASE)


def main() -> None:
    folder, log = Path(sys.argv[1]), Path(sys.argv[2]).open("w", buffering=1)  # noqa: SIM115 - as long as the process
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, folder, log), daemon=True).start()


def _serve(connection: socket.socket, folder: Path, log: TextIO) -> None:
    """Answer the requests of one connection until the client closes it."""
    left = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in left:
                received = connection.recv(1 << 16)
                if not received:
                    return
                left += received
            head, _, left = left.partition(b"\r\n\r\n")
            _answer(connection, head.decode(), folder, log)


def _answer(connection: socket.socket, head: str, folder: Path, log: TextIO) -> None:
    path = head.split()[1].partition("?")[0]
    if path.startswith("/api/models/"):
        donor = folder / path.split("/")[4]
        files = [{"rfilename": each.name, "size": each.stat().st_size} for each in donor.iterdir()]
        body = json.dumps({"sha": COMMIT, "siblings": files}).encode()
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        return
    if "/resolve/" not in path:
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    _, _, name, _, _, file = path.split("/")
    fd = os.open(folder / name / file, os.O_RDONLY)
    size = os.fstat(fd).st_size
    wanted = _RANGE.search(head)
    begin, end = (int(wanted[1]), min(int(wanted[2]) + 1, size)) if wanted else (0, size)
    if wanted:
        log.write(f"{path} {begin} {end}\n")
    lines = [f"HTTP/1.1 {'206 Partial Content' if wanted else '200 OK'}", f"Content-Length: {end - begin}"]
    lines += [f"Content-Range: bytes {begin}-{end - 1}/{size}", f'ETag: "{name}-{size}"', f"X-Repo-Commit: {COMMIT}"]
    body_sent = begin if not head.startswith("HEAD") else end
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    while body_sent < end:
        body_sent += os.sendfile(connection.fileno(), fd, body_sent, end - body_sent)
    os.close(fd)


if __name__ == "__main__":
    main()
