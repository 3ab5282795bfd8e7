"""From settings to a concept that is ready to be learned."""

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pseudoword import methods
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.fields import AUTO
from pseudoword.config.rates import Rates
from pseudoword.data import captions, examples, image_quality, latents
from pseudoword.data.latents import EncodedPicture
from pseudoword.data.prompt_checks import check_captions, note_weights
from pseudoword.formats import names
from pseudoword.methods import Initialisation
from pseudoword.models.compatibility import vocabulary
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.report import charts
from pseudoword.rng import generator
from pseudoword.runs import previews
from pseudoword.runs.folder import RATE_CURVE, RunFolder
from pseudoword.text import public
from pseudoword.training import early_stopping, importance, initialisation
from pseudoword.training.batches import TrainingData, fixed
from pseudoword.training.early_stopping import EvaluationLoss
from pseudoword.training.learning_rate_finder import find_learning_rate
from pseudoword.training.loss import Batch
from pseudoword.training.rate_schedules import Schedule
from pseudoword.training.state import TrainState


@dataclass(frozen=True)
class Setup:
    """What one concept is learned from and starts with. What is `auto` is not found yet."""

    config: TrainConfig
    folder: RunFolder
    family: str
    data: TrainingData
    kept_out: list[EncodedPicture]
    """pictures that it does not learn from; none if there are too few"""
    start: Initialisation
    sources: dict[str, str]
    """a checksum for each of `checkpoint.SOURCES`"""
    provenance: dict[str, str]


@dataclass
class Run:
    """One concept on its way through a pack."""

    setup: Setup
    state: TrainState
    rates: Rates
    """what `--lr` came to"""
    samples: list[Batch]
    """of the pictures it learns from, to evaluate it on; none without evaluations"""
    held_out: list[Batch]
    """the same of those kept out"""

    @property
    def config(self) -> TrainConfig:
        """The settings."""
        return self.setup.config

    @property
    def folder(self) -> RunFolder:
        """Where everything goes."""
        return self.setup.folder

    def concept(self) -> Concept:
        """The word to hand over as things are.

        After a failure, as it last was good; where it is to stop by itself, the best one.
        """
        state = self.state
        if state.failure is not None and state.good:
            rows, step = state.good, state.good_step
        elif self.config.steps is AUTO and state.evaluations.best:
            rows, step = state.evaluations.best, state.evaluations.best_step
        else:
            rows, step = state.word(), state.step
        changes = {"changed": "; ".join(self.folder.changes)} if self.folder.changes else {}
        said = {**self.setup.provenance, "lr": str(self.rates), "steps": str(step), **changes}
        return Concept(
            token=state.token,
            vectors={key: r.detach().cpu().clone() for key, r in rows.items()},
            family=self.setup.family,
            method=state.method.name,
            provenance={name: public(value) for name, value in said.items()},
        )

    def evaluate(self, family: Family) -> EvaluationLoss:
        """Measure the word as it is now."""
        word = self.state.word()
        return EvaluationLoss(
            self.state.step,
            early_stopping.evaluation_loss(family, word, self.samples),
            early_stopping.evaluation_loss(family, word, self.held_out) if self.held_out else None,
        )


