"""What commands print: any text, to any terminal, in any encoding, and to readers who leave."""

import errno
import io
import json
import logging
import os
import subprocess
import sys
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from embedding_files import rows
from forked import Process
from PIL import Image
from safetensors.torch import save
from typer.testing import CliRunner, Result
from word_files import write_word

from pseudoword import api, formats, text
from pseudoword.cli import tables as cli_tables
from pseudoword.cli import terminal
from pseudoword.cli.app import app
from pseudoword.concept import Concept
from pseudoword.runs import checkpoint

EVIL = "\x1b[31m\x1b]0;x\x07 \x1b]8;;http:evil\x1b\\ [red]:cat:\r\b\x9b2J\u202e\u2066[é😀"
"""Part of a file's name: escape sequences, markup, an emoji's name, text that runs backwards."""


def run(*arguments: object, charset: str = "utf-8") -> Result:
    result = CliRunner(charset=charset).invoke(app, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name steers terminals, with everything in it that commands read."""
    folder = tmp_path_factory.mktemp("evil") / EVIL / "bold]"  # a path has `[…/bold]` in it
    tiny.stable_diffusion(folder / f"base {EVIL}")
    (folder / "pictures").mkdir()
    for colour in ("red", "green", "blue"):
        path = folder / "pictures" / f"{colour} {EVIL}.png"
        Image.new("RGB", (30, 40), colour).save(path)
        path.with_suffix(".txt").write_text(f"{colour} {EVIL}", encoding="utf-8")
    metadata = {"pseudoword.encoders": "clip_l", "pseudoword.token": "<[/red]:cat:>"}
    metadata |= {"pseudoword.base": f"b {EVIL}", f"pseudoword.{EVIL}": EVIL, EVIL: EVIL}
    (folder / f"word {EVIL}.safetensors").write_bytes(save({EVIL: rows(1, 32)}, metadata))
    (folder / f"no word {EVIL}.safetensors").write_bytes(save({EVIL: rows(1, 32).long()}))
    return folder


def word(evil: Path) -> Path:
    return evil / f"word {EVIL}.safetensors"


COMMANDS: dict[str, Callable[[Path, Path], list[object]]] = {
    "train": lambda evil, out: [
        *("train", evil / "pictures", "--token", "<[/red]:cat:>", "--base", evil / f"base {EVIL}"),
        *("--steps", 1, "--out", out / EVIL, "--preview", "[name] --s 1", "--init", word(evil)),
        *("--timestep-sampling", "uniform", "--evaluate-every", 0),
    ],
    "generate": lambda evil, out: [
        *("generate", f"a {EVIL}", "--concept", word(evil), "--base", evil / f"base {EVIL}"),
        *("--sampler-steps", 1, "--out", out / f"{EVIL}.png", "-n", 2),
    ],
    "prepare": lambda evil, out: ["prepare", evil / "pictures", "--out", out / f"{EVIL}.png"],
    "inspect": lambda evil, out: ["inspect", word(evil), "--base", evil / f"base {EVIL}"],
    "convert": lambda evil, out: ["convert", word(evil), out / f"{EVIL}.pt"],
    "gallery": lambda evil, out: ["gallery", evil, "--out", out / f"{EVIL}.png"],
    "evaluate": lambda evil, out: [
        *("evaluate", word(evil), "--pictures", evil / "pictures", "-n", 1, "--sampler-steps", 1),
        *("--prompt", f"[name] {EVIL}", "--base", evil / f"base {EVIL}", "--out", out / EVIL),
    ],
    "plan": lambda evil, out: ["plan", "--base", evil / f"base {EVIL}"],
    "bases": lambda evil, out: ["bases"],
}
"""Every command that succeeds on files like these, given a folder to write to."""

MISTAKES: dict[str, Callable[[Path], list[object]]] = {
    "no pictures": lambda evil: ["train", evil / "none", "--token", "<x>"],
    "unknown option": lambda evil: ["train", f"--{EVIL}"],
    "unknown command": lambda evil: [EVIL],
    "no number": lambda evil: ["plan", "--batch", EVIL],
    "one too many": lambda evil: ["bases", EVIL],
    "token": lambda evil: ["train", evil / "pictures", "--token", EVIL],
    "no word": lambda evil: ["inspect", evil / f"no word {EVIL}.safetensors"],
    "no base": lambda evil: ["plan", "--base", word(evil)],
    "preview": lambda evil: ["train", evil, "--token", "<x>", "--preview", f"[name] --d {EVIL}"],
    "variant": lambda evil: ["bench", "--compare", EVIL],
    "repository": lambda evil: ["push", evil, "--to", EVIL],
    "prompt": lambda evil: ["evaluate", word(evil), "--pictures", evil, "--prompt", EVIL],
    "out": lambda evil: ["generate", "x", "--out", f"a.{EVIL}"],
    "demo": lambda evil: ["demo", "--out", word(evil)],
}


def harmless(said: str) -> bool:
    return not any(c != "\n" and text.visible(c) != c for c in said)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_lets_a_file_steer_the_terminal(name: str, evil: Path, tmp_path: Path) -> None:
    result = run(*COMMANDS[name](evil, tmp_path), charset="ascii")
    assert result.exit_code == 0, result.stderr
    assert harmless(result.output)
    if name != "bases":
        assert r"\x1b[31m\x1b]0;x\x07" in result.output
        assert "[red]:cat:" in result.output


@pytest.mark.parametrize("name", ["inspect", "gallery", "prepare", "plan"])
def test_json_is_json_whatever_is_in_it(name: str, evil: Path, tmp_path: Path) -> None:
    result = run(*COMMANDS[name](evil, tmp_path), "--json", charset="ascii")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.isascii()
    assert harmless(result.stdout)
    assert EVIL in repr(json.loads(result.stdout)) or EVIL in _texts(json.loads(result.stdout))


def _texts(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(_texts(part) for item in value.items() for part in item)
    return "".join(map(_texts, value)) if isinstance(value, list) else str(value)


@pytest.mark.parametrize("name", MISTAKES)
def test_no_mistake_lets_it_either(name: str, evil: Path) -> None:
    result = run(*MISTAKES[name](evil))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert harmless(result.stderr)
    assert "x1b" in result.stderr or name == "no number"


def test_names_and_prompts_that_are_no_text_are_taken_or_refused(
    base: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for colour in ("red", "green"):
        name = os.fsdecode(b"\xff " + colour.encode())
        Image.new("RGB", (40, 40), colour).save(pictures / f"{name}.png")
    result = run("prepare", pictures, "--base", base, "--template", "captioned", "--json",
                 "--out", tmp_path / "sheet.png")  # fmt: skip
    assert [one["caption"] for one in json.loads(result.stdout)["pictures"]] == ["? green", "? red"]
    result = run("generate", "a \udcff", "--base", base)
    assert (result.exit_code, result.stdout) == (2, "")
    assert r"the prompt a \xff is not UTF-8" in result.stderr


def test_other_libraries_cannot_steer_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    before = logging.getLogRecordFactory()
    try:
        terminal.ready()
        sys.stderr.write(warnings.formatwarning("a \x1b[31m", UserWarning, "/home/me/x.py", 1))
        logging.getLogger("other").error("of %s", "\x1b[31m")
        record = logging.getLogRecordFactory()("x", 40, "x", 1, "of %s", ("\x1b[31m",), None)
    finally:
        logging.setLogRecordFactory(before)
    assert record.getMessage() == r"of \x1b[31m"
    said = capsys.readouterr().err
    assert harmless(said)
    assert "/home/me" not in said


def test_what_the_hub_says_cannot_steer_it(
    evil: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def refuse(*_: object, **__: object) -> None:
        raise OSError(f"no {EVIL}")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    monkeypatch.setattr(huggingface_hub.HfApi, "repo_exists", refuse)
    write_word(Concept("<x>", {"clip_l": rows(1, 32)}), tmp_path / formats.CONCEPT_FILE)
    for arguments in (["push", tmp_path, "--to", "me/cat"], ["plan", "--base", "me/model"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert harmless(result.stderr)
        assert r"no \x1b[31m" in result.stderr


Show = Callable[[], None]


@pytest.fixture(scope="module")
def tables(evil: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Show]:
    """What prints each table that is made of files."""
    out = tmp_path_factory.mktemp("out")
    base = str(evil / f"base {EVIL}")
    inspected = api.inspect(word(evil), base=base)
    found = api.gallery(evil, out=out / "a.png")
    prepared = api.prepare(evil / "pictures", base=base, out=out / "b.png")
    planned = api.plan(base=base)
    queued = [api.QueuedWord(name=EVIL, state="failed", why=f"of {EVIL}", worker=EVIL)]
    return {
        "inspect": lambda: cli_tables.show_inspection(inspected),
        "gallery": lambda: cli_tables.show_gallery(found),
        "prepare": lambda: cli_tables.show_prepared(prepared),
        "plan": lambda: cli_tables.show_plan(planned),
        "bases": lambda: cli_tables.show_bases(api.bases()),
        "queue": lambda: cli_tables.show_queue(queued, f"<[/red]:cat:>/{EVIL}", every=False),
    }


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-16"])
def test_any_encoding_takes_every_table(
    encoding: str, tables: dict[str, Show], monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))
    terminal.ready()
    for show in tables.values():
        show()
    said = written.getvalue().decode(encoding)
    assert harmless(said.replace("\ufeff", ""))
    assert {"ascii": "1 x 32", "utf-16": "1 × 32"}.get(encoding, "32") in said


WIDTHS = ("0", "1", "7", "10", "39", "80", "400", "many", "²", "-3")


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", ["inspect", "gallery", "prepare", "plan", "bases", "queue"])
def test_a_table_leaves_nothing_out_at_any_width(
    name: str,
    columns: str,
    tables: dict[str, Show],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with terminal.not_too_narrow():
        tables[name]()
    assert os.environ["COLUMNS"] == columns
    said = "".join(capsys.readouterr().out.replace("│", "").split())
    kept = {"plan": "--offload", "bases": "ATTRIBUTION.md", "prepare": "--steps"}
    assert kept.get(name, "<[/red]:cat:>") in said
    assert "…" not in said


def test_only_what_steers_is_spelled_out() -> None:
    kept = "Ünï 猫 ش कि 👨\u200d👩\u200d👧 a\u00a0b\u202fc\u3000d ﷺ é \\ [b] &lt; <x>"
    assert text.visible(kept) == kept
    assert text.visible("a\nb\tc", lines=True) == "a\nb\\tc"
    assert text.visible(os.fsdecode(b"x\xff\xfe")) == r"x\xff\xfe"
    steering = {"Cc", "Cs", "Zl", "Zp"}
    for code in (*range(0x12000), *range(0x1F300, 0x1F700), *range(0xE0000, 0xE0200)):
        letter = chr(code)
        turns = unicodedata.bidirectional(letter) in {
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        }
        if turns or unicodedata.category(letter) in steering:
            assert text.visible(letter) != letter, hex(code)
        elif letter.isprintable():
            assert text.visible(letter) == letter, hex(code)


def test_json_has_null_for_what_is_no_number() -> None:
    said = text.json_text({"a": [float("nan"), float("inf"), 1.5], "é\udcff": (1, None, True)})
    assert json.loads(said) == {"a": [None, None, 1.5], "é\udcff": [1, None, True]}
    assert said.isascii()


@pytest.mark.parametrize("argument", ["", "a b", "<x>", "$(a)", "`a`", 'a"b', "a'b", "a\\b", "!x"])
def test_a_command_to_paste_keeps_its_arguments(argument: str) -> None:
    shown = text.command("printf", "%s", argument)
    assert subprocess.run(["bash", "-c", shown], capture_output=True, text=True).stdout == argument


@pytest.mark.parametrize("arguments", [["bases"], ["--help"], ["plan", "--json"]])
def test_what_is_done_is_done_also_when_its_reader_has_gone(arguments: list[str]) -> None:
    process = Process(*arguments, streams={1: "left"})
    assert (process.wait(), process.stderr) == (0, "")


@pytest.mark.parametrize("number", [1, 2])
def test_what_other_libraries_print_for_a_reader_who_has_gone_stops_nothing(number: int) -> None:
    talks = """
import os, sys
from pseudoword.cli import terminal
reader, written = os.pipe()
os.close(reader)
os.dup2(written, int(sys.argv[1]))
terminal.ready()
for _ in range(10_000):
    print("loading", file=(sys.stdout, sys.stderr)[int(sys.argv[1]) - 1], flush=True)
sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", talks, str(number)], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_windows_says_in_two_ways_that_a_reader_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    invalid, full = OSError(errno.EINVAL, "Invalid argument"), OSError(errno.ENOSPC, "full")
    assert [terminal._says_gone(one) for one in (BrokenPipeError(), invalid)] == [True, False]
    monkeypatch.setattr(terminal, "WINDOWS", True)
    assert [terminal._says_gone(one) for one in (BrokenPipeError(), invalid, full)] == [
        True,
        True,
        False,
    ]


def test_a_full_disk_behind_stdout_is_said() -> None:
    process = Process("bases", streams={1: "/dev/full"})
    assert process.wait() == 2
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: what was done cannot be told")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device here")
def test_a_full_disk_behind_help_is_said_once() -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "pseudoword", "--help"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, b"error: No space left on device\n")


