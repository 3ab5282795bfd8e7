"""The tab of the library: look at words, rename, convert, download, delete, share them."""

import re
import time
from typing import Any

import gradio as gr

from pseudoword import internals
from pseudoword.errors import SettingsError
from pseudoword.files import file_stem
from pseudoword.ui.desk import Desk
from pseudoword.ui.library import token_of
from pseudoword.ui.page import pieces
from pseudoword.ui.page.events import (
    EACH,
    INTO_VIEW,
    LATEST,
    PRIVATE,
    UNSEEN,
    in_turn,
    pressed,
    shown_id,
    told,
)
from pseudoword.ui.page.forms import TYPED
from pseudoword.ui.page.galleries import WordGallery
from pseudoword.ui.page.handed_out import hand_out
from pseudoword.ui.page.typed import Typed

IN_TURN = in_turn("library")


class WordsPanel:
    """The controls of the tab; the word that is looked at is in `word`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.word = shown_id()
        self.words = WordGallery(
            desk,
            "Words: press one",
            8,
            "library",
            none="Words: none yet; teach one, or drop one on “Use”",
        )
        self._typed = Typed("words", [self.words.search])
        self.told = gr.HTML(elem_id="words-told")
        with gr.Row():
            self.trash = gr.Dropdown(
                [], label="Deleted words", visible=False, scale=3, elem_id="trash"
            )
            self.undo = gr.Button("Undo: bring it back", visible=False, scale=1, elem_id="undo")
        with gr.Column(visible=False, elem_id="word") as self.details:
            self.title = gr.Markdown()
            with gr.Row(elem_classes="two", equal_height=False):
                with gr.Column(scale=3, min_width=340):
                    self.facts = gr.HTML(elem_id="facts")
                with gr.Column(scale=2, min_width=340):
                    self._build_actions()

    def _build_actions(self) -> None:
        self.use = gr.Button("Use this word", variant="primary")
        with gr.Group():
            self.format = gr.Dropdown([], label="Download for", elem_id="format")
            self.files = gr.File(
                label="Press to save", interactive=False, visible=False, elem_id="files"
            )
        with gr.Group():
            self.name = gr.Textbox(label="New name", max_lines=1, elem_id="rename", **TYPED)
            self.rename = gr.Button("Rename", size="sm")
        with gr.Accordion("Publish on the Hugging Face hub", open=False), gr.Group():
            self.to = gr.Textbox(label="Repository", placeholder="your-name/my-cat", max_lines=1)
            self.private = gr.Checkbox(label="Only you can see it", value=True)
            self.push = gr.Button("Publish", size="sm")
        self.delete = gr.Button("Delete", variant="stop", size="sm")

    @property
    def _list(self) -> list[Any]:
        return [*self.words.shown, self.trash, self.undo]

    @property
    def _one(self) -> list[Any]:
        return [self.word, self.details, self.title, self.facts, self.format, self.files, self.name]

    def _listed(self, search: str | None, ids: str | None) -> list[Any]:
        gone = self._desk.library.trash()
        some = bool(gone)
        return [
            *self.words.listed(search, ids),
            gr.update(
                choices=[(w.token, w.id) for w in gone], value=gone[0].id if gone else None,
                visible=some,
            ),
            gr.update(visible=some),
        ]  # fmt: skip

    def _opened(self, word: str) -> list[Any]:
        library = self._desk.library
        one, seen = library.word(word), library.inspect(word)
        choices = [(title, name) for name, title in library.formats(word).items()]
        made = time.strftime("%d %B %Y, %H:%M", time.localtime(one.created))
        rows: list[tuple[str, object]] = [("In prompts", one.token), ("From", one.source)]
        rows += [("Base model", one.base)] if one.base else []
        rows += [("Fits", ", ".join(seen.fits)), ("Here since", made)]
        rows += [
            (f"Vectors ({key})", f"{count} of {width} numbers")
            for key, (count, width) in one.vectors.items()
        ]
        rows += [
            (f"Lengths ({key})", ", ".join(f"{n:.3g}" for n in norms))
            for key, norms in seen.norms.items()
        ]
        tools = [(tool, _on_page(said, one.token)) for tool, said in seen.tools.items()]
        origin = [(key.replace("_", " "), value) for key, value in seen.provenance.items()]
        html = pieces.table(rows) + "<h3>In other tools</h3>" + pieces.table(tools)
        html += "<h3>How it was made</h3>" + pieces.table(origin) if origin else ""
        return [
            word, gr.update(visible=True), f"## {_code(one.token)}", html,
            gr.update(choices=choices, value=None), gr.update(value=None, visible=False), one.token,
        ]  # fmt: skip

    def connect(self, opened: Any, tab: Any) -> None:
        """Let events happen.

        Args:
            opened: the event of a page that is opened.
            tab: its own.
        """
        words = self.words
        self._typed.connect(opened)
        tab.select(
            told(self._listed),
            words.asked,
            self._list,
            **UNSEEN,
            **LATEST,
            **IN_TURN,
        )
        words.connect(IN_TURN)
        chosen = words.gallery.select(told(self._chosen), words.ids, self._one, **EACH, **IN_TURN)
        chosen.success(None, None, None, js=INTO_VIEW % "word", **PRIVATE)
        self.rename.click(
            told(self._renamed),
            [self.word, self.name, *words.asked],
            [self.told, *self._list, *self._one],
            **IN_TURN,
        )
        self.format.input(
            told(self._converted), [self.word, self.format], self.files, **LATEST, **IN_TURN
        )
        self.delete.click(
            told(self._deleted),
            [self.word, *words.asked],
            [self.told, *self._list, self.word, self.details],
            **IN_TURN,
        )
        bringing = [self.trash, *words.asked]
        self.undo.click(told(self._undone), bringing, [self.told, *self._list], **IN_TURN)
        self.push.click(
            told(self._pushed), [self.word, self.to, self.private], self.told, **IN_TURN
        )

    def _chosen(self, event: gr.SelectData, ids: str) -> list[Any]:
        return self._opened(pressed(event, ids))

    def _renamed(self, word: str, name: str, search: str | None, ids: str | None) -> list[Any]:
        one = self._desk.library.rename(word, token_of(name))
        said = pieces.note(f"It is called {one.token} now.", "good")
        return [said, *self._listed(search, ids), *self._opened(word)]

    def _converted(self, word: str, form: str | None) -> Any:
        made = self._desk.library.convert(word, form) if form else []
        files = [hand_out(one.data, one.name) for one in made]
        return gr.update(value=files or None, visible=bool(files))

    def _deleted(self, word: str, search: str | None, ids: str | None) -> list[Any]:
        token = self._desk.library.word(word).token
        self._desk.library.delete(word)
        said = pieces.note(f"{token} is deleted; “Undo” brings it back.")
        return [said, *self._listed(search, ids), "", gr.update(visible=False)]

    def _undone(self, word: str | None, search: str | None, ids: str | None) -> list[Any]:
        if not word:
            raise SettingsError("there is nothing to bring back")
        one = self._desk.library.undo(word)
        return [pieces.note(f"{one.token} is back.", "good"), *self._listed(search, ids)]

    def _pushed(self, word: str, to: str, private: bool) -> str:
        done = self._desk.library.push(word, (to or "").strip(), private=private)
        return pieces.note(f"Published: {done.url}", "good")


def _on_page(said: str, token: str) -> str:
    """What happens in another tool; a file and its format are called as when it is downloaded."""

    def download(found: re.Match[str]) -> str:
        return f"download it as “{internals.WRITERS[found[1]].title}”"

    said = re.sub(r"convert with --format ([\w-]+)", download, said)
    return re.sub(r"\bconcept\b", lambda _: file_stem(token), said)


def _code(token: str) -> str:
    """A token as Markdown that shows it, whatever is in it."""
    ticks = "`" * (max(map(len, [t for t in token.split() if set(t) == {"`"}] or [""])) + 2)
    return f"{ticks} {pieces.text(token)} {ticks}" if "`" in token else f"`{token}`"
