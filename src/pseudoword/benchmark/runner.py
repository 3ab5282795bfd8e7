"""Run the benchmark's tasks: learn every word, draw every prompt, and score the pictures."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from pydantic import TypeAdapter, ValidationError

from pseudoword.benchmark.scoring import Score, Scorer, Scores
from pseudoword.benchmark.tasks import Task, TaskPrompt, write_training_pictures
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice, BenchConfig, TrainConfig
from pseudoword.config.variants import Variant
from pseudoword.data import examples
from pseudoword.errors import ConceptError, PictureError, PromptError, RunFolderError, SettingsError
from pseudoword.files import file_stem, read_regular
from pseudoword.formats.layers import for_other_tools
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.outputs import Outputs
from pseudoword.progress import Progress, Silent
from pseudoword.report import picture_output
from pseudoword.runs import checks
from pseudoword.runs.finish import Trained
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.planned import Options
from pseudoword.runs.runner import check, learn
from pseudoword.training.initialisation import turn

MAKER = "bench"
"""Names the benchmark in the records of its folders."""

LARGEST_NBYTES = 1024 * 1024
"""No file of a score is larger."""


@dataclass(frozen=True)
class VariantScores:
    """Scores of the words that were learned with the settings of a variant."""

    variant: Variant
    scores: Scores
    seconds: float
    """of training, all words together"""


class BenchmarkRun:
    """A base model, a scorer, and the folder that keeps all words, pictures and scores.

    What is in the folder already is not made again. So a run that was stopped goes on.
    """

    def __init__(
        self,
        family: Family,
        scorer: Scorer,
        config: BenchConfig,
        progress: Progress,
        overwrite: bool = False,
    ) -> None:
        self._family, self._scorer, self._config = family, scorer, config
        self._progress, self._overwrite = progress, overwrite
        self._out = config.out
        self._seeds = range(config.seed, config.seed + config.pictures_each)

    def score_baseline(self, name: str, tasks: Sequence[Task]) -> Scores:
        """Scores of known words: each task's `init_word`, without learning."""
        self._progress.phase(f"drawing {name}")
        scores = {}
        for done, task in enumerate(tasks, 1):
            folder = self._out / "anchors" / name
            scores[task.name] = self._draw_and_score(folder, task, task.init_word, [])
            self._progress.advance(done, len(tasks), task.name)
        return scores

    def score_variant(self, variant: Variant, tasks: Sequence[Task]) -> VariantScores:
        """Scores of the words that are learned with these settings."""
        scores, seconds = {}, 0.0
        for first in range(0, len(tasks), self._config.pack):
            pack = tasks[first : first + self._config.pack]
            trained = self.learn(variant, pack)
            seconds += sum(_training_seconds(word.folder) for word in trained)
            self._progress.phase(f"{variant.name}: drawing")
            for done, (task, word) in enumerate(zip(pack, trained, strict=True), 1):
                drawn = word.concept if variant.layers else for_other_tools(word.concept)
                concept = turn(self._family, drawn, variant.toward).first_rows(variant.rows)
                folder = self._out / file_stem(variant.name) / file_stem(task.name)
                scores[task.name] = self._draw_and_score(folder, task, concept.token, [concept])
                self._progress.advance(done, len(pack), task.name)
        return VariantScores(variant, scores, seconds)

    def check(self, variants: Sequence[Variant], task: Task) -> None:
        """Check what can be known of each variant before its turn, which may be hours away.

        Raises:
            SettingsError: one cannot be learned with; the message names it.
        """
        for variant in variants:
            try:
                (config,) = self._configs(variant, [task])
                planned = check(config, Silent(), Options(overwrite=self._overwrite))
                examples.check(planned.paths, config)
                checks.before_weights(config)
                checks.against_model(
                    self._family, config, planned.templates, Silent().note, 1, planned.others
                )
            except (SettingsError, PictureError, PromptError, ConceptError) as error:
                raise SettingsError(f"--compare {variant.name}: {error}") from error

    def learn(self, variant: Variant, tasks: Sequence[Task]) -> list[Trained]:
        """Learn a word for each task, in one pack; what is learned already is read."""
        self._progress.phase(f"{variant.name}: learning {', '.join(t.name for t in tasks)}")
        configs = self._configs(variant, tasks)
        return learn(configs, _StepsOnly(self._progress), Options(overwrite=self._overwrite))

    def _configs(self, variant: Variant, tasks: Sequence[Task]) -> list[TrainConfig]:
        """The settings of train for each task, whose pictures are written."""
        configs = []
        for task in tasks:
            stem = file_stem(task.name)
            defaults = {
                **{name: getattr(self._config, name) for name in BaseChoice.model_fields},
                "base": self._family.source.name,
                **lesson(task, self._out / "lessons" / stem),
                "preview": (),
                "seed": self._config.seed,
                "out": self._out / file_stem(variant.learned_as) / stem,
            }
            configs.append(TrainConfig.check(**{**defaults, **variant.settings}))
        return configs

    def _draw_and_score(
        self, folder: Path, task: Task, word: str, concepts: Sequence[Concept]
    ) -> Score:
        """Draw and score a task, or read its score if `folder` has it."""
        picture_file, score_file = _picture_file(task), f"marks-{file_stem(task.name)}.json"
        if (folder / score_file).exists():
            return _read_score(folder / score_file)
        files = Outputs(folder, MAKER)
        files.check([picture_file])
        by_prompt = draw(
            self._family, task.prompts, word, concepts, self._seeds, self._config.sampler_steps
        )
        score = self._scorer.score(task, by_prompt)
        sheet = side_by_side([picture for pictures in by_prompt for picture in pictures])
        files.write(picture_file, picture_output.encode_picture(sheet, "PNG"))
        files.write(score_file, json.dumps(asdict(score)).encode())
        return score

    def first_pictures(self, name: str, task: Task) -> list[Image.Image]:
        """The first picture for each prompt of a task; `name` is a variant's or a baseline's."""
        folder = self._out / file_stem(name) / file_stem(task.name)
        if not folder.is_dir():
            folder = self._out / "anchors" / name
        return list(_every(len(self._seeds), folder / _picture_file(task)))


