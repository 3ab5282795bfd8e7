"""Compare settings of `train` on words whose right pictures are known; the public `bench`."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL.Image import Image

from pseudoword import charts, families
from pseudoword.config import BenchConfig
from pseudoword.errors import RunFolderError, SettingsError
from pseudoword.families.base import Family
from pseudoword.files import hold, write_whole
from pseudoword.groundtruth.artwork import load
from pseudoword.groundtruth.bench import Bench, Exam, Variant, most_alike_style, parse_variant
from pseudoword.groundtruth.exam import Paper
from pseudoword.groundtruth.marks import Marker
from pseudoword.groundtruth.results import Board, Entry, pareto
from pseudoword.judge import BUNDLED, Judge
from pseudoword.progress import Progress
from pseudoword.text import public

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


def compare(config: BenchConfig, progress: Progress) -> Comparison:
    """Learn, draw and mark everything that is not in `config.out` yet.

    Raises:
        SettingsError: a variant is not written as settings, or two are the same.
        RunFolderError: `config.out` holds a benchmark of another model, judge or size.
    """
    variants = [parse_variant(text) for text in config.compare]
    if len({variant.name for variant in variants}) < len(variants):
        raise SettingsError("--compare: the same settings are given twice")
    progress.phase(f"loading {config.base}")
    family = families.choose(config)
    art, judge = load(), Judge(config.judge or BUNDLED)
    with hold(config.out):
        _check_folder(config, family, judge)
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
        files = _write(bench, config, exam, variants, boards, table)
        return Comparison(things, styles, relearned, table, files)


def _check_folder(config: BenchConfig, family: Family, judge: Judge) -> None:
    """Marks are only comparable if they were made alike."""
    path = config.out / "bench.json"
    now = {
        "base": family.fingerprint(),
        "judge": judge.name,
        "pictures_each": config.pictures_each,
        "sampler_steps": config.sampler_steps,
        "seed": config.seed,
    }
    if path.exists() and (before := json.loads(path.read_bytes())) != now:
        changed = ", ".join(name for name in now if before.get(name) != now[name])
        raise RunFolderError(
            f"{config.out} holds a benchmark with another {changed}. Choose another --out."
        )
    write_whole(path, (json.dumps(now, indent=2) + "\n").encode())


def _write(
    bench: Bench,
    config: BenchConfig,
    exam: Exam,
    variants: Sequence[Variant],
    boards: Sequence[Board],
    table: str,
) -> tuple[Path, ...]:
    files = {
        "table.md": table.encode(),
        "pareto.png": pareto(boards),
        "results.json": (json.dumps([asdict(board) for board in boards], indent=1) + "\n").encode(),
    }
    for name, data in files.items():
        write_whole(config.out / name, data)
    paths = [config.out / name for name in files]
    for board, papers in (("things", exam.things), ("style", exam.styles)):
        path = config.out / f"grid-{board}.png"
        charts.save_picture(_grid(bench, variants, papers[:SHOWN]), path)
        paths.append(path)
    return tuple(paths)


def _grid(bench: Bench, variants: Sequence[Variant], papers: Sequence[Paper]) -> Image:
    """For each word: the true answers, the starting word's, and each variant's."""
    rows: list[tuple[str, Sequence[Image]]] = []
    for one in papers:
        rows.append((f"{one.name}: true answers", [q.truth for q in one.questions]))
        rows.append((one.start, bench.drawn("starting words", one)))
        rows += [(public(variant.name), bench.drawn(variant.name, one)) for variant in variants]
    heads = [question.kind for question in papers[0].questions]
    return charts.grid(rows, heads=heads, cell_px=96)
