"""The pages say what the commands take: no option that isn't there, no command that has changed."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from pseudoword.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = {
    "--logdir": "tensorboard",
    "--device": "benchmarks/memory.py",
    "--from-bundle": "basemodel",
    "--as-is": "basemodel",
    "--work": "basemodel",
    "--preset": "basemodel",
    "--ss": "a prompt's line",
    "--hypothesis-profile": "pytest",
}
"""Options that the pages name of other programs."""


def options() -> dict[str, set[str]]:
    """Command -> its options."""
    program = get_command(app)
    commands = program.commands  # type: ignore[attr-defined]
    return {
        name: {flag for one in command.params for flag in (*one.opts, *one.secondary_opts)}
        for name, command in commands.items()
    }


def commands_in(page: str) -> list[str]:
    """Command lines in blocks of code and between backticks."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page, re.S | re.M)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page, flags=re.S | re.M))
    found = (re.match(r"\s*(?:\$ )?(?:\.venv/bin/)?pseudoword (.+)", line) for line in lines)
    return [match[1] for match in found if match]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_the_pages_are_right(page: Path) -> None:
    known = options()
    for line in commands_in(page.read_text(encoding="utf-8")):
        name, *given = shlex.split(line, comments=True)
        if name.startswith("-"):
            continue
        assert name in known, line
        flags = {part.partition("=")[0] for part in given if re.match(r"--?[a-z]", part)}
        assert flags <= known[name] | {"--help"}, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_on_the_pages_are_there(page: Path) -> None:
    known = set.union(*options().values()) | set(OTHERS) | {"--help"}
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`[^`\n]*?(?<![\w-])(--[a-z][a-z-]+)", text))
    assert named <= known


def test_the_readme_has_commands() -> None:
    assert len(commands_in(PAGES[0].read_text(encoding="utf-8"))) > 8
