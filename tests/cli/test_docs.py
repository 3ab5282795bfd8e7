"""The pages say what the commands take: no option that isn't there, no value that is refused."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

import pseudoword
from pseudoword import lookup
from pseudoword.cli.app import app
from pseudoword.config import TrainConfig, flag, word_folders
from pseudoword.config.fields import OFTEN
from pseudoword.formats.keys import MODEL_FAMILIES
from pseudoword.methods import METHODS
from pseudoword.models.families import FAMILIES, load_class

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text(encoding="utf-8")
OTHERS = {
    "--logdir": "tensorboard",
    "--device": "benchmarks/memory.py",
    "--of": "benchmarks/ceiling.py",
    "--only": "benchmarks/families.py",
    "--docs": "benchmarks/families.py",
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


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_on_the_pages_are_right(path: Path) -> None:
    known = options()
    for line in commands_in(path.read_text(encoding="utf-8")):
        name, *given = shlex.split(line, comments=True)
        if name.startswith("-"):
            continue
        assert name in known, line
        flags = {part.partition("=")[0] for part in given if re.match(r"--?[a-z]", part)}
        assert flags <= known[name] | {"--help"}, line


class ReachedError(Exception):
    """A command has taken its arguments, and begins its work."""


class NoWork:
    """Stands for what does the work of the commands."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        def function(*_: object, **__: object) -> None:
            raise ReachedError

        return function


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_on_the_pages_take_their_values(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("api", "internals"):
        monkeypatch.setattr(pseudoword, module, NoWork(), raising=False)
    monkeypatch.setattr(lookup, "_is_there", lambda *_: True)  # files of the reader's
    monkeypatch.setattr(word_folders, "_folders", lambda _folder: [])
    for line in commands_in(path.read_text(encoding="utf-8")):
        name, *given = shlex.split(line, comments=True)
        if given and not re.search(r"--help|--config|…|\b[A-Z]{2,}\b", " ".join(given)):
            result = CliRunner().invoke(app, [name, *given])
            assert isinstance(result.exception, ReachedError), (line, result.output)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_options_on_the_pages_are_there(path: Path) -> None:
    known = set.union(*options().values()) | set(OTHERS) | {"--help"}
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"`[^`\n]*?(?<![\w-])(--[a-z][a-z-]+)", text))
    assert named <= known


WITHOUT_CODE = re.compile(r"^```.*?^```", re.S | re.M)


def anchors(page: Path) -> set[str]:
    """What a link into a page may say behind its #: its headings, as GitHub calls them."""
    found: set[str] = set()
    for head in re.findall(r"^#+ (.+)$", WITHOUT_CODE.sub("", page.read_text("utf-8")), re.M):
        name = re.sub(r"[^\w -]", "", re.sub(r"\]\([^)]*\)", "", head).lower()).replace(" ", "-")
        number = sum(re.fullmatch(rf"{name}(-\d+)?", one) is not None for one in found)
        found.add(f"{name}-{number}" if number else name)
    return found


def test_links_on_the_pages_lead_somewhere() -> None:
    linked: set[Path] = set()
    for page in [*PAGES, *(ROOT / "docs").glob("*/*.md"), *(ROOT / "src").rglob("*.md")]:
        text = WITHOUT_CODE.sub("", page.read_text("utf-8"))
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            name, _, anchor = target.partition("#")
            if ":" in name:  # elsewhere
                continue
            there = (page.parent / name).resolve() if name else page
            assert there.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(there), f"{page.name}: {target}"
            linked.add(there)
    pictures = {one for one in (ROOT / "docs").rglob("*.png") if one.resolve() not in linked}
    assert not pictures, "these pictures are on no page"


def test_the_readme_has_every_command() -> None:
    assert {line.split()[0] for line in commands_in(README)} == set(options())


def test_the_readme_explains_the_settings_that_the_help_of_train_shows() -> None:
    fields = TrainConfig.model_fields.items()
    often = {flag(name) for name, field in fields if OFTEN in field.metadata}
    table = README.split("The settings that people change most:")[1].split("\n\n")[1]
    assert set(re.findall(r"^\| `(--[a-z-]+)", table, re.M)) == often


def test_the_tests_that_the_pages_name_are_there() -> None:
    text = (ROOT / "docs" / "automatic1111.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)?test_\w+\.py)`(?:: ((?:`\w+`(?:, )?)+))?", text)
    assert len(named) > 30
    for file, tests in named:
        code = (ROOT / "tests" / file).read_text(encoding="utf-8")
        for test in re.findall(r"`(\w+)`", tests):
            assert test in code, f"{file}: {test}"


def test_the_page_on_training_has_each_method() -> None:
    page = (ROOT / "docs" / "training.md").read_text()
    table = page.split("| `--method` | what is learned |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == list(METHODS)


def test_the_pages_name_each_family_of_base_models() -> None:
    page, on_formats = (
        (ROOT / "docs" / name).read_text() for name in ("families.md", "formats.md")
    )
    table = re.findall(r"^\| `([\w-]+)` \| .+? \| (.+?) \| [^|]+ \|$", page, re.M)
    models = dict(re.findall(r"^\| `(\w+)` \| \d+ \| .*? \| .*? \| (.*?) \|$", on_formats, re.M))
    (base,) = re.findall(r"^\| `--base` \| (.+) \|$", README, re.M)
    for kind in map(load_class, FAMILIES):
        known = MODEL_FAMILIES[kind.name]
        encoders = " ".join(cell for name, cell in table if name == kind.name)
        for part in kind.text_encoders:
            assert f"`{part.key}`" in encoders
            assert known.title.split(" ")[0] in models[part.key]
        assert all(title in base for title in known.title.split(" or "))
