"""The page as a whole: its tabs, its look, and the server that gives it out."""

import errno
import hmac
import mimetypes
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import gradio as gr
import matplotlib
from starlette.middleware import Middleware

from pseudoword import threads
from pseudoword.errors import SettingsError
from pseudoword.text import brief, reason
from pseudoword.ui.desk import Desk
from pseudoword.ui.page import use
from pseudoword.ui.page.events import LISTEN, PRIVATE, told
from pseudoword.ui.page.guard import HERE, Guard
from pseudoword.ui.page.teach import TeachPanel
from pseudoword.ui.page.typed import keep_tab
from pseudoword.ui.page.words import WordsPanel

STYLES = Path(__file__).with_name("page.css")
SCRIPT = Path(__file__).with_name("page.js")
STORAGE = Path(__file__).with_name("storage.js")
ICON = Path(__file__).with_name("icon.svg")

UPLOADS_AT_ONCE = 20
"""Times the largest upload there may be, for all files that are dropped together."""

KEPT_S = 24 * 3600
"""Gradio's copies of uploads and pictures go after so long; the workspace has its own."""

LISTEN_S = 3.0
"""The server closes the connection for answers when it has sent all. A question that was asked just
before the browser knows of it gets its answer only with that of a later one: this event is one."""

LOOK_EVERY_S = 0.05
"""How often Gradio looks for events that wait, as by itself on Windows. Elsewhere it would look a
thousand times a second, which keeps a core from its rest."""

SAID = {"en": {"common.complete": "Done"}}
"""What a screen reader reads out where Gradio has no words of its own, but names of them."""

TYPES = {"text/javascript": ".js", "text/css": ".css", "image/svg+xml": ".svg"}

