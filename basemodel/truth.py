"""Drawings for the package's benchmark: all that was held out, and known things beside them."""

from __future__ import annotations

from pathlib import Path

from basemodel.attribution import write_attribution
from basemodel.pictures import Artwork
from basemodel.world import STYLES, Thing, asked_styles
from pseudoword.benchmark import artwork as groundtruth
from pseudoword.benchmark.tasks import PARTNERS

KNOWN = 40
"""Known things for the upper anchor, taken evenly from the list of names."""


def write_truth(folder: Path, art: Artwork, effort: int) -> None:
    """What `pseudoword.groundtruth` reads; `effort` goes into making it small."""
    known_styles = asked_styles()
    (new_style,) = (s.word for s in STYLES if s.held_out)
    drawings = {
        (art.things[thing].words, STYLES[style].word): art.rgba[row]
        for (thing, style), row in art.index().items()
    }

    def drawn_in(thing: Thing) -> int:
        return sum((thing.words, style) in drawings for style in known_styles)

    complete = [
        t for t in art.things
        if not t.held_out and t.article and drawn_in(t) == len(known_styles)
        and (t.words, new_style) in drawings
    ]  # fmt: skip
    partners = [t for t in complete if t.words in PARTNERS]
    others = [t for t in complete if t.words not in PARTNERS]
    wanted = KNOWN - len(partners)
    spread = [others[i * len(others) // wanted] for i in range(wanted)]
    held_out = [t for t in art.things if t.held_out and drawn_in(t) >= 4]
    chosen = [*held_out, *spread, *partners]
    groundtruth.save(
        folder,
        groundtruth.Artwork(
            things=[groundtruth.Thing(t.words, t.start or t.kind, t.held_out) for t in chosen],
            styles=known_styles,
            new_style=new_style,
            drawings={
                (t.words, style): drawings[t.words, style]
                for t in chosen
                for style in (*known_styles, *([] if t.held_out else [new_style]))
                if (t.words, style) in drawings
            },
        ),
        effort,
    )
    write_attribution(folder / "ATTRIBUTION.md")
