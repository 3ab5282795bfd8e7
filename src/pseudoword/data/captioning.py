"""Write captions with a captioning model, for pictures that have none."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from pseudoword import lookup
from pseudoword.data import images
from pseudoword.data.captions import has_caption
from pseudoword.errors import BaseModelError, PictureError
from pseudoword.models.loading.auto_classes import autoload, automodel
from pseudoword.outputs import check_writable, write_new
from pseudoword.progress import Progress
from pseudoword.text import counted, reason

MAX_NEW_TOKENS = 40
"""The most tokens of a caption. A prompt has room for 75."""

NEEDED_PX = 1024
"""Captioning models take smaller pictures than this."""


def write_captions(paths: Sequence[Path], model: str | Path, progress: Progress) -> list[Path]:
    """Write a `.txt` file beside each picture that has no caption. Existing captions stay.

    Args:
        paths: the pictures.
        model: a folder or hub id of a captioning model for transformers, such as BLIP or GIT.
        progress: shows how far it is.

    Returns:
        The new caption files.

    Raises:
        BaseModelError: the model cannot be loaded, or does not write captions.
        StorageError: a caption cannot be written.
    """
    name = lookup.model_source(model, "--caption-model")
    uncaptioned = [path for path in paths if not has_caption(path)]
    if not uncaptioned:
        progress.note("--caption-model has no effect: all pictures have captions")
        return []
    check_writable(*(path.with_suffix(".txt") for path in uncaptioned))
    progress.phase(f"loading {name}")
    processor, captioner = _load(name)
    progress.phase(f"captioning {counted(len(uncaptioned), 'picture')}")
    written = []
    for done, path in enumerate(uncaptioned, 1):
        if has_caption(path):  # that of a picture of the same name with another ending
            continue
        with contextlib.suppress(PictureError):  # reported when the pictures are read
            picture = images.open_picture(path, needed_px=NEEDED_PX)
            text = _describe(processor, captioner, picture, name)
            write_new(path.with_suffix(".txt"), f"{text}\n".encode())
            written.append(path.with_suffix(".txt"))
        progress.advance(done, len(uncaptioned))
    return written


def _load(model: str) -> tuple[Any, Any]:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        processor = autoload(AutoProcessor, model)
        return processor, automodel(AutoModelForImageTextToText, model)
    except Exception as error:
        raise BaseModelError(
            f"--caption-model {model} cannot be loaded as a captioning model of transformers: "
            f"{reason(error)}"
        ) from error


def _describe(processor: Any, captioner: Any, picture: Image, model: str) -> str:
    try:
        inputs = processor(images=picture, return_tensors="pt")
        with torch.no_grad():
            ids = captioner.generate(**inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False)
        (text,) = processor.batch_decode(ids, skip_special_tokens=True)
    except Exception as error:
        raise BaseModelError(
            f"--caption-model {model} does not write captions for pictures alone: {reason(error)}"
        ) from error
    return " ".join(str(text).split())
