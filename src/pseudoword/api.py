"""The public functions, one per command and of the same name. `pseudoword` re-exports them.

Each checks its settings and hands them to a command. The command line has checked them before it
imports this file, so it calls `train_pack` and what is imported here `as` itself. So does the page
in the browser; what it needs of pictures and formats besides is imported here likewise.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL.Image import Image

from pseudoword.benchmark.comparison import Comparison
from pseudoword.benchmark.comparison import compare as compare
from pseudoword.commands.bases import Base, bundled_bases
from pseudoword.commands.convert import convert_file
from pseudoword.commands.demo import Demo, learn_demo
from pseudoword.commands.evaluate import Evaluation
from pseudoword.commands.evaluate import evaluate_word as evaluate_word
from pseudoword.commands.gallery import Gallery, make_gallery
from pseudoword.commands.generate import Concepts
from pseudoword.commands.generate import draw_files as draw_files
from pseudoword.commands.generate import draw_pictures as draw_pictures
from pseudoword.commands.generate import free_memory as free_memory
from pseudoword.commands.generate import load_base as load_base
from pseudoword.commands.inspect import Inspection, inspect_file
from pseudoword.commands.prepare import Prepared
from pseudoword.commands.prepare import prepare_pictures as prepare_pictures
from pseudoword.commands.push import Pushed, push_run
from pseudoword.concept import Concept
from pseudoword.config import (
    BenchConfig,
    EvaluateConfig,
    GenerateConfig,
    PlanConfig,
    PrepareConfig,
    TrainConfig,
)
from pseudoword.data.images import decode as decode
from pseudoword.data.images import open_picture as open_picture
from pseudoword.data.picture_files import SUFFIXES as SUFFIXES
from pseudoword.errors import PseudowordError
from pseudoword.formats import WRITERS as WRITERS
from pseudoword.formats import EmbeddingFile as EmbeddingFile
from pseudoword.formats import encode as encode
from pseudoword.formats import read_all as read_all
from pseudoword.formats import read_bytes as read_bytes
from pseudoword.formats import with_token as with_token
from pseudoword.formats.infotext import SAMPLERS as SAMPLERS
from pseudoword.formats.infotext import read_infotext as read_infotext
from pseudoword.formats.keys import families_of as families_of
from pseudoword.lookup import path_argument
from pseudoword.progress import Progress, Silent
from pseudoword.report.picture_output import encode_picture as encode_picture
from pseudoword.runs.requests import ask as ask
from pseudoword.runs.runner import Trained, learn
from pseudoword.training.memory_plan import Plan
from pseudoword.training.memory_plan import plan_memory as plan_memory

__all__ = [
    "Base",
    "Comparison",
    "Concept",
    "Demo",
    "Evaluation",
    "Gallery",
    "Inspection",
    "Plan",
    "Prepared",
    "PseudowordError",
    "Pushed",
    "Trained",
    "bases",
    "bench",
    "convert",
    "demo",
    "evaluate",
    "gallery",
    "generate",
    "inspect",
    "plan",
    "prepare",
    "push",
    "train",
    "train_pack",
]


def train(
    pictures: str | Path | Sequence[str | Path] | None = None,
    token: str | None = None,
    *,
    config: str | Path | None = None,
    restart: bool = False,
    allow_changes: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Trained:
    """Learn the new word `token` from `pictures` (a folder, or several files).

    Called again with the same settings it resumes, or returns what it had finished.

    Args:
        pictures: a folder, or several files.
        token: the placeholder, for example `<my-cat>`.
        config: a TOML file of settings, such as a run's `config.toml`; what is given beside it
            counts more.
        restart: forget what a run has left in the output folder, and begin again.
        allow_changes: go on with a run although its settings or pictures have changed.
        overwrite: replace files in the output folder that no run has written.
        progress: told what is going on.
        **settings: any other field of `pseudoword.config.TrainConfig`, also by the name that
            another trainer has for it (`config.aliases`).

    Raises:
        PseudowordError: anything the user can put right.
    """
    if pictures is not None:
        settings["pictures"] = pictures
    if token is not None:
        settings["token"] = token
    file = path_argument(config, "--config") if config is not None else None
    (done,) = train_pack(
        [TrainConfig.gather(file, **settings)],
        restart=restart,
        allow_changes=allow_changes,
        overwrite=overwrite,
        progress=progress,
    )
    return done


def train_pack(
    configs: Sequence[TrainConfig],
    *,
    restart: bool = False,
    allow_changes: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Trained]:
    """Learn several words in one pack: each step takes a batch of every word at once.

    Each word comes out as if it had been learned alone, up to the rounding of float arithmetic.

    Raises:
        PseudowordError: as `train`; also if the words do not share base, batch and resolution.
    """
    return learn(configs, progress or Silent(), restart, allow_changes, overwrite)


def generate(
    prompt: str,
    *,
    concept: Concepts = (),
    token: str | Sequence[str | None] | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> list[Image]:
    """Draw `prompt`, in which the tokens of all given concepts are known.

    Args:
        prompt: the text; so may be the `negative` setting, and concepts work in both.
        concept: one or several: any embedding file, a run's folder, a hub id, `FILE=TOKEN`, or a
            `Concept`. A file of several words gives them all.
        token: what to call the concept in the prompts; of a file of several words, which one. For
            several concepts one entry each, `None` to leave a name as it is.
        progress: told what is going on, and when a concept is not mentioned at all.
        **settings: any field of `pseudoword.config.GenerateConfig`.

    Returns:
        `n` pictures; picture i is drawn with seed + i, whatever n is.

    Raises:
        PseudowordError: a file, width, prompt or setting does not work; the message says which.
    """
    config = GenerateConfig.check(**settings)
    return draw_pictures(prompt, config, concept, token, progress or Silent())


def inspect(file: str | Path, *, base: str | None = None, token: str | None = None) -> Inspection:
    """Say what an embedding file holds, which models it fits, and what other tools do with it.

    Args:
        file: any embedding file, a run's folder, or a hub id.
        base: a base model, to compare norms with and to find the nearest vocabulary tokens in.
        token: of a file of several words, which one; by default the first.

    Raises:
        PseudowordError: the file holds no concept, or `base` does not fit it.
    """
    return inspect_file(file, base, token)


def convert(
    source: str | Path,
    out: str | Path,
    *,
    format: str | None = None,
    token: str | None = None,
    picture: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Write an embedding in another tool's format, every vector as it was.

    A layered word becomes an ordinary one where the format knows no layers: the mean of its rows.

    Args:
        source: any embedding file, a run's folder, or a hub id.
        out: the file to write; or a folder, for every word of `source` in a file of its own, with
            a number behind its name where another file has that name.
        format: a name in `pseudoword.formats.WRITERS`; by default what the ending of `out` says.
        token: what to call the word; of a file of several words, which one.
        picture: what a format in a picture shows; by default a card with the word on it.
        overwrite: replace what is there.
        progress: told if a layered word became an ordinary one.

    Returns:
        The files that were written, or were there with the same bytes; diffusers' form of an SDXL
        word has two.

    Raises:
        PseudowordError: the file cannot be read, the format cannot hold its word, or another file
            is there.
    """
    shown = path_argument(picture, "--picture") if picture is not None else None
    return convert_file(
        source, path_argument(out, "OUT"), format, token, shown, overwrite, progress
    )


