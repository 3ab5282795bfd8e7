"""The pictures of a new word: dropped, seen as the model will, cropped, masked, captioned."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np
from PIL import Image, ImageDraw, ImageOps

from pseudoword.config import PrepareConfig
from pseudoword.errors import PictureError, PseudowordError
from pseudoword.ui import pieces
from pseudoword.ui.desk import Desk
from pseudoword.ui.events import EACH, LATEST, PRIVATE, QUIET, in_turn, sentence, shown_id, told

if TYPE_CHECKING:
    from pseudoword.api import Prepared
from pseudoword.text import counted
from pseudoword.ui.pictures import Box, Picture
from pseudoword.ui.workspace import UnknownIdError

TAKEN = ["image", ".txt", ".caption"]
"""Captions and masks may be dropped with their pictures, and are told by their names."""

_MASK = re.compile(r"(.+)[-_.](?:mask|masklabel)", re.IGNORECASE)

IN_TURN = in_turn("pictures")

START = (1, 50, 50)
"""Zoom, across and down: where the sliders stand for a whole picture."""

EDITOR_PX = 640
BRUSH = "#f97316"


@dataclass(frozen=True)
class View:
    """A data set as it is shown."""

    pictures: tuple[Picture, ...] = ()
    tiles: tuple[tuple[Image.Image, str], ...] = ()
    """each picture as it is seen, and a sentence it is learned with"""
    told: str = ""
    """warnings, as HTML"""
    suggested: str = ""
    """as HTML"""

    @property
    def captions(self) -> list[list[str]]:
        """Rows for the table of captions."""
        return [[one.name, one.caption] for one in self.pictures]


def add_files(desk: Desk, data_set: str, paths: Sequence[str]) -> tuple[str, list[str]]:
    """Take uploaded files into a data set; a new one, if there is none of that id any more.

    Returns:
        The id of the data set, and a sentence for each file that was not taken.
    """
    data_set = existing(desk, data_set) or desk.data_sets.new()
    refused = []
    files = [path for path in map(Path, paths) if not path.name.startswith(".")]
    others = {path for path in files if _belongs_to(path, files)}
    for path in files:
        try:
            if path not in others and path.suffix.lower() not in {".txt", ".caption"}:
                desk.data_sets.add(data_set, path, path.name)
        except PseudowordError as error:
            refused.append(sentence(error))
    for path in files:
        try:
            if path in others or path.suffix.lower() in {".txt", ".caption"}:
                _add_companion(desk, data_set, path)
        except PseudowordError as error:
            refused.append(sentence(error))
    return data_set, refused


def existing(desk: Desk, data_set: str) -> str:
    """`data_set`, if there is one of that id; else nothing."""
    try:
        desk.data_sets.pictures(data_set or "")
    except UnknownIdError:
        return ""
    return data_set


def view(desk: Desk, data_set: str, settings: Mapping[str, Any], token: str) -> View:
    """Look at a data set as training would with `settings`."""
    pictures = tuple(desk.data_sets.pictures(data_set))
    if not pictures:
        return View()
    named = {one.id: one for one in pictures}
    asked = {name: value for name, value in settings.items() if name in PrepareConfig.model_fields}
    try:
        seen = desk.data_sets.look(data_set, **asked)
    except PseudowordError as error:
        plain = tuple((desk.data_sets.open(data_set, one.id, 256), one.name) for one in pictures)
        return View(pictures, plain, pieces.note(by_name(sentence(error), named), "error"))
    tiles, warnings = [], [*map(str, seen.skipped), *seen.notes]
    for found in seen.pictures:
        name = named[Path(found.file).stem].name if Path(found.file).stem in named else "a picture"
        warnings += [f"{name} {problem}" for problem in found.problems]
        prompt = found.prompt.replace("[name]", token or "<…>")
        tiles += [(tile, f"“{prompt}”") for tile in found.shown[1:2]]
    if seen.shared_problem:
        warnings.append(f"All pictures together: {seen.shared_problem}")
    told_of = pieces.notes((by_name(one, named) for one in warnings), "warning")
    return View(pictures, tuple(tiles), told_of, _suggested(seen))


def box(size: tuple[int, int], aspect: float, zoom: float, across: float, down: float) -> Box:
    """The part of a picture to use.

    Args:
        size: (width, height) of the picture in pixels.
        aspect: width by height of the part.
        zoom: 1 takes as much as there is, 2 half as wide and high.
        across: 0 at the left, 100 at the right.
        down: 0 at the top, 100 at the bottom.
    """
    width, height = size
    wide = min(width, height * aspect) / max(zoom, 1.0)
    high = wide / aspect
    left, upper = (width - wide) * across / 100, (height - high) * down / 100
    return round(left), round(upper), round(left + wide), round(upper + high)


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


def build(desk: Desk) -> "PicturePanel":
    """The part of the tab where pictures are dropped and shown; `connect` makes it live."""
    return PicturePanel(desk)


class PicturePanel:
    """The controls around one data set, whose id is in `data_set`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.data_set = gr.BrowserState("", storage_key="pseudoword-data-set")
        self._selected = shown_id()
        with gr.Group():
            self.files = gr.File(
                label="Pictures: drop three to five of the same thing here",
                file_count="multiple",
                file_types=TAKEN,
                height=150,
                elem_id="drop",
            )
            self.folder = gr.UploadButton(
                "or take a whole folder", file_count="directory", size="sm", elem_id="folder"
            )
        self.gallery = gr.Gallery(
            label="As the model will see them; press one to crop or mask it",
            columns=5,
            fit_columns=False,
            height="auto",
            object_fit="contain",
            allow_preview=False,
            interactive=False,
            visible=False,
            buttons=[],
            elem_id="seen",
        )
        self.told = gr.HTML(elem_id="warnings")
        self.suggested = gr.HTML()
        self._build_editor()
        with gr.Accordion("Captions", open=False, visible=False, elem_id="captions") as self.texts:
            gr.Markdown(
                "What else is to be seen in each picture, such as *on a beach, blurred*: what a "
                "caption says, the word need not learn. Without captions nothing is lost."
            )
            self.captions = gr.Dataframe(
                headers=["Picture", "Caption"],
                datatype="str",
                column_count=2,
                static_columns=[0],
                interactive=True,
                wrap=True,
                show_label=False,
                label="Captions",
                type="array",
            )

    def _build_editor(self) -> None:
        with gr.Column(visible=False, elem_id="edit") as self.editor:
            self.editing = gr.Markdown()
            with gr.Tabs():
                with gr.Tab("Crop"), gr.Row():
                    self.framed = gr.Image(
                        label="What is used", interactive=False, buttons=[], height=300
                    )
                    with gr.Column():
                        sliders: dict[str, Any] = {"buttons": []}
                        self.zoom = gr.Slider(1, 6, 1, label="Zoom", **sliders)
                        self.across = gr.Slider(0, 100, 50, label="Left to right", **sliders)
                        self.down = gr.Slider(0, 100, 50, label="Top to bottom", **sliders)
                        self.whole = gr.Button("Use the whole picture", size="sm")
                with gr.Tab("Mask"):
                    self.canvas = gr.ImageEditor(
                        label="Paint over what counts; the rest is not learned",
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
                        self.mask_file = gr.UploadButton(
                            "Mask from a file (white counts)", file_types=["image"]
                        )
                        self.no_mask = gr.Button("Everything counts")
            with gr.Row():
                self.remove = gr.Button("Take this picture out", variant="stop", size="sm")
                self.close = gr.Button("Done", size="sm")

    def connect(
        self, opened: Any, settings: Any, inputs: Sequence[Any], looked_anew: Sequence[Any]
    ) -> None:
        """Let events happen.

        Args:
            opened: the event of a page that is opened.
            settings: from a data set and the values of `inputs`, the settings to look with, and
                how the word is written.
            inputs: of a form.
            looked_anew: events after which the pictures are looked at again.
        """
        desk = self._desk
        state = [self.data_set, *inputs]

        def found(data_set: str, values: Sequence[Any]) -> View:
            if not existing(desk, data_set):
                return View()
            asked, token = settings(data_set, values)
            return view(desk, data_set, asked, token)

        def dropped(paths: Any, data_set: str, *values: Any) -> list[Any]:
            given = [paths] if isinstance(paths, str) else list(paths or [])
            data_set, refused = add_files(desk, data_set or "", given)
            note = pieces.notes(refused, "error")
            return [data_set, None, *self._shown(found(data_set, values), note)]

        def looked(data_set: str, *values: Any) -> list[Any]:
            return self._seen(found(data_set, values))

        def looked_first(data_set: str, *values: Any) -> list[Any]:
            return self._shown(found(data_set, values))

        def captioned(rows: Any, data_set: str, *values: Any) -> list[Any]:
            pictures = desk.data_sets.pictures(data_set)
            if [row[0] for row in rows] != [one.name for one in pictures]:  # just taken out
                return self._shown(found(data_set, values))
            for one, row in zip(pictures, rows, strict=True):
                if one.caption != row[1]:
                    desk.data_sets.set_caption(data_set, one.id, str(row[1] or ""))
            return [*self._seen(found(data_set, values)), gr.skip(), gr.skip()]

        for upload in (self.files, self.folder):
            upload.upload(
                told(dropped), [upload, *state], [self.data_set, upload, *self.shown], **IN_TURN
            )
        self.captions.input(
            told(captioned),
            [self.captions, *state],
            self.shown,
            show_progress_on=self.gallery,  # else it would cover the table
            **LATEST,
            **IN_TURN,
        )
        gr.on(looked_anew, told(looked), state, self.seen, **LATEST, **IN_TURN)
        opened(told(looked_first), state, self.shown, show_progress="hidden", **IN_TURN)
        self._connect_editor(state, found)

    def _connect_editor(self, state: Sequence[Any], found: Callable[..., View]) -> None:
        desk, seen = self._desk, self.seen
        sliders = [self.zoom, self.across, self.down]
        opened = [self._selected, self.editor, self.editing, self.framed, *sliders, self.canvas]

        def chosen(event: gr.SelectData, data_set: str) -> list[Any]:
            pictures = desk.data_sets.pictures(data_set)
            one = pictures[min(int(event.index), len(pictures) - 1)]
            title = f"### {_markdown(one.name)}"
            sides = _where(desk.data_sets.open(data_set, one.id).size, one.crop)
            return [
                one.id, gr.update(visible=True), title, _framed(desk, data_set, one), *sides,
                _canvas(desk, data_set, one),
            ]  # fmt: skip

        def moved(
            zoom: float, across: float, down: float, one: str, data_set: str, *v: Any
        ) -> list[Any]:
            at = (zoom, across, down)
            if None in at:  # a number is being typed
                return [gr.skip()] * (1 + len(seen))
            size = desk.data_sets.open(data_set, one).size
            desk.data_sets.set_crop(data_set, one, None if at == START else box(size, 1.0, *at))
            picture = desk.data_sets.one(data_set, one)
            return [_framed(desk, data_set, picture), *self._seen(found(data_set, v))]

        def masked(editor: Any, one: str, data_set: str, *v: Any) -> list[Any]:
            size = desk.data_sets.open(data_set, one).size
            desk.data_sets.set_mask(data_set, one, painted(editor or {}, size))
            return self._seen(found(data_set, v))

        def mask_given(path: str, one: str, data_set: str, *v: Any) -> list[Any]:
            _set_mask(desk, data_set, one, Path(path))
            picture = desk.data_sets.one(data_set, one)
            return [_canvas(desk, data_set, picture), *self._seen(found(data_set, v))]

        def unmasked(one: str, data_set: str, *v: Any) -> list[Any]:
            desk.data_sets.set_mask(data_set, one, None)
            picture = desk.data_sets.one(data_set, one)
            return [_canvas(desk, data_set, picture), *self._seen(found(data_set, v))]

        def removed(one: str, data_set: str, *v: Any) -> list[Any]:
            desk.data_sets.remove(data_set, one)
            return [gr.update(visible=False), *self._shown(found(data_set, v))]

        this = [self._selected, *state]
        # Nothing shows its progress on the canvas: the browser would draw and upload it again at
        # each event of the page, which is every other second while a training is watched.
        self.gallery.select(
            told(chosen), self.data_set, opened, show_progress_on=self.editing, **EACH, **IN_TURN
        )
        move = (told(moved), [*sliders, *this], [self.framed, *seen])
        gr.on([one.input for one in sliders], *move, show_progress="hidden", **LATEST, **IN_TURN)
        # First on the page: an edit that waits to be sent must not bring the old places back.
        back = self.whole.click(None, None, sliders, js=f"() => {[*START]}", **PRIVATE)
        back.then(*move, **EACH, **IN_TURN)
        self.use_mask.click(told(masked), [self.canvas, *this], seen, **EACH, **IN_TURN)
        repaint = {"outputs": [self.canvas, *seen], "show_progress_on": self.gallery}
        self.mask_file.upload(
            told(mask_given), [self.mask_file, *this], **repaint, **EACH, **IN_TURN
        )
        self.no_mask.click(told(unmasked), this, **repaint, **EACH, **IN_TURN)
        self.remove.click(told(removed), this, [self.editor, *self.shown], **IN_TURN)
        self.close.click(lambda: gr.update(visible=False), None, self.editor, **QUIET)

    @property
    def seen(self) -> list[Any]:
        """What shows how the pictures of a data set are seen."""
        return [self.gallery, self.told, self.suggested]

    @property
    def shown(self) -> list[Any]:
        """What shows a data set: also its captions, which a person may be writing."""
        return [*self.seen, self.texts, self.captions]

    def _seen(self, found: View, note: str = "") -> list[Any]:
        some = bool(found.pictures)
        tiles = gr.update(value=list(found.tiles), visible=some)
        return [tiles, note + found.told, found.suggested]

    def _shown(self, found: View, note: str = "") -> list[Any]:
        texts = [gr.update(visible=bool(found.pictures)), gr.update(value=found.captions)]
        return [*self._seen(found, note), *texts]


def _belongs_to(path: Path, files: Sequence[Path]) -> bool:
    """Whether `path` is the mask of another file that came with it."""
    found = _MASK.fullmatch(path.stem)
    return found is not None and any(one.stem == found[1] for one in files if one != path)


def _add_companion(desk: Desk, data_set: str, path: Path) -> None:
    found = _MASK.fullmatch(path.stem)
    stem = found[1] if found and path.suffix.lower() not in {".txt", ".caption"} else path.stem
    pictures = [p for p in desk.data_sets.pictures(data_set) if Path(p.name).stem == stem]
    if not pictures:
        raise PictureError(f"{path.name} belongs to no picture here: none is called {stem}.")
    if path.suffix.lower() in {".txt", ".caption"}:
        with open(path, "rb") as file:
            text = file.read(100_000).decode("utf-8-sig", "replace")
        desk.data_sets.set_caption(data_set, pictures[-1].id, text.strip())
    else:
        _set_mask(desk, data_set, pictures[-1].id, path)


def _set_mask(desk: Desk, data_set: str, picture: str, path: Path) -> None:
    from pseudoword import internals

    desk.workspace.check_size(path.stat().st_size, path.name)
    desk.data_sets.set_mask(data_set, picture, internals.open_picture(path, "black").convert("L"))


def by_name(text: str, pictures: Mapping[str, Picture]) -> str:
    """`text`, in which pictures are called as people called them."""
    return re.sub(
        r"(?:[^\s,;:]*/)?(\d{4})\.\w{2,5}\b",
        lambda found: pictures[found[1]].name if found[1] in pictures else found[0],
        text,
    )


def _suggested(seen: "Prepared") -> str:
    vectors = "one vector" if seen.vectors == 1 else f"{seen.vectors} vectors"
    return pieces.note(
        f"For {counted(len(seen.pictures), 'picture')}, {vectors} and some {seen.steps} steps suit "
        "well; the settings below find that out by themselves."
    )


def _framed(desk: Desk, data_set: str, one: Picture) -> Image.Image:
    """The whole picture, with what is used of it framed."""
    whole = desk.data_sets.open(data_set, one.id)
    left, upper, right, lower = one.crop or box(whole.size, 1.0, 1, 50, 50)
    small = whole.copy()
    small.thumbnail((EDITOR_PX, EDITOR_PX))
    scale = small.width / whole.width
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


def _canvas(desk: Desk, data_set: str, one: Picture) -> dict[str, Any]:
    """A value of the image editor: the picture, and its mask as paint."""
    whole = desk.data_sets.open(data_set, one.id)
    background = ImageOps.contain(whole, (EDITOR_PX, EDITOR_PX))  # the brush suits this size
    layers = []
    mask = desk.data_sets.mask(data_set, one.id)
    if mask is not None:
        paint = Image.new("RGBA", background.size, BRUSH)
        paint.putalpha(mask.resize(background.size))
        layers = [paint]
    return {"background": background, "layers": layers, "composite": None}


def _markdown(name: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#|&])", r"\\\1", name)
