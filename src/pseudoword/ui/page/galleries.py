"""A gallery of words to press, which a search makes shorter.

A library may have a thousand words. Gradio takes half a minute to show them all, so the newest are
shown, and more when they are asked for; a search is over all.
"""

import io
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from pseudoword.errors import PseudowordError
from pseudoword.files import move
from pseudoword.text import counted
from pseudoword.ui.desk import Desk
from pseudoword.ui.library import Word, is_found
from pseudoword.ui.page import pieces
from pseudoword.ui.page.events import LATEST, UNSEEN, shown_id, shown_ids, told
from pseudoword.ui.page.forms import TYPED

TILE_PX = 256

AT_ONCE = 96
"""Words that are shown before more are asked for: whole rows of six and of eight."""

FEW = 12
"""So many words are found without a search."""


class WordGallery:
    """The gallery, whose pictures are pressed to choose a word, and the search above it."""

    def __init__(self, desk: Desk, label: str, columns: int, elem_id: str, none: str) -> None:
        """An empty one.

        Args:
            desk: its library has the words.
            label: what to do with them.
            columns: pictures in a row, where there is room.
            elem_id: of the gallery in the page; begins the ids of what is around it.
            none: the label where there is no word.
        """
        self._desk, self._label, self._none = desk, label, none
        self.search = gr.Textbox(
            label="Search the words",
            placeholder="name, starting word, file, base model …",
            max_lines=1,
            visible=False,
            elem_id=f"{elem_id}-search",
            **TYPED,
        )
        self.gallery = gr.Gallery(
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
        self.ids = shown_id()
        self.told = gr.HTML(elem_id=f"{elem_id}-told")
        self.more = gr.Button("Show more", size="sm", visible=False, elem_id=f"{elem_id}-more")

    @property
    def asked(self) -> list[Any]:
        """What `listed` takes."""
        return [self.search, self.ids]

    @property
    def shown(self) -> list[Any]:
        """What `listed` changes."""
        return [self.search, *self._found]

    @property
    def _found(self) -> list[Any]:
        return [self.gallery, self.ids, self.told, self.more]

    def connect(self, in_turn: dict[str, Any]) -> None:
        """Let the search and the button find; `in_turn` is that of all events that show words."""
        quietly = {**UNSEEN, **in_turn}
        self.search.change(told(self._searched), self.asked, self._found, **LATEST, **quietly)
        self.more.click(told(self._more), self.asked, self._found, **quietly)

    def listed(self, search: str | None, ids: str | None) -> list[Any]:
        """The words that `search` finds, as many as are shown by now; None while nothing is."""
        words = self._desk.library.words()
        visible = len(words) > FEW or bool(search)
        return [gr.update(visible=visible), *self._of(words, search, ids)]

    def _searched(self, search: str | None, ids: str | None) -> list[Any]:
        if ids is None and not search:  # the page is just loaded: nothing is shown before its tab
            return [gr.skip()] * len(self._found)
        return self._of(self._desk.library.words(), search, None)

    def _more(self, search: str | None, ids: str | None) -> list[Any]:
        return self._of(self._desk.library.words(), search, ids, AT_ONCE)

    def _of(
        self, words: Sequence[Word], search: str | None, ids: str | None, more: int = 0
    ) -> list[Any]:
        search, most = search or "", len((ids or "").split()) + more
        found = [word for word in words if is_found(word, search)]
        shown = found[: max(most, AT_ONCE)]
        return [
            gr.update(
                value=[(tile(self._desk, word), word.token) for word in shown],
                label=self._label if words else self._none,
                selected_index=None,  # another word may be in its place now
            ),
            shown_ids([word.id for word in shown]),
            _counted(len(words), len(found), len(shown), bool(search.strip())),
            gr.update(visible=len(shown) < len(found)),
        ]


def _counted(all_: int, found: int, shown: int, searched: bool) -> str:
    """How many words there are to see, as HTML; nothing if they are all."""
    words = counted(all_, "word")
    if all_ and not found:
        return pieces.note(f"Of {words}, none has that in its name, nor in what it comes from.")
    if shown < found:
        those = f"the {found} that are found" if searched else words
        return pieces.note(f"The newest {shown} of {those} are shown.")
    return pieces.note(f"Found: {found} of {words}.") if found < all_ else ""


def tile(desk: Desk, word: Word) -> str:
    """The file of a small picture of a word. It is made when it is first shown."""
    folder = Path(get_upload_folder()) / "tiles"
    try:
        if word.preview is None:
            return _made(folder / "none.jpg", _blank)
        path = folder / f"{word.id}-{word.preview.stat().st_mtime_ns}.jpg"
        return _made(path, lambda: desk.library.preview(word.id, TILE_PX) or _blank())
    except (OSError, PseudowordError):  # it is just taken away, or no picture
        return _made(folder / "none.jpg", _blank)


def _blank() -> Image.Image:
    return Image.new("RGB", (TILE_PX, TILE_PX), "#a8a29e")


def _made(path: Path, draw: Callable[[], Image.Image]) -> str:
    """`path`, at which is what `draw` draws, made small."""
    if not path.is_file():
        picture = draw()
        picture.thumbnail((TILE_PX, TILE_PX))
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=90)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = path.with_name(secrets.token_hex(16))
        unfinished.write_bytes(data.getvalue())
        move(unfinished, path)
    return str(path)
