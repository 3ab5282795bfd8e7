"""Forty times a run dies at some file operation and ends bit for bit as an unbroken one; twenty
times a pack of two does.

A kill is an exception that no handler of ours catches, after which no file operation works any
more, so that nothing is tidied up: what is on disk is what a SIGKILL would have left. Real SIGKILLs
are in `test_resume.py`.
"""

import errno
import gc
import json
import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pseudoword import train_pack
from pseudoword.config import TrainConfig
from pseudoword.errors import PseudowordError
from pseudoword.files import storage_error
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.report import charts
from pseudoword.runs.folder import RunFolder

KILLS = {1: 40, 2: 20}
"""Number of words that are learned together -> number of kills."""

SAVES = {
    f"replace {name}"
    for name in ("checkpoint", "concept.safetensors", "config.toml", "chosen.json")
}
"""At which a pack dies in any case. A word that is learned alone dies at each kind of operation."""

OPERATIONS = ("fsync", "replace", "chmod", "unlink", "mkdir")


class Killed(BaseException):
    """The process would be gone."""


class Reaper:
    """Counts file operations; at number `at` the process dies, or that one operation fails."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.at, self.count, self.dead, self.only_fails = 0, 0, False, False
        self.seen: list[str] = []
        self.met: set[str] = set()
        for name in OPERATIONS:
            patch.setattr(os, name, self._watched(name, getattr(os, name)))
        patch.setattr(tempfile, "mkstemp", self._watched("mkstemp", tempfile.mkstemp))
        patch.setattr(RunFolder, "append_log", self._watched_log(RunFolder.append_log))

    def arm(self, at: int, only_fails: bool) -> None:
        self.at, self.count, self.dead, self.only_fails = at, 0, False, only_fails
        self.seen.clear()

    def disarm(self) -> None:
        self.arm(0, only_fails=False)

    def _due(self, name: str, where: object) -> bool:
        if self.dead:
            raise Killed
        self.count += 1
        of = "" if name == "fsync" else Path(str(where)).name.strip(".").partition("-")[0]
        self.seen.append(f"{name} {of}")
        if self.count != self.at:
            return False
        self.met.add(self.seen[-1])
        self.dead = not self.only_fails
        return True

    def _strike(self) -> None:
        if self.only_fails:
            raise OSError(errno.ENOSPC, "No space left on device")
        raise Killed

    def _watched(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any, **options: Any) -> Any:
            if self._due(name, args[1] if len(args) > 1 else (args or [options["prefix"]])[0]):
                self._strike()
            return real(*args, **options)

        return watched

    def _watched_log(self, real: Callable[..., None]) -> Callable[..., None]:
        def watched(folder: RunFolder, entry: Any) -> None:
            if self._due("append", folder.log):
                with folder.log.open("ab") as file:
                    file.write(json.dumps(dict(entry)).encode()[:20])
                try:
                    self._strike()
                except OSError as error:
                    raise storage_error(folder.log, error) from error
            real(folder, entry)

        return watched


@pytest.fixture
def quick(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """Load the model once, with its VAE, and draw no curves: these are not tested here."""
    monkeypatch.setattr(base_model, "load", lambda *_, **_options: family)
    monkeypatch.setattr(family, "release_vae", lambda: None)
    monkeypatch.setattr(charts, "curves", lambda _entries, _title: b"curves")


@pytest.mark.slow
@pytest.mark.usefixtures("quick", "little_to_search")
@pytest.mark.parametrize("words", KILLS)
def test_a_run_killed_at_any_write_ends_with_the_same_bytes(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: int
) -> None:
    settings: dict[str, Any] = {"init": "cat", "batch": 1, "preview": (), "steps": 6, "ema": 0.9}
    settings["timestep_sampling"] = "importance"
    settings |= {"checkpoint_every": 2, "evaluate_every": 3, "save_every": 3, "keep_last": 1}

    def learn(out: Path) -> None:
        train_pack(
            [
                TrainConfig.check(
                    pictures=[pictures], token=token, base=str(base), out=out / token, **settings
                )
                for token in ("<cat>", "<dog>")[:words]
            ]
        )

    def left(out: Path) -> dict[str, Any]:
        """The files of a run, without the times in them."""
        result: dict[str, Any] = {
            str(path.relative_to(out)): path.read_bytes()
            for path in out.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }
        for log in [name for name in result if name.endswith("log.jsonl")]:
            lines = [json.loads(line) for line in result[log].splitlines()]
            result[log] = [
                {k: v for k, v in e.items() if k not in {"seconds", "words"}} for e in lines
            ]
        return result

    for name in ("2.png", "3.png"):
        (pictures / name).unlink()
    reaper, moments = Reaper(monkeypatch), random.Random(0)
    learn(tmp_path / "first")  # it alone writes the latents
    reaper.disarm()
    learn(tmp_path / "unbroken")
    operations, expected = reaper.count, left(tmp_path / "unbroken")
    places: dict[str, list[int]] = {}
    for at, what in enumerate(reaper.seen, 1):
        if at > 5 and (words == 1 or what in SAVES):
            places.setdefault(what, []).append(at)
    aimed = [moments.choice(each) for each in places.values()]  # the others at random places
    deaths = runs = 0
    while aimed or deaths < KILLS[words]:
        runs += 1
        out = tmp_path / f"run-{runs}"
        for attempt in range(2 if words == 1 else 9):
            aim = aimed and not attempt
            at = aimed.pop() if aim else moments.randint(6, operations // 2)  # what is left is less
            reaper.arm(at, only_fails=moments.random() < 0.3)
            try:
                learn(out)
            except (Killed, PseudowordError, OSError):
                deaths += 1
            else:
                break
            gc.collect()  # unlocks the folder, as the operating system would
        reaper.disarm()
        learn(out)
        assert left(out) == expected
    assert reaper.met >= {*places, *SAVES}
