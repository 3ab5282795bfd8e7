"""Hostile command lines for every command and setting, made from `config`.

A `Try` is arguments and perhaps a file of settings; a `Sandbox` is a folder of someone's files in
which it is run. Whatever is tried must end well or with a sentence and exit code 2, and leave every
file that was there as it was.
"""

import hashlib
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from unittest import mock

import tomli_w
import torch
import typer
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner
from word_files import write_as

from pseudoword import api
from pseudoword.cli import app
from pseudoword.concept import Concept
from pseudoword.config import (
    BenchConfig,
    EvaluateConfig,
    GenerateConfig,
    PlanConfig,
    PrepareConfig,
    Settings,
    TrainConfig,
)
from pseudoword.errors import TrainingError
from pseudoword.formats import WRITERS

SETTINGS: Mapping[str, type[Settings]] = {
    "train": TrainConfig,
    "train-many": TrainConfig,
    "submit": TrainConfig,
    "generate": GenerateConfig,
    "prepare": PrepareConfig,
    "evaluate": EvaluateConfig,
    "bench": BenchConfig,
    "plan": PlanConfig,
}
"""Command -> its settings; the other commands have only options of their own."""

COMMANDS = dict(typer.main.get_command(app.app).commands)  # type: ignore[attr-defined]
del COMMANDS["ui"]  # it serves until it is stopped

OFTEN = ["train"] * 8 + ["generate"] * 4 + ["prepare", "convert", "inspect"] * 2 + [*COMMANDS]
"""The commands; those with more settings are tried more often."""

LONGEST_SECONDS = 120

MOST_CHARACTERS = 2500
"""A message may not be longer, whatever arguments it quotes."""

# fmt: off
FILES = [
    "pics", "pics/0.png", "cat", "words", "words/cat.pt", "words/two.pt", "runs/toy", "empty",
    "many", "many/toy", "queue",
    "notes.txt", "lines.txt", "broken.toml", "fine.toml", "style.safetensors", "one.ckpt", "loop",
    "runs/toy/concept.safetensors", "runs/toy/config.toml", "cut.png", "gone", "a=b.pt", "pipe",
]
"""The files in the sandbox."""

PATHS = [
    *FILES, "", " ", ".", "./cat", "pics/..", "pics/", "~/pics", "~nobody/x", "nowhere", "emoji",
    "runs/toyy", "no/such/folder", "sd-concepts-library/cat", "owner/name@v1", "C:\\x\\y.pt",
    "x.safetensors", "words/cat.pt=<dog>", "words/two.pt=<b>", "=", "=x", "words/cat.pt=",
    "a=b.pt=<c>", "style.safetensors:0.5", "style.safetensors:nan", "style.safetensors:", ":1",
    "/dev/null", "/proc/self/mem", "x" * 300, "y/" * 3000, "nul\0l", "\udcff", "new", "new.png",
    "new.safetensors", "new/x/y.png", "pics/new", "pics/0.png/x", "https://huggingface.co/a/b",
]

TEXTS = [
    "", " ", "\t\n", "=", "-", "--", "x", "None", "auto", "none", "[name]", "a [name]", "<cat>",
    "[filewords]", "cat", "cat, dog", "a=b", "a <cat> on a <cat>", "\x1b[31mred", "nul\0l", "猫",
    "\udc80", "\u202e", "🧑\u200d🚀", "a" * 2000, "word " * 300, "l" * 1_000_000, "$(x)", "%s",
]

NUMBERS = [
    "0", "-1", "1", "2", "3.5", "1e9", "1000000000", "9" * 400, "9" * 5000, "-" + "9" * 400, "nan",
    "inf", "-inf", "1e400", "1e-400", "1e308", "", " ", "x", "0x10", "1_0", "٣", "True", "auto",
    str(2**63 - 1), str(2**63), "+1", "1,5", "1 2",
]

