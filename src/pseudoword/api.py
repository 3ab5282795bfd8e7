"""The public functions, one per command and of the same name. `pseudoword` re-exports them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from pseudoword import families, formats
from pseudoword.concept import Concept
from pseudoword.config import DrawConfig, TrainConfig
from pseudoword.errors import PseudowordError
from pseudoword.generation import generate as _generate
from pseudoword.inject import split
from pseudoword.inspection import Base, Inspection, known_bases, look_at
from pseudoword.learn import Trained, learn
from pseudoword.progress import Progress, Silent
from pseudoword.showcase import Demo, run_demo

__all__ = [
    "Base",
    "Concept",
    "Demo",
    "Inspection",
    "PseudowordError",
    "Trained",
    "bases",
    "demo",
    "generate",
    "inspect",
    "train",
    "train_pack",
]


def train(
    pictures: str | Path | Sequence[str | Path],
    token: str,
    *,
    restart: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Trained:
    """Learn the new word `token` from `pictures` (a folder, or several files).

    Called again with the same settings it resumes, or returns what it had finished.

    Args:
        pictures: a folder, or several files.
        token: the placeholder, for example `<my-cat>`.
        restart: forget what the output folder holds, and begin again.
        progress: told what is going on.
        **settings: any other field of `pseudoword.config.TrainConfig`.

    Raises:
        PseudowordError: anything the user can put right.
    """
    several = [pictures] if isinstance(pictures, str | Path) else list(pictures)
    config = TrainConfig.check(pictures=several, token=token, **settings)
    return train_pack([config], restart=restart, progress=progress)[0]


def train_pack(
    configs: Sequence[TrainConfig], *, restart: bool = False, progress: Progress | None = None
) -> list[Trained]:
    """Learn several words in one pack: each step takes a batch of every word at once.

    Each word comes out as if it had been learned alone, up to the rounding of float arithmetic.

    Raises:
        PseudowordError: as `train`; also if the words do not share base, batch and resolution.
    """
    return learn(configs, progress or Silent(), restart)


def generate(
    prompt: str,
    *,
    concept: str | Path | Concept | Sequence[str | Path | Concept] = (),
    progress: Progress | None = None,
    **settings: Any,
) -> list[Image]:
    """Draw `prompt`, in which the tokens of all given concepts are known.

    Args:
        prompt: the text; so may be the `negative` setting, and concepts work in both.
        concept: one or several: a file, a run's folder, or a `Concept`.
        progress: told what is going on, and when a concept is not mentioned at all.
        **settings: any field of `pseudoword.config.DrawConfig`.

    Returns:
        `n` pictures; picture i is drawn with seed + i, whatever n is.

    Raises:
        PseudowordError: a file, width, prompt or setting does not work; the message says which.
    """
    config = DrawConfig.check(**settings)
    several = [concept] if isinstance(concept, str | Path | Concept) else list(concept)
    concepts = [c if isinstance(c, Concept) else formats.read(Path(c)) for c in several]
    told = progress or Silent()
    for word in concepts:
        if word.token not in split(prompt, [word.token]) + split(config.negative, [word.token]):
            told.note(f"{word.token} is in neither prompt, so it changes nothing")
    told.phase(f"loading {config.base}")
    family = families.load(config.base, config.device, config.dtype)
    told.phase("drawing")
    return _generate(
        family,
        [prompt] * config.n,
        concepts,
        seeds=[config.seed + i for i in range(config.n)],
        negative=config.negative,
        guidance=config.guidance,
        sampler_steps=config.sampler_steps,
        resolution=config.resolution,
    )


def inspect(file: str | Path, *, base: str | None = None) -> Inspection:
    """Say what a concept file (or a run's folder) holds.

    Args:
        file: the file or folder.
        base: a base model, to compare norms with and to find the nearest vocabulary tokens in.

    Raises:
        PseudowordError: the file holds no concept, or `base` does not fit it.
    """
    return look_at(Path(file), base)


def bases() -> list[Base]:
    """The base models that come with the package."""
    return known_bases()


def demo(
    out: str | Path = "demo", *, restart: bool = False, progress: Progress | None = None
) -> Demo:
    """Learn a concept the bundled model has never seen, and show it before and after.

    Writes `before_after.png`, `loss.png`, `report.html` and `concept.safetensors` into `out`.
    """
    return run_demo(Path(out), progress or Silent(), restart)
