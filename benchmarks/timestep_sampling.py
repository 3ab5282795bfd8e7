"""How much less the gradient varies when timesteps are sampled by importance.

    python benchmarks/timestep_sampling.py [--things 8] [--draws 100]

Held-out things of the bundled world, at their starting words and after 100 steps. For each way to
sample timesteps: the variance of a step's gradient, as a share of the variance with uniform
timesteps. If the share is one half, uniform timesteps need twice as many samples for the same
variance.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import shared
from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.results import markdown_table
from pseudoword.benchmark.runner import lesson
from pseudoword.benchmark.tasks import Task, thing_task
from pseudoword.cli.console import Console
from pseudoword.config import TrainConfig
from pseudoword.files import file_stem
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.runs.planned import plan_run
from pseudoword.runs.run import begin
from pseudoword.runs.setup import set_up
from pseudoword.training import importance
from pseudoword.training.batches import batch
from pseudoword.training.loop import train
from pseudoword.training.loss import losses
from pseudoword.training.state import TrainState

SAMPLINGS = ("uniform", "stratified", "importance")
LEARNED = 100


def at_start(family: Family, task: Task, out: Path, progress: Progress) -> TrainState:
    """The thing of a task, with the rows of its starting word."""
    stem = file_stem(task.name)
    config = TrainConfig.check(
        **lesson(task, out / stem), vectors=1, steps=LEARNED, lr="0.006",
        timestep_sampling="uniform", clip_norm=0, evaluate_every=0, preview=(),
        out=out / "run" / stem,
    )  # fmt: skip
    setup = set_up(family, plan_run(config, progress))
    return begin(family, setup).state


def variances(family: Family, states: Sequence[TrainState], draws: int) -> list[float]:
    """The variance of each word's gradient, over the samples of as many steps."""
    gradients = []
    for step in range(LEARNED, LEARNED + draws):  # samples that no word has learned from
        words = [{key: r.requires_grad_() for key, r in one.word().items()} for one in states]
        losses(family, words, batch(family, [one.data for one in states], step)).sum().backward()
        gradients.append([_gradient(word) for word in words])
    return [float(torch.stack(each).var(0).sum()) for each in zip(*gradients, strict=True)]


def _gradient(word: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """All gradients of a word, as one vector."""
    gradients = [rows.grad for rows in word.values() if rows.grad is not None]
    return torch.cat([gradient.flatten() for gradient in gradients])


def with_sampling(
    sampling: str, states: Sequence[TrainState], densities: Sequence[tuple[float, ...]]
) -> list[TrainState]:
    """Copies of the states that sample timesteps in that way."""
    return [
        replace(
            state,
            data=replace(
                state.data,
                hyper=state.hyper.model_copy(update={"timestep_sampling": sampling}),
                density=density if sampling == "importance" else (),
            ),
        )
        for state, density in zip(states, densities, strict=True)
    ]


def main() -> None:
    """Measure, and print a table."""
    parser = shared.Parser(__doc__)
    parser.add_things("--things", 8)
    parser.add_count("--draws", 100, least=2)
    arguments = parser.parse_args()
    with Console() as console, TemporaryDirectory() as out:
        family: Family = base_model.load_named("emoji")
        art = load()
        things = art.held_out[: arguments.things]
        tasks = [thing_task(art, thing, family.resolution) for thing in things]
        states = [at_start(family, task, Path(out), console) for task in tasks]
        densities = importance.densities(family, [(state.data, state.word()) for state in states])

        def measure(when: str) -> dict[str, list[float]]:
            console.phase(f"drawing gradients {when}")
            return {
                sampling: variances(
                    family, with_sampling(sampling, states, densities), arguments.draws
                )
                for sampling in SAMPLINGS
            }

        found = {"at the start": measure("at the start")}
        for step in train(family, states):
            console.advance(step.step, LEARNED)
        later = f"after {LEARNED} steps"
        found[later] = measure(later)
    print(table([task.name for task in tasks], found))


def table(names: Sequence[str], found: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """Variances as shares of those of uniform timesteps, as Markdown: a row for each thing."""
    columns = {
        f"{sampling}, {when}": [
            variance / uniform
            for variance, uniform in zip(by_sampling[sampling], by_sampling["uniform"], strict=True)
        ]
        for when, by_sampling in found.items()
        for sampling in SAMPLINGS[1:]
    }
    rows = [["thing", *columns]]
    for i, name in enumerate(names):
        rows.append([name, *(f"{column[i]:.2f}" for column in columns.values())])
    rows.append(["mean", *(f"{mean(column):.2f}" for column in columns.values())])
    return markdown_table(rows)


if __name__ == "__main__":
    main()
