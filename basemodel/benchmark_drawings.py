"""Drawings for the package's benchmark: all held-out things, and known things beside them."""

from __future__ import annotations

from pathlib import Path

from basemodel.attribution import write_attribution
from basemodel.drawings import Drawings
from basemodel.world import STYLES, Thing, known_styles
from pseudoword.benchmark import artwork
from pseudoword.benchmark.tasks import PARTNERS

KNOWN = 40
"""Number of known things for the upper baseline, taken evenly from the list of names."""

LEAST_STYLES = 4
"""A held-out thing is in the benchmark if it is drawn in so many of the known styles."""


def write_benchmark_drawings(folder: Path, drawings: Drawings, effort: int) -> None:
    """Write what `pseudoword.benchmark.artwork` reads; a higher `effort` makes it smaller."""
    styles = known_styles()
    (new_style,) = (s.word for s in STYLES if s.held_out)
    rgba = {
        (drawings.things[thing].name, STYLES[style].word): drawings.rgba[row]
        for (thing, style), row in drawings.index().items()
    }

    def number_of_styles(thing: Thing) -> int:
        return sum((thing.name, style) in rgba for style in styles)

    complete = [
        t for t in drawings.things
        if not t.held_out and t.article and number_of_styles(t) == len(styles)
        and (t.name, new_style) in rgba
    ]  # fmt: skip
    held_out = [t for t in drawings.things if t.held_out and number_of_styles(t) >= LEAST_STYLES]
    chosen = [*held_out, *_choose_known(complete)]
    art = artwork.Artwork(
        things=[artwork.Thing(t.name, t.init_word or t.kind, t.held_out) for t in chosen],
        styles=styles,
        new_style=new_style,
        drawings={
            (t.name, style): rgba[t.name, style]
            for t in chosen
            for style in (*styles, *([] if t.held_out else [new_style]))
            if (t.name, style) in rgba
        },
    )
    artwork.save(folder, art, effort)
    write_attribution(folder / "ATTRIBUTION.md")


def _choose_known(complete: list[Thing]) -> list[Thing]:
    """KNOWN things: the benchmark's partners, and others spread evenly over the list."""
    partners = [t for t in complete if t.name in PARTNERS]
    others = [t for t in complete if t.name not in PARTNERS]
    count = KNOWN - len(partners)
    return [*(others[i * len(others) // count] for i in range(count)), *partners]
