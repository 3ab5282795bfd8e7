"""From settings to a concept that is ready to be learned."""

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from pseudoword.concept import Concept
from pseudoword.config import TrainConfig, rates
from pseudoword.config.rates import AUTO
from pseudoword.data import captions, examples, image_quality, latents
from pseudoword.data.latents import Encoded
from pseudoword.data.prompt_checks import check_captions, tell_weights
from pseudoword.errors import SettingsError
from pseudoword.formats import names
from pseudoword.methods import METHODS
from pseudoword.methods.classic import Classic
from pseudoword.models.compatibility import vocabulary
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.report import charts
from pseudoword.rng import generator
from pseudoword.runs import previews
from pseudoword.runs.folder import RATE_CURVE, RunFolder
from pseudoword.text import public
from pseudoword.training import early_stopping, importance, initialisation, norms
from pseudoword.training.batches import fixed
from pseudoword.training.early_stopping import Evaluation
from pseudoword.training.learning_rate_finder import probe
from pseudoword.training.loss import Batch
from pseudoword.training.state import Member


@dataclass
class Run:
    """One concept on its way through a pack."""

    config: TrainConfig
    folder: RunFolder
    family: str
    member: Member
    start: Classic
    sources: dict[str, str]
    """a checksum for each of `checkpoint.SOURCES`"""
    provenance: dict[str, str]
    kept_out: list[Encoded]
    """pictures that it does not learn from; none if there are too few"""
    samples: list[Batch] = field(default_factory=list)
    """of the pictures it learns from, to evaluate it on"""
    held_out: list[Batch] = field(default_factory=list)
    """the same of those kept out"""

    def concept(self) -> Concept:
        """The word to hand over as things are.

        After a failure, as it last was good; where it is to stop by itself, the best one.
        """
        member = self.member
        if member.failure is not None and member.good:
            rows, step = member.good, member.good_step
        elif self.config.steps == AUTO and member.record.best:
            rows, step = member.record.best, member.record.best_step
        else:
            rows, step = member.word(), member.step
        changes = {"changed": "; ".join(self.folder.changes)} if self.folder.changes else {}
        said = {**self.provenance, "lr": member.hyper.lr, "steps": str(step), **changes}
        return Concept(
            token=member.token,
            vectors={key: r.detach().cpu().clone() for key, r in rows.items()},
            family=self.family,
            method=member.method.name,
            provenance={name: public(value) for name, value in said.items()},
        )

    def evaluate(self, family: Family) -> Evaluation:
        """Measure the word as it is now."""
        word = self.member.word()
        return Evaluation(
            self.member.step,
            early_stopping.measure(family, word, self.samples),
            early_stopping.measure(family, word, self.held_out) if self.held_out else None,
        )


def prepare(
    family: Family,
    config: TrainConfig,
    folder: RunFolder,
    paths: Sequence[Path],
    templates: Sequence[str],
    progress: Progress,
) -> Run:
    """Read the pictures, encode them, and set the word to its start."""
    previews.check(family, config)
    captions.tell(paths, templates, progress.note)
    progress.phase(f"reading {len(paths)} pictures for {config.token}")
    shapes = examples.frames(config, family.resolution, family.resolution_step)
    read = examples.read(paths, config, shapes, seed=config.seed, note=progress.note)
    read = image_quality.told(read, progress.note)
    pictures = []
    for picture in latents.encode(family, read, config.unmasked_weight):
        pictures.append(picture)
        progress.advance(len(pictures), len(paths))
    learned, kept_out = _hold_out(config, pictures)
    if kept_out:
        progress.note(f"{config.token}: {len(kept_out)} of {len(pictures)} pictures are held out")
    vectors = config.vectors
    if vectors == "auto":
        words = config.init if config.init_mode != "random" else ""
        vectors = initialisation.count(family, words, len(learned))
    rows = initialisation.start(
        family, config.init, config.init_mode, vectors, config.token, config.seed
    )
    caution = names.caution(config.token, vectors, vocabulary(family))
    if caution:
        progress.note(f"{config.token}: {caution}")
    lr = "1" if config.lr == AUTO else rates.absolute(config.lr, norms.usual_number(family))
    member = Member(
        config.token,
        METHODS[config.method](rows, family.device),
        learned,
        templates,
        config.model_copy(update={"lr": lr}),
        config,
        norms.aims(family, rows, config.norm),
    )
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
    tell_weights([*templates, *(p.filewords for p in pictures)], progress.note, [config.token])
    previews.tell(family, config, count, progress.note)
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
    return Run(
        config,
        folder,
        family.name,
        member,
        Classic(rows, family.device),
        {"pictures": data, "template": lines, "base": fingerprint},
        provenance,
        kept_out,
    )


def choose(family: Family, run: Run, progress: Progress) -> None:
    """Find what is to be found before the first step, unless the run has found it before.

    What it is evaluated on follows from that.
    """
    token, chosen = run.config.token, run.folder.chosen()
    if run.config.timestep_spread == "importance":
        if "density" not in chosen:
            progress.phase(f"seeing which timesteps move {token}")
            chosen["density"] = importance.density(family, run.member)
            run.folder.choose(chosen)
        run.member = replace(run.member, density=tuple(chosen["density"]))
    if run.config.evaluate_every:
        run.samples = fixed(family, run.member, early_stopping.SAMPLES)
    if run.kept_out:
        others = replace(run.member, pictures=run.kept_out)
        run.held_out = fixed(family, others, early_stopping.SAMPLES)
    if run.config.lr != AUTO:
        return
    if "lr" not in chosen:
        progress.phase(f"trying learning rates for {token}")
        copy = METHODS[run.config.method](run.start.rows, family.device)
        found = probe(family, run.member, copy, progress.advance)
        chosen |= {"lr": f"{found.rate:g}", "tried": found.curve}
        curve = charts.rate_curve(found.curve, found.rate, token)
        run.folder.files.write(RATE_CURVE, curve)
        run.folder.choose(chosen)
    progress.note(f"{token}: the learning rate is {chosen['lr']}, see rate.png")
    hyper = run.member.hyper.model_copy(update={"lr": chosen["lr"]})
    run.member = replace(run.member, hyper=hyper)


def _hold_out(
    config: TrainConfig, pictures: Sequence[Encoded]
) -> tuple[list[Encoded], list[Encoded]]:
    """Which pictures to learn from, and which to keep out of it to see how far it carries."""
    n = config.held_out_of(len(pictures)) if config.evaluate_every else 0
    if n >= len(pictures):  # some have been left out since the settings were seen
        raise SettingsError(f"--held-out {n} leaves none of {len(pictures)} pictures to learn from")
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
