"""Settings that come from a page: none of them may name a file of the machine.

Base models are named as they are in `models/` of the workspace, bundled, or on the hub; LoRA files
as in `loras/`. All else that the command line takes as a path is refused.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pseudoword import api, lookup
from pseudoword.config import Settings, flag
from pseudoword.config.captions import FILEWORDS, TEMPLATE_SETS
from pseudoword.config.other_trainers.aliases import names_of
from pseudoword.config.prompt_lines import names_file
from pseudoword.config.word import InitMode
from pseudoword.errors import SettingsError
from pseudoword.text import brief
from pseudoword.ui.workspace import LORAS, MODELS, Workspace

NEVER = frozenset({"configs", "out", "pictures", "similarity_model", "words"})
"""Settings that a page does not have."""

SENTENCES = (*TEMPLATE_SETS, FILEWORDS, "object")
"""What `template` may be; sentences of one's own are given as such."""

INIT_MODES = tuple(one for one in get_args(InitMode) if one != "file")
"""What `init_mode` may be: with `file`, any word would be the name of a file."""

PACKAGES = ("prodigyopt", "schedulefree", "bitsandbytes")
"""Packages whose optimisers a page may name, beside torch's: to import a package is to run it."""


def checked(workspace: Workspace, kind: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """`given` with names of models turned into what the product takes.

    Raises:
        SettingsError: a value names a file, or there is no such model.
    """
    names = names_of(kind)  # what a setting is called elsewhere does not get round what is refused
    values = {names.get(name, name): value for name, value in given.items() if value is not None}
    for name in sorted(NEVER & values.keys()):
        raise SettingsError(f"{flag(name)} cannot be set from the page.")
    if "base" in values:
        values["base"] = base_of(workspace, str(values["base"]))
    if "lora" in values:
        values["lora"] = [_lora(workspace, str(one)) for one in values["lora"]]
    if "template" in values and values["template"] not in SENTENCES:
        raise SettingsError(
            f"--template {brief(str(values['template']))}: choose one of {', '.join(SENTENCES)}, "
            "or write sentences of your own."
        )
    if values.get("init_mode", "auto") not in INIT_MODES:
        raise SettingsError(
            f"--init-mode {brief(str(values['init_mode']))}: choose one of {', '.join(INIT_MODES)}."
        )
    previews = values.get("preview", ())
    for line in [previews] if isinstance(previews, str) else previews:
        if names_file(str(line)):
            raise SettingsError(
                f"--preview {brief(str(line))} looks like a file, and the page takes none."
            )
    texts = [(name, str(values.get(name, ""))) for name in ("init", "variant", "scheduler")]
    also = values.get("also", ())
    texts += [
        ("also", one.partition("=")[2]) for one in ([also] if isinstance(also, str) else also)
    ]
    for name, text in texts:
        if name in kind.model_fields and _is_path(text):
            raise SettingsError(
                f"{flag(name)} {brief(text)} looks like a file, and the page takes none."
            )
    package, dot, _ = str(values.get("optimiser", "")).partition(".")
    if dot and package not in PACKAGES:
        raise SettingsError(
            f"--optimiser {brief(str(values['optimiser']))}: give a class of torch.optim, or one "
            f"of {', '.join(PACKAGES)}; the page imports nothing else."
        )
    return values


def bases(workspace: Workspace) -> list[str]:
    """The base models that a page offers by name: bundled ones, and those in `models/`."""
    folder = workspace.folder / MODELS
    own = (path.name for path in folder.iterdir() if not path.name.startswith("."))
    return [*(base.name for base in api.bases()), *sorted(own)]


def loras(workspace: Workspace) -> list[str]:
    """The LoRA files that a page offers by name: those in `loras/`."""
    found = (workspace.folder / LORAS).glob("*.safetensors")
    return sorted(path.name for path in found if not path.name.startswith("."))


def base_of(workspace: Workspace, name: str) -> str:
    """What `--base` takes for a model that a page calls `name`.

    Raises:
        SettingsError: it is the path of something else.
    """
    folder = workspace.folder / MODELS
    if name in (path.name for path in folder.iterdir()) and not name.startswith("."):
        return str(folder / name)
    if name in bases(workspace):
        return name
    if not _is_path(name) and not lookup.exists(Path(name)):
        return name  # on the hub, or unknown, which loading tells
    raise SettingsError(
        f"--base {brief(name)}: give the name of a model on the hub, or of one in {folder}. The "
        "page opens no other files."
    )


def _lora(workspace: Workspace, given: str) -> str:
    name, _, weight = given.partition(":")
    if name not in loras(workspace):
        raise SettingsError(
            f"--lora {brief(name)}: there is no such file in {workspace.folder / LORAS}."
        )
    return f"{workspace.folder / LORAS / name}{':' if weight else ''}{weight}"


def _is_path(text: str) -> bool:
    """Whether `text` could name a file of this machine. A plain word does not look like one."""
    repository, _, revision = text.partition("@")
    if lookup.HUB_ID.fullmatch(repository) and not lookup.looks_like_path(revision):
        owner, _, name = repository.partition("/")
        return (
            owner in lookup.LOCAL_FOLDERS
            or ".." in name
            or Path(name).suffix.lower() in lookup.ENDINGS
            or lookup.exists(Path(owner))
        )
    return lookup.looks_like_path(text)


def base_choice(workspace: Workspace) -> dict[str, Any]:
    """How the control of the base model differs from what its field says: a page names no files."""
    return {
        "info": "A model that came with pseudoword, one in the folder models/ of the workspace, or "
        "the id of one on the Hugging Face hub, such as owner/name or owner/name@revision.",
        "choices": bases(workspace),
        "allow_custom_value": True,
    }
