"""Words that a local Ray cluster learns, while its workers and its driver are killed.

    python benchmarks/fleet.py --words 200 --workers 3 --every 8 --in folder bucket

Each word is learned from one drawing, on the bundled base. Every few seconds a worker is killed
(SIGKILL), but none before its first word is done, as it would then do nothing but load the base;
and once, when a third of the words is done, the driver with all of Ray. Then each word must be
there once, and be the same bytes as if it had been learned alone, in one process that nobody kills.
The bucket is one of moto's server, which this process serves.

What is written: a table, `fleet.json`, and `fleet.png`, the words done over the seconds. Kills cost
the seconds in which a worker starts again: how fast a fleet is, this does not say.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

import pseudoword
from benchmarks import shared
from pseudoword import formats
from pseudoword.benchmark.artwork import load
from pseudoword.benchmark.results import markdown_table
from pseudoword.benchmark.tasks import thing_task
from pseudoword.config.word_folders import word_configs
from pseudoword.files import write_whole
from pseudoword.fleet import history
from pseudoword.fleet.queue import Queue, open_queue
from pseudoword.models import base_model
from pseudoword.progress import Silent
from pseudoword.report.charts import empty_figure, png_of
from pseudoword.runs.runner import learn

SETTINGS: Mapping[str, Any] = {
    **{"init": "object", "preview": "none", "batch": 1, "checkpoint_every": 2},
    **{"timestep_sampling": "uniform", "evaluate_every": 0, "device": "cpu"},
}
LEASE_SECONDS = 8.0
QUEUES = ("folder", "bucket")
SIDE_PX = 64
MARK = "PSEUDOWORD_FLEET_BENCHMARK"
"""An environment variable that processes of this benchmark have, so that no other one is killed."""


@dataclass
class Found:
    """What came out of one queue."""

    where: str
    seconds: float = 0.0
    workers_killed: int = 0
    drivers_killed: int = 0
    done: int = 0
    twice: int = 0
    """words with more than one result, or more than one event that says so"""
    differ: int = 0
    """words that are not the bytes of those learned alone"""
    events: dict[str, int] = field(default_factory=dict)
    curve: list[tuple[float, int]] = field(default_factory=list)
    """seconds, and the words done by then"""
    kills: list[float] = field(default_factory=list)


def main() -> None:
    """Run it."""
    parser = shared.Parser(__doc__)
    parser.add_count("--words", 200)
    parser.add_count("--workers", 3)
    parser.add_count("--steps", 4)
    parser.add_count("--pack", 1)
    parser.add_argument("--every", type=float, default=8.0, help="seconds between kills")
    parser.add_argument("--in", dest="where", nargs="+", choices=QUEUES, default=QUEUES)
    parser.add_argument("--out", type=Path, default=Path("fleet-benchmark"))
    given = parser.parse_args()
    with shared.kept(given.out, "fleet", words=given.words, steps=given.steps):
        learn_and_kill(given)


def learn_and_kill(given: argparse.Namespace) -> None:
    """Let the words of each queue be learned, compare them, and write what came out."""
    words = _pictures(given.out / "words", given.words)
    found = []
    for where in given.where:
        with ExitStack() as stack:
            address = stack.enter_context(_queue(where, given.out))
            found.append(_run(where, address, words, given))
            print(f"{where}: {found[-1].seconds} s; learning each word alone", flush=True)
            _check(found[-1], open_queue(address), words, given)
        print(json.dumps({k: v for k, v in asdict(found[-1]).items() if k != "curve"}), flush=True)
    whole = {
        **{"machine": f"{os.cpu_count()} × {shared.processor()}", "words": given.words},
        **{"workers": given.workers, "steps": given.steps, "pack": given.pack},
        **{"every_seconds": given.every, "found": [asdict(one) for one in found]},
    }
    write_whole(given.out / "fleet.json", json.dumps(whole, indent=1).encode())
    write_whole(given.out / "fleet.png", _chart(found))
    print(_table(found))
    if any(one.done != given.words or one.twice or one.differ for one in found):
        sys.exit("not every word was learned once, to the same bytes")


def _pictures(folder: Path, count: int) -> Path:
    """A folder for each word: one drawing of a thing."""
    art = load()
    drawn = [
        picture.picture
        for thing in art.held_out
        for picture in thing_task(art, thing, SIDE_PX).training_pictures
    ]
    for number in range(count):
        inner = folder / f"word-{number:03}"
        inner.mkdir(parents=True, exist_ok=True)
        turned = drawn[number % len(drawn)].rotate(7 * (number // len(drawn)), fillcolor="white")
        turned.save(inner / "0.png")
    return folder


@contextmanager
def _queue(where: str, out: Path) -> Iterator[str]:
    """An address for a new queue."""
    if where == "folder":
        yield str(out / f"queue-{uuid.uuid4().hex[:6]}")
        return
    from buckets import a_bucket

    with a_bucket() as address:
        yield f"{address}/queue"


def _run(where: str, address: str, words: Path, given: argparse.Namespace) -> Found:
    """Let the words be learned, and kill."""
    found, source = Found(where), random.Random(1)
    pseudoword.submit(address, words, steps=given.steps, **SETTINGS)
    queue, environment = open_queue(address), os.environ | {MARK: uuid.uuid4().hex}
    command = [
        *(sys.executable, "-m", "pseudoword", "work", address, "--ray", "local"),
        *("--workers", str(given.workers), "--pack", str(given.pack)),
        *("--lease", str(LEASE_SECONDS), "--tries", "1000"),
    ]
    begin = time.monotonic()
    with ExitStack() as at_the_end, (given.out / f"{where}.log").open("ab") as log:
        at_the_end.callback(_end_all, environment[MARK])  # also where this one is interrupted
        driver = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        killed_at = time.monotonic()
        while True:
            time.sleep(0.5)
            done = sum(name.endswith(".safetensors") for name in queue.store.names("results"))
            now = time.monotonic()
            found.curve.append((round(now - begin, 1), done))
            if driver.poll() is not None:
                break
            if not found.drivers_killed and done >= given.words / 3:
                driver.kill()
                driver.wait()
                found.drivers_killed, killed_at = 1, now
                _end_all(environment[MARK])
                driver = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
                continue
            if now - killed_at > given.every and (pids := _workers(queue, environment[MARK])):
                os.kill(source.choice(pids), signal.SIGKILL)
                found.workers_killed, killed_at = found.workers_killed + 1, now
                found.kills.append(round(now - begin, 1))
    found.seconds = round(time.monotonic() - begin, 1)
    if driver.returncode:
        print((given.out / f"{where}.log").read_text()[-2000:])
        if not done:
            sys.exit("no word was learned")
    return found


def _workers(queue: Queue, mark: str) -> list[int]:
    """The processes of the workers that live and have learned a word."""
    ends = [events[-2:] for events in queue.histories().values() if len(events) > 1]
    names = {before.worker for before, last in ends if last.kind == "done"}
    pids = sorted(int(name.rsplit("-", 2)[1]) for name in names)
    return [pid for pid in pids if _is_ours(pid, mark)]


def _is_ours(pid: int, mark: str) -> bool:
    try:
        return f"{MARK}={mark}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _end_all(mark: str) -> None:
    """End a driver, or what is left of one that was killed: Ray's own processes."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and _is_ours(int(path.name), mark):
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(int(path.name), signal.SIGKILL)


