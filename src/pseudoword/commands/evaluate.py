"""`evaluate`: how similar a word's pictures are to true pictures, and to their prompts.

These are the two similarities of DreamBooth's evaluation (Ruiz et al. 2022, arXiv 2208.12242). For
the similarity to prompts, a known word replaces the new one in the prompts.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor

from pseudoword import locks, lookup
from pseudoword.benchmark.image_similarity import BUNDLED, SimilarityModel
from pseudoword.concept import Concept
from pseudoword.config import EvaluateConfig
from pseudoword.config.base_choice import BUNDLED as BUNDLED_BASES
from pseudoword.data import images, picture_files, prompt_checks
from pseudoword.data.captions import render
from pseudoword.formats import native, sources
from pseudoword.models import base_model
from pseudoword.models.compatibility import remarks
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.models.toward import init_words
from pseudoword.outputs import Outputs, check_not_input, maker_of
from pseudoword.placeholders import as_written, delimited
from pseudoword.progress import Progress
from pseudoword.report import grids, html, picture_output
from pseudoword.runs.folder import RunFolder
from pseudoword.text import listed, public, version

NEEDED_PX = 1024
"""Pictures are read at about this size. Similarity models take smaller ones."""

CELL_PX, MAX_CELLS = 160, 24
"""Size of the true pictures on the contact sheet, and how many there are at most."""

MAX_LISTED = 5
"""A message lists at most this many pictures."""

FILES = ("evaluation.png", "evaluation.json", "report.html")


@dataclass(frozen=True)
class Similarities:
    """Mean cosines in [-1, 1]; higher is more similar. `None` could not be measured."""

    image: float
    """pictures of the word, to the true ones"""
    image_known: float | None
    """pictures of a known word, to the true ones"""
    image_true: float | None
    """the true pictures, to each other"""
    text: float | None
    """pictures of the word, to their prompts with the known word in its place"""
    text_known: float | None
    """pictures of the known word, to their prompts"""


@dataclass(frozen=True)
class Evaluation:
    """The similarities of a word's pictures, and the files that show them."""

    concept: Concept
    similarities: Similarities
    files: tuple[Path, ...]


def evaluate_word(
    file: str | Path | Concept,
    token: str | None,
    config: EvaluateConfig,
    progress: Progress,
    family: Family | None = None,
    *,
    overwrite: bool,
) -> Evaluation:
    """Draw, compare and report; the public `evaluate`. `family` is the base model, if loaded."""
    concept = sources.read_one(file, token)
    digest = hashlib.sha256(native.dump(concept)).hexdigest()
    out = Outputs(config.out, maker_of("evaluate", config.out, digest, *config.pictures))
    check_not_input(config.out, config.pictures)
    out.check(FILES, overwrite=overwrite)
    paths = _once(picture_files.find(config.pictures, progress.note), progress)
    _note_what_is_measured(file, paths, config, progress)
    with locks.lock_folder(config.out):
        out.check(FILES, overwrite=overwrite)  # again, as another evaluation may just have ended
        return _evaluate(concept, paths, config, out, progress, family)


def _evaluate(
    concept: Concept,
    paths: Sequence[Path],
    config: EvaluateConfig,
    out: Outputs,
    progress: Progress,
    family: Family | None,
) -> Evaluation:
    known = config.compare_with or init_words(concept)
    progress.phase(f"loading {config.base}")
    model = SimilarityModel(config.similarity_model or BUNDLED)
    true_features, true_pictures = _true_pictures(paths, model)
    family = family or base_model.load(config, progress.note)
    for said in remarks(concept, family):
        progress.note(said)
    _note_prompts(family, concept, config, progress)
    with_word = _draw(family, concept, delimited(concept.token), config, progress)
    with_known = _draw(family, concept, known, config, progress) if known else []
    if not known:
        progress.note("nothing to compare with: give a known word of the same kind, --compare-with")
    texts = (
        [render(line, known) for line in config.prompt for _ in range(config.n)] if known else []
    )
    similarities = _similarities(model, true_features, with_word, with_known, texts)
    sheet = grids.before_after(
        true_pictures,
        [render(line, "…") for line in config.prompt],
        with_known[:: config.n],
        with_word[:: config.n],
        known,
        concept.token,
        are="true pictures",
    )
    measured = _measured(family, known, len(paths), config)
    files = _write(out, concept, known, measured, model.name, sheet, similarities)
    return Evaluation(concept, similarities, files)


def _once(paths: Sequence[Path], progress: Progress) -> list[Path]:
    """The pictures, without copies: each would count as one more."""
    first: dict[str, Path] = {}
    copies = [path for path in paths if first.setdefault(_content(path), path) != path]
    if copies:
        progress.note(f"copies of other pictures, left out: {listed(copies, MAX_LISTED)}")
    return list(first.values())


def _note_what_is_measured(
    file: str | Path | Concept, paths: Sequence[Path], config: EvaluateConfig, progress: Progress
) -> None:
    """Note where the figures say less than they seem to."""
    if config.similarity_model is None and config.base not in BUNDLED_BASES:
        progress.note(
            "the bundled similarity model knows only what the bundled base model draws; for other "
            "pictures give --similarity-model, such as openai/clip-vit-base-patch32"
        )
    if isinstance(file, Concept):
        return
    place = Path(lookup.split_token(file, "")[0])
    run = RunFolder(place if place.is_dir() else place.parent)
    learned = set(map(_content, run.learned_from()))
    if seen := [path for path in paths if _content(path) in learned]:
        progress.note(
            f"the word was learned from {listed(seen, MAX_LISTED)}, so it looks better than it "
            "is. Measure with pictures that it was not learned from."
        )


