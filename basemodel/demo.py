"""Pictures for the package's demo: concepts the base has never seen, to learn and to compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from basemodel.attribution import write_attribution
from basemodel.pictures import Artwork
from basemodel.world import STYLES
from pseudoword.benchmark.compose import COLOURS, article

CONCEPTS = ("panda",)
SIDE_PX = 256
LEARN = (("noto", "white"), ("twemoji", "yellow"), ("fluent", "green"), ("noto", "gray"))
UNSEEN = (("flat", "blue"), ("blob", "white"))


def _picture(art: Artwork, row: int, ground: str) -> Image.Image:
    """One thing on a plain background, 256 px."""
    width = round(0.82 * SIDE_PX)
    icon = Image.fromarray(art.rgba[row], "RGBa").convert("RGBA")
    icon = icon.resize((width, width), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (SIDE_PX, SIDE_PX), COLOURS[ground])
    corner = ((SIDE_PX - width) // 2,) * 2
    sheet.paste(icon, corner, icon)
    return sheet


def write_demo(folder: Path, art: Artwork) -> None:
    """`<concept>/learn/*.png` in some trained styles, `<concept>/unseen/*.png` in others.

    A text beside each picture says its style and background, so that the learned word needn't.
    """
    names, styles = [t.icon for t in art.things], [s.word for s in STYLES]
    for concept in CONCEPTS:
        if concept not in names:
            continue
        of_concept = art.thing == names.index(concept)
        for part, wanted in (("learn", LEARN), ("unseen", UNSEEN)):
            target = folder / concept / part
            target.mkdir(parents=True)
            for style, ground in wanted:
                rows = np.flatnonzero(of_concept & (art.style == styles.index(style)))
                if len(rows):
                    picture = _picture(art, int(rows[0]), ground)
                    picture.save(target / f"{style}-{ground}.png", optimize=True)
                    words = f"in {style} style on {article(ground)} {ground} background"
                    (target / f"{style}-{ground}.txt").write_text(words + "\n", encoding="utf-8")
    write_attribution(folder / "ATTRIBUTION.md")
