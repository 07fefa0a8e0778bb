"""A real S3 server on this machine (moto's), behind a proxy that disturbs requests as a test wants it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BUCKET = "models"
KEY, SECRET = "AKIAEXAMPLEKEY", "s3cr3t-of-the-test"


@dataclass
class Request:
    """A request that arrived: its method, its path with the query, and its Range."""

    method: str
    path: str
    range: str | None


Fault = Callable[[Request], "int | str | None"]
"""What to do with a request: answer with this status, `cut` the response in the middle, or None: pass it on."""


@dataclass
class StorageServer:
    """An S3 server: its URL, the requests so far, and the fault that a test has set."""

    url: str
    requests: list[Request] = field(default_factory=list)
    fault: Fault = lambda _: None

    def client(self) -> Any:
        """A client of boto3, which reads and writes the server's objects without faults."""
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=KEY,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )

    def put_folder(self, folder: Path, prefix: str) -> None:
        """Store all files of a folder below `prefix`."""
        client = self.client()
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path.relative_to(folder)}", Body=path.read_bytes())

    def environment(self) -> dict[str, str]:
        """The variables by which a program finds the server and its credentials."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def run_storage_server() -> Iterator[StorageServer]:
    """Run moto's S3 server with a bucket, and a proxy before it."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    _, port = moto.get_host_and_port()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), _Proxy)
    server = StorageServer(f"http://127.0.0.1:{proxy.server_port}")
    proxy.daemon_threads = True
    vars(proxy).update(target=port, storage=server)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        server.client().create_bucket(Bucket=BUCKET)
        server.requests.clear()
        yield server
    finally:
        proxy.shutdown()
        proxy.server_close()
        moto.stop()


class _Proxy(BaseHTTPRequestHandler):
    """Passes requests on to the server, unless the fault says otherwise."""

    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        state = vars(self.server)
        storage: StorageServer = state["storage"]
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        request = Request(self.command, self.path, self.headers.get("range"))
        storage.requests.append(request)
        fault = storage.fault(request)
        if isinstance(fault, int):
            self._answer(fault, {}, f"<Error><AWSAccessKeyId>{KEY}</AWSAccessKeyId></Error>".encode())
            return
        connection = http.client.HTTPConnection("127.0.0.1", state["target"], timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        connection.request(self.command, self.path, body, headers)
        response = connection.getresponse()
        data = response.read()
        self._answer(response.status, dict(response.getheaders()), data, cut=fault == "cut")
        connection.close()

    def _answer(self, status: int, headers: dict[str, str], data: bytes, *, cut: bool = False) -> None:
        kept = {name: value for name, value in headers.items() if name.lower() not in _OWN}
        length = headers.get("Content-Length", headers.get("content-length", len(data)))
        self.send_response(status)
        for name, value in {**kept, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815 - names that http.server looks for

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


_OWN = {"connection", "content-length", "transfer-encoding", "date", "server"}
