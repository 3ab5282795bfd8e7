"""The public functions: one for each command, of its name, and `load`. `pseudoword` has them all.

    word = pseudoword.train("my-pictures", "<toy>", init="toy")
    (picture,) = pseudoword.generate("a photo of <toy>", concept=word.concept)

Each checks its settings, and passes them to a command in `commands`. What a function takes beside
its own arguments, its `settings`, are the fields of a class in `pseudoword.config`, which has their
types, defaults and help. Whatever a user can put right is a `PseudowordError`; each subclass in
`pseudoword.errors` says what kind of thing is wrong. An argument of another type is a
`SettingsError`.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, Unpack

from PIL.Image import Image

from pseudoword.arguments import checked
from pseudoword.benchmark.comparison import Comparison, compare
from pseudoword.commands.bases import Base, bundled_bases
from pseudoword.commands.convert import convert_file
from pseudoword.commands.demo import Demo, learn_demo
from pseudoword.commands.environment import Environment, describe_environment
from pseudoword.commands.evaluate import Evaluation, evaluate_word
from pseudoword.commands.gallery import Gallery, make_gallery
from pseudoword.commands.generate import Concepts, draw_pictures
from pseudoword.commands.inspect import Inspection, inspect_file
from pseudoword.commands.load import Loaded, load_base, settings_and_base
from pseudoword.commands.prepare import Prepared, prepare_pictures
from pseudoword.commands.push import Pushed, push_run
from pseudoword.commands.queue import steer_queue
from pseudoword.commands.submit import submit_words
from pseudoword.commands.train_many import learn_many
from pseudoword.commands.work import work_through
from pseudoword.concept import Concept
from pseudoword.config import (
    BenchConfig,
    EvaluateConfig,
    GenerateConfig,
    LoadConfig,
    PlanConfig,
    PrepareConfig,
    Settings,
    TrainConfig,
    WorkConfig,
)
from pseudoword.config.written_files import is_folder
from pseudoword.errors import PseudowordError, SettingsError
from pseudoword.fleet.view import QueuedWord
from pseudoword.fleet.worker import Worked
from pseudoword.keywords import (
    BenchSettings,
    EvaluateSettings,
    GenerateSettings,
    LoadSettings,
    PlanSettings,
    PrepareSettings,
    TrainManySettings,
    TrainSettings,
    WorkSettings,
)
from pseudoword.lookup import path_argument
from pseudoword.progress import Progress, Silent
from pseudoword.report import word_sheet
from pseudoword.runs.finish import Trained
from pseudoword.runs.planned import Options
from pseudoword.runs.runner import learn
from pseudoword.training.memory_plan import Plan, plan_memory

S = TypeVar("S", bound=Settings)

__all__ = [
    "Base",
    "Comparison",
    "Concept",
    "Demo",
    "Environment",
    "Evaluation",
    "Gallery",
    "Inspection",
    "Loaded",
    "Plan",
    "Prepared",
    "PseudowordError",
    "Pushed",
    "QueuedWord",
    "Trained",
    "Worked",
    "bases",
    "bench",
    "convert",
    "demo",
    "env",
    "evaluate",
    "gallery",
    "generate",
    "inspect",
    "load",
    "plan",
    "prepare",
    "push",
    "queue",
    "submit",
    "train",
    "train_many",
    "train_pack",
    "work",
]


@checked
def train(
    pictures: str | Path | Iterable[str | Path] | None = None,
    token: str | None = None,
    *,
    config: str | Path | None = None,
    restart: bool = False,
    allow_changes: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Unpack[TrainSettings],
) -> Trained:
    """Learn the new word `token` from `pictures`, by textual inversion.

    The base model stays as it is; only the word's vectors are learned (Gal et al. 2022, arXiv
    2208.01618). Called again with the same settings, it resumes an unfinished run, or returns a
    finished one.

    Args:
        pictures: a folder, or several files.
        token: the placeholder token, for example `<my-cat>`.
        config: a TOML file of settings, such as a run's `config.toml`; other arguments override it.
        restart: remove the files of the run in the output folder, and begin again.
        allow_changes: resume a run although its settings or pictures have changed.
        overwrite: replace files in the output folder that no run has written.
        progress: shows what is going on.
        **settings: any other field of `pseudoword.config.TrainConfig`, also by the name that
            another trainer has for it (`config.other_trainers.aliases`), which type checkers do
            not know. `base` may be a model in memory (`load`).

    Returns:
        The run. Its `concept.vectors` holds, for each text encoder, float32 rows `[n, width]` on
        the CPU; its `folder` has the word as `concept.safetensors`.

    Raises:
        SettingsError: a setting is wrong, or does not work with the pictures or the model.
        PictureError: the pictures cannot be used.
        BaseModelError: the base model cannot be loaded.
        RunFolderError: the output folder is in use, or holds something else.
        TrainingError: the word cannot be learned. The last good one is in the folder.
        StoppedError: a file `stop.request` in the output folder asked for it; the state is saved.
        KeyboardInterrupt: on Ctrl-C and other signals, after the state is saved.
        PseudowordError: anything else that the user can put right.
    """
    given = {"pictures": pictures, "token": token}
    own = {name: value for name, value in given.items() if value is not None}
    options = Options(restart=restart, allow_changes=allow_changes, overwrite=overwrite)
    gather = partial(TrainConfig.gather, _optional_path(config, "--config"))
    with settings_and_base(gather, {**settings, **own}) as (one, family):
        (done,) = learn([_there(one)], progress or Silent(), options, family)
    return done


@checked
def train_pack(
    configs: Sequence[TrainConfig | Mapping[str, Any]],
    *,
    base: Loaded | None = None,
    restart: bool = False,
    allow_changes: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Trained]:
    """Learn several words at once: each step takes a batch of every word, or of up to 16.

    Words that do not share base, batch and resolution are in packs of their own. The result of
    each word is the same as if it were learned alone, up to float rounding.

    Args:
        configs: the settings of each word, as arguments of `train` or as a
            `pseudoword.config.TrainConfig`. Each needs an output folder of its own.
        base: the base model, if it is in memory already (`load`); `configs` need not name it.
        restart: as for `train`, for every word; so are the others.
        allow_changes: resume runs although their settings or pictures have changed.
        overwrite: replace files in the output folders that no run has written.
        progress: shows what is going on.

    Returns:
        The runs, in the order of `configs`.

    Raises:
        PseudowordError: as `train`. If a word fails in training, the others are finished first.
    """
    checked_configs = [_of_word(index, config) for index, config in enumerate(configs)]
    if base is not None:
        checked_configs = [base.completed(config) for config in checked_configs]
    for config in checked_configs:
        _there(config)
    options = Options(restart=restart, allow_changes=allow_changes, overwrite=overwrite)
    with nullcontext() if base is None else base.use() as family:
        return learn(checked_configs, progress or Silent(), options, family)


@checked
def train_many(
    folder: str | Path,
    out: str | Path,
    *,
    pack: int | None = None,
    config: str | Path | None = None,
    restart: bool = False,
    allow_changes: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Unpack[TrainManySettings],
) -> list[Trained]:
    """Learn a word from each folder in `folder`: `cat/` teaches `<cat>`. Or those of a list.

    Called again, it goes on: words that are finished are left as they are. A word that fails stops
    no other one.

    Args:
        folder: has a folder of pictures for each word, called as the word; or a TOML list of
            concepts, each with settings of its own.
        out: gets a folder for each word, with what `train` writes.
        pack: how many words are learned at once, in one batch; by default as many as memory has
            room for, up to 16.
        config: a TOML file of settings; other arguments override it.
        restart: as for `train`, for every word.
        allow_changes: resume runs although their settings or pictures have changed.
        overwrite: replace files in the folders of the words that no run has written.
        progress: shows what is going on.
        **settings: any field of `pseudoword.config.TrainConfig` but `pictures`, `token` and `out`;
            they hold for all words.

    Returns:
        The runs, in the order of the list, or of the folders' names.

    Raises:
        PseudowordError: a setting does not work, or no folder does, and nothing was begun.
        TrainingError: some words failed. The message names each, and the others are finished.
    """
    return learn_many(
        path_argument(folder, "FOLDER"),
        path_argument(out, "--out"),
        pack,
        _optional_path(config, "--config"),
        settings,
        progress or Silent(),
        options=Options(restart=restart, allow_changes=allow_changes, overwrite=overwrite),
    )


@checked
def submit(
    queue: str | Path,
    *folders: str | Path,
    config: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Unpack[TrainManySettings],
) -> list[str]:
    """Put a word of each folder in `folders` into a queue, for workers to learn.

    The pictures are copied into the queue. What is submitted twice is one word.

    Args:
        queue: a folder that all workers share, or `s3://bucket/path`; made if it is not there.
        *folders: each has a folder of pictures for each word, called as the word.
        config: a TOML file of settings; other arguments override it.
        progress: shows what is going on.
        **settings: any field of `pseudoword.config.TrainConfig` but `pictures`, `token` and `out`;
            they hold for all words.

    Returns:
        The names of the words that are new in the queue.

    Raises:
        PseudowordError: a folder, a setting or the queue does not work; nothing was submitted.
    """
    return submit_words(
        queue,
        [path_argument(folder, "FOLDER") for folder in folders],
        _optional_path(config, "--config"),
        settings,
        progress or Silent(),
    )


@checked
def work(
    queue: str | Path, *, progress: Progress | None = None, **settings: Unpack[WorkSettings]
) -> Worked:
    """Be a worker of a queue: learn words until all are done.

    Start as many workers as there are machines or GPUs. A worker may be killed at any instant: the
    others go on with its words.

    Args:
        queue: as `submit` takes it.
        progress: shows what is going on.
        **settings: any field of `pseudoword.config.WorkConfig`, such as `pack`, the most words
            that are learned at once.

    Returns:
        The names of the words that were learned here, and why others failed.

    Raises:
        PseudowordError: a setting is wrong, the queue cannot be reached, or the disk is full.
    """
    return work_through(queue, WorkConfig.check(**settings), progress or Silent())


@checked
def queue(
    queue: str | Path,
    *,
    retry: str | Sequence[str] = (),
    cancel: str | Sequence[str] = (),
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> list[QueuedWord]:
    """Say what is in a queue: what waits, runs, is done, failed or was cancelled.

    Args:
        queue: as `submit` takes it.
        retry: names of words that failed or were cancelled, to be learned from the beginning; or
            `all` that failed.
        cancel: names of words that are not to be learned; or `all`.
        out: a folder that gets the folder of the run of each word that is done.
        progress: shows what is going on.

    Returns:
        All words of the queue, by name, as they are after what was asked for.

    Raises:
        PseudowordError: there is no such queue or word, or a folder cannot be written.
    """
    return steer_queue(
        queue,
        [retry] if isinstance(retry, str) else retry,
        [cancel] if isinstance(cancel, str) else cancel,
        _optional_path(out, "--out"),
        progress or Silent(),
    )


@checked
def load(
    base: str | Path = "emoji",
    *,
    progress: Progress | None = None,
    **settings: Unpack[LoadSettings],
) -> Loaded:
    """Put a base model into memory, for several calls: loading a large one takes long.

        model = pseudoword.load("stable-diffusion-v1-5/stable-diffusion-v1-5")
        word = pseudoword.train("my-pictures", "<toy>", base=model)
        (picture,) = pseudoword.generate("a photo of <toy>", concept=word.concept, base=model)

    Args:
        base: the model, as everywhere: bundled, a folder, a file, or a hub id.
        progress: shows what is going on.
        **settings: any other field of `pseudoword.config.LoadConfig`, such as `device`.

    Returns:
        The model, as `base` of `train`, `train_pack`, `generate` and `evaluate`. It leaves memory
        when nobody holds it any more.

    Raises:
        SettingsError: a setting is wrong, or there is no such device.
        BaseModelError: the model cannot be loaded.
    """
    return load_base(_there(LoadConfig.check(base=base, **settings)), progress or Silent())


@checked
def generate(
    prompt: str,
    *,
    concept: Concepts = (),
    token: str | Sequence[str | None] | None = None,
    progress: Progress | None = None,
    **settings: Unpack[GenerateSettings],
) -> list[Image]:
    """Draw `prompt`, which may hold the tokens of the concepts.

    Args:
        prompt: the text. Concepts work in the negative prompt (`negative`), too.
        concept: one or several: any embedding file, a run's folder, a hub id, `FILE=TOKEN`, or a
            `Concept`. Of a file of several words, all are used.
        token: a new token for the concept; of several words, which one to use. For
            several concepts, one entry each; None keeps a token.
        progress: shows what is going on, and reports concepts that are in no prompt.
        **settings: any field of `pseudoword.config.GenerateConfig`. `base` may be a model in
            memory (`load`).

    Returns:
        `n` pictures in RGB; picture i is drawn with seed + i, whatever n is. The `info` of each
        says how it was drawn, and is saved with it in a PNG.

    Raises:
        SettingsError: a setting is wrong, or does not work with the model.
        ConceptError: a file holds no concept, or one that does not fit the model.
        PromptError: the prompt cannot be used as it is written.
        BaseModelError: the base model or a LoRA cannot be loaded.
    """
    with settings_and_base(GenerateConfig.check, settings) as (config, family):
        return draw_pictures(prompt, _there(config), concept, token, progress or Silent(), family)


@checked
def inspect(
    file: str | Path, *, base: str | Path | None = None, token: str | None = None
) -> Inspection:
    """Describe an embedding file: its word, the models it fits, and what other tools do with it.

    Args:
        file: any embedding file, a run's folder, or a hub id.
        base: a base model, to compare norms and find the nearest vocabulary tokens.
        token: of several words, which one; by default the first.

    Returns:
        The description; `model_dump()` makes it plain values for JSON.

    Raises:
        ConceptError: the file holds no such concept, or `base` does not fit it.
        SettingsError: `base` is empty.
        BaseModelError: `base` cannot be loaded.
    """
    return inspect_file(file, base, token)


@checked
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
    """Write an embedding in another tool's format, with unchanged vectors.

    In a format without layers, a layered word becomes an ordinary one: the mean of its rows.

    Args:
        source: any embedding file, a run's folder, a hub id, or `FILE=TOKEN`.
        out: the file to write; or a folder, for a file for each word of `source`. A file gets a
            number after its name if another file has the name. A text that ends in a slash is a
            folder, dots or not.
        format: a name in `pseudoword.formats.WRITERS`; by default the one for the suffix of `out`.
        token: a new token for the word; of several words, which one to write.
        picture: the picture for formats that are pictures; by default one with the token on it.
        overwrite: replace existing files.
        progress: reports when a layered word becomes an ordinary one.

    Returns:
        The files that were written, or exist with the same bytes. An SDXL word in diffusers'
        format has two files.

    Raises:
        ConceptError: the file cannot be read, or the format cannot hold its word.
        SettingsError: there is no such format, or an argument does not go with it.
        PictureError: the picture cannot be read.
        StorageError: a file exists already, or cannot be written.
    """
    return convert_file(
        source,
        path_argument(out, "OUT"),
        format,
        token,
        _optional_path(picture, "--picture"),
        progress or Silent(),
        into_folder=is_folder(out),
        overwrite=overwrite,
    )


@checked
def gallery(
    folder: str | Path, *, out: str | Path | None = None, overwrite: bool = False
) -> Gallery:
    """List all embeddings in a folder and draw them on one contact sheet.

    Args:
        folder: the folder; folders in it are searched, too.
        out: the contact sheet; by default `gallery.png` in the folder.
        overwrite: replace a file that is not an earlier contact sheet of this folder.

    Returns:
        The words, and which files could not be read, with the reasons.

    Raises:
        ConceptError: there is no such folder.
        SettingsError: `out` does not end as a picture does.
        StorageError: the sheet cannot be written.
    """
    searched = path_argument(folder, "DIR")
    sheet = _optional_path(out, "--out") or searched / word_sheet.FILE
    return make_gallery(searched, sheet, overwrite=overwrite)


@checked
def prepare(
    pictures: str | Path | Iterable[str | Path],
    *,
    out: str | Path | None = None,
    caption_model: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Unpack[PrepareSettings],
) -> Prepared:
    """Show what `train` would see of `pictures` (crops, masks, captions), and suggest settings.

    Args:
        pictures: a folder, or several files.
        out: the contact sheet; by default `contact-sheet.png`, or `contact-sheet-2.png` and so on
            if that is of other pictures.
        caption_model: an image captioning model for transformers (a folder or hub id); it writes a
            `.txt` file beside each picture that has no caption.
        overwrite: replace a file that is not an earlier contact sheet of these pictures.
        progress: shows what is going on.
        **settings: any other field of `pseudoword.config.PrepareConfig`; same as for `train`.

    Returns:
        Each picture as training would see it, its problems, and the suggested settings.

    Raises:
        SettingsError: a setting is wrong.
        PictureError: the pictures cannot be used.
        ConceptError: another word (`words`) cannot be read.
        BaseModelError: the base model's configs or the captioning model cannot be loaded.
        StorageError: the sheet cannot be written.
    """
    config = _there(PrepareConfig.check(pictures=pictures, **settings))
    sheet = _optional_path(out, "--out")
    return prepare_pictures(config, sheet, caption_model, progress or Silent(), overwrite=overwrite)


@checked
def push(
    folder: str | Path,
    to: str,
    *,
    token: str | None = None,
    private: bool = False,
    overwrite: bool = False,
) -> Pushed:
    """Publish a run's word on the Hugging Face hub, with a model card.

    Args:
        folder: a run's folder, or an embedding file.
        to: the repository, for example `your-name/my-cat`; it is created if it does not exist.
        token: what to call the word; of several, which one.
        private: create a repository that only you can see; one that is there must be so already.
        overwrite: replace files in the repository that are not of an earlier version of the word.

    Returns:
        The address of the repository, and the names of its files.

    Raises:
        ConceptError: there is no word in the folder, or there are several and none has this token.
        SettingsError: `to` is not the name of a repository.
        PseudowordError: the hub refuses, cannot be reached, or has something else there.
    """
    run = path_argument(folder, "DIR")
    return push_run(run, to, token, private=private, overwrite=overwrite)


@checked
def evaluate(
    concept: str | Path | Concept,
    pictures: str | Path | Iterable[str | Path],
    *,
    token: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **settings: Unpack[EvaluateSettings],
) -> Evaluation:
    """Measure how similar a word's pictures are to true pictures, and to their prompts.

    These are the two similarities of DreamBooth's evaluation (Ruiz et al. 2022, arXiv 2208.12242).

    Args:
        concept: any embedding file, a run's folder, a hub id, or a `Concept`.
        pictures: true pictures, if possible ones that the word was not learned from.
        token: of several words, which one.
        overwrite: replace files in the output folder that are not of an earlier evaluation of this
            word with these pictures.
        progress: shows what is going on.
        **settings: any other field of `pseudoword.config.EvaluateConfig`. `base` may be a model in
            memory (`load`).

    Returns:
        Mean cosines from -1 to 1, of the word and of a known one, and the files of the report.

    Raises:
        PseudowordError: a file, a picture or a setting does not work; the message says which.
    """
    given = {**settings, "pictures": pictures}
    with settings_and_base(EvaluateConfig.check, given) as (config, family):
        return evaluate_word(
            concept, token, _there(config), progress or Silent(), family, overwrite=overwrite
        )


@checked
def bench(
    *, overwrite: bool = False, progress: Progress | None = None, **settings: Unpack[BenchSettings]
) -> Comparison:
    """Compare settings of `train` on words whose true pictures are known.

    Drawings of forty things and one style come with the package; the bundled base model was not
    trained on them. They are learned, drawn in other styles, places and company, and compared with
    the true drawings.

    Args:
        overwrite: replace files in the output folder that a benchmark did not write.
        progress: shows what is going on.
        **settings: any field of `pseudoword.config.BenchConfig`.

    Returns:
        A table of things and one of styles, with a row for each of the settings compared.

    Raises:
        SettingsError: a setting does not work.
        BaseModelError: the base model or the similarity model cannot be loaded.
        RunFolderError: the folder holds another benchmark.
        StorageError: a file in it is of somebody else.
    """
    return compare(_there(BenchConfig.check(**settings)), progress or Silent(), overwrite=overwrite)


def plan(**settings: Unpack[PlanSettings]) -> Plan:
    """Plan how much memory a base model needs for training and drawing, without loading it.

    Args:
        **settings: any field of `pseudoword.config.PlanConfig`; `base` may also be `sd1`, `sd2` or
            `sdxl`, for the published sizes, and `device` a GPU that is not here, such as `cuda`.

    Returns:
        The bytes of each part, and the peaks of encoding, of a training step and of drawing.

    Raises:
        BaseModelError: the base is not known.
        SettingsError: a setting is wrong, or the resolution does not work with the base.
    """
    return plan_memory(_there(PlanConfig.check(**settings)))


def bases() -> list[Base]:
    """The base models that come with the package."""
    return bundled_bases()


def env() -> Environment:
    """What there is on this machine: versions, devices, extras. A report of a fault should say it.

    What is wrong with a device, or with a variable that names one, is a part of it.
    """
    return describe_environment()


@checked
def demo(
    out: str | Path = "demo",
    *,
    restart: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Demo:
    """Learn a concept that the bundled model has never seen, and draw it before and after.

    Args:
        out: gets `before_after.png`, `loss.png`, `report.html`, `concept.safetensors`, and what
            else `train` writes.
        restart: remove the files of an earlier demo there, and begin again.
        overwrite: replace files there that no demo has written.
        progress: shows what is going on.

    Returns:
        The concept, and how similar the pictures are to the true ones, before and after.

    Raises:
        SettingsError: `out` names no folder.
        RunFolderError: the folder is in use, or holds another run.
        StorageError: a file cannot be written.
    """
    return learn_demo(
        path_argument(out, "--out"), progress or Silent(), restart=restart, overwrite=overwrite
    )


def _of_word(index: int, config: TrainConfig | Mapping[str, Any]) -> TrainConfig:
    """The settings of a word of a pack; a mistake in them is told with its place."""
    if isinstance(config, TrainConfig):
        return config
    try:
        return TrainConfig.check(**config)
    except SettingsError as error:
        raise SettingsError(f"configs[{index}]: {error}") from None


def _there(settings: S) -> S:
    """The same settings; nothing is loaded for them if something that they name is missing."""
    settings.check_there()
    return settings


def _optional_path(argument: str | Path | None, flag: str) -> Path | None:
    """`path_argument`, for an argument that may be left out."""
    return None if argument is None else path_argument(argument, flag)
