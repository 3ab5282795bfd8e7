"""From settings to a finished run folder: everything around the training loop."""

import hashlib
import importlib.metadata
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pseudoword import (
    captions,
    charts,
    checkpoint,
    examples,
    families,
    faults,
    files,
    formats,
    images,
    latents,
    loss,
    norms,
    starts,
)
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice, TrainConfig
from pseudoword.errors import SettingsError, TrainingError
from pseudoword.families.base import Family
from pseudoword.generation import generate
from pseudoword.interrupt import Interrupt, Interrupted
from pseudoword.member import Member
from pseudoword.methods import METHODS
from pseudoword.methods.classic import Classic
from pseudoword.progress import Progress
from pseudoword.run import RunFolder
from pseudoword.samples import batch, check_captions
from pseudoword.training import train

SHARED = (*BaseChoice.model_fields, "gradient_checkpointing", "batch", "accumulate", "resolution")
"""Settings that the concepts of a pack must have in common, since they share each batch."""

NO_EFFECT = 1e-6
"""A word that moves the prediction by less than this, relatively, has learned nothing."""


@dataclass(frozen=True)
class Trained:
    """A finished run."""

    concept: Concept
    folder: Path
    effect: float
    """how far the word moves the model's prediction from its start, relative to its size"""
    seconds: float
    """spent in training steps by this call; 0 if the run had been finished before"""


@dataclass
class _Run:
    """One concept on its way through a pack."""

    config: TrainConfig
    folder: RunFolder
    member: Member
    start: Classic
    digest: str
    provenance: dict[str, str]


def learn(configs: Sequence[TrainConfig], progress: Progress, restart: bool) -> list[Trained]:
    """Train a pack of concepts to the end, each in a folder of its own.

    Raises:
        PseudowordError: anything the user can put right; see the subclasses. When a concept fails,
            the others are finished first, and every last good word is on disk.
        Interrupted: on Ctrl-C or SIGTERM, after the state has been saved.
    """
    _check_pack(configs)
    paths = [images.find(config.pictures) for config in configs]
    templates = [captions.templates(config.template) for config in configs]
    with ExitStack() as held:
        folders = [RunFolder(config.folder) for config in configs]
        for folder in folders:
            held.enter_context(files.hold(folder.path))
        each = list(zip(configs, folders, paths, templates, strict=True))
        done = {
            folder.path: _finished_before(folder, progress)
            for config, folder, _, _ in each
            if not restart and folder.finished(config)
        }
        todo = [one for one in each if one[1].path not in done]
        if todo:
            done |= _learn(todo, progress, restart)
        return [done[folder.path] for folder in folders]


def _learn(
    todo: Sequence[tuple[TrainConfig, RunFolder, Sequence[Path], Sequence[str]]],
    progress: Progress,
    restart: bool,
) -> dict[Path, Trained]:
    """Train what is not finished yet; folder -> result."""
    family = _load(todo[0][0], progress)
    runs = [_prepare(family, *one, progress) for one in todo]
    family.release_vae()
    if restart:
        for run in runs:
            run.folder.clear()
    _resume(runs, progress)
    seconds = _train(family, runs, progress)
    trained = {
        run.folder.path: _finish(family, run, seconds, progress) for run in runs if run.member.good
    }
    failures = [run.member.failure for run in runs if run.member.failure]
    if failures:
        raise TrainingError("\n".join(failures))
    return trained


def _load(config: TrainConfig, progress: Progress) -> Family:
    progress.phase(f"loading {config.base}")
    return families.choose(config, checkpointing=config.gradient_checkpointing)


def _check_pack(configs: Sequence[TrainConfig]) -> None:
    for name in SHARED:
        if len({getattr(config, name) for config in configs}) > 1:
            raise SettingsError(f"the concepts of a pack must share one {name}")
    if len({config.folder.resolve() for config in configs}) < len(configs):
        raise SettingsError("the concepts of a pack need folders of their own: set out for each")


def _prepare(
    family: Family,
    config: TrainConfig,
    folder: RunFolder,
    paths: Sequence[Path],
    templates: Sequence[str],
    progress: Progress,
) -> _Run:
    """Read the pictures, encode them, and set the word to its start."""
    progress.phase(f"reading {len(paths)} pictures for {config.token}")
    shapes = examples.frames(config, family.resolution, family.resolution_step)
    read = examples.read(paths, config, shapes, seed=config.seed, note=progress.note)
    read = faults.told(read, progress.note)
    pictures = []
    for picture in latents.encode(family, read, config.unmasked_weight):
        pictures.append(picture)
        progress.advance(len(pictures), len(paths))
    rows = starts.start(
        family, config.init, config.init_mode, config.vectors, config.token, config.seed
    )
    method = METHODS[config.method](rows, family.device)
    data = hashlib.sha256("".join(p.identity for p in pictures).encode()).hexdigest()
    member = Member(
        config.token,
        method,
        pictures,
        templates,
        config,
        config,
        norms.typical(family),
    )
    check_captions(family, member)
    fingerprint = family.fingerprint()
    provenance = {
        "base": files.public_name(family.source.name),
        "base_fingerprint": fingerprint,
        "init": files.public_name(config.init),
        "lr": config.lr,
        "batch": str(config.batch),
        "resolution": str(shapes.resolution),
        "template": files.public_name(config.template),
        "seed": str(config.seed),
        "pictures": str(len(pictures)),
        "data_sha256": data,
        "version": importlib.metadata.version("pseudoword"),
    }
    lines = hashlib.sha256("\n".join(templates).encode()).hexdigest()
    digest = f"{data} {lines} {fingerprint}"
    return _Run(config, folder, member, Classic(rows, family.device), digest, provenance)


