"""A hub on this machine that answers what huggingface_hub asks for one file, and misbehaves on request."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PATH = "/who/what/resolve/main/x.pt"


@dataclass
class Hub:
    """What is served at PATH, as the real one does it: an answer with the checksum that leads to a storage.

    Attributes:
        content: the file, as it should be.
        sent: what the storage sends instead of it.
        etag: what the hub states as checksum instead of the SHA-256 of `content`.
        status: of every answer; where not 200, nothing else is given.
        headers: in every answer.
        is_hub: whether it says of which commit the file is.
        cuts: of each further download, how many bytes come before the connection breaks.
        at_cut: called before a connection breaks.
        stop: nobody listens any more.
        requests: what was asked: method, path, range.
        agents: who asked.
    """

    content: bytes
    sent: bytes | None = None
    etag: str | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    is_hub: bool = True
    cuts: list[int] = field(default_factory=list)
    at_cut: Callable[[], None] = lambda: None
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    endpoint: str = ""
    stop: Callable[[], None] = lambda: None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def url(self) -> str:
        return self.endpoint + PATH

    @property
    def downloads(self) -> list[str]:
        """The ranges that were asked for, "" for the whole."""
        return [span for method, path, span in self.requests if method == "GET" and path == "/storage/x"]


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def answer(self, *, with_body: bool) -> None:
            span = self.headers.get("Range", "")
            hub.requests.append((self.command, self.path, span))
            hub.agents.add(self.headers.get("User-Agent", ""))
            if hub.status != 200:
                self.head(hub.status, {"Content-Length": "0"})
            elif self.path == PATH:
                # by another name, so that it is another machine to the client
                storage = hub.endpoint.replace("127.0.0.1", "localhost") + "/storage/x"
                self.head(302, self.about() | {"Location": storage, "Content-Length": "0"})
            elif self.path == "/storage/x":
                self.send_file(span, with_body=with_body)
            else:
                self.head(404, {"X-Error-Code": "EntryNotFound", "Content-Length": "0"})

        def about(self) -> dict[str, str]:
            etag = hub.sha256 if hub.etag is None else hub.etag
            about = {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(hub.content))}
            return about | ({"X-Repo-Commit": COMMIT} if hub.is_hub else {})

        def head(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | hub.headers).items():
                self.send_header(name, value)
            self.end_headers()

        def send_file(self, span: str, *, with_body: bool) -> None:
            body = hub.content if hub.sent is None else hub.sent
            start = int(re.findall(r"\d+", span)[0]) if span else 0
            part = body[start:]
            headers = {"ETag": '"storage"', "Content-Length": str(len(part))}
            if span:
                headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            self.head(206 if span else 200, headers)
            if not with_body:
                return
            if hub.cuts:
                self.wfile.write(part[: hub.cuts.pop(0)])
                self.wfile.flush()
                hub.at_cut()
            else:
                self.wfile.write(part)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that are killed, or break off, are what the tests are about."""


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serves a hub, whose `endpoint` is then its address."""
    server = _Server(("127.0.0.1", 0), handler(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    hub.stop = stop
    try:
        yield hub
    finally:
        stop()


def environment(home: object, hub: Hub | None, **more: str) -> dict[str, str]:
    """Of a process whose hub and cache are these and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    return {
        **kept,
        "HF_HOME": str(home),
        "HF_ENDPOINT": hub.endpoint if hub else "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
        **more,
    }


def stored(home: Path) -> list[Path]:
    """What lies there and could be weights, whole or half: not the small files that a cache has as well."""
    return [path for path in home.rglob("*") if path.is_file() and path.stat().st_size > 1000]
