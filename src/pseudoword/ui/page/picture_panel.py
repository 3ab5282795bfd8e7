"""The pictures of a new word: dropped, seen as the model will, cropped, masked, captioned."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr

from pseudoword.example_files import EXAMPLE_PICTURES
from pseudoword.ui.desk import Desk
from pseudoword.ui.page import pieces
from pseudoword.ui.page.events import (
    EACH,
    LATEST,
    NEW_ID,
    PRIVATE,
    UNSEEN,
    kept_by_browser,
    shown_id,
    shown_ids,
    told,
    updates,
)
from pseudoword.ui.page.picture_editor import IN_TURN, Answer, PictureEditor
from pseudoword.ui.page.picture_view import View, view
from pseudoword.ui.page.uploads import add_files, arrived

HowToLook = Callable[[str, str], tuple[Mapping[str, Any], str]]
"""From a data set and what is typed in the tab: the settings to look at it with, and how its word
is written."""

OF_DATA_SET = """async (dataSet, ...others) => {
    if (!window.pseudowordDataSet) {
        await new Promise((go) => addEventListener("pseudoword-opened", go, { once: true }));
    }
    return [dataSet ?? window.pseudowordDataSet, ...others];
}"""
"""Runs in the browser before an event whose first input is the data set: what a person does while
the page is still loaded waits until there is one."""

OPENED = """(dataSet) => {
    window.pseudowordDataSet = dataSet;
    dispatchEvent(new Event("pseudoword-opened"));
}"""
"""Runs in the browser once there is a data set: lets those events go on, in their order."""


class PicturePanel:
    """The controls around one data set, whose id is in `data_set`."""

    def __init__(self, desk: Desk, settings: HowToLook) -> None:
        self._desk, self._settings = desk, settings
        self.dropped: list[Any] = []  # events that pictures have been dropped, once connected
        # The browser makes up its id, so that whatever is asked for while the first pictures are on
        # their way is of the same data set.
        self.data_set = kept_by_browser(None, "data-set")
        with gr.Group():
            self.files = gr.File(
                label="Pictures: drop three to five of the same thing here",
                file_count="multiple",
                height=150,
                elem_id="drop",
            )
            with gr.Row():
                self.folder = gr.UploadButton(
                    "or take a whole folder", file_count="directory", size="sm", elem_id="folder"
                )
                self.example = gr.Button("or try it with a panda", size="sm", elem_id="example")
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
        self._ids = shown_id()
        self.others = gr.Button(
            "Another word: take these pictures out", size="sm", visible=False, elem_id="others"
        )
        self.told = gr.HTML(elem_id="warnings")
        self.suggested = gr.HTML()
        self._editor = PictureEditor(desk)
        with gr.Accordion("Captions", open=False, visible=False, elem_id="captions") as self.texts:
            gr.Markdown(
                "What else is to be seen in each picture, such as *on a beach, blurred*: what a "
                "caption says, the word need not learn. Without captions nothing is lost. Press a "
                "caption twice to write it."
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
                column_widths=["40%", "60%"],
            )
            self._written = shown_id()  # the captions in the table before the next edit, as JSON

    def connect(
        self,
        opened: Any,
        typed: Any,
        looked_anew: Sequence[Any],
        exampled: Any,
        start: gr.Button,
    ) -> None:
        """Let events happen.

        Args:
            opened: the event of a page that is opened.
            typed: holds what is typed in the tab, which tells how to look.
            looked_anew: events after which the pictures are looked at again.
            exampled: the event after which the pictures of the example are taken.
            start: cannot be pressed while pictures are read: it would be too early for them.
        """
        state = [self.data_set, typed]
        held = [start, self.folder, self.others]
        reading: dict[Any, dict[str, Any]] = {one: {"interactive": False} for one in held}
        read: dict[Any, dict[str, Any]] = {one: {"interactive": True} for one in held}
        reading[start]["value"], read[start]["value"] = "Reading the pictures …", start.value
        let_press: dict[str, Any] = {
            "outputs": held,
            "js": f"() => {updates(read)}",
            **EACH,
            **PRIVATE,
        }
        for place in (self.files, self.folder):
            event, files = arrived(place, reading)
            over = event.then(
                told(self._dropped),
                [self.data_set, files, typed],
                [files, *self.shown],
                js=OF_DATA_SET,
                **EACH,
                **IN_TURN,
            )
            for after in (over.success, over.failure):  # Gradio's `then` is only the first
                after(None, None, **let_press)
            self.dropped.append(event.then)
        exampled(told(self._exampled), state, self.shown, js=OF_DATA_SET, **IN_TURN)
        other = self.others.click(None, None, self.data_set, js=f"() => {NEW_ID}", **PRIVATE)
        other.then(
            lambda: [gr.update(visible=False), *self._shown(View())],
            None,
            [self._editor.box, *self.shown],
            **IN_TURN,
        )
        self.captions.input(
            told(self._captioned),
            [self.captions, self._written, *state],
            self.shown,
            show_progress_on=self.gallery,  # else it would cover the table
            **LATEST,
            **IN_TURN,
        )
        gr.on(looked_anew, told(self._seen_anew), state, self.seen, **LATEST, **IN_TURN)
        known = opened(
            None, self.data_set, self.data_set, js=f"(known) => known || {NEW_ID}", **PRIVATE
        )
        known.then(told(self._shown_anew), state, self.shown, **UNSEEN, **IN_TURN)
        known.then(None, self.data_set, None, js=OPENED, **PRIVATE)
        seen, shown = Answer(self.seen, self._seen_anew), Answer(self.shown, self._shown_anew)
        self._editor.connect(self.gallery, self._ids, state, seen, shown)

    def _found(self, data_set: str, typed: str) -> View:
        if not self._desk.data_sets.has(data_set):
            return View()
        settings, token = self._settings(data_set, typed)
        return view(self._desk, data_set, settings, token)

    def _seen_anew(self, data_set: str | None, typed: str) -> list[Any]:
        """Nothing, while the page is opened: the browser sends much at once then, and what is asked
        without a data set may be answered behind what is asked with one."""
        if data_set is None:
            return [gr.skip() for _ in self.seen]
        return self._seen(self._found(data_set, typed))

    def _shown_anew(self, data_set: str, typed: str) -> list[Any]:
        return self._shown(self._found(data_set, typed))

    def _dropped(self, data_set: str, paths: Any, typed: str) -> list[Any]:
        """Take files into the data set."""
        given = [paths] if isinstance(paths, str) else list(paths or [])
        note = pieces.notes(add_files(self._desk, data_set, given), "error")
        return [None, *self._shown(self._found(data_set, typed), note)]

    def _exampled(self, data_set: str, typed: str) -> list[Any]:
        """Take the pictures of the example into the data set, unless it has some."""
        data_sets, refused = self._desk.data_sets, []
        if not (data_sets.has(data_set) and data_sets.pictures(data_set)):
            files = sorted(map(str, EXAMPLE_PICTURES.iterdir()))
            refused = add_files(self._desk, data_set, files)
        return self._shown(self._found(data_set, typed), pieces.notes(refused, "error"))

    def _captioned(self, rows: Any, written: str, data_set: str, typed: str) -> list[Any]:
        """Write the captions that were changed here; others may have been in another tab."""
        data_sets = self._desk.data_sets
        pictures, before = data_sets.pictures(data_set), json.loads(written)
        now = [str(row[1] or "") for row in rows]
        if [row[0] for row in rows] != [one.called for one in pictures] or len(before) != len(now):
            return self._shown_anew(data_set, typed)  # one was just taken out
        for one, caption, earlier in zip(pictures, now, before, strict=True):
            if caption != earlier:
                data_sets.set_caption(data_set, one.id, caption)
        return [*self._seen_anew(data_set, typed), *[gr.skip()] * 4, json.dumps(now)]

    @property
    def seen(self) -> list[Any]:
        """What shows how the pictures of a data set are seen."""
        return [self.gallery, self._ids, self.told, self.suggested]

    @property
    def shown(self) -> list[Any]:
        """What shows a data set: also its captions, which a person may be writing."""
        about = [self.example, self.others, self.texts]
        return [*self.seen, *about, self.captions, self._written]

    def _seen(self, found: View, note: str = "") -> list[Any]:
        some = bool(found.pictures)
        tiles = gr.update(value=list(found.tiles), visible=some)
        return [tiles, shown_ids(found.ids), note + found.told, found.suggested]

    def _shown(self, found: View, note: str = "") -> list[Any]:
        none, some = (gr.update(visible=bool(found.pictures) == any_) for any_ in (False, True))
        written = json.dumps([caption for _, caption in found.captions])
        captions = [gr.update(value=found.captions), written]
        return [*self._seen(found, note), none, some, some, *captions]
