"""What stands between the network and Gradio: only what the page itself asks for gets through."""

import os
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.middleware.gzip import GZipMiddleware

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

PLACES = frozenset(
    "/ /config /theme.css /manifest.json /favicon.ico /robots.txt /login /logout /login_check "
    "/gradio_api/info /gradio_api/upload /gradio_api/upload_progress /gradio_api/queue/join "
    "/gradio_api/queue/data /gradio_api/cancel /gradio_api/reset /gradio_api/startup-events "
    "/gradio_api/run/predict /gradio_api/api/predict /gradio_api/app_id /gradio_api/login_check "
    "/gradio_api/theme.css /gradio_api/user /gradio_api/token".split()
)
FOLDERS = ("/assets/", "/static/", "/svelte/", "/gradio_api/heartbeat/", "/gradio_api/file=")
"""All else that Gradio serves is closed: its proxy, its editors, its statistics, its history."""

PAGE_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'"
)
"""Gradio needs inline scripts and `eval` for its own; nothing comes from elsewhere."""

NAMED_BY_CONTENT = "/assets/"
"""A browser need not ask again for Gradio's files in there: another content has another name."""

FOR_EVER = "public, max-age=31536000, immutable"

FILE_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"
"""A file is only ever looked at, whatever is written in it."""

HERE = frozenset({"127.0.0.1", "localhost", "[::1]"})

FROM_HERE = frozenset({"same-origin", "none"})
"""What browsers say (`Sec-Fetch-Site`) of a question that no other site has made them ask."""


class Guard:
    """An ASGI middleware.

    Args:
        app: what it guards.
        uploads: where Gradio puts what is uploaded.
        most_nbytes: how large that folder may become.
        largest_nbytes: of one upload, all its files together.
        only_here: answer only those who call this machine by a name of its own, so that no other
            site can have its name lead here (DNS rebinding).
    """

    def __init__(
        self,
        app: App,
        *,
        uploads: Path,
        most_nbytes: int,
        largest_nbytes: int,
        only_here: bool,
    ) -> None:
        self._app, self._uploads = app, uploads
        self._zipped = GZipMiddleware(app, compresslevel=4)
        self._most_nbytes, self._largest_nbytes = most_nbytes, largest_nbytes
        self._only_here = only_here

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "websocket":
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        refusal = self._refusal(scope, path)
        if refusal:
            await _answer(send, *refusal)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                policy = FILE_POLICY if path.startswith("/gradio_api/file=") else PAGE_POLICY
                kept_long = path.startswith(NAMED_BY_CONTENT) and message["status"] == 200
                more = {
                    "content-security-policy": policy,
                    "x-content-type-options": "nosniff",
                    "referrer-policy": "no-referrer",
                    "x-frame-options": "SAMEORIGIN",
                    **({"cache-control": FOR_EVER} if kept_long else {}),
                }
                kept = [(k, v) for k, v in message["headers"] if k.decode().lower() not in more]
                message["headers"] = kept + [(k.encode(), v.encode()) for k, v in more.items()]
            await send(message)

        # Gradio compresses the files around the page, not the page: a tenth of it remains.
        answers = self._zipped if path in {"/", "/config"} else self._app
        await answers(scope, receive, dressed)

    def _refusal(self, scope: Message, path: str) -> tuple[int, str] | None:
        headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
        if self._only_here and _without_port(headers.get("host", "")) not in HERE:
            return 403, "This page answers under 127.0.0.1 and localhost only."
        if path.rstrip("/") not in PLACES and path != "/" and not path.startswith(FOLDERS):
            return 404, "There is nothing here."
        if path.startswith("/gradio_api/file=") and not self._is_ours(path):
            return 404, "There is no such file."
        if scope["method"] == "POST" and not _is_from_here(headers):
            return 403, "Only this page itself may ask for that."
        if path.startswith("/gradio_api/upload") and scope["method"] == "POST":
            return self._too_much(headers)
        return None

    def _is_ours(self, path: str) -> bool:
        """Whether a file that is asked for is one that Gradio keeps for the page."""
        asked = unquote(path.removeprefix("/gradio_api/file="))
        # Windows would ask the server of \\\\server\\file, and tell it who asks
        if asked.replace("\\", "/").startswith("//"):
            return False
        try:
            return Path(asked).resolve().is_relative_to(self._uploads)
        except (OSError, ValueError, RuntimeError):
            return False

    def _too_much(self, headers: dict[str, str]) -> tuple[int, str] | None:
        said = headers.get("content-length", "")
        if not said.isdecimal():
            return 411, "An upload has to say how long it is."
        if int(said) > self._largest_nbytes:
            most = self._largest_nbytes // 1_000_000
            return 413, f"That is too much at once: at most {most} MB are taken. Drop fewer files."
        if int(said) + _nbytes(self._uploads) > self._most_nbytes:
            return 507, "There is no room for more uploads now. Try again in an hour."
        return None


def _is_from_here(headers: dict[str, str]) -> bool:
    """Whether no other site has made a browser ask for this.

    Over plain http from another machine, browsers say only what page it comes from (`Origin`).
    """
    if "sec-fetch-site" in headers:
        return headers["sec-fetch-site"] in FROM_HERE
    asked = {headers.get("host"), headers.get("x-forwarded-host")}
    return "origin" not in headers or headers["origin"].partition("://")[2] in asked


def _without_port(host: str) -> str:
    return host if host.endswith("]") else host.rpartition(":")[0] or host


def _nbytes(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 (many files)
            except OSError:
                continue
    return total


async def _answer(send: Send, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