OF_NAME: Mapping[str, list[str]] = {
    "lr": [
        "1e-3", "50%", "auto", "0.005:1, 1e-3", "0.005:100", "1e-2:-1", "1e9", "1e30", "1e-30",
        "0", "nan", "-1", "1:2:3", ",", ":", "1e-3:0", "1e-3:2, 1e-3:1", "%", "1e3%",
        "9" * 400 + "%", "1e-3:" + "9" * 5000,
    ],
    "optimiser": [
        "AdamW", "SGD", "Rprop", "ASGD", "LBFGS", "SparseAdam", "Optimizer", "adamw", "Muon",
        "Adafactor", "prodigyopt.Prodigy", "schedulefree.AdamWScheduleFree", "torch.optim.AdamW",
        "no.such", "..x", ".", "torch.optim.", "os.system", "pathlib.Path",
    ],
    "optimiser_option": [
        "eps=1e-3", "betas=(0.9, 0.99)", "betas=3", "eps=nan", "lr=1", "params=1", "x=1", "x", "=1",
        "eps=", "foreach=True", "fused=True", "differentiable=True", "capturable=True", "eps=-1",
        "maximize=True", "weight_decay=1e308", "amsgrad=True", "eps=" + "(" * 999, "eps=exit()",
    ],
    "preview": [
        "a [name] --s 1", "--s 1", "a --s 0", "a --w 8 --s 1", "a --w 999999999", "a --d -1 --s 1",
        "a --ss LMS --s 1", "a --ss none", "a --l nan", "a --n x --s 1", "a --q 1", "a --s", "--",
        "a --s 1001", " " * 100_000 + "--s 1", "a --d 9223372036854775807 --s 1",
    ],
    "compare": ["", "lr=1e-3", "steps=1,steps=2", "token=x", "x=1", "lr", "lr=", "method=none"],
    "device": ["cpu", "cuda", "cuda:99", "mps", "gpu", "meta", "CPU", "cpu:1", "auto"],
    "scheduler": ["DDIM", "DPMSolverMultistep", "LMS", "PNDM", "UniPC", "x", "EulerDiscrete"],
    "background": ["red", "#123", "#12345678", "hsl(0,100%,50%)", "no colour", "rgb(1,2,3)"],
    "token": ["<toy>", "<new>", "cat", "a", "[name]", "two words", "../up", "T" * 300, "猫" * 200],
    "out": ["pics", "words/cat.pt", "notes.txt", "runs/toy", "runs/new", "empty", "new.jpg", "cat"],
    "template": ["subject", "object", "style", "minimal", "captioned", "filewords"],
    "compare_with": ["cat", "words/cat.pt"],
    "init": ["cat", "red cat", "object"],
    "base": ["emoji", "base"],
    "variant": ["fp16", "x/../y"],
    "retry": ["all", "toy-000000000000"],
    "to": ["me/cat", "me", "me/cat/x", "../x", "me/.."],
    "format_": [*WRITERS, "none"],
}
"""Values that mean something to a setting, or look like it."""

PLACES = {
    "pictures", "out", "configs", "config", "init", "base", "template", "lora", "concept",
    "similarity_model", "file", "source", "folder", "picture", "caption_model", "compare_with",
    "token", "queue",
}
"""Paths, and text that looks like one."""
# fmt: on

COSTLY: Mapping[str, list[str]] = {
    "steps": ["1", "2", "auto"],
    "max_steps": ["1", "2"],
    "extend": ["1"],
    "batch": ["1", "3"],
    "accumulate": ["1", "2"],
    "resolution": ["32", "64"],
    "width": ["32", "40"],
    "height": ["32", "24"],
    "n": ["1", "2"],
    "sampler_steps": ["1", "2"],
    "crops": ["1", "5"],
    "vectors": ["1", "3", "75", "auto"],
}
"""Settings that take long if they are large; values beyond their bounds are tried all the same."""

