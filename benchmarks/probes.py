"""How often the benchmark's linear probes are right on true drawings that they were not fitted on.

    python benchmarks/probes.py

The style probe is asked about things that it has not seen, the name probe about drawings in styles
that it has not seen, each on all backgrounds. The first two columns of shares, of every second
thing, are for choosing a ridge and the backgrounds to fit on; the last two, of the other things,
are for the report. It takes half a minute of one core.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import shared
from pseudoword.benchmark import artwork
from pseudoword.benchmark.compose import COLOURS, SINGLE_BOX, Placed, compose
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.scoring import PROBE_BACKGROUNDS, LinearProbe

SIDE_PX = 64
FOLDS = 8
RIDGES = (0.01, 0.1, 0.3, 1.0, 3.0)
FITTED_ON = (PROBE_BACKGROUNDS, ("white", "black", "red", "blue"), tuple(COLOURS))


class Trial:
    """All drawings, and their features on all backgrounds."""

    def __init__(self) -> None:
        art = artwork.load()
        self.known_styles = set(art.styles)
        self.names, self.styles = zip(*art.drawings, strict=True)
        number = {thing.name: place for place, thing in enumerate(art.things)}
        self.numbers = [number[name] for name in self.names]
        model = SimilarityModel()
        self._features = {
            colour: model.features([
                compose(colour, [Placed(drawing, SINGLE_BOX)], SIDE_PX)
                for drawing in art.drawings.values()
            ])
            for colour in COLOURS
        }  # fmt: skip

    def style_probe(self, colours: Sequence[str], ridge: float, half: int) -> float:
        """Share of known styles that are found, of every second thing, each new to the probe."""
        hits: list[bool] = []
        for fold in range(half, FOLDS, 2):
            there = [number % FOLDS == fold for number in self.numbers]
            known = [style in self.known_styles for style in self.styles]
            asked = [here and one for here, one in zip(there, known, strict=True)]
            fitted = [not here for here in there]
            hits += self._right(self.styles, fitted, asked, colours, ridge)
        return mean(hits)

    def name_probe(self, colours: Sequence[str], ridge: float, half: int) -> float:
        """Share of names that are found, of every second thing, each in a style not fitted on."""
        hits: list[bool] = []
        for left_out in sorted(set(self.styles)):
            fitted = [style != left_out for style in self.styles]
            asked = [
                style == left_out and number % 2 == half
                for style, number in zip(self.styles, self.numbers, strict=True)
            ]
            hits += self._right(self.names, fitted, asked, colours, ridge)
        return mean(hits)

    def _right(
        self,
        labels: Sequence[str],
        fitted: Sequence[bool],
        asked: Sequence[bool],
        colours: Sequence[str],
        ridge: float,
    ) -> list[bool]:
        """Whether a probe of some drawings on these backgrounds is right about others on all."""

        def some(chosen: Sequence[bool], colours: Sequence[str]) -> tuple[Tensor, list[str]]:
            kept = [label for label, one in zip(labels, chosen, strict=True) if one]
            mask = torch.tensor(chosen)
            return torch.cat([self._features[c][mask] for c in colours]), kept * len(colours)

        features, true = some(asked, list(COLOURS))
        probe = LinearProbe(*some(fitted, colours), ridge)
        return [label == found for label, found in zip(true, probe(features), strict=True)]


def main() -> None:
    """Print the table of the documentation."""
    shared.Parser(__doc__).parse_args()
    torch.set_num_threads(1)
    trial = Trial()
    print("| fitted on backgrounds | ridge | style, to choose | name, to choose | style | name |")
    print("| --- | --- | --- | --- | --- | --- |")
    for colours in FITTED_ON:
        for ridge in RIDGES:
            found = [
                probe(colours, ridge, half)
                for half in (0, 1)
                for probe in (trial.style_probe, trial.name_probe)
            ]
            cells = [str(len(colours)), f"{ridge:g}", *(f"{share:.1%}" for share in found)]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