def _check(found: Found, queue: Queue, words: Path, given: argparse.Namespace) -> None:
    """Compare each word with one that is learned alone."""
    results = [n for n in queue.store.names("results") if n.endswith(".safetensors")]
    histories = queue.histories()
    counts = Counter(event.kind for events in histories.values() for event in events)
    found.events = {kind: counts[kind] for kind in counts}
    found.done = sum(history.state(events) == "done" for events in histories.values())
    found.twice = sum(
        [event.kind for event in events].count("done") != 1 for events in histories.values()
    ) + (len(results) - len({name.rsplit("-", 1)[0] for name in results}))
    by_folder = {name.removeprefix("results/").rsplit("-", 1)[0]: name for name in results}
    configs = word_configs(
        words, given.out / "alone", None, dict(SETTINGS) | {"steps": given.steps}
    )
    family = base_model.load(configs[0])
    for config in configs:  # those of the queue before are finished, so they are only read
        (alone,) = learn([config], Silent(), family=family)
        name = by_folder.get(config.folder.name, "")
        expected = (alone.folder / formats.CONCEPT_FILE).read_bytes()
        found.differ += queue.store.read(name or "nothing") != expected


def _table(found: list[Found]) -> str:
    heads = "queue,words done,twice,other bytes,workers killed,drivers killed,seconds".split(",")
    rows = [
        [
            *(one.where, one.done, one.twice, one.differ),
            *(one.workers_killed, one.drivers_killed, one.seconds),
        ]
        for one in found
    ]
    return markdown_table([heads, *rows])


def _chart(found: list[Found]) -> bytes:
    figure = empty_figure(8, 4.5)
    axes = figure.subplots()
    for one in found:
        (line,) = axes.plot(*zip(*one.curve, strict=True), label=one.where)
        for at in one.kills:
            axes.axvline(at, color=line.get_color(), alpha=0.2, linewidth=0.5)
    axes.set(xlabel="seconds", ylabel="words done", title="words done; each line is a kill")
    axes.legend()
    return png_of(figure)


if __name__ == "__main__":
    main()