def set_up(
    family: Family,
    config: TrainConfig,
    folder: RunFolder,
    paths: Sequence[Path],
    templates: Sequence[str],
    progress: Progress,
) -> Setup:
    """Read the pictures, encode them, and find the rows to begin with."""
    captions.note_unused(paths, templates, progress.note)
    progress.phase(f"reading {len(paths)} pictures for {config.token}")
    shapes = examples.crop_sizes(config, family.resolution, family.resolution_step)
    read = examples.read(paths, config, shapes, seed=config.seed, note=progress.note)
    read = image_quality.note_problems(read, progress.note)
    pictures = []
    for picture in latents.encode(family, read, config.unmasked_weight):
        pictures.append(picture)
        progress.advance(len(pictures), len(paths))
    learned, kept_out = _hold_out(config, pictures)
    if kept_out:
        progress.note(f"{config.token}: {len(kept_out)} of {len(pictures)} pictures are held out")
    vectors = config.vectors
    if vectors is AUTO:
        words = config.init if config.init_mode != "random" else ""
        vectors = initialisation.vector_count(family, words, len(learned))
    rows = initialisation.initial_rows(
        family, config.init, config.init_mode, vectors, config.token, config.seed
    )
    diffusers_warning = names.diffusers_warning(config.token, vectors, vocabulary(family))
    if diffusers_warning:
        progress.note(f"{config.token}: {diffusers_warning}")
    count = max(map(len, rows.values()))
    check_captions(
        list(family.encoders.values()),
        {picture.path: picture.filewords for picture in pictures},
        templates,
        count,
        progress.note,
        token=config.token,
        shuffled=config.shuffle_tags,
    )
    note_weights([*templates, *(p.filewords for p in pictures)], progress.note, [config.token])
    previews.note_truncation(family, config, count, progress.note)
    data = hashlib.sha256("".join(p.identity for p in pictures).encode()).hexdigest()
    lines = hashlib.sha256("\n".join(templates).encode()).hexdigest()
    fingerprint = family.fingerprint()
    provenance = {
        "base": family.source.name,
        "base_fingerprint": fingerprint,
        "init": config.init,
        "init_mode": initialisation.mode_of(config.init, config.init_mode),
        "batch": str(config.batch),
        "resolution": str(shapes.resolution),
        "template": config.template,
        "seed": str(config.seed),
        "pictures": str(len(learned)),
        "data_sha256": data,
        "version": _version(),
    }
    return Setup(
        config,
        folder,
        family.name,
        TrainingData(config.token, learned, templates, config, config),
        kept_out,
        initialisation.begin(family, rows),
        {"pictures": data, "template": lines, "base": fingerprint},
        provenance,
    )


def begin(family: Family, setup: Setup, progress: Progress) -> Run:
    """Find what is `auto`, unless that was found before, and make the parts of a run."""
    config, data = setup.config, setup.data
    if config.timestep_sampling == "importance":
        data = replace(data, density=_density(family, setup, progress))
    method = methods.begin(setup.start, config)
    if config.lr is AUTO:
        rates = _found_rate(family, setup, data, progress)
    else:
        rates = config.lr.absolute(method.rate_unit)
    others = replace(data, pictures=setup.kept_out)
    return Run(
        setup,
        TrainState.begin(data, method, Schedule.of(config, rates)),
        rates,
        samples=fixed(family, data, early_stopping.SAMPLES) if config.evaluate_every else [],
        held_out=fixed(family, others, early_stopping.SAMPLES) if setup.kept_out else [],
    )


def _density(family: Family, setup: Setup, progress: Progress) -> tuple[float, ...]:
    """How often each part of the timesteps is drawn."""
    chosen = setup.folder.read_chosen()
    if chosen.density is not None:
        return chosen.density
    progress.phase(f"seeing which timesteps move {setup.config.token}")
    density = importance.density(family, setup.data, setup.start.rows)
    setup.folder.write_chosen(chosen.model_copy(update={"density": density}))
    return density


def _found_rate(family: Family, setup: Setup, data: TrainingData, progress: Progress) -> Rates:
    """The learning rate that a test finds."""
    token, folder = setup.config.token, setup.folder
    chosen = folder.read_chosen()
    rates = chosen.lr
    if rates is None:
        progress.phase(f"trying learning rates for {token}")
        found = find_learning_rate(family, data, setup.start, progress.advance)
        folder.files.write(RATE_CURVE, charts.rate_curve(found.curve, found.rate, token))
        rates = Rates.parse(f"{found.rate:g}")
        folder.write_chosen(chosen.model_copy(update={"lr": rates, "tried": found.curve}))
    progress.note(f"{token}: the learning rate is {rates}, see rate.png")
    return rates


def _hold_out(
    config: TrainConfig, pictures: Sequence[EncodedPicture]
) -> tuple[list[EncodedPicture], list[EncodedPicture]]:
    """Which pictures to learn from, and which to keep out of it to see how far it carries."""
    n = config.held_out_of(len(pictures))  # of those that could be used
    source = generator(config.token, "held out")  # alike for every seed
    chosen = torch.randperm(len(pictures), generator=source)[:n].tolist()
    return (
        [picture for i, picture in enumerate(pictures) if i not in chosen],
        [pictures[i] for i in sorted(chosen)],
    )


def _version() -> str:
    """Of this package; run from its source folder alone, it has none."""
    try:
        return importlib.metadata.version("pseudoword")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