@pytest.mark.parametrize("kind", ["closed", "left"])
def test_training_outlives_its_terminal(
    kind: str, base: Path, pictures: Path, tmp_path: Path
) -> None:
    given = ["train", pictures, "--token", "<cat>", "--init", "cat", "--base", base, "--steps", 2]
    given += ["--preview", "", "--timestep-sampling", "uniform", "--out", tmp_path / "run"]
    process = Process(*given, streams={0: "closed", 1: kind, 2: kind})
    assert process.wait() == 0
    assert formats.read(tmp_path / "run").provenance["steps"] == "2"
    assert not checkpoint.steps(tmp_path / "run"), "it is finished"


def test_what_is_far_too_long_is_cut_in_the_middle() -> None:
    result = run("train", "x", "--token", "<x>", "--lr", "9" * 99_999)
    assert result.exit_code == 2
    assert len(result.stderr) < 4500
    assert "999 … 999" in result.stderr


LOCALES = {
    "POSIX": {"LC_ALL": "POSIX"},
    "ASCII alone": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "Windows": {"PYTHONIOENCODING": "cp1252"},
    "UTF-16": {"PYTHONIOENCODING": "utf-16-le"},
}


@pytest.mark.parametrize("name", LOCALES)
def test_a_mistake_is_told_in_any_locale(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pseudoword", "prepare", "x", "--background", "ёж – 猫"]
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHONIO"))}
    done = subprocess.run(
        command, env=bare | LOCALES[name], capture_output=True, check=False, cwd=tmp_path
    )
    said = done.stderr.decode("utf-16-le" if name == "UTF-16" else "latin-1")
    assert done.returncode == 2
    assert said.startswith("error: ")
    assert "Traceback" not in said
    assert "is no colour" in said or "is not UTF-8" in said


def test_a_terminal_without_colours_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    stream: Any = Terminal()
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert terminal.has_colours(stream)
    monkeypatch.setenv("TERM", "dumb")
    assert not terminal.has_colours(stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "")
    assert not terminal.has_colours(stream)
    monkeypatch.setattr(terminal, "WINDOWS", True)
    for name in ("NO_COLOR", *terminal._WITH_COLOURS):
        monkeypatch.delenv(name, raising=False)
    assert not terminal.has_colours(stream)  # its old terminal would show the codes
    monkeypatch.setenv("WT_SESSION", "1")
    assert terminal.has_colours(stream)