def gallery(
    folder: str | Path, *, out: str | Path | None = None, overwrite: bool = False
) -> Gallery:
    """List all embeddings in a folder and draw them on one contact sheet.

    Args:
        folder: searched with all folders in it.
        out: the contact sheet; by default `gallery.png` in the folder.
        overwrite: replace what is there, although it is no earlier sheet of this folder.

    Raises:
        PseudowordError: there is no such folder, or the sheet cannot be written.
    """
    searched = path_argument(folder, "DIR")
    sheet = path_argument(out, "--out") if out is not None else searched / "gallery.png"
    return make_gallery(searched, sheet, overwrite)


def prepare(
    pictures: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    caption_model: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Prepared:
    """Show what `train` would see of `pictures`: crops, masks and captions; and suggest settings.

    Args:
        pictures: a folder, or several files.
        out: the contact sheet; by default `contact-sheet.png` or, where that shows something else,
            `contact-sheet-2.png` and so on.
        caption_model: an image captioning model of transformers (a folder or hub id), which writes
            a `.txt` beside each picture that has none.
        overwrite: replace what is there, although it is no earlier sheet of these pictures.
        progress: told what is going on.
        **settings: any other field of `pseudoword.config.PrepareConfig`; same as for `train`.

    Raises:
        PseudowordError: a picture, setting or model does not work; the message says which.
    """
    config = PrepareConfig.check(pictures=pictures, **settings)
    sheet = path_argument(out, "--out") if out is not None else None
    return prepare_pictures(config, sheet, caption_model, progress or Silent(), overwrite)


def push(folder: str | Path, to: str, *, private: bool = False, overwrite: bool = False) -> Pushed:
    """Publish a run's word on the Hugging Face hub, with a model card.

    Args:
        folder: a run's folder, or an embedding file.
        to: the repository, for example `your-name/my-cat`; it is made if it is not there.
        private: make it one that only you can see.
        overwrite: replace files in the repository that are not of an earlier version of the word.

    Raises:
        PseudowordError: there is no word, or the hub does not take it.
    """
    return push_run(path_argument(folder, "DIR"), to, private, overwrite)


def evaluate(
    concept: str | Path | Concept,
    pictures: str | Path | Sequence[str | Path],
    *,
    token: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Evaluation:
    """Measure how near a word's pictures are to true ones, and to what the prompt asked for.

    Args:
        concept: any embedding file, a run's folder, a hub id, or a `Concept`.
        pictures: true pictures, best ones that the word was not learned from.
        token: of a file of several words, which one.
        overwrite: replace files in the output folder, although they are of no earlier evaluation of
            this word by these pictures.
        progress: told what is going on.
        **settings: any other field of `pseudoword.config.EvaluateConfig`.

    Raises:
        PseudowordError: a file, a picture or a setting does not work; the message says which.
    """
    config = EvaluateConfig.check(pictures=pictures, **settings)
    return evaluate_word(concept, token, config, progress or Silent(), overwrite)


def bench(
    *, overwrite: bool = False, progress: Progress | None = None, **settings: Any
) -> Comparison:
    """Compare settings of `train` on words whose right pictures are known.

    The bundled base model has never seen forty things and one style whose drawings are here. They
    are learned, asked for in other styles, places and company, and compared with the truth.

    Args:
        overwrite: replace files in the output folder that no benchmark has written.
        progress: told what is going on.
        **settings: any field of `pseudoword.config.BenchConfig`.

    Raises:
        PseudowordError: a setting does not work, or the folder holds another benchmark.
    """
    return compare(BenchConfig.check(**settings), progress or Silent(), overwrite)


def plan(**settings: Any) -> Plan:
    """Say how much memory a base model needs to train with and to draw, without loading it.

    Args:
        **settings: any field of `pseudoword.config.PlanConfig`; `base` may also be `sd1`, `sd2` or
            `sdxl`, for the published sizes.

    Raises:
        PseudowordError: the base is not known, or the resolution does not work with it.
    """
    return plan_memory(PlanConfig.check(**settings))


def bases() -> list[Base]:
    """The base models that come with the package."""
    return bundled_bases()


def demo(
    out: str | Path = "demo",
    *,
    restart: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Demo:
    """Learn a concept the bundled model has never seen, and show it before and after.

    Writes `before_after.png`, `loss.png`, `report.html` and `concept.safetensors` into `out`.
    """
    return learn_demo(path_argument(out, "--out"), progress or Silent(), restart, overwrite)
