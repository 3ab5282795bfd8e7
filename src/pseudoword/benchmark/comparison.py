"""Compare settings of `train` on words whose right pictures are known; the public `bench`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL.Image import Image

from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.image_similarity import BUNDLED, Judge
from pseudoword.benchmark.results import Board, Entry, pareto
from pseudoword.benchmark.runner import MAKER, Bench, Exam, Variant, most_alike_style, parse_variant
from pseudoword.benchmark.scoring import Marker
from pseudoword.benchmark.tasks import Paper
from pseudoword.config import BenchConfig, TrainConfig
from pseudoword.errors import RunFolderError, SettingsError, StorageError
from pseudoword.files import file_stem, hold, read_regular
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.outputs import Outputs, already_there
from pseudoword.progress import Progress
from pseudoword.report import charts
from pseudoword.text import public
from pseudoword.training import optimisers

ABOUT = "bench.json"
KNOWN = {"base", "judge", "pictures_each", "sampler_steps", "seed"}
"""What it says."""

RESULTS = (ABOUT, "table.md", "pareto.png", "results.json", "grid-things.png", "grid-style.png")
FOLDERS = {"lessons", "anchors"}

SHOWN = 10
"""Words on a grid."""


@dataclass(frozen=True)
class Comparison:
    """What the benchmark found."""

    things: Board
    styles: Board
    relearned: Board | None
    """known things learned anew, if that was asked for"""
    table: str
    """Markdown"""
    files: tuple[Path, ...]


def compare(config: BenchConfig, progress: Progress, overwrite: bool = False) -> Comparison:
    """Learn, draw and mark everything that is not in `config.out` yet.

    Raises:
        SettingsError: a variant is not written as settings, or two are the same.
        RunFolderError: `config.out` holds a benchmark of another model, judge or size.
        StorageError: files are there that no benchmark has written.
    """
    variants = [parse_variant(text) for text in config.compare]
    _check_variants(variants)
    files = Outputs(config.out, MAKER)
    _check_files(files, overwrite)
    progress.phase(f"loading {config.base}")
    art, judge = load(), Judge(config.judge or BUNDLED)
    family = base_model.choose(config)
    with hold(config.out):
        _check_folder(files, config, family, judge)
        exam = Exam.of(art, family.resolution, config.concepts, config.relearn)
        marker = Marker(judge, art, family.resolution)
        bench = Bench(
            family,
            marker,
            config.out,
            pictures_each=config.pictures_each,
            sampler_steps=config.sampler_steps,
            pack=config.pack,
            seed=config.seed,
            progress=progress,
            overwrite=overwrite,
        )
        start = bench.anchor("starting words", exam.learned)
        known = bench.anchor("known words", [*exam.known_things, *exam.known_styles])
        sat = [(variant, *bench.variant(variant, exam.learned)) for variant in variants]

        def board(
            title: str,
            papers: Sequence[Paper],
            known_papers: Sequence[Paper],
            reference: Entry | None = None,
        ) -> Board:
            return Board(
                title,
                {one.name: start[one.name] for one in papers},
                {one.name: known[one.name] for one in known_papers},
                [
                    Entry(
                        public(variant.name),
                        {one.name: marks[one.name] for one in papers},
                        seconds / len(exam.learned),
                    )
                    for variant, marks, seconds in sat
                ],
                reference,
            )

        things = board("things", exam.things, exam.known_things)
        alike, marks = most_alike_style(marker, art, exam.styles, family.resolution)
        reference = Entry(f"*true pictures in {alike}*", marks)
        styles = board("the new style", exam.styles, exam.known_styles, reference)
        relearned = None
        if exam.relearned:
            relearned = board("known things, learned anew", exam.relearned, exam.known_things)
        boards = [board for board in (things, styles, relearned) if board]
        table = "\n\n".join(board.table() for board in boards) + "\n"
        written = _write(bench, files, exam, variants, boards, table)
        return Comparison(things, styles, relearned, table, written)


def _check_variants(variants: Sequence[Variant]) -> None:
    """Find out before anything is learned whether all can be."""
    if len({file_stem(variant.name) for variant in variants}) < len(variants):
        raise SettingsError("--compare: the same settings are given twice")
    for variant in variants:
        one = TrainConfig.check(pictures=["."], token="<word>", **variant.settings)
        optimisers.check(one.optimiser, one.optimiser_option)


def _check_files(files: Outputs, overwrite: bool) -> None:
    """Refuse a folder with files that a benchmark would replace, or take for its own."""
    path = files.folder / ABOUT
    if path.is_file() and not files.record.exists() and _about(path).keys() == KNOWN:
        files.adopt(RESULTS)  # of a version that kept no record
    files.check(RESULTS, overwrite=overwrite)
    inside = [files.folder / name for name in FOLDERS]
    if not overwrite and not path.exists() and any(map(Path.exists, inside)):
        raise StorageError(already_there([one for one in inside if one.exists()]))


def _about(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_regular(path, 1024 * 1024, StorageError))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _check_folder(files: Outputs, config: BenchConfig, family: Family, judge: Judge) -> None:
    """Marks are only comparable if they were made alike."""
    now = {
        "base": family.fingerprint(),
        "judge": judge.name,
        "pictures_each": config.pictures_each,
        "sampler_steps": config.sampler_steps,
        "seed": config.seed,
    }
    before = _about(files.folder / ABOUT) if files.owned([ABOUT]) else now
    if before != now:
        changed = ", ".join(name for name in now if before.get(name) != now[name])
        raise RunFolderError(
            f"{config.out} holds a benchmark with another {changed}. Choose another --out."
        )
    files.write(ABOUT, (json.dumps(now, indent=2) + "\n").encode())


def _write(
    bench: Bench,
    files: Outputs,
    exam: Exam,
    variants: Sequence[Variant],
    boards: Sequence[Board],
    table: str,
) -> tuple[Path, ...]:
    contents = (
        table.encode(),
        pareto(boards),
        (json.dumps([asdict(board) for board in boards], indent=1) + "\n").encode(),
        *(
            charts.encoded(_grid(bench, variants, papers[:SHOWN]), "PNG")
            for papers in (exam.things, exam.styles)
        ),
    )
    return tuple(files.write(n, data) for n, data in zip(RESULTS[1:], contents, strict=True))


def _grid(bench: Bench, variants: Sequence[Variant], papers: Sequence[Paper]) -> Image:
    """For each word: the true answers, the starting word's, and each variant's."""
    rows: list[tuple[str, Sequence[Image]]] = []
    for one in papers:
        rows.append((f"{one.name}: true answers", [q.truth for q in one.questions]))
        rows.append((one.start, bench.drawn("starting words", one)))
        rows += [(public(variant.name), bench.drawn(variant.name, one)) for variant in variants]
    heads = [question.kind for question in papers[0].questions]
    return charts.grid(rows, heads=heads, cell_px=96)
