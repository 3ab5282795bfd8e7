"""How much less a step's gradient rattles when timesteps are drawn by what moves the word.

    python benchmarks/importance.py [--things 8] [--draws 100]

Held-out things of the bundled world, at their starting words and after 100 steps. For each way to
draw timesteps: the variance of a step's gradient, beside that of uniform timesteps. As many times
more samples would make up for it.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import torch

from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.tasks import Paper, paper, write_lesson
from pseudoword.cli.console import Console
from pseudoword.config import TrainConfig
from pseudoword.data import captions, images
from pseudoword.files import file_stem
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.setup import prepare
from pseudoword.training import importance
from pseudoword.training.loop import gradients, train
from pseudoword.training.state import Member

SPREADS = ("uniform", "stratified", "importance")
LEARNED = 100


def begun(family: Family, one: Paper, out: Path, progress: Progress) -> Member:
    """The thing of a paper, at its starting word."""
    lesson = out / file_stem(one.name)
    write_lesson(one, lesson)
    config = TrainConfig.check(
        pictures=[lesson], token=f"<{file_stem(one.name)}>", init=one.start, template="captioned",
        vectors=1, steps=LEARNED, lr="0.006", timestep_spread="uniform", clip_norm=0,
        evaluate_every=0, preview=(),
    )  # fmt: skip
    lines = captions.templates(config.template)
    folder = RunFolder(out / "run" / lesson.name)
    return prepare(family, config, folder, images.find([lesson]), lines, progress).member


def variances(family: Family, members: Sequence[Member], draws: int) -> list[float]:
    """Of each member's gradient, over as many steps' samples."""
    found = []
    for step in range(LEARNED, LEARNED + draws):  # none that it has learned from
        gradients(family, members, step)
        found.append([_gradient(member) for member in members])
    return [float(torch.stack(each).var(0).sum()) for each in zip(*found, strict=True)]


def _gradient(member: Member) -> torch.Tensor:
    each = [rows.grad for rows in member.method.parameters() if rows.grad is not None]
    return torch.cat([gradient.flatten() for gradient in each])


def drawn_by(
    spread: str, members: Sequence[Member], densities: Sequence[tuple[float, ...]]
) -> list[Member]:
    """The members, whose timesteps are drawn in that way."""
    return [
        replace(
            member,
            hyper=member.hyper.model_copy(update={"timestep_spread": spread}),
            density=density if spread == "importance" else (),
        )
        for member, density in zip(members, densities, strict=True)
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--things", type=int, default=8)
    parser.add_argument("--draws", type=int, default=100)
    asked = parser.parse_args()
    with Console() as console, TemporaryDirectory() as out:
        family: Family = base_model.load("emoji")
        art = load()
        papers = [paper(art, thing, family.resolution) for thing in art.held_out[: asked.things]]
        members = [begun(family, one, Path(out), console) for one in papers]
        densities = [importance.density(family, member) for member in members]

        def measured(when: str) -> dict[str, list[float]]:
            console.phase(f"drawing gradients {when}")
            return {
                spread: variances(family, drawn_by(spread, members, densities), asked.draws)
                for spread in SPREADS
            }

        found = {"at the start": measured("at the start")}
        for step in train(family, members):
            console.advance(step.step, LEARNED)
        later = f"after {LEARNED} steps"
        found[later] = measured(later)
    print(
        f"| thing | {' | '.join(f'{spread}, {when}' for when in found for spread in SPREADS[1:])} |"
    )
    print("|" + "---|" * (1 + len(found) * (len(SPREADS) - 1)))
    shares = [
        [each[spread][i] / each["uniform"][i] for each in found.values() for spread in SPREADS[1:]]
        for i in range(len(papers))
    ]
    for one, row in zip(papers, shares, strict=True):
        print(f"| {one.name} | {' | '.join(f'{share:.2f}' for share in row)} |")
    print(f"| mean | {' | '.join(f'{mean(column):.2f}' for column in zip(*shares, strict=True))} |")


if __name__ == "__main__":
    main()
