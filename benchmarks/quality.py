"""Similarity against time on the bundled base: `pseudoword train`, and diffusers' script.

    python benchmarks/quality.py --peer-script textual_inversion.py [--things 10]

Each thing was held out when the base was trained, so its right pictures are known. A word is
learned from five of them by the command with its defaults, and by the script at four rates, each in
a process of its own, one after the other. Both have --threads threads. Time is that of the
processor, which other programs on the machine change little; the clock's is kept beside it. Both
begin with the process. Words that were saved
on the way are scored afterwards, by pictures in styles and on backgrounds that were not learned
from: identity is the mean cosine to the right pictures; following is the share of pictures that
show what the prompt asks for.

With --captions, pseudoword is told what else each picture shows: its style and background. The
script cannot read that. With --pack, all words are learned once more, by one `train-many`; a word's
time is then its share of what the process had taken.

The script counts with the rate that gives the highest mean identity at its best step. What is
finished is kept in the folder: run it again to go on.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import tomli_w

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import peer_script, shared
from benchmarks.peer_script import Word
from pseudoword import formats
from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.benchmark.runner import draw, lesson
from pseudoword.benchmark.scoring import Scorer
from pseudoword.benchmark.tasks import Task, thing_task
from pseudoword.files import file_stem, write_whole
from pseudoword.models import base_model
from pseudoword.report.charts import empty_figure, png_of

OURS, PACK = "pseudoword", "pseudoword, in a pack"
RATES = (5e-4, 2e-3, 5e-3, 1e-2)
"""Of the script. Its examples use the first one, scaled by the batch size: the second one."""

PEER_EVERY, OUR_EVERY = 50, 10
"""Steps from one word that is scored to the next."""

SIDE_PX = 64


@dataclass(frozen=True)
class Scored:
    """How good a word is, and when it was there."""

    who: str
    thing: str
    step: int
    seconds: float
    cpu_seconds: float
    identity: float
    following: float
    recognised: float
    final: bool
    """the word that the user gets"""


class Bench:
    """Learns and scores; what is finished is in `out`."""

    def __init__(
        self, out: Path, script: Path | None, seeds: range, steps: int, captions: bool,
        drawing: int, pack: bool,
    ) -> None:  # fmt: skip
        self._out, self._script, self._seeds, self._captions = out, script, seeds, captions
        self._pack = pack
        self._steps = range(PEER_EVERY, steps + 1, PEER_EVERY)
        self._drawing = drawing
        self._scorer: Scorer | None = None
        self._art = load()

    def tasks(self, count: int) -> list[Task]:
        """The first held-out things."""
        return [thing_task(self._art, thing, SIDE_PX) for thing in self._art.held_out[:count]]

    def run(self, tasks: Sequence[Task]) -> list[Scored]:
        """Learn everything of a thing, so that all share the speed of the moment, then score it."""
        scored = []
        packed = self._learn_together(tasks) if self._pack else {}
        for task in tasks:
            learned = {OURS: self._words(OURS, task)}
            if task.name in packed:
                learned[PACK] = packed[task.name]
            if self._script is not None:
                learned |= {_peer(rate): self._words(_peer(rate), task, rate) for rate in RATES}
            for who, words in learned.items():
                scored += [self._score(who, task, word, word is words[-1]) for word in words]
            print(
                task.name, *(_short(one) for one in scored if one.thing == task.name and one.final)
            )
        return scored

    def _words(self, who: str, task: Task, rate: float = 0.0) -> list[Word]:
        """The words on the way of one run, the last one last; learned now or before."""
        folder = self._folder(who, task)
        done = folder / "words.json"
        if done.exists():
            return [Word(**one) for one in json.loads(done.read_text())]
        if who == OURS:
            words = self._learn_ours(task, folder / "run")
        else:
            pictures = peer_script.write_pictures(
                task, self._out / "pictures" / file_stem(task.name)
            )
            assert self._script is not None
            words = peer_script.learn(
                self._script, pictures, task.init_word, folder / "run", rate=rate,
                save_at=self._steps,
            )  # fmt: skip
        self._keep(who, task, words)
        return words

    def _keep(self, who: str, task: Task, words: Sequence[Word]) -> None:
        done = self._folder(who, task) / "words.json"
        done.parent.mkdir(parents=True, exist_ok=True)
        write_whole(done, json.dumps([asdict(word) for word in words]).encode())

    def _learn_ours(self, task: Task, out: Path) -> list[Word]:
        """`pseudoword train` with its defaults, and copies of the word on the way."""
        shutil.rmtree(out, ignore_errors=True)  # of an interrupted call, whose time is not known
        command = ["train", str(self._pictures(task, out)), "--token", _token(task)]
        command += ["--init", task.init_word, "--out", str(out / "word")]
        return _saved(self._watched(command, out), out / "word")

    def _learn_together(self, tasks: Sequence[Task]) -> dict[str, list[Word]]:
        """`pseudoword train-many` with its defaults: all words in one pack."""
        if not all((self._folder(PACK, task) / "words.json").exists() for task in tasks):
            out = self._folder(PACK, tasks[0]).parent / "run"
            shutil.rmtree(out, ignore_errors=True)
            concepts = [
                {
                    "token": _token(task),
                    "init": task.init_word,
                    "pictures": str(self._pictures(task, out / file_stem(task.name))),
                }
                for task in tasks
            ]
            listed = out / "concepts.toml"
            write_whole(listed, tomli_w.dumps({"concept": concepts}).encode())
            command = ["train-many", str(listed), "--out", str(out / "words")]
            process = self._watched([*command, "--pack", str(len(tasks))], out)
            for task in tasks:
                words = _saved(process, out / "words" / file_stem(task.name), len(tasks))
                self._keep(PACK, task, words)
        return {task.name: self._words(PACK, task) for task in tasks}

    def _pictures(self, task: Task, out: Path) -> Path:
        """The pictures to learn from; with their captions, where these are given."""
        folder = out / "pictures"
        if not self._captions:
            peer_script.write_pictures(task, folder)
            return folder
        lesson(task, folder)
        return folder

    def _watched(self, command: Sequence[str], out: Path) -> peer_script.Process:
        more = ["--save-every", str(OUR_EVERY)]
        more += ["--template", "captioned"] if self._captions else []
        return peer_script.watched([sys.executable, "-m", "pseudoword", *command, *more], out)

    def _folder(self, who: str, task: Task) -> Path:
        kind = f"{who}, captions" if who in {OURS, PACK} and self._captions else who
        return self._out / kind / file_stem(task.name)

    def _score(self, who: str, task: Task, word: Word, final: bool) -> Scored:
        """Score a word, or read its score."""
        file = self._folder(who, task) / f"score-{Path(word.file).stem}.json"
        times = {"seconds": round(word.seconds, 2), "cpu_seconds": round(word.cpu_seconds, 2)}
        if file.exists():  # its times may be those of an earlier call that learned the word
            return Scored(**(json.loads(file.read_text()) | times))
        if self._scorer is None:
            self._scorer = Scorer(SimilarityModel(), self._art, SIDE_PX)
            self._family = base_model.load_named("emoji")
        concept = formats.read(Path(word.file))
        pictures = draw(
            self._family, task.prompts, concept.token, [concept], self._seeds, self._drawing
        )
        score = self._scorer.score(task, pictures)
        scored = Scored(
            who, task.name, word.step, identity=score.identity, following=score.following,
            recognised=score.recognised, final=final, **times,
        )  # fmt: skip
        write_whole(file, json.dumps(asdict(scored)).encode())
        return scored


def _token(task: Task) -> str:
    return f"<{file_stem(task.name)}>"


def _saved(process: peer_script.Process, run: Path, together: int = 1) -> list[Word]:
    """The words that a run saved, each with its share of what the process had taken by then."""
    copies = (run / "words").glob("step-*.safetensors")
    words = [process.word(int(copy.stem[5:]), copy) for copy in copies]
    last = max(word.step for word in words)
    words = sorted((word for word in words if word.step < last), key=lambda word: word.step)
    end = Word(last, process.seconds, process.cpu_seconds[-1], str(run / formats.CONCEPT_FILE))
    return [
        replace(word, seconds=word.seconds / together, cpu_seconds=word.cpu_seconds / together)
        for word in [*words, end]
    ]


@dataclass(frozen=True)
class Mean:
    """The mean over things at one step of one learner."""

    who: str
    step: int
    seconds: float
    cpu_seconds: float
    identity: float
    following: float
    recognised: float
    things: int


def means(scored: Iterable[Scored]) -> dict[str, list[Mean]]:
    """By learner, the means at each step that all things have; those of the final words last."""
    by_step: dict[str, dict[Any, list[Scored]]] = {}
    for one in scored:
        key = "final" if one.final else one.step
        by_step.setdefault(one.who, {}).setdefault(key, []).append(one)
    found: dict[str, list[Mean]] = {}
    for who, groups in by_step.items():
        most = max(map(len, groups.values()))
        whole = [group for group in groups.values() if len(group) == most]
        ordered = sorted(whole, key=lambda group: (group[0].final, group[0].step))
        found[who] = [_mean(who, group) for group in ordered]
    return found


def _mean(who: str, group: Sequence[Scored]) -> Mean:
    return Mean(
        who,
        round(mean(one.step for one in group)),
        seconds=mean(one.seconds for one in group),
        cpu_seconds=mean(one.cpu_seconds for one in group),
        identity=mean(one.identity for one in group),
        following=mean(one.following for one in group),
        recognised=mean(one.recognised for one in group),
        things=len(group),
    )


def report(found: Mapping[str, Sequence[Mean]]) -> str:
    """The table, and what it says, as markdown."""
    things = found[OURS][-1].things
    lines = [
        f"Means over {things} held-out things. {peer_script.machine()}",
        "",
        "| | step | CPU seconds | by the clock | identity | following | recognised |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    best = {who: max(rows, key=lambda row: row.identity) for who, rows in found.items()}
    for who, rows in found.items():
        shown = {f"{who}, at the end": rows[-1]}
        if best[who] is not rows[-1]:
            shown[f"{who}, its best identity"] = best[who]
        lines += [
            f"| {name} | {row.step} | {row.cpu_seconds:.1f} | {row.seconds:.1f} | "
            f"{row.identity:.3f} | {row.following:.3f} | {row.recognised:.3f} |"
            for name, row in shown.items()
        ]
    peers = [row for who, row in best.items() if who not in {OURS, PACK}]
    for who in (OURS, PACK):
        if peers and who in found:
            peer = max(peers, key=lambda row: row.identity)
            lines += ["", *_verdict(who, found[who], peer, found[peer.who][-1])]
    return "\n".join(lines) + "\n"


def _verdict(who: str, ours: Sequence[Mean], peer: Mean, theirs: Mean) -> list[str]:
    """Our time to the best identity of the script, and both final words beside each other."""
    there = next((row for row in ours if row.identity >= peer.identity), None)
    last = ours[-1]
    if there is None:
        equal = f"{who} does not reach the script's best identity, {peer.identity:.3f}"
    else:
        equal = (
            f"The script's best identity, {peer.identity:.3f}, took it {peer.cpu_seconds:.1f} "
            f"CPU seconds ({peer.who}, step {peer.step}), and {who} {there.cpu_seconds:.1f} "
            f"(step {there.step}): {there.cpu_seconds / peer.cpu_seconds:.2f} of that"
        )
    return [
        f"{equal}.",
        "",
        f"At the end, the identity of {who} is {last.identity - peer.identity:+.3f} beside the "
        f"script's best and its following {last.following - peer.following:+.3f}; beside the "
        f"script's last word {last.identity - theirs.identity:+.3f} and "
        f"{last.following - theirs.following:+.3f}.",
    ]


def picture(found: Mapping[str, Sequence[Mean]]) -> bytes:
    """Identity and following against seconds of the processor, as PNG."""
    figure = empty_figure(9, 4)
    for axes, name in zip(figure.subplots(1, 2), ("identity", "following"), strict=True):
        for who, rows in found.items():
            ours = who in {OURS, PACK}
            axes.plot(
                [row.cpu_seconds for row in rows], [getattr(row, name) for row in rows],
                marker=".", label=who, color="#c03030" if ours else None,
                linewidth=2.0 if ours else 1.0, zorder=3 if ours else 2,
            )  # fmt: skip
        axes.set_xlabel("CPU seconds of the process")
        axes.set_ylabel(name)
    axes.legend(frameon=False)
    return png_of(figure)


def _peer(rate: float) -> str:
    return f"script at {rate:g}"


def _short(one: Scored) -> str:
    return f"| {one.who}: {one.cpu_seconds:.0f} s {one.identity:.3f} {one.following:.3f}"


def main() -> None:
    """Learn, score, and write the table and the picture."""
    parser = shared.Parser(__doc__)
    parser.add_peer_script()
    parser.add_count("--peer-steps", 300, least=PEER_EVERY)
    parser.add_things("--things", 10)
    parser.add_argument("--captions", action="store_true", help="give pseudoword captions, too")
    parser.add_argument("--pack", action="store_true", help="learn all words together, too")
    parser.add_count("--pictures-each", 2)
    parser.add_count("--sampler-steps", 20)
    parser.add_argument("--out", type=Path, default=Path("quality"))
    parser.add_count("--threads", 1, "of each process that learns")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(asked.threads)
    names = ("peer_steps", "pictures_each", "sampler_steps", "threads")
    with shared.kept(asked.out, "quality", **{name: getattr(asked, name) for name in names}):
        bench = Bench(
            asked.out, asked.peer_script, range(asked.pictures_each), asked.peer_steps,
            asked.captions, asked.sampler_steps, asked.pack,
        )  # fmt: skip
        found = means(bench.run(bench.tasks(asked.things)))
        write_whole(asked.out / "quality.md", report(found).encode())
        write_whole(asked.out / "quality.png", picture(found))
    print(report(found))


if __name__ == "__main__":
    main()
