"""Kills and interrupts: a resumed run loses nothing and ends as an unbroken one."""

import json
import os
import pickle
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from forked import Process

from pseudoword import files, formats, outputs
from pseudoword.api import train, train_pack
from pseudoword.config import TrainConfig
from pseudoword.errors import PseudowordError, RunFolderError
from pseudoword.locks import is_locked
from pseudoword.progress import Silent
from pseudoword.runs import checkpoint
from pseudoword.runs.finish import Trained
from pseudoword.runs.interrupt import Interrupt, StoppedAtOnce

STEPS = 30


def begin(base: Path, pictures: Path, out: Path, steps: int = STEPS) -> Process:
    """A training run that saves often, so that some kills come while it saves."""
    options = ["--token", "<cat>", "--init", "cat", "--base", base, "--out", out]
    options += ["--steps", steps, "--vectors", 2, "--checkpoint-every", 3]
    return Process("train", pictures, *options)


def run(base: Path, pictures: Path, out: Path, **settings: Any) -> Trained:
    options: dict[str, Any] = {
        "init": "cat",
        "steps": 12,
        "batch": 2,
        "preview": (),
        "checkpoint_every": 5,
    }
    return train(pictures, "<cat>", base=str(base), out=out, **(options | settings))


def until(path: Path, text: str, process: Process) -> None:
    """Wait until the log holds `text`."""
    while process.poll() is None and not (path.exists() and text in path.read_text()):
        time.sleep(0.01)