def _resume(runs: Sequence[_Run], progress: Progress) -> None:
    at = checkpoint.latest([run.folder.path for run in runs])
    for run, step in zip(runs, at, strict=True):
        if step:
            checkpoint.load(run.folder.path, run.member, step, run.digest)
            progress.note(f"going on with {run.config.token} from step {step}")
        run.folder.begin(run.config, step)


def _train(family: Family, runs: Sequence[_Run], progress: Progress) -> float:
    """Run the loop; log every step, save now and then, stop when asked. Returns seconds."""
    by_member = {id(run.member): run for run in runs}
    total = max(run.config.steps for run in runs)
    progress.phase(f"learning {', '.join(run.config.token for run in runs)}")
    seconds = 0.0
    with Interrupt() as interrupt:
        for step in train(family, [run.member for run in runs]):
            seconds += step.seconds
            for seen in step.seen:
                run = by_member[id(seen.member)]
                run.folder.append_log(step.step, seen, step.seconds)
                if step.step % run.config.checkpoint_every == 0 or not run.member.unfinished:
                    _save(family, run)
            mean = sum(seen.loss for seen in step.seen) / len(step.seen)
            progress.advance(step.step, total, f"loss {mean:.4f}")
            if interrupt.signum is not None:
                for run in runs:
                    _save(family, run)
                raise Interrupted(_where(runs), interrupt.signum)
    return seconds


def _save(family: Family, run: _Run) -> None:
    checkpoint.save(run.folder.path, run.member, run.digest)
    formats.write(_concept(family, run), run.folder.concept)


def _where(runs: Sequence[_Run]) -> str:
    saved = [f"{r.config.token} at step {r.member.step} in {r.folder.path}" for r in runs]
    return f"stopped. Saved {', '.join(saved)}. Run the same command again to go on."


def _concept(family: Family, run: _Run) -> Concept:
    """The word as it is now; after a failure, as it last was good."""
    member = run.member
    failed = member.failure is not None and bool(member.good)
    rows = member.good if failed else member.word()
    return Concept(
        token=member.token,
        vectors={key: r.detach().cpu().clone() for key, r in rows.items()},
        family=family.name,
        method=member.method.name,
        provenance={**run.provenance, "steps": str(member.good_step if failed else member.step)},
    )


def _finish(family: Family, run: _Run, seconds: float, progress: Progress) -> Trained:
    """Write the word, prove that it does something, and draw what there is to see."""
    concept, config = _concept(family, run), run.config
    formats.write(concept, run.folder.concept)
    title = f"{config.token} on {config.base}"
    files.write_whole(run.folder.path / "loss.png", charts.loss_curve(run.folder.read_log(), title))
    learned = Classic(concept.vectors, family.device)
    moved = loss.effect(family, run.start, learned, batch(family, [run.member], config.steps))
    if not moved > NO_EFFECT and not run.member.failure:
        run.member.failure = (
            f"{config.token}: the finished word does not change what the model predicts "
            f"(by {moved:.1e} of its size). Train longer, or with a higher --lr."
        )
    if run.member.failure is None:
        _preview(family, run, concept, progress)
        checkpoint.clear(run.folder.path)
    return Trained(concept, run.folder.path, moved, seconds)


def _preview(family: Family, run: _Run, concept: Concept, progress: Progress) -> None:
    if not run.config.preview:
        return
    progress.phase(f"drawing previews of {concept.token}")
    began = time.perf_counter()
    prompts = [captions.render(line, concept.token) for line in run.config.preview]
    pictures = generate(
        family,
        prompts,
        [concept],
        seeds=[run.config.seed] * len(prompts),
        resolution=run.config.resolution,
    )
    for i, picture in enumerate(pictures, 1):
        path = run.folder.previews / f"step-{run.member.step}-{i}.png"
        if run.config.word_in_preview and not formats.WRITERS["a1111-png"].refuses(concept):
            formats.write_as(concept, path, "a1111-png", picture)
        else:
            charts.save_picture(picture, path)
        progress.advance(i, len(pictures), f"{time.perf_counter() - began:.0f} s")


def _finished_before(folder: RunFolder, progress: Progress) -> Trained:
    progress.note(f"{folder.path} is finished already; add --restart to learn it again")
    return Trained(formats.read(folder.concept), folder.path, float("nan"), 0.0)
