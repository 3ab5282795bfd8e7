"""Where the time of one run goes: everything before, in and after its steps.

    python benchmarks/startup.py [--peer-script textual_inversion.py] [--times 5] [--out startup]

A word is learned on the bundled base by the command with its defaults, and `pseudoword --help` is
asked for, each several times in processes of their own; the medians count. The parts are those that
a run tells at its end; what comes before them is Python and its imports. diffusers' script takes as
many steps as the command did. Seconds are by the clock, so nothing else should run on the machine;
the processor's seconds show if something did.
"""

import re
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import peer_script, shared
from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.tasks import Task, thing_task
from pseudoword.files import write_whole
from pseudoword.report.charts import empty_figure, png_of

REST = "the rest"
COLOURS = ("#9a9a9a", "#5b7fb5", "#8fb3d9", "#e09020", "#c03030", "#6a9a4a", "#dddddd")
SIDE_PX = 64


@dataclass(frozen=True)
class Timed:
    """One process."""

    seconds: float
    cpu_seconds: float
    parts: Mapping[str, float]
    """part -> seconds by the clock, in their order"""
    steps: int = 0


def time_command(command: Sequence[str], out: Path) -> tuple[float, float, str]:
    """Seconds by the clock and of the processor that a command took, and what it said."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = peer_script.timed(command, out)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, cpu, (out / "said.txt").read_text(errors="replace")


def time_help(out: Path) -> Timed:
    """`pseudoword --help`."""
    seconds, cpu, _ = time_command([sys.executable, "-m", "pseudoword", "--help"], out)
    return Timed(seconds, cpu, {shared.STARTING: seconds})


def time_train(task: Task, pictures: Path, out: Path) -> Timed:
    """`pseudoword train` with its defaults."""
    command = [sys.executable, "-m", "pseudoword", "train", str(pictures), "--token", "<thing>"]
    command += ["--init", task.init_word, "--out", str(out / "word")]
    seconds, cpu, said = time_command(command, out)
    steps = len((out / "word" / "log.jsonl").read_text().splitlines()) - 1
    return Timed(seconds, cpu, shared.parts(said, seconds), steps)


def time_script(script: Path, task: Task, pictures: Path, out: Path, steps: int) -> Timed:
    """diffusers' script, for as many steps."""
    command = peer_script.command(
        script, pictures, task.init_word, out, rate=2e-3, steps=steps, save_every=steps
    )
    seconds, cpu, said = time_command(command, out)
    minutes, rest = re.findall(rf"{steps}/{steps} \[(\d+):(\d+)<", said)[-1]
    learning = 60.0 * int(minutes) + int(rest)
    return Timed(seconds, cpu, {REST: seconds - learning, "learning": learning}, steps)


def medians(runs: Sequence[Timed]) -> Timed:
    """The median of each number."""
    return Timed(
        median(run.seconds for run in runs),
        median(run.cpu_seconds for run in runs),
        {part: median(run.parts[part] for run in runs) for part in runs[0].parts},
        runs[0].steps,
    )


def table(found: Mapping[str, Timed]) -> str:
    """The numbers, as markdown."""
    lines = [peer_script.machine(), "", "| | part | seconds |", "| --- | --- | --- |"]
    for name, timed in found.items():
        steps = f", {timed.steps} steps" if timed.steps else ""
        lines.append(
            f"| {name}{steps} | all | {timed.seconds:.2f} (processor: {timed.cpu_seconds:.2f}) |"
        )
        if len(timed.parts) > 1:
            lines += [f"| | {part} | {spent:.2f} |" for part, spent in timed.parts.items()]
    return "\n".join(lines) + "\n"


def picture(found: Mapping[str, Timed]) -> bytes:
    """A bar for each command, divided into its parts, as PNG."""
    figure: Any = empty_figure(9, 1 + 0.7 * len(found))
    axes = figure.subplots()
    names = list(dict.fromkeys(part for timed in found.values() for part in timed.parts))
    colours = dict(zip(names, COLOURS, strict=False))
    for row, timed in enumerate(found.values()):
        left = 0.0
        for part, spent in timed.parts.items():
            axes.barh(row, spent, left=left, color=colours[part], label=part)
            left += spent
    axes.set_yticks(range(len(found)), found)
    axes.invert_yaxis()
    axes.set_xlabel("seconds")
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axes.legend(once.values(), once.keys(), frameon=False, ncols=len(once), fontsize=8)
    return png_of(figure)


def main() -> None:
    """Measure, and write the table and the picture."""
    parser = shared.Parser(__doc__)
    parser.add_peer_script()
    parser.add_count("--times", 5)
    parser.add_argument("--out", type=Path, default=Path("startup"))
    asked = parser.parse_args()
    with shared.kept(asked.out, "startup"):
        measure(asked.peer_script, asked.times, asked.out)


def measure(peer: Path | None, times: int, out: Path) -> None:
    """Measure each command so many times."""
    art = load()
    task = thing_task(art, art.held_out[0], SIDE_PX)
    pictures = peer_script.write_pictures(task, out / "pictures")
    runs: dict[str, list[Timed]] = {}
    for _ in range(times):  # in turn, so that all share the speed of the machine
        work = out / "work"
        shutil.rmtree(work, ignore_errors=True)
        runs.setdefault("pseudoword --help", []).append(time_help(work / "help"))
        trained = time_train(task, pictures, work / "train")
        runs.setdefault("pseudoword train", []).append(trained)
        if peer is not None:
            script = time_script(peer, task, pictures, work / "script", trained.steps)
            runs.setdefault("the script", []).append(script)
    found = {name: medians(some) for name, some in runs.items()}
    write_whole(out / "startup.md", table(found).encode())
    write_whole(out / "startup.png", picture(found))
    print(table(found))


if __name__ == "__main__":
    main()