@pytest.fixture(scope="module")
def whole(base: Path, once: Path) -> Path:
    """The result of a run that is never killed."""
    settings: dict[str, Any] = {"steps": STEPS, "vectors": 2, "batch": 4, "checkpoint_every": 3}
    return run(base, once / "pictures", once / "whole", **settings).folder


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(
    base: Path, pictures: Path, tmp_path: Path, whole: Path
) -> None:
    cut = tmp_path / "cut"
    moments = random.Random(0)
    kills = 0
    for target in (1, 8, 15, 21):
        process = begin(base, pictures, cut)
        until(cut / "log.jsonl", f'"step": {target},', process)
        time.sleep(moments.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills >= 3
    last = begin(base, pictures, cut)
    assert last.wait() == 0
    assert "from step" in last.stderr
    assert (cut / "concept.safetensors").read_bytes() == (
        whole / "concept.safetensors"
    ).read_bytes()
    logs = [
        [json.loads(line) for line in (f / "log.jsonl").read_text().splitlines()]
        for f in (whole, cut)
    ]
    assert [entry["step"] for entry in logs[1]] == list(range(STEPS + 1))
    for entry in (*logs[0], *logs[1]):
        entry.pop("seconds", None)
    assert logs[0] == logs[1]
    assert not list(cut.glob("checkpoint*"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_run_asked_to_stop_saves_its_state_and_resumes_later(
    base: Path, pictures: Path, tmp_path: Path, whole: Path, number: int, code: int
) -> None:
    out = tmp_path / "run"
    process = begin(base, pictures, out)
    until(out / "log.jsonl", '"step": 4,', process)
    process.send_signal(number)
    assert process.wait() == code
    said = process.stderr
    assert "stopping after this step; do it again to stop at once" in said
    assert str(out) in said
    assert "Traceback" not in said
    (step,) = [s for s in checkpoint.steps(out) if f"at step {s} in" in said]
    assert formats.read(out).provenance["steps"] == str(step)
    settings: dict[str, Any] = {"steps": STEPS, "vectors": 2, "batch": 4, "checkpoint_every": 3}
    done = run(base, pictures, out, preview=("a photo of [name]",), **settings)
    assert (done.folder / "concept.safetensors").read_bytes() == (
        whole / "concept.safetensors"
    ).read_bytes()


def test_a_stop_that_comes_when_all_is_done_asks_for_nothing_more(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    class StopsWhenItDraws(Silent):
        def phase(self, text: str) -> None:
            if text.startswith("drawing previews"):
                signal.raise_signal(signal.SIGINT)

    out, shown = tmp_path / "run", StopsWhenItDraws()
    preview = "a photo of [name] --s 1"
    with pytest.raises(KeyboardInterrupt, match="nothing is left to do"):
        run(base, pictures, out, steps=1, preview=preview, progress=shown)
    assert checkpoint.finished_step(out) == 1
    with pytest.raises(KeyboardInterrupt, match="Run the same command again"):
        run(base, pictures, out, steps=3, preview_every=2, preview=preview, allow_changes=True,
            progress=shown)  # fmt: skip


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_second_signal_stops_at_once_and_says_what_is_kept(
    base: Path, pictures: Path, tmp_path: Path, number: int, code: int
) -> None:
    class Insists(Silent):
        def advance(self, done: int, total: int, detail: str = "") -> None:
            if detail.startswith("loss") and done == 7:
                signal.raise_signal(number)
                signal.raise_signal(number)

    out = tmp_path / "run"
    with pytest.raises(StoppedAtOnce) as stopped:
        run(base, pictures, out, progress=Insists())
    kept = f"stopped at once. Kept <cat> at step 5 in {out}. Run the same command again to go on."
    assert str(stopped.value) == kept
    assert stopped.value.exit_code == code
    assert pickle.loads(pickle.dumps(stopped.value)).exit_code == code
    assert not is_locked(out)
    assert run(base, pictures, out).concept.provenance["steps"] == "12"


def test_a_terminal_that_is_closed_may_say_so_twice() -> None:
    told = threading.Event()
    with Interrupt(lambda _text: told.set()) as interrupt:
        for _ in range(2):
            signal.raise_signal(signal.SIGHUP)
        assert told.wait(60)
        assert interrupt.signum == signal.SIGHUP
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_nohup_turned_off_stays_off() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interrupt(lambda _text: None) as interrupt:
            signal.raise_signal(signal.SIGHUP)
            assert interrupt.signum is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_finished_run_is_left_alone(base: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run(base, pictures, out)
    before = {p: p.stat().st_mtime_ns for p in out.iterdir() if not p.name.startswith(".")}
    again = run(base, pictures, out)
    assert again.seconds == 0
    assert again.concept.provenance["steps"] == "12"
    assert before == {p: p.stat().st_mtime_ns for p in before}
    assert run(base, pictures, out, restart=True).seconds > 0


def test_other_settings_or_pictures_are_refused_and_nothing_is_overwritten(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    run(base, pictures, out)
    word = (out / "concept.safetensors").read_bytes()
    with pytest.raises(RunFolderError, match=r"--lr was 50%, is 0\.1"):
        run(base, pictures, out, lr=0.1)
    assert (out / "concept.safetensors").read_bytes() == word

    half = tmp_path / "half"
    _stop_after(base, pictures, half, steps=6)
    lines = tmp_path / "lines.txt"
    lines.write_text("one [name]\n")
    templated = tmp_path / "templated"
    _stop_after(base, pictures, templated, steps=6, template=str(lines))
    lines.write_text("another [name]\n")
    with pytest.raises(RunFolderError, match=r"begun with another template\. Restore"):
        run(base, pictures, templated, template=str(lines))

    (pictures / "0.png").write_bytes((pictures / "1.png").read_bytes())
    with pytest.raises(RunFolderError, match="begun with other, more or fewer pictures, repeats"):
        run(base, pictures, half)
    stray = tmp_path / "stray"
    stray.mkdir()
    (stray / "concept.safetensors").write_bytes(word)
    with pytest.raises(RunFolderError, match=r"concept\.safetensors would be replaced, but no run"):
        run(base, pictures, stray)


@pytest.mark.parametrize(
    ("save", "saved_by_each", "common"), [(4, [[0, 5], [0]], 0), (6, [[5, 10], [0, 5]], 5)]
)
def test_a_pack_killed_between_two_saves_goes_on_from_a_common_step(
    base: Path,
    pictures: Path,
    tmp_path: Path,
    save: int,
    saved_by_each: list[list[int]],
    common: int,
) -> None:
    def configs(folder: str) -> list[TrainConfig]:
        return [
            TrainConfig(
                pictures=(pictures,),
                token=token,
                init="cat",
                base=str(base),
                out=tmp_path / folder / token,
                steps=12,
                batch=2,
                preview=(),
                checkpoint_every=5,
            )
            for token in ("<a>", "<b>")
        ]

    whole = [t.folder / "concept.safetensors" for t in train_pack(configs("whole"))]
    saved = checkpoint.save
    calls = 0

    def save_then_die(*args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == save:
            raise OSError("killed between two saves")
        saved(*args)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", save_then_die)
        with pytest.raises(OSError, match="killed"):
            train_pack(configs("cut"))
    folders = [config.folder for config in configs("cut")]
    assert [checkpoint.steps(folder) for folder in folders] == saved_by_each
    assert checkpoint.resume_steps(folders) == [common, common]
    cut = [t.folder / "concept.safetensors" for t in train_pack(configs("cut"))]
    assert [p.read_bytes() for p in cut] == [p.read_bytes() for p in whole]


def test_in_a_pack_what_is_finished_is_not_learned_again(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    first = run(base, pictures, tmp_path / "a")
    log = (first.folder / "log.jsonl").read_bytes()
    shared: dict[str, Any] = {"base": str(base), "pictures": [pictures], "init": "cat"}
    shared |= {"steps": 12, "batch": 2, "preview": (), "checkpoint_every": 5}
    pack = [
        TrainConfig.check(token=token, out=tmp_path / folder, **shared)
        for token, folder in (("<cat>", "a"), ("<dog>", "b"))
    ]
    done = train_pack(pack)
    assert [one.concept.token for one in done] == ["<cat>", "<dog>"]
    assert done[0].seconds == 0
    assert done[1].seconds > 0
    assert (first.folder / "log.jsonl").read_bytes() == log


def test_a_full_disk_keeps_the_last_good_word(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    fsync, calls = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal calls
        calls += (out / "log.jsonl").exists()
        if calls > 8:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PseudowordError, match="disk is full"):
        run(base, pictures, out)
    monkeypatch.undo()
    kept = formats.read(out)
    assert int(kept.provenance["steps"]) >= 5
    assert run(base, pictures, out).concept.provenance["steps"] == "12"


def test_a_damaged_checkpoint_is_named(base: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    _stop_after(base, pictures, out, steps=6)
    (out / "checkpoint-5.pt").write_bytes(b"garbage")
    with pytest.raises(RunFolderError, match=r"checkpoint-5\.pt would be replaced.*or is damaged"):
        run(base, pictures, out)


def _stop_after(base: Path, pictures: Path, out: Path, steps: int, **settings: Any) -> None:
    """Leave a run as a kill after `steps` steps would."""
    last = f"checkpoint-{steps - steps % 5}.pt"

    def write(path: Path, data: bytes) -> None:
        files.write_whole(path, data)
        if path.name == last:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, "write_whole", write)
        with pytest.raises(KeyboardInterrupt):
            run(base, pictures, out, **settings)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_in_either_precision_a_resumed_run_ends_with_the_same_bytes(
    dtype: str, base: Path, pictures: Path, tmp_path: Path
) -> None:
    unbroken = run(base, pictures, tmp_path / "unbroken", dtype=dtype)
    _stop_after(base, pictures, tmp_path / "cut", steps=6, dtype=dtype)
    resumed = run(base, pictures, tmp_path / "cut", dtype=dtype)
    words = [(one.folder / "concept.safetensors").read_bytes() for one in (unbroken, resumed)]
    assert words[0] == words[1]
    assert 0 < unbroken.effect < float("inf")


def test_two_runs_never_share_a_folder(base: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = begin(base, pictures, out, 1_000_000)
    try:
        until(out / "log.jsonl", '"step": 1,', process)
        second = begin(base, pictures, out, 1_000_000)
        assert second.wait() == 2
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert f"process {process.pid}" in second.stderr
    assert "--out" in second.stderr


@pytest.mark.parametrize("second", ["run", "other/../run", "Run"])
def test_words_of_a_pack_need_folders_of_their_own(
    base: Path, pictures: Path, tmp_path: Path, second: str
) -> None:
    """Where the disk ignores case, two words in runs/Cat and runs/cat would be in one folder."""
    settings: dict[str, Any] = {"pictures": [pictures], "base": str(base), "steps": 1}
    pack = [
        TrainConfig.check(**settings, init="cat", preview=(), token=token, out=tmp_path / out)
        for token, out in (("<a>", "run"), ("<b>", second))
    ]
    with pytest.raises(PseudowordError, match="folders of their own"):
        train_pack(pack)