HERE_OF_ALL = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""All addresses of a machine -> one that a browser there can open, on Windows too."""

TOGGLE = "() => document.body.classList.toggle('dark')"


def page(desk: Desk) -> gr.Blocks:
    """All tabs over one workspace."""
    with gr.Blocks(
        title="pseudoword", analytics_enabled=False, delete_cache=(3600, KEPT_S)
    ) as blocks:
        with gr.Row(elem_id="top"):
            gr.HTML(
                "<header id='masthead'><h1>pseudoword</h1>"
                "<p>Teach a text-to-image model a new word.</p></header>"
            )
            shade = gr.Button("Light or dark", size="sm", min_width=110, scale=0, elem_id="shade")
            shade.click(None, js=TOGGLE, **PRIVATE)
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("Teach", id="teach") as teach_tab:
                teaching = TeachPanel(desk)
            with gr.Tab("Use", id="use") as use_tab:
                drawing = use.DrawingPanel(desk)
            with gr.Tab("Words", id="words") as words_tab:
                library = WordsPanel(desk)
        keep_tab(blocks.load, tabs, {"teach": teach_tab, "use": use_tab, "words": words_tab})
        teaching.connect(blocks.load)
        drawing.connect(blocks.load, use_tab)
        library.connect(blocks.load, words_tab)
        for panel in (teaching.training, library):
            taking = [panel.word, drawing.prompt, *drawing.words.asked]
            panel.use.click(told(drawing.take), taking, [tabs, *drawing.taken], **use.IN_TURN)
        gr.Timer(LISTEN_S).tick(lambda: None, **LISTEN)
    return blocks


def theme() -> gr.themes.Base:
    """Fonts and colours that can be read; no font comes from elsewhere."""
    return gr.themes.Base(
        primary_hue="orange",
        secondary_hue="amber",
        neutral_hue="stone",
        radius_size="md",
        font=("ui-sans-serif", "system-ui", "sans-serif"),
        font_mono=("ui-monospace", "monospace"),
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_border_width="1px",
        body_text_color_subdued="*neutral_600",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_800",
        button_primary_text_color="white",
        link_text_color="*secondary_700",
        link_text_color_active="*secondary_700",
        link_text_color_visited="*secondary_700",
        link_text_color_hover="*secondary_800",
        link_text_color_visited_dark="*secondary_500",
        slider_color="*primary_600",
    )


def check_address(host: str, share: bool, password: str | None) -> None:
    """See that nobody else gets at the page without a password.

    Raises:
        SettingsError: they would.
    """
    if password is not None and not password.strip():
        raise SettingsError("--password is empty. Give one, or leave it out.")
    if password is None and (share or in_url(host) not in HERE):
        which = "--share" if share else f"--host {host}"
        raise SettingsError(
            f"{which} lets others reach the page, who could train and delete here: give a "
            "--password, too."
        )


def in_url(host: str) -> str:
    """An address as it stands in a URL: one of IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def check_free(host: str, port: int) -> None:
    """See that the page can answer there.

    Raises:
        SettingsError: it cannot; the message says whether for the host or for the port.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SettingsError(
            f"--host {brief(host)} is no address that is known here. Give one of this machine, or "
            "0.0.0.0 for all of them."
        ) from error
    family, kind, protocol, _, place = found[0]
    with socket.socket(family, kind, protocol) as tried:
        if os.name == "posix":  # as the server does: of a page that was just stopped, it is free
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(place)
        except OSError as error:
            why = {
                errno.EADDRINUSE: f"--port {port} is taken: another page, or another program, "
                "answers there. Choose another --port.",
                errno.EADDRNOTAVAIL: f"--host {brief(host)} is no address of this machine. "
                "0.0.0.0 stands for all of them.",
                errno.EACCES: f"--port {port} is not for everybody. Choose one above 1023.",
            }
            other = f"the page cannot answer at {host}, --port {port}: {reason(error)}."
            raise SettingsError(why.get(error.errno or 0, other)) from error


def know_types() -> None:
    """Let files be given out as what they are, whatever the registry of Windows says of their ends.

    A browser runs no script that is given out as plain text.
    """
    for kind, ending in TYPES.items():
        mimetypes.add_type(kind, ending)


def serve(
    folder: Path,
    *,
    host: str,
    port: int,
    share: bool,
    password: str | None,
    ready: Callable[[str], None],
) -> None:
    """Give the page out until Ctrl-C; trainings go on after that.

    Args:
        folder: the workspace.
        host: the address to answer at.
        port: the port.
        share: also have a public address, through a server of Gradio's.
        password: asked for before anything is shown.
        ready: told each address of the page, once it answers there.

    Raises:
        SettingsError: others could reach it without a password, or it cannot answer there.
    """
    check_address(host, share, password)
    check_free(host, port)
    know_types()
    # Gradio asks at the first event, and would import pyplot and look for a screen to draw on.
    matplotlib.use("agg")
    host = in_url(host)
    with tempfile.TemporaryDirectory(
        prefix="pseudoword-page-",
        ignore_cleanup_errors=True,  # where a file is still open
    ) as uploads:  # mode 0700
        os.environ["GRADIO_TEMP_DIR"] = os.environ["GRADIO_EXAMPLES_CACHE"] = uploads
        desk = Desk(folder)
        blocks = page(desk)
        _launch(blocks, desk, Path(uploads).resolve(), host, port, share, password)
        if share and not blocks.share_url:
            blocks.close(verbose=False)
            raise SettingsError(
                "--share: no public address could be had. Is there a network? A tunnel works "
                "without one: ssh -L 7860:127.0.0.1:7860 this-machine."
            )
        ready(f"http://{HERE_OF_ALL.get(host, host)}:{port}")
        if blocks.share_url:
            ready(blocks.share_url)
        _until_stopped(blocks)


def _launch(
    blocks: gr.Blocks,
    desk: Desk,
    uploads: Path,
    host: str,
    port: int,
    share: bool,
    password: str | None,
) -> None:
    largest = desk.workspace.limits.largest_upload_mb * 1_000_000
    guard = Middleware(
        Guard,
        uploads=uploads,
        most_nbytes=round(desk.workspace.limits.workspace_gb * 1e9),
        largest_nbytes=UPLOADS_AT_ONCE * largest,
        only_here=not share and host in HERE,
    )
    blocks.queue(max_size=64, default_concurrency_limit=4)
    blocks._queue.sleep_when_free = LOOK_EVERY_S
    try:
        blocks.launch(
            server_name=host,
            server_port=port,
            share=share,
            auth=partial(_is_password, password) if password else None,
            auth_message="Any name will do; the password is the one given to pseudoword ui.",
            prevent_thread_lock=True,
            quiet=True,
            show_error=True,
            theme=theme(),
            css_paths=[STYLES],
            head=f"<script>{STORAGE.read_text(encoding='utf-8')}</script>",
            js=SCRIPT.read_text(encoding="utf-8"),
            i18n=gr.I18n(**SAID),
            footer_links=[],
            run_history=False,
            allowed_paths=[],
            max_file_size=largest,
            enable_monitoring=False,
            strict_cors=True,
            ssr_mode=False,
            pwa=False,
            favicon_path=ICON,
            mcp_server=False,
            _frontend=False,  # else a machine too busy to answer in 3 s counts as out of reach
            app_kwargs={"middleware": [guard], "docs_url": None, "redoc_url": None},
        )
    except OSError as error:
        raise SettingsError(
            f"--port {port} cannot be used at {host}. Choose another --port."
        ) from error


def _until_stopped(blocks: gr.Blocks) -> None:
    """Wait for Ctrl-C or SIGTERM, then close the server."""
    stopped = threads.Flag()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()
    blocks.close(verbose=False)


def _is_password(password: str, _name: str, given: str) -> bool:
    return hmac.compare_digest(password.encode(), given.encode())
