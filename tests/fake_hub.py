"""A Hugging Face hub on this machine, with the few HTTP calls that fetching and publishing need."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """The contents of the hub: repository -> file -> bytes."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.calls: list[str] = []
        self.private: dict[str, bool] = {}
        self.refuse = False


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.calls.append(f"{self.command} {self.path}")
        path = self.path.split("?")[0].strip("/").split("/")
        match path:
            case ["api", "models", owner, name, "tree", "main"]:
                files = self.hub.repositories.get(f"{owner}/{name}")
                listed = [
                    {"type": "file", "path": path, "size": len(data), "oid": COMMIT}
                    for path, data in (files or {}).items()
                ]
                self._json(listed) if files is not None else self._missing()
            case ["api", "models", owner, name, *_]:
                full = f"{owner}/{name}"
                about = {"id": full, "sha": COMMIT, "private": self.hub.private.get(full, False)}
                self._json(about) if full in self.hub.repositories else self._missing()
            case [owner, name, "resolve", _, *rest]:
                files = self.hub.repositories.get(f"{owner}/{name}", {})
                data = files.get("/".join(rest))
                self._file(data) if data is not None else self._missing("EntryNotFound")
            case _:
                self._missing()

    def do_POST(self) -> None:
        self.hub.calls.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.hub.refuse or "Bearer hf_" not in self.headers.get("Authorization", ""):
            self._send(401, b'{"error": "Invalid username or password."}', "application/json")
            return
        match self.path.split("?")[0].strip("/").split("/"):
            case ["api", "repos", "create"]:
                asked = json.loads(body)
                repository = "/".join(filter(None, (asked.get("organization"), asked["name"])))
                private = asked.get("private") or asked.get("visibility") == "private"
                if repository not in self.hub.repositories:  # one that is there stays as it is
                    self.hub.repositories[repository] = {}
                    self.hub.private[repository] = bool(private)
                self._json({"url": f"{self._root}/{repository}"})
            case ["api", "models", _, _, "preupload", _]:
                files = [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for file in json.loads(body)["files"]
                ]
                self._json({"files": files})
            case ["api", "models", owner, name, "commit", _]:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "deletedFile":
                        del self.hub.repositories[f"{owner}/{name}"][line["value"]["path"]]
                    if line["key"] == "file":
                        data = base64.b64decode(line["value"]["content"])
                        path = line["value"]["path"]
                        self.hub.repositories[f"{owner}/{name}"][path] = data
                self._json(
                    {"commitUrl": f"{self._root}/{owner}/{name}/commit/1", "commitOid": COMMIT}
                )
            case _:
                self._json({})

    @property
    def _root(self) -> str:
        return f"http://{self.headers['Host']}"

    def _json(self, found: Any) -> None:
        self._send(200, json.dumps(found).encode(), "application/json")

    def _missing(self, code: str = "RepoNotFound") -> None:
        self._send(404, b"{}", "application/json", {"X-Error-Code": code})

    def _file(self, data: bytes) -> None:
        tag = hashlib.sha1(data).hexdigest()
        extra = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}
        self._send(200, data, "application/octet-stream", extra)

    def _send(
        self, status: int, data: bytes, kind: str, extra: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serve() -> Iterator[tuple[Hub, str]]:
    """A running hub, and its address."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
