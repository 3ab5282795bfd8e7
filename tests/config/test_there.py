"""What settings name is looked for without loading anything."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pseudoword import config
from pseudoword.config import Settings
from pseudoword.config.captions import FILEWORDS, TEMPLATE_SETS
from pseudoword.data import captions
from pseudoword.errors import PseudowordError
from pseudoword.models.loading import single_file_configs

KINDS = [
    kind
    for kind in vars(config).values()
    if isinstance(kind, type) and issubclass(kind, Settings) and kind.__name__.endswith("Config")
]
NEEDED: dict[str, Any] = {"pictures": ["."], "token": "<a>"}


def made(kind: type[Settings], **given: Any) -> Settings:
    """Settings with what they need and what is given."""
    return kind.check(**{n: v for n, v in NEEDED.items() if n in kind.model_fields} | given)


def may_be_paths(kind: type[Settings]) -> list[str]:
    """The settings for which a path is a text: it names something known, or what lies there."""
    found = []
    for name in kind.model_fields:
        try:
            value = getattr(made(kind, **{name: Path("nosuch")}), name)
        except PseudowordError:
            continue
        if value == "./nosuch":
            found.append(name)
    return found


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_path_that_does_not_exist_is_told(kind: type[Settings]) -> None:
    made(kind).check_there()
    names = may_be_paths(kind)
    assert ("base" in names) == ("base" in kind.model_fields)
    for name in names:
        told = rf"^--{name.replace('_', '-')} ./nosuch: there is no such file or folder"
        with pytest.raises(PseudowordError, match=told):
            made(kind, **{name: "./nosuch"}).check_there()
    if "pictures" in kind.model_fields:
        with pytest.raises(PseudowordError, match="nosuch does not exist"):
            made(kind, pictures=["nosuch"]).check_there()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"base": "emojy"}, r"no base model emojy: none of that name is known here \(emoji\)"),
        (
            {"base": "sd1"},
            "--base sd1 names a size, which only `plan` knows. Give a model: a folder",
        ),
        ({"base": "sdxl"}, "--base sdxl names a size"),
        ({"template": "styl"}, "--template styl is neither one of subject, style"),
        ({"optimiser": "Adm"}, r"torch.optim has no Adm; did you mean Adam\?"),
        ({"optimiser": "torch.optim.AdanW"}, r"has no AdanW; did you mean AdamW\?"),
        ({"optimiser": "nosuchpackage.Prodigy"}, "no package nosuchpackage is installed"),
        ({"preview": "a --ss Eulr"}, "--preview a --ss Eulr: diffusers has no scheduler Eulr"),
        ({"init": "runs/nosuch", "init_mode": "file"}, "--init runs/nosuch: there is no folder"),
        ({"init": "./pyproject.toml", "init_mode": "mean"}, "--init-mode mean takes words"),
    ],
)
def test_what_is_mistyped_is_told(given: dict[str, str], told: str) -> None:
    with pytest.raises(PseudowordError, match=told):
        made(config.TrainConfig, **given).check_there()


def test_what_drawing_and_comparing_name_is_told() -> None:
    with pytest.raises(PseudowordError, match=r"--scheduler: .* has no scheduler Eulr\. .* PNDM"):
        made(config.GenerateConfig, scheduler="Eulr").check_there()
    with pytest.raises(PseudowordError, match="has no Adm; did you mean Adam"):
        made(config.BenchConfig, compare=["", "optimiser=Adm"]).check_there()


def test_what_is_there_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sentences.txt").write_text("a [name]")
    monkeypatch.chdir(tmp_path)
    for given in (
        {"base": "owner/name@main"},
        {"init": "red toy"},
        {"init": "nosuch.pt", "init_mode": "random"},
        {"init": "owner/name"},
        {"optimiser": "torch.optim.Adam"},
        {"optimiser": "os.path.Nothing"},  # only importing it would tell
        {"template": "./sentences.txt"},
        *({"template": one} for one in (*TEMPLATE_SETS, FILEWORDS)),
    ):
        made(config.TrainConfig, **given).check_there()
    made(config.PlanConfig, base="sdxl").check_there()
    for scheduler in ("DDIM", "EulerDiscrete", "FlowMatchHeun", "Heun", "PNDMScheduler"):
        made(config.GenerateConfig, scheduler=scheduler).check_there()


def test_the_names_are_those_that_are_there() -> None:
    assert set(captions.TEMPLATE_SETS) == set(TEMPLATE_SETS)
    published = (single_file_configs.HERE / "single_file_configs.json").read_bytes()
    assert list(config.PlanConfig.sizes) == [*json.loads(published)]


def test_nothing_is_imported_for_it() -> None:
    looks = (
        "import sys; from pseudoword.config import TrainConfig;"
        "TrainConfig.check(pictures=['.'], token='<a>').check_there();"
        "sys.exit(bool({'torch', 'diffusers', 'transformers'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", looks], check=False).returncode == 0