def _content(path: Path) -> str:
    """A hash of the file; its name where it cannot be read, which is told when it is opened."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return str(path)


def _note_prompts(
    family: Family, concept: Concept, config: EvaluateConfig, progress: Progress
) -> None:
    """Note what of the prompts is not read, or not as it may be meant."""
    counts = {concept.token: concept.length}
    prompts = {
        f"--prompt {line!r}": render(line, delimited(concept.token)) for line in config.prompt
    }
    prompt_checks.check_prompts(family, prompts, counts, progress.note)


def _draw(
    family: Family, concept: Concept, word: str, config: EvaluateConfig, progress: Progress
) -> list[Image]:
    """`config.n` pictures for each prompt, with `word` in the place of [name]."""
    progress.phase(f"drawing {as_written(word)}")
    return generate(
        family,
        [render(line, word) for line in config.prompt for _ in range(config.n)],
        [concept],
        seeds=[config.seed + i for i in range(config.n)] * len(config.prompt),
        guidance=config.guidance,
        sampler_steps=config.sampler_steps,
        advance=progress.advance,
    )


def _similarities(
    model: SimilarityModel,
    true: Tensor,
    with_word: Sequence[Image],
    with_known: Sequence[Image],
    texts: Sequence[str],
) -> Similarities:
    """Compare pictures with the true features `[N, D]` and with their texts.

    `with_known` and `texts` are empty if there is no known word.
    """

    def to_true(pictures: Sequence[Image]) -> float:
        return float((model.features(pictures) @ true.T).mean())

    with_text = model.reads_text and bool(texts)
    return Similarities(
        image=to_true(with_word),
        image_known=to_true(with_known) if with_known else None,
        image_true=_mean_of_pairs(true),
        text=model.text_similarity(with_word, texts) if with_text else None,
        text_known=model.text_similarity(with_known, texts) if with_text else None,
    )


def _true_pictures(paths: Sequence[Path], model: SimilarityModel) -> tuple[Tensor, list[Image]]:
    """Features `[N, D]` of the true pictures, and small copies of the first ones.

    Pictures are read one at a time, to save memory.
    """
    features: list[Tensor] = []
    small: list[Image] = []
    for path in paths:
        picture = images.open_picture(path, needed_px=NEEDED_PX)
        features.append(model.features([picture]))
        if len(small) < MAX_CELLS:
            small.append(grids.in_square(picture, CELL_PX))
    return torch.cat(features), small


def _mean_of_pairs(features: Tensor) -> float | None:
    """Mean cosine of all pairs of pictures; None if there is only one picture."""
    if len(features) < 2:
        return None
    pairs = features @ features.T
    return float(pairs[~torch.eye(len(pairs), dtype=torch.bool)].mean())


def _measured(
    family: Family, known: str, true_pictures: int, config: EvaluateConfig
) -> dict[str, Any]:
    """What was measured, and how: what one needs to measure it again."""
    usual = family.defaults
    steps, guidance = config.sampler_steps, config.guidance
    return {
        "known_word": known or None,
        "base": public(config.base),
        "true_pictures": true_pictures,
        "prompts": list(config.prompt),
        "pictures_per_prompt": config.n,
        "seed": config.seed,
        "sampler_steps": usual.sampler_steps if steps is None else steps,
        "guidance": usual.guidance if guidance is None else guidance,
        "dtype": str(family.dtype).removeprefix("torch."),
        "version": version(),
    }


def _in_words(measured: Mapping[str, Any]) -> str:
    return (
        f"{measured['true_pictures']} true pictures; {len(measured['prompts'])} prompts, "
        f"{measured['pictures_per_prompt']} pictures each, from seed {measured['seed']}; "
        f"{measured['sampler_steps']} sampler steps, guidance {measured['guidance']:g}, "
        f"{measured['dtype']}"
    )


def _write(
    out: Outputs,
    concept: Concept,
    known: str,
    measured: Mapping[str, Any],
    model_name: str,
    sheet: Image,
    similarities: Similarities,
) -> tuple[Path, ...]:
    figures = {"judge": model_name, **asdict(similarities)}
    numbers = json.dumps(figures | {"word": concept.token, **measured}, indent=2)
    labels = {
        f"pictures of {concept.token}, to the true ones": similarities.image,
        f"pictures of “{known}”, to the true ones": similarities.image_known,
        "the true ones, to each other": similarities.image_true,
        f"pictures of {concept.token}, to their prompts": similarities.text,
        f"pictures of “{known}”, to their prompts": similarities.text_known,
    }
    facts = {label: f"{value:.3f}" for label, value in labels.items() if value is not None}
    page = html.page(
        title=f"{concept.token} on {measured['base']}",
        concept=concept,
        sections=[("True pictures, a known word, the new word", sheet)],
        facts={"similarity model": model_name, **facts, "how": _in_words(measured)},
    )
    contents = (picture_output.encode_picture(sheet, "PNG"), f"{numbers}\n".encode(), page)
    return tuple(out.write(name, data) for name, data in zip(FILES, contents, strict=True))