def lesson(task: Task, pictures: Path) -> dict[str, Any]:
    """The settings of train for a task, whose pictures are written into the folder."""
    write_training_pictures(task, pictures)
    return {
        "pictures": [pictures],
        "token": f"<{file_stem(task.name)}>",
        "init": task.init_word,
        "template": "captioned",
    }


def draw(
    family: Family,
    prompts: Sequence[TaskPrompt],
    word: str,
    concepts: Sequence[Concept],
    seeds: range,
    sampler_steps: int | None = None,
) -> list[list[Image.Image]]:
    """For each prompt, with `word` in the place of [name], a picture of each seed."""
    pictures = generate(
        family,
        [prompt.text.replace("[name]", word) for prompt in prompts for _ in seeds],
        concepts,
        seeds=[*seeds] * len(prompts),
        sampler_steps=sampler_steps,
    )
    return [pictures[i : i + len(seeds)] for i in range(0, len(pictures), len(seeds))]


def _picture_file(task: Task) -> str:
    return f"drawn-{file_stem(task.name)}.png"


def _every(count: int, path: Path) -> Iterator[Image.Image]:
    """Of the pictures `side_by_side` in a file, the first of each `count`."""
    try:
        with Image.open(path, formats=["PNG"]) as sheet:
            side = sheet.height
            for x in range(0, sheet.width, count * side):
                yield sheet.crop((x, 0, x + side, side)).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise RunFolderError(
            f"{path} is damaged. Delete it and the marks-….json beside it; both are made again."
        ) from error


def _read_score(path: Path) -> Score:
    data = read_regular(path, LARGEST_NBYTES, RunFolderError)
    try:
        return TypeAdapter(Score).validate_json(data)
    except ValidationError as error:
        raise RunFolderError(f"{path} holds no score. Delete it; it is made again.") from error


def side_by_side(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size in a row."""
    side = pictures[0].height
    sheet = Image.new("RGB", (side * len(pictures), side))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i * side, 0))
    return sheet


class _StepsOnly(Silent):
    """Passes on the steps of training, but not its phases, which would hide the benchmark's."""

    def __init__(self, progress: Progress) -> None:
        self.advance = progress.advance  # type: ignore[method-assign]


def _training_seconds(run: Path) -> float:
    """A word's share of all its training steps, also those of an earlier call in another pack."""
    return sum(one.get("seconds", 0.0) / one.get("words", 1) for one in RunFolder(run).read_log())
