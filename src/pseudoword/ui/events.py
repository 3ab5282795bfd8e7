"""How the page's events call Python: errors become sentences, and no event is a public endpoint."""

import functools
import traceback
from collections.abc import Callable
from typing import Any

import gradio as gr

from pseudoword.errors import PseudowordError
from pseudoword.ui.forms import in_words
from pseudoword.ui.pieces import text

PRIVATE: dict[str, Any] = {"api_visibility": "private"}

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
"""For what is quick and frequent: it does not wait behind long work, and nothing flickers."""


def sentence(error: BaseException) -> str:
    """What to tell of an error; what nobody has foreseen is told as such."""
    if isinstance(error, PseudowordError):
        return in_words(str(error))
    if isinstance(error, OSError):
        return f"{error.strerror or error}: nothing was changed."
    return f"Something unexpected went wrong ({type(error).__name__}). Load the page again."


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """`handler`, whose errors a person reads in the corner of the page."""

    @functools.wraps(handler)
    def run(*args: Any) -> Any:
        try:
            return handler(*args)
        except gr.Error:
            raise
        except Exception as error:
            if not isinstance(error, PseudowordError | OSError):
                traceback.print_exc()  # for whoever runs the page
            said = text(sentence(error))
            raise gr.Error(said, title="", duration=20, print_exception=False) from error

    return run
