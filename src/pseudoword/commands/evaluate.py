"""How good is a word? Its pictures beside true ones, and beside what the prompt asked for.

The two similarities are those of DreamBooth's evaluation (Ruiz et al. 2022, arXiv 2208.12242): of
drawn with true pictures, and of drawn pictures with the prompt, in which a known word stands for
the new one.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL.Image import Image
from torch import Tensor

from pseudoword import lookup
from pseudoword.benchmark.image_similarity import BUNDLED, Judge
from pseudoword.concept import Concept
from pseudoword.config import EvaluateConfig
from pseudoword.data import images, prompt_checks
from pseudoword.data.captions import render
from pseudoword.errors import SettingsError
from pseudoword.formats import native
from pseudoword.models import base_model
from pseudoword.models.generation import generate
from pseudoword.outputs import Outputs, check_apart, maker_of
from pseudoword.placeholders import named, shown
from pseudoword.progress import Progress
from pseudoword.report import charts, html
from pseudoword.text import public

ENOUGH_PX = 1024
"""Judges look at smaller pictures than that."""

SHOWN_PX, MOST_SHOWN = 160, 24
"""Of the true pictures, on the contact sheet."""

FILES = ("evaluation.png", "evaluation.json", "report.html")


@dataclass(frozen=True)
class Similarities:
    """Mean cosines in [-1, 1]; higher is nearer. `None` is what could not be measured."""

    image: float
    """pictures of the word, to the true ones"""
    image_known: float | None
    """pictures of a known word instead, to the true ones"""
    image_true: float | None
    """the true pictures, to each other"""
    text: float | None
    """pictures of the word, to their prompts, in which the known word stands for it"""
    text_known: float | None
    """pictures of the known word, to their prompts"""


@dataclass(frozen=True)
class Evaluation:
    """What was found about a word, and the files that show it."""

    concept: Concept
    similarities: Similarities
    files: tuple[Path, ...]


def look(
    concept: Concept, config: EvaluateConfig, progress: Progress, overwrite: bool = False
) -> Evaluation:
    """Draw, compare and report; the public `evaluate`."""
    word = hashlib.sha256(native.dump(concept)).hexdigest()
    out = Outputs(config.out, maker_of("evaluate", word, *config.pictures))
    check_apart(config.out, config.pictures)
    out.check(FILES, overwrite=overwrite)
    for prompt in config.prompt:
        if "[name]" not in prompt:
            raise SettingsError(f"--prompt {prompt!r}: write [name] where the word belongs")
    if lookup.looks_like_path(config.compare_with or ""):
        raise SettingsError(
            f"--compare-with {config.compare_with!r} looks like a file; give a known word"
        )
    paths = images.find(config.pictures, progress.note)
    known = config.compare_with or _begun_from(concept)
    progress.phase(f"loading {config.base}")
    judge = Judge(config.judge or BUNDLED)
    true, shown_true = _true(paths, judge)
    family = base_model.choose(config)
    counts = {concept.token: max(map(len, concept.vectors.values()))}
    for line in config.prompt:
        prompt = render(line, named(concept.token))
        reading = prompt_checks.longest(family.encoders.values(), prompt, counts)
        prompt_checks.tell_cut(f"--prompt {line!r}", reading, progress.note)
    prompt_checks.tell_weights(config.prompt, progress.note, [concept.token])

    def draw(word: str) -> list[Image]:
        progress.phase(f"drawing {shown(word)}")
        pictures = []
        for done, line in enumerate(config.prompt, 1):
            pictures += generate(
                family,
                [render(line, word)] * config.n,
                [concept],
                seeds=[config.seed + i for i in range(config.n)],
                guidance=config.guidance,
                sampler_steps=config.sampler_steps,
            )
            progress.advance(done, len(config.prompt))
        return pictures

    with_word = draw(named(concept.token))
    with_known = draw(known) if known else []
    asked = [render(line, known) for line in config.prompt for _ in range(config.n)]
    reads = judge.reads_text and bool(known)
    found = Similarities(
        image=float((judge.features(with_word) @ true.T).mean()),
        image_known=float((judge.features(with_known) @ true.T).mean()) if known else None,
        image_true=_among(true),
        text=judge.text_similarity(with_word, asked) if reads else None,
        text_known=judge.text_similarity(with_known, asked) if reads else None,
    )
    if not known:
        progress.note("nothing to compare with: give a known word of the same kind, --compare-with")
    files = _write(out, concept, known, config, judge, shown_true, with_word, with_known, found)
    return Evaluation(concept, found, files)


def _begun_from(concept: Concept) -> str:
    """The starting word, if the file tells it and it is a word."""
    said = concept.provenance
    start = "" if said.get("init_mode") in ("file", "random") else said.get("init", "")
    return "" if lookup.looks_like_path(start) else start


def _true(paths: Sequence[Path], judge: Judge) -> tuple[Tensor, list[Image]]:
    """The true pictures as the judge sees them `[N, D]`, and small ones of some to show.

    One at a time, so that it does not matter how many and how large they are.
    """
    features: list[Tensor] = []
    small: list[Image] = []
    for path in paths:
        picture = images.open_picture(path, enough=ENOUGH_PX)
        features.append(judge.features([picture]))
        if len(small) < MOST_SHOWN:
            small.append(charts.enlarge(picture, SHOWN_PX))
    return torch.cat(features), small


def _among(features: Tensor) -> float | None:
    """Mean cosine of all pairs of different pictures."""
    if len(features) < 2:
        return None
    pairs = features @ features.T
    return float(pairs[~torch.eye(len(pairs), dtype=torch.bool)].mean())


def _write(
    out: Outputs,
    concept: Concept,
    known: str,
    config: EvaluateConfig,
    judge: Judge,
    true: list[Image],
    with_word: list[Image],
    with_known: list[Image],
    found: Similarities,
) -> tuple[Path, ...]:
    heads = [render(line, "…") for line in config.prompt]
    sheet = charts.before_after(
        true, heads, with_known[:: config.n], with_word[:: config.n], known, concept.token
    )
    numbers = json.dumps({"judge": judge.name, **asdict(found)}, indent=2)
    labels = {
        f"pictures of {concept.token}, to the true ones": found.image,
        f"pictures of “{known}”, to the true ones": found.image_known,
        "the true ones, to each other": found.image_true,
        f"pictures of {concept.token}, to their prompts": found.text,
        f"pictures of “{known}”, to their prompts": found.text_known,
    }
    facts = {label: f"{value:.3f}" for label, value in labels.items() if value is not None}
    page = html.page(
        title=f"{concept.token} on {public(config.base)}",
        concept=concept,
        sections=[("True pictures, a known word, the new word", sheet)],
        facts={"judge": judge.name, **facts},
    )
    contents = (charts.encoded(sheet, "PNG"), f"{numbers}\n".encode(), page)
    return tuple(out.write(name, data) for name, data in zip(FILES, contents, strict=True))