ALWAYS: Mapping[str, list[str]] = {
    "train": "pics --token <new> --steps 1 --max-steps 2 --preview [name]~--s~1".split(),
    "train-many": "many --out new --steps 1 --max-steps 2 --preview none".split(),
    "submit": ["new", "many"],
    "work": ["queue"],
    "queue": ["queue"],
    "generate": ["a <cat>", "--sampler-steps", "1"],
    "prepare": ["pics"],
    "evaluate": "words/cat.pt --pictures pics --sampler-steps 1 -n 1 --prompt a~[name]".split(),
    "bench": [],
    "plan": [],
    "inspect": ["words/cat.pt"],
    "convert": ["words/cat.pt", "new/cat.pt"],
    "gallery": ["words"],
    "push": ["runs/toy", "--to", "me/cat"],
    "bases": [],
    "env": [],
    "demo": [],
}
"""Arguments that make each command fast and would succeed; ~ stands for a space."""


@dataclass(frozen=True)
class Try:
    """One command line."""

    command: str
    arguments: tuple[str, ...]
    toml: bytes | None = None
    """of a file `settings.toml`, if there is to be one"""

    def __repr__(self) -> str:
        told = [a if len(a) < 80 else f"{a[:40]}…({len(a)} characters)" for a in self.arguments]
        with_file = f" with {self.toml!r}"[:300] if self.toml is not None else ""
        return f"pseudoword {self.command} {told!r}{with_file}"


@dataclass
class Outcome:
    """The result of a try."""

    code: int
    said: str
    """on stderr"""
    wrong: list[str] = field(default_factory=list)
    """what must not happen, but did"""


def tries() -> st.SearchStrategy[Try]:
    """Any command with some of its settings, at values of every kind."""
    return st.sampled_from(OFTEN).flatmap(_tries_of)


@st.composite
def _tries_of(draw: st.DrawFn, command: str) -> Try:
    options = {p.name: p for p in COMMANDS[command].params if p.name != "help"}
    positions = [name for name, p in options.items() if p.param_type_name == "argument"]
    given = [word.replace("~", " ") for word in ALWAYS[command]]
    if command in SETTINGS:
        given += ["--device", "cpu"] + (["--base", "base"] if draw(st.integers(0, 9)) else [])
    toml: dict[str, Any] = {}
    in_file = command == "train" and draw(st.integers(0, 3)) == 0
    several = st.lists(st.sampled_from(sorted(options)), min_size=1, max_size=3, unique=True)
    for name in draw(several):
        if name in positions:
            given[positions.index(name)] = draw(st.sampled_from(_texts(name)))
        elif in_file and name in TrainConfig.model_fields:
            toml[name] = draw(_toml_values(name))
        else:
            given += draw(_on_the_command_line(command, name, options[name]))
    if in_file:
        text = draw(st.just(tomli_w.dumps(toml).encode()) | st.sampled_from(_bad_toml(toml)))
        return Try(command, (*given, "--config", "settings.toml"), text)
    return Try(command, tuple(given))


def _on_the_command_line(command: str, name: str, option: Any) -> st.SearchStrategy[list[str]]:
    flag = option.opts[0]
    if option.is_flag:
        return st.sampled_from([[flag], list(option.secondary_opts)[:1] or [flag]])
    values = st.sampled_from(_values(SETTINGS.get(command), name))
    if command not in SETTINGS or name not in SETTINGS[command].model_fields:
        values |= st.text(max_size=12)
    return values.map(lambda v: [f"{flag}={v}"] if flag.startswith("--") else [flag, v])


