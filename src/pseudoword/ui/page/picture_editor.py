"""One picture of a data set: what of it is used, and what of that counts."""

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image, ImageDraw

from pseudoword import internals
from pseudoword.errors import PictureError, PseudowordError
from pseudoword.ui.desk import Desk
from pseudoword.ui.page.events import (
    EACH,
    INTO_VIEW,
    LATEST,
    PRIVATE,
    QUIET,
    UNSEEN,
    in_turn,
    pressed,
    shown_id,
    told,
)
from pseudoword.ui.page.uploads import set_mask
from pseudoword.ui.pictures import Box, Picture

IN_TURN = in_turn("pictures")

START = (1, 50, 50)
"""Zoom, across and down: where the sliders stand for a whole picture."""

EDITOR_PX = 640
BRUSH = "#f97316"

Outputs = list[Any]
"""Values for the outputs of an event."""


@dataclass(frozen=True)
class Answer:
    """What an event changes on the page."""

    outputs: Sequence[Any]
    of: Callable[..., Outputs]
    """gives their values, from the values of its inputs"""


def box(size: tuple[int, int], zoom: float, across: float, down: float) -> Box:
    """The square of a picture to use.

    Args:
        size: (width, height) of the picture in pixels.
        zoom: 1 takes as much as there is, 2 half as wide and high.
        across: 0 at the left, 100 at the right.
        down: 0 at the top, 100 at the bottom.
    """
    side = min(size) / max(zoom, 1.0)
    left, upper = (size[0] - side) * across / 100, (size[1] - side) * down / 100
    return round(left), round(upper), round(left + side), round(upper + side)


def painted(editor: Mapping[str, Any], size: tuple[int, int]) -> Image.Image:
    """What was painted in an image editor, as a mask: white where there is paint.

    Raises:
        PictureError: nothing was.
    """
    found = np.zeros(size[::-1], dtype=bool)
    for layer in editor.get("layers") or []:
        alpha = layer.convert("RGBA").getchannel("A").resize(size)
        found |= np.asarray(alpha) > 127
    if not found.any():
        raise PictureError("nothing is painted. Paint over what counts, then press again.")
    return Image.fromarray(found.astype(np.uint8) * 255)


