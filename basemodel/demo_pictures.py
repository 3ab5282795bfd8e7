"""Pictures for the demo: things that the base model has never seen, to learn and to compare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from basemodel.attribution import write_attribution
from basemodel.drawings import Drawings
from basemodel.world import STYLES
from pseudoword.benchmark.compose import COLOURS, with_article

THING = "panda"
SIDE_PX = 256
LEARN = (("noto", "white"), ("twemoji", "yellow"), ("fluent", "green"), ("noto", "gray"))
UNSEEN = (("flat", "blue"), ("blob", "white"))


def _picture(rgba: np.ndarray, background: str) -> Image.Image:
    """A drawing on a plain background, 256 px."""
    width = round(0.82 * SIDE_PX)
    icon = Image.fromarray(rgba, "RGBa").convert("RGBA")
    icon = icon.resize((width, width), Image.Resampling.LANCZOS)
    picture = Image.new("RGB", (SIDE_PX, SIDE_PX), COLOURS[background])
    corner = ((SIDE_PX - width) // 2,) * 2
    picture.paste(icon, corner, icon)
    return picture


def write_demo_pictures(folder: Path, drawings: Drawings) -> None:
    """`panda/learn/*.png` in some of the known styles, `panda/unseen/*.png` in others.

    A text beside each picture names its style and background, so that the learned word need not.
    """
    names, styles = [t.icon for t in drawings.things], [s.word for s in STYLES]
    of_thing = drawings.thing == (names.index(THING) if THING in names else -1)
    for part, wanted in (("learn", LEARN), ("unseen", UNSEEN)):
        target = folder / THING / part
        target.mkdir(parents=True)
        for style, background in wanted:
            rows = np.flatnonzero(of_thing & (drawings.style == styles.index(style)))
            if len(rows):
                picture = _picture(drawings.rgba[rows[0]], background)
                picture.save(target / f"{style}-{background}.png", optimize=True)
                caption = f"in {style} style on {with_article(background)} background"
                path = target / f"{style}-{background}.txt"
                path.write_text(caption + "\n", encoding="utf-8")
    write_attribution(folder / "ATTRIBUTION.md")