def _values(kind: type[Settings] | None, name: str) -> list[str]:
    """Values to try for an option, by its field's type and bounds; half of them are valid."""
    if kind is None or name not in kind.model_fields:
        return _texts(name)
    info = kind.model_fields[name]
    types = list(_leaves(info.annotation))
    fair = [str(v) for one in types if get_origin(one) is Literal for v in get_args(one)]
    odd = ["", "x", *(value.upper() for value in fair)]
    if int in types or float in types:
        fair = COSTLY.get(name, ["0", "0.5"] if float in types else ["1", "2", "9"])
        odd = [*_around_bounds(info, name), *NUMBERS]
    elif {str, Path} & set(types):
        fair, odd = OF_NAME.get(name, ["cat"]), _texts(name)
    return [*fair * (len(odd) // max(1, len(fair)) + 1), *odd]


def _texts(name: str) -> list[str]:
    return [*OF_NAME.get(name, []) * 3, *(PATHS if name in PLACES else []), *TEXTS]


def _around_bounds(info: Any, name: str) -> Iterator[str]:
    bounds = [*info.metadata, *(m for one in get_args(info.annotation) for m in _metadata(one))]
    for one in bounds:
        for kind, inside in (("ge", 0), ("gt", 1), ("le", 0), ("lt", -1)):
            if (bound := getattr(one, kind, None)) is not None:
                outside = -1 if kind in ("ge", "gt") else 1
                yield str(bound + outside)
                if name not in COSTLY or kind in ("ge", "gt"):
                    yield str(bound + inside)


def _metadata(annotation: Any) -> Iterator[Any]:
    """The bounds of one part of a union."""
    for one in getattr(annotation, "__metadata__", ()):
        yield from getattr(one, "metadata", [one])


def _leaves(annotation: Any) -> Iterator[Any]:
    """The plain types in an annotation."""
    if get_origin(annotation) is Annotated:
        yield from _leaves(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType, tuple):
        for part in get_args(annotation):
            yield from _leaves(part)
    else:
        yield annotation


def _toml_values(name: str) -> st.SearchStrategy[Any]:
    plain = st.sampled_from([v for v in _values(TrainConfig, name) or ["true"] if v.isascii()])
    dates = [date(1979, 5, 27), datetime(1979, 5, 27, 7, 32)]
    odd = [True, False, 3, 1.5, 10**30, -(10**400), float("nan"), float("inf"), "", "猫", *dates]
    nested: list[Any] = [[], [[]], [1, "a"], {}, {"a": {"b": 1}}, [{"a": 1}]]
    return plain | st.sampled_from([*odd, *nested]) | st.lists(plain, max_size=2)


def _bad_toml(values: Mapping[str, Any]) -> list[bytes]:
    whole = tomli_w.dumps(values).encode()
    added = [b"\nx = ", b"\nstepps = 3", b"\n[lr]\na = 1", b"\n[[steps]]", b"\n'' = 1", whole]
    odd = [b"steps = " + b"9" * 5000, b"steps = 0x" + b"f" * 9999, b"a = " + b"[" * 9999, b"\0"]
    coded = [b"\xff\xfe" + whole, b"\xef\xbb\xbf" + whole.replace(b"\n", b"\r\n")]
    return [*(whole + more for more in added), *odd, *coded]


class Sandbox:
    """A folder of someone's files, which must survive whatever is tried in it."""

    def __init__(self, folder: Path, base: Path) -> None:
        self.folder, self._base = folder, base
        self._fill()

    def run(self, one: Try) -> Outcome:
        """Run it here, check the result, and restore everything."""
        if one.toml is not None:
            (self.folder / "settings.toml").write_bytes(one.toml)
        with chdir(self.folder), mock.patch.dict(os.environ, {"HOME": str(self.folder)}), _quick():
            try:
                with _alarm():
                    result = CliRunner().invoke(app.app, [one.command, *one.arguments])
            except TimeoutError:
                return Outcome(-1, "", [f"not done in {LONGEST_SECONDS} s"])
        found = Outcome(result.exit_code, result.stderr)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            found.wrong.append(f"{type(result.exception).__name__}: {result.exception}"[:300])
        elif found.code not in (0, 2):
            found.wrong.append(f"exit code {found.code}")
        elif found.code == 2 and not found.said.strip():
            found.wrong.append("nothing is said")
        told = found.said.strip().splitlines()
        if "Traceback" in found.said:
            found.wrong.append("a traceback")
        if found.code == 2 and max(map(len, told), default=0) > MOST_CHARACTERS:
            found.wrong.append(f"{len(found.said)} characters are no sentence")
        may = "--overwrite" in one.arguments
        lost = [] if may else self._lost()
        found.wrong += [f"{name} is no longer as it was" for name in lost]
        self._restore(anew=may or bool(lost))
        return found

    def _lost(self) -> list[str]:
        return [name for name, was in self._files.items() if _state(self.folder / name) != was]

    def _restore(self, anew: bool) -> None:
        """Remove new files; if something is lost, make the folder again."""
        if anew:
            shutil.rmtree(self.folder)
            self._fill()
            return
        for path in sorted(self.folder.rglob("*"), key=lambda p: -len(p.parts)):
            if str(path.relative_to(self.folder)) in self._all:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "runs" / "toy")
        shutil.copytree(self.folder.with_name("run-kept"), self.folder / "runs" / "toy")

    def _fill(self) -> None:
        _someones_files(self.folder)
        (self.folder / "base").symlink_to(self._base)
        kept = self.folder.with_name("run-kept")
        if not kept.exists():
            with chdir(self.folder):
                settings: dict[str, Any] = {"init": "cat", "base": "base", "device": "cpu"}
                api.train("pics", "<toy>", steps=2, preview=(), **settings)
            shutil.copytree(self.folder / "runs" / "toy", kept)
        shutil.rmtree(self.folder / "runs" / "toy", ignore_errors=True)
        shutil.copytree(kept, self.folder / "runs" / "toy")
        self._all = {str(p.relative_to(self.folder)) for p in self.folder.rglob("*")}
        ours = "runs/toy/"  # a run of ours may be resumed
        others = (name for name in self._all if not name.startswith(ours))
        self._files = {name: _state(self.folder / name) for name in others}


def _someones_files(folder: Path) -> None:
    (folder / "pics").mkdir(parents=True)
    for i, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (48, 40), colour).save(folder / "pics" / f"{i}.png")
    (folder / "pics" / "0.txt").write_text("a red thing, on grey")
    (folder / "many" / "toy").mkdir(parents=True)
    Image.new("RGB", (48, 40), "red").save(folder / "many" / "toy" / "0.png")
    api.submit(folder / "queue", folder / "many", steps=1)
    api.queue(folder / "queue", cancel="all")
    (folder / "cat").touch()
    word = {"clip_l": torch.ones(2, 32)}
    write_as(Concept("<cat>", word, "sd"), folder / "words" / "cat.pt", "a1111")
    write_as(Concept("<c>", word, "sd"), folder / "a=b.pt", "a1111")
    torch.save({"<a>": torch.ones(1, 32), "<b>": torch.ones(1, 32)}, folder / "words" / "two.pt")
    (folder / "notes.txt").write_text("dear diary")
    (folder / "lines.txt").write_text("a [name]\n[name], [filewords]\n")
    (folder / "broken.toml").write_text("steps = = 3")
    (folder / "fine.toml").write_text('pictures = ["pics"]\nsteps = 1\nmax_steps = 2\n')
    save_file({"lora_unet_x.lora_up.weight": torch.ones(2, 2)}, folder / "style.safetensors")
    (folder / "one.ckpt").write_bytes(b"PK\x03\x04 no checkpoint")
    (folder / "cut.png").write_bytes((folder / "pics" / "0.png").read_bytes()[:60])
    (folder / "empty").mkdir()
    (folder / "loop").symlink_to("loop")
    (folder / "gone").symlink_to("not there")
    os.mkfifo(folder / "pipe")


def _state(path: Path) -> str:
    """The type and the contents of a path."""
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    return "folder" if path.is_dir() else "pipe" if path.is_fifo() else "nothing"


@contextmanager
def _quick() -> Iterator[None]:
    """Let `demo` and `bench`, which always take minutes, end where their work would begin."""

    def learned(*_args: Any, **_more: Any) -> None:
        raise TrainingError("here the work would begin")

    with (
        mock.patch("pseudoword.commands.demo.learn", learned),
        mock.patch("pseudoword.benchmark.comparison.BenchmarkRun", learned),
    ):
        yield


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_args: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
