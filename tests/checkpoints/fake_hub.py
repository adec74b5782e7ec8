"""A small Hugging Face hub on loopback, for the real client."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve(repositories: dict[str, Path], **options: Any) -> Iterator[Any]:
    """Yield a server of folders, whose `url` is its address, as long as it runs.

    Args:
        repositories: folder of each repository.
        **options: `lists` (default True), whether it tells which files there are;
            `status`, what it answers to everything; `gated`, names of repositories.
    """
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.repositories, server.asked = repositories, []
    server.options = {"lists": True, "status": None, "gated": (), **options}
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        self.server.asked.append((self.command, path))
        options = self.server.options
        if options["status"]:
            self._send(options["status"], b"", {}, with_body)
        elif path.startswith("api/models/"):
            self._list("/".join(path.split("/")[2:4]), path, with_body)
        else:
            owner, name, _, revision, *file = path.split("/")
            self._file(f"{owner}/{name}", revision, "/".join(file), with_body)

    def _list(self, name: str, path: str, with_body: bool) -> None:
        folder = self.server.repositories.get(name)
        if folder is None or not self.server.options["lists"]:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)
            return
        if "/revision/" in path and not path.endswith(("main", "v2", COMMIT)):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, with_body)
            return
        files = [p.relative_to(folder) for p in folder.rglob("*") if p.is_file()]
        siblings = [{"rfilename": file.as_posix()} for file in files]
        info = {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings}
        self._send(200, json.dumps(info).encode(), {}, with_body)

    def _file(self, name: str, revision: str, file: str, with_body: bool) -> None:
        folder = self.server.repositories.get(name)
        if folder is None:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound"}, with_body)
        elif name in self.server.options["gated"]:
            self._send(403, b"", {"X-Error-Code": "GatedRepo"}, with_body)
        elif revision not in ("main", "v2", COMMIT):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound"}, with_body)
        elif not (folder / file).is_file():
            headers = {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT}
            self._send(404, b"", headers, with_body)
        else:
            body = (folder / file).read_bytes()
            tag = hashlib.sha256(body).hexdigest()
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"'}
            self._send(200, body, headers, with_body)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], with_body: bool
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def run_fresh(
    code: str, cache: Path, url: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run code in a process that has imported nothing, with a cache and a hub."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={
            **inherited,
            **{"HF_HOME": str(cache), "HF_ENDPOINT": url},
            **{"HF_HUB_DISABLE_TELEMETRY": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )
