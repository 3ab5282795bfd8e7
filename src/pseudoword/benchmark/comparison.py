"""Compare settings of `train` on words whose right pictures are known; the public `bench`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.image_similarity import BUNDLED, SimilarityModel
from pseudoword.benchmark.results import ResultTable, Row, pareto_plot
from pseudoword.benchmark.runner import MAKER, BenchmarkRun, VariantScores
from pseudoword.benchmark.scoring import Scorer, Scores, nearest_style
from pseudoword.benchmark.tasks import PROMPTS, Task, TaskSet
from pseudoword.config import BenchConfig
from pseudoword.config.variants import Variant, parse_variant
from pseudoword.errors import RunFolderError, StorageError
from pseudoword.files import read_regular
from pseudoword.locks import lock_folder
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.outputs import Outputs, would_replace
from pseudoword.progress import Progress
from pseudoword.report import grids, picture_output
from pseudoword.text import brief, public, version
from pseudoword.training import optimisers

CONDITIONS_FILE = "bench.json"
"""What the scores in a folder depend on: only such with the same can be compared."""

CEILING = "vectors=8,steps=500"
"""Settings that take much time, and come as near to the references as any that were tried."""

DRAWING_SETTINGS = (
    "prediction_type", "clip_skip", "quantize", "pictures_each", "sampler_steps", "seed",
)  # fmt: skip
"""Settings of `bench` that change what is drawn."""

RESULT_FILES = ("table.md", "pareto.png", "results.json", "grid-things.png", "grid-style.png")
FILES = (CONDITIONS_FILE, *RESULT_FILES)
FOLDERS = {"lessons", "anchors"}

GRID_TASKS = 10
"""Words on a grid of pictures."""


@dataclass(frozen=True)
class Comparison:
    """The results of the benchmark."""

    things: ResultTable
    styles: ResultTable
    relearned: ResultTable | None
    """known things that were learned again, if that was asked for"""
    table: str
    """all tables as Markdown"""
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _AllScores:
    """Scores of all tasks: with the starting words, with known words, and learned."""

    start: Scores
    known: Scores
    learned: Sequence[VariantScores]

    def table(
        self, title: str, tasks: Sequence[Task], known: Sequence[Task], reference: Row | None = None
    ) -> ResultTable:
        """The scores of some tasks, beside those of known words."""
        rows = [
            Row(_title(one.variant), _only(one.scores, tasks), one.seconds / len(one.scores))
            for one in self.learned
        ]
        return ResultTable(
            title, _only(self.start, tasks), _only(self.known, known), rows, reference
        )


def _title(variant: Variant) -> str:
    name = public(variant.name)
    return f"ceiling: {name}" if variant.name == CEILING else name


def _only(scores: Scores, tasks: Sequence[Task]) -> Scores:
    return {task.name: scores[task.name] for task in tasks}


def compare(config: BenchConfig, progress: Progress, *, overwrite: bool) -> Comparison:
    """Learn, draw and score everything that is not in `config.out` yet.

    Raises:
        SettingsError: settings to compare do not work.
        RunFolderError: `config.out` holds a benchmark of another model or with other settings.
        StorageError: there are files that no benchmark has written.
    """
    variants = [*config.compare]
    ceiling = parse_variant(CEILING)
    if config.ceiling and not any(map(ceiling.is_same, variants)):
        variants.append(ceiling)
    for one in variants:
        optimisers.check(one.config.optimiser, one.config.optimiser_option)
        for sentence in one.config.without_effect():
            progress.note(f"--compare {brief(one.name)}: {sentence}")
    files = Outputs(config.out, MAKER)
    _check_files(files, overwrite)
    with lock_folder(config.out):
        progress.phase(f"loading {config.base}")
        art, model = load(), SimilarityModel(config.similarity_model or BUNDLED)
        family = base_model.load(config, progress.note)
        _check_conditions(files, config, family, model)
        tasks = TaskSet.build(art, family.resolution, config.concepts, config.relearn)
        scorer = Scorer(model, art, family.resolution)
        run = BenchmarkRun(family, scorer, config, progress, overwrite)
        run.check(variants, tasks.to_learn[0])
        scores = _AllScores(
            run.score_baseline("starting words", tasks.to_learn),
            run.score_baseline("known words", [*tasks.known_things, *tasks.known_styles]),
            [run.score_variant(variant, tasks.to_learn) for variant in variants],
        )
        style, true_scores = nearest_style(scorer, art, tasks.styles, family.resolution)
        true_pictures = Row(f"*true pictures in {style}*", true_scores)
        things = scores.table("things", tasks.things, tasks.known_things)
        styles = scores.table("the new style", tasks.styles, tasks.known_styles, true_pictures)
        relearned = None
        if tasks.relearned:
            title = "known things, learned again"
            relearned = scores.table(title, tasks.relearned, tasks.known_things)
        tables = [one for one in (things, styles, relearned) if one]
        text = "\n\n".join(one.as_markdown() for one in tables) + "\n"
        contents = [
            text.encode(),
            pareto_plot(tables),
            (json.dumps([asdict(one) for one in tables], indent=1) + "\n").encode(),
            picture_output.encode_picture(_grid(run, variants, tasks.things[:GRID_TASKS]), "PNG"),
            picture_output.encode_picture(_grid(run, variants, tasks.styles[:GRID_TASKS]), "PNG"),
        ]
        written = [files.write(n, d) for n, d in zip(RESULT_FILES, contents, strict=True)]
        return Comparison(things, styles, relearned, text, tuple(written))


def _check_files(files: Outputs, overwrite: bool) -> None:
    """Refuse a folder whose files a benchmark would replace or take for its own."""
    path = files.folder / CONDITIONS_FILE
    files.check(FILES, overwrite=overwrite)
    there = [one for one in (files.folder / name for name in FOLDERS) if one.exists()]
    if not overwrite and not path.exists() and there:
        raise StorageError(would_replace(there))


def _conditions(path: Path) -> dict[str, Any]:
    """What a conditions file holds; nothing if it is not one."""
    try:
        found = json.loads(read_regular(path, 1024 * 1024, StorageError))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_conditions(
    files: Outputs, config: BenchConfig, family: Family, model: SimilarityModel
) -> None:
    """Keep the conditions of this run; refuse a folder whose scores were made under others."""
    now = {
        "version of pseudoword": version(),
        "base": family.fingerprint(),
        "dtype": str(family.dtype).removeprefix("torch."),
        **{name: getattr(config, name) for name in DRAWING_SETTINGS},
        "similarity model": f"{model.name} {model.fingerprint()}",
        "prompts": PROMPTS,
    }
    owned = files.owned([CONDITIONS_FILE])
    before = _conditions(files.folder / CONDITIONS_FILE) if owned else now
    if before != now:
        changed = ", ".join(name for name in now if before.get(name) != now[name])
        raise RunFolderError(
            f"{config.out} holds a benchmark with another {changed}. Choose another --out."
        )
    files.write(CONDITIONS_FILE, (json.dumps(now, indent=2) + "\n").encode())


def _grid(run: BenchmarkRun, variants: Sequence[Variant], tasks: Sequence[Task]) -> Image:
    """For each word: the references, the starting word's pictures, and each variant's."""
    rows: list[tuple[str, Sequence[Image]]] = []
    for task in tasks:
        rows.append((f"{task.name}: references", [p.reference for p in task.prompts]))
        rows.append((task.init_word, run.first_pictures("starting words", task)))
        rows += [(public(v.name), run.first_pictures(v.name, task)) for v in variants]
    heads = [prompt.kind for prompt in tasks[0].prompts]
    return grids.grid(rows, heads=heads, cell_px=96)