class PictureEditor:
    """The controls around the picture whose id is in `picture`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.picture = shown_id()
        self.used = shown_id()  # where the sliders stood when its crop was last told
        self._mask_of = shown_id()  # the picture for which the file of a mask is on its way
        with gr.Column(visible=False, elem_id="edit") as self.box:
            self.title = gr.Markdown()
            with gr.Tabs():
                with gr.Tab("Crop"), gr.Row():
                    self.framed = gr.Image(
                        label="What is used",
                        interactive=False,
                        buttons=[],
                        alt_text="The picture, with a frame around what is used of it",
                        elem_id="framed",
                    )
                    with gr.Column():
                        sliders: dict[str, Any] = {"buttons": []}
                        self.zoom = gr.Slider(1, 6, 1, label="Zoom", **sliders)
                        self.across = gr.Slider(0, 100, 50, label="Left to right", **sliders)
                        self.down = gr.Slider(0, 100, 50, label="Top to bottom", **sliders)
                        self.whole = gr.Button("Use the whole picture", size="sm")
                with gr.Tab("Mask"):
                    gr.Markdown("Paint over what counts; the rest is not learned.")
                    self.canvas = gr.ImageEditor(
                        show_label=False,  # it would be below the canvas
                        type="pil",
                        sources=(),
                        transforms=(),
                        layers=False,
                        brush=gr.Brush(
                            colors=[BRUSH], default_color=BRUSH, default_size=40, color_mode="fixed"
                        ),
                        buttons=[],
                        height=420,
                        elem_id="canvas",
                    )
                    with gr.Row():
                        self.use_mask = gr.Button("Only what is painted counts", variant="primary")
                        self.mask_file = gr.UploadButton("Mask from a file (white counts)")
                        self.no_mask = gr.Button("Everything counts")
            with gr.Row():
                self.remove = gr.Button("Take this picture out", variant="stop", size="sm")
                self.close = gr.Button("Done", size="sm")

    def connect(
        self, gallery: Any, ids: Any, state: Sequence[Any], seen: Answer, shown: Answer
    ) -> None:
        """Let events happen.

        Args:
            gallery: its pictures are pressed to choose one.
            ids: holds the ids of what is in it.
            state: the data set, and what else the pictures are looked at with.
            seen: shows from the values of `state` how the pictures are seen.
            shown: shows also their captions.
        """
        edits = Edits(self._desk, seen, shown)
        sliders = [self.zoom, self.across, self.down]
        opened = [self.picture, self.box, self.title, self.framed, *sliders, self.used]
        this = [self.picture, *state]
        # Nothing shows its progress on the canvas: the browser would draw and upload it again at
        # each event of the page, which is every other second while a training is watched.
        chosen = gallery.select(
            told(edits.chosen),
            [ids, state[0], self.picture, self.used, *sliders],
            [*opened, self.canvas],
            show_progress_on=self.title,
            **EACH,
            **IN_TURN,
        )
        chosen.success(None, None, None, js=INTO_VIEW % "edit", **PRIVATE)
        move = (told(edits.moved), [*sliders, *this], [self.framed, self.used, *seen.outputs])
        gr.on([one.input for one in sliders], *move, **UNSEEN, **LATEST, **IN_TURN)
        # First on the page: an edit that waits to be sent must not bring the old places back.
        back = self.whole.click(None, None, sliders, js=f"() => {[*START]}", **PRIVATE)
        back.then(*move, **EACH, **IN_TURN)
        self.use_mask.click(
            told(edits.painted), [self.canvas, *this], seen.outputs, **EACH, **IN_TURN
        )
        repaint = {"outputs": [self.canvas, *seen.outputs], "show_progress_on": gallery}
        # Until the file has arrived, another picture may have been pressed.
        self.mask_file.click(None, self.picture, self._mask_of, js="(one) => one", **PRIVATE)
        given = [self.mask_file, self._mask_of, *this]
        self.mask_file.upload(told(edits.mask_given), given, **repaint, **EACH, **IN_TURN)
        self.no_mask.click(told(edits.unmasked), this, **repaint, **EACH, **IN_TURN)
        self.remove.click(told(edits.removed), this, [self.box, *shown.outputs], **IN_TURN)
        self.close.click(lambda: gr.update(visible=False), None, self.box, **QUIET)


@dataclass(frozen=True)
class Edits:
    """What a person does with one picture; the answer ends with how its data set is seen then."""

    desk: Desk
    seen: Answer
    shown: Answer

    def chosen(
        self,
        event: gr.SelectData,
        ids: str,
        data_set: str,
        before: str,
        used: str,
        zoom: float,
        across: float,
        down: float,
    ) -> Outputs:
        """The pressed picture in all controls.

        What was done with the picture `before` counts first: an edit that waits for an earlier one
        is sent with what the controls hold by then, and they may hold the pressed picture.
        """
        at = (zoom, across, down)
        if before and None not in at and used != _told_at(at):
            with contextlib.suppress(PseudowordError):  # it is not there any more
                self._crop(data_set, before, at)
        one = self.desk.data_sets.one(data_set, pressed(event, ids))
        where = _where(self.desk.data_sets.open(data_set, one.id).size, one.crop)
        return [
            *(one.id, gr.update(visible=True), f"## {_markdown(one.called)}"),
            _framed(self.desk, data_set, one),
            *(*where, _told_at(where)),
            _canvas(self.desk, data_set, one.id),
        ]

    def _crop(self, data_set: str, one: str, at: tuple[float, float, float]) -> None:
        """Use what is between the sliders; where they already stood, nothing changes."""
        data_sets = self.desk.data_sets
        size = data_sets.open(data_set, one).size
        if at != _where(size, data_sets.one(data_set, one).crop):
            data_sets.set_crop(data_set, one, None if at == START else box(size, *at))

    def moved(
        self, zoom: float, across: float, down: float, one: str, data_set: str, typed: str
    ) -> Outputs:
        """Use what is between the sliders."""
        at = (zoom, across, down)
        if None in at:  # a number is being typed
            return [gr.skip()] * (2 + len(self.seen.outputs))
        self._crop(data_set, one, at)
        framed = _framed(self.desk, data_set, self.desk.data_sets.one(data_set, one))
        return [framed, _told_at(at), *self.seen.of(data_set, typed)]

    def painted(self, editor: Any, one: str, data_set: str, typed: str) -> Outputs:
        """Let only what is painted count."""
        size = self.desk.data_sets.open(data_set, one).size
        self.desk.data_sets.set_mask(data_set, one, painted(editor or {}, size))
        gr.Info("Only what is painted counts now.", title="", duration=4)
        return self.seen.of(data_set, typed)

    def mask_given(self, path: str, of: str, one: str, data_set: str, typed: str) -> Outputs:
        """Let only what is white in a file count of picture `of`; `one` is open by now."""
        set_mask(self.desk, data_set, of, Path(path))
        canvas = _canvas(self.desk, data_set, one) if of == one else gr.skip()
        return [canvas, *self.seen.of(data_set, typed)]

    def unmasked(self, one: str, data_set: str, typed: str) -> Outputs:
        """Let everything count."""
        self.desk.data_sets.set_mask(data_set, one, None)
        return [_canvas(self.desk, data_set, one), *self.seen.of(data_set, typed)]

    def removed(self, one: str, data_set: str, typed: str) -> Outputs:
        """Take the picture out."""
        self.desk.data_sets.remove(data_set, one)
        return [gr.update(visible=False), *self.shown.of(data_set, typed)]


def _told_at(at: tuple[float, float, float]) -> str:
    """Where the sliders stand, as a text to compare."""
    return " ".join(f"{float(one):g}" for one in at)


def _framed(desk: Desk, data_set: str, one: Picture) -> Image.Image:
    """The whole picture, with what is used of it framed."""
    whole = desk.data_sets.open(data_set, one.id)
    left, upper, right, lower = one.crop or box(whole.size, *START)
    small = whole.copy()
    small.thumbnail((EDITOR_PX, EDITOR_PX))
    scale = max(small.size) / max(whole.size)
    left, upper, right, lower = (round(s * scale) for s in (left, upper, right - 1, lower - 1))
    inside = (left, upper, right, lower)
    pale = Image.blend(small, Image.new("RGB", small.size, "white"), 0.6)
    pale.paste(small.crop(inside), (left, upper))
    ImageDraw.Draw(pale).rectangle(inside, outline=BRUSH, width=3)
    return pale


def _where(size: tuple[int, int], crop: Box | None) -> tuple[float, float, float]:
    """Where the sliders stand for a crop: zoom, across, down."""
    if crop is None:
        return START
    left, upper, right, lower = crop
    wide, high = right - left, lower - upper
    across = 100 * left / (size[0] - wide) if size[0] > wide else 50
    down = 100 * upper / (size[1] - high) if size[1] > high else 50
    return round(min(size) / max(1, min(wide, high)), 2), round(across), round(down)


def _canvas(desk: Desk, data_set: str, one: str) -> dict[str, Any]:
    """A value of the image editor: the picture, and its mask as paint."""
    whole = desk.data_sets.open(data_set, one)
    background = internals.fit_within(whole, EDITOR_PX)  # the brush suits this size
    layers = []
    mask = desk.data_sets.mask(data_set, one)
    if mask is not None:
        paint = Image.new("RGBA", background.size, BRUSH)
        paint.putalpha(mask.resize(background.size))
        layers = [paint]
    return {"background": background, "layers": layers, "composite": None}


def _markdown(name: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#|&])", r"\\\1", name)
