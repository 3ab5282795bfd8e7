"""Uploaded files become a data set: pictures, and the captions and masks that belong to them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from pseudoword import internals
from pseudoword.config.pictures import is_hidden_picture
from pseudoword.errors import PictureError, PseudowordError
from pseudoword.files import read_regular
from pseudoword.text import decode_text
from pseudoword.ui.desk import Desk
from pseudoword.ui.page.events import EACH, PRIVATE, sentence, updates
from pseudoword.ui.workspace import base_name

LARGEST_TEXT_NBYTES = 100_000
"""A longer caption would not be taken."""

_MASK = re.compile(f"(.+)(?:{'|'.join(map(re.escape, internals.MASK_ENDINGS))})", re.IGNORECASE)


def arrived(place: Any, changes: Mapping[Any, Mapping[str, Any]] | None = None) -> tuple[Any, Any]:
    """The event of files that have arrived at `place`, and what holds them then.

    In the browser they leave `place` at once: if they stayed there until they are read, those that
    are dropped meanwhile would come together with them once more.

    Args:
        place: where files are dropped, or a button that takes them.
        changes: control -> what changes about it at the same time, such as `interactive`.
    """
    held = gr.File(visible=False, file_count="multiple")
    changes = changes or {}
    js = f"(files) => [files, null, ...{updates(changes)}]"
    return place.upload(None, place, [held, place, *changes], js=js, **EACH, **PRIVATE), held


def add_files(desk: Desk, data_set: str, paths: Sequence[str]) -> list[str]:
    """Take uploaded files into a data set, which is made if there is none of that id.

    Returns:
        A sentence for each file that was not taken.
    """
    if not desk.data_sets.has(data_set):
        desk.data_sets.new(data_set)
    refused, new = [], set[str]()
    dropped = [*map(Path, paths)]
    for path in filter(is_hidden_picture, dropped):
        refused.append(f"{path.name} is left out: a dot before a name hides a file. Rename it.")
    files = [path for path in dropped if not path.name.startswith(".")]
    companions = {path for path in files if _is_text(path) or _is_mask(path, files)}
    for path in sorted(files, key=companions.__contains__):  # pictures first
        try:
            if path in companions:
                _add_companion(desk, data_set, path, new)
            else:
                new.add(desk.data_sets.add(data_set, path, path.name).id)
        except PseudowordError as error:
            refused.append(sentence(error))
    return refused


def set_mask(desk: Desk, data_set: str, picture: str, path: Path) -> None:
    """Let an uploaded file be the mask of a picture.

    Raises:
        PictureError: it is no picture, or of another shape.
        SettingsError: it is too large.
    """
    desk.workspace.check_size(path.stat().st_size, path.name)
    desk.data_sets.set_mask(data_set, picture, internals.open_picture(path, "black").convert("L"))


def _is_text(path: Path) -> bool:
    return path.suffix.lower() in internals.CAPTION_SUFFIXES


def _is_mask(path: Path, files: Sequence[Path]) -> bool:
    """Whether `path` is the mask of another file that came with it, or can be nothing else."""
    found = _MASK.fullmatch(path.stem)
    return path.stem.lower().endswith(internals.COMPANION_ENDINGS) or (
        found is not None and any(one.stem == found[1] for one in files if one != path)
    )


def _add_companion(desk: Desk, data_set: str, path: Path, new: set[str]) -> None:
    """Take a caption or a mask for its picture: of several called so, the last one.

    Raises:
        PictureError: there is none, or several are `new`: folders may have pictures of one name.
    """
    name = base_name(path.name)
    found = None if _is_text(path) else _MASK.fullmatch(Path(name).stem)
    if found is None and not _is_text(path):
        raise PictureError(f"{name} is left out: OneTrainer's conditioning images are not used.")
    stem = found[1] if found else Path(name).stem
    pictures = [p for p in desk.data_sets.pictures(data_set) if Path(p.name).stem == stem]
    if not pictures:
        raise PictureError(f"{name} belongs to no picture here: none is called {stem}.")
    if len([one for one in pictures if one.id in new]) > 1:
        raise PictureError(
            f"{name} is left out: several of the pictures that came with it are called {stem}. "
            "Give them names of their own, or drop them one after the other."
        )
    if _is_text(path):
        try:
            text = decode_text(read_regular(path, LARGEST_TEXT_NBYTES, PictureError))
        except UnicodeError as error:
            raise PictureError(
                f"{name} is left out: it is not UTF-8 text. Save it as UTF-8."
            ) from error
        desk.data_sets.set_caption(data_set, pictures[-1].id, text.strip())
    else:
        set_mask(desk, data_set, pictures[-1].id, path)
