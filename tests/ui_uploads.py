"""Files that a page is given: a word for the tiny base model, and a hostile picture."""

import io

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pseudoword import formats
from pseudoword.concept import Concept

WIDTH = 32
"""Of the tiny model's text encoder."""


def embedding(token: str = "<cat>") -> bytes:
    torch.manual_seed(0)
    rows = torch.randn(2, WIDTH)
    concept = Concept(token, {"clip_l": rows}, "sd", provenance={"init": "dog"})
    return formats.encode(concept, "native")[""]


def hostile_png(keyword: str) -> bytes:
    """One whose text unpacks to far more than it is worth."""
    chunks = PngInfo()
    chunks.add_text(keyword, "A" * 30_000_000, zip=True)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()
