"""Galleries of pictures to press."""

from typing import Any

import gradio as gr
from PIL import Image

from pseudoword.errors import PseudowordError
from pseudoword.ui.desk import Desk
from pseudoword.ui.library import Word

TILE_PX = 256


def pressable(label: str, columns: int, elem_id: str) -> gr.Gallery:
    """A gallery whose pictures are pressed to choose them, not to enlarge them."""
    return gr.Gallery(
        label=label,
        columns=columns,
        fit_columns=False,
        height="auto",
        allow_preview=False,
        interactive=False,
        object_fit="cover",
        buttons=[],
        elem_id=elem_id,
    )


def tile(desk: Desk, word: Word) -> Any:
    """A picture of a word, to press on."""
    try:
        found = desk.library.preview(word.id, TILE_PX) if word.has_preview else None
    except PseudowordError:
        found = None
    return found or Image.new("RGB", (TILE_PX, TILE_PX), "#a8a29e")
