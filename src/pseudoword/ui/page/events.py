"""How the page's events call Python.

Errors become sentences, and no event is a public endpoint. What a person does counts, in the order
in which it is done, however long each thing takes:

- Events that change or show the same are `in_turn`: one of them runs at a time.
- An event that takes the value of a control is `LATEST`: a change during an earlier one is sent
  after it. Gradio's own way ("once") drops it: what a person did last would be lost.
- An event that tells what was pressed is `EACH`: sent later, it would tell the earlier press.
- A button that makes or deletes something is as Gradio has it: a double click counts once.
- What the browser does by itself after a change comes before what asks the server: Gradio runs the
  events of one change one after the other, and would wait for the answer.
- No event takes a form full of controls, but what `Typed` has of them all.
- The ids of what is shown are in the page (`shown_id`), not with the server, which may be further:
  what is pressed is what was seen.
"""

import functools
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.helpers import log_message

from pseudoword.errors import PseudowordError
from pseudoword.ui.page.forms import in_words
from pseudoword.ui.page.pieces import text

PRIVATE: dict[str, Any] = {"api_visibility": "private"}

UNSEEN: dict[str, Any] = {"show_progress": "hidden", "show_progress_on": []}
"""Nobody sees that it goes on. Else Gradio tells each output so, which shows nothing of it, and
tells them again at every later event, and searches the page for each."""

QUIET: dict[str, Any] = {**PRIVATE, **UNSEEN, "queue": False}
"""For what is quick, frequent and never fails: it does not wait behind long work, and nothing
flickers."""

LATEST: dict[str, Any] = {"trigger_mode": "always_last"}
"""The last value of a control counts, whatever is going on while it is set."""

EACH: dict[str, Any] = {"trigger_mode": "multiple"}
"""Each press counts."""

LISTEN: dict[str, Any] = {
    **PRIVATE, **EACH, **UNSEEN, "concurrency_limit": None
}  # fmt: skip
"""For an event that does nothing, and waits for nothing."""

INTO_VIEW = """() => requestAnimationFrame(() => {
    const opened = document.querySelector("#%s");
    if (opened?.getBoundingClientRect().top > innerHeight / 2) {
        opened.scrollIntoView({ block: "nearest" });
    }
})"""
"""Runs in the browser: what a press has opened may be below what is in sight, as on a phone."""

NEW_ID = (
    "Array.from(crypto.getRandomValues(new Uint8Array(16)), "
    "byte => byte.toString(16).padStart(2, '0')).join('')"
)
"""An id that nobody guesses, made up by the browser: an expression in JavaScript."""


def in_turn(what: str) -> dict[str, Any]:
    """For all events that change or show `what`, for whoever has the page open: one at a time."""
    return {**PRIVATE, "concurrency_id": what, "concurrency_limit": 1}


def shown_id() -> gr.Textbox:
    """Holds the id of what the page shows, and is sent together with the controls beside it."""
    return gr.Textbox(visible=False)


def shown_ids(ids: Sequence[str]) -> str:
    """What a `shown_id` beside a gallery holds: the ids of its pictures, in their order."""
    return " ".join(ids)


def pressed(event: gr.SelectData, shown: str) -> str:
    """The id of the picture that was pressed in a gallery, beside which were the ids `shown`."""
    return shown.split()[int(event.index)]


def updates(changes: Mapping[Any, Mapping[str, Any]]) -> str:
    """What an event without Python gives to controls, in JavaScript.

    Args:
        changes: control -> what changes about it, such as `interactive`.
    """
    return json.dumps([{"__type__": "update", **change} for change in changes.values()])


def kept_by_browser(value: Any, key: str) -> gr.BrowserState:
    """Holds what stays with the browser when the page is loaded again, by whichever server.

    Gradio makes up a new secret each time a page is served, and could not read it then. The value
    is nobody else's to read, so the secret need be none.
    """
    return gr.BrowserState(value, storage_key=f"pseudoword-{key}", secret="pseudoword")


def sentence(error: BaseException) -> str:
    """What to tell of an error; what nobody has foreseen is told as such."""
    if isinstance(error, PseudowordError):
        return in_words(str(error))
    if isinstance(error, OSError):
        return f"{error.strerror or error}. Try again."
    return f"Something unexpected went wrong ({type(error).__name__}). Load the page again."


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler`, whose errors a person reads in the corner of the page.

    For Gradio, the event has succeeded then, and changed nothing. After one that fails, it would
    send no change that waits for it (`LATEST`), and call nothing that comes after it (`then`).
    What is told of an event that is not queued, nobody sees.
    """

    @functools.wraps(handler)
    def run(*args: Any) -> Any:
        try:
            return handler(*args)
        except Exception as error:
            if not isinstance(error, PseudowordError | OSError):
                traceback.print_exc()  # for whoever runs the page
            tell(text(sentence(error)))
            return gr.skip()

    return run


def tell(said: str) -> None:
    """Show an error in the corner of the page of whoever has asked for this.

    Args:
        said: HTML.
    """
    log_message(said, title="", level="error", duration=20)
