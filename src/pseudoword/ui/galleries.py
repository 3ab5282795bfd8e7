"""Galleries of pictures to press."""

import gradio as gr


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
