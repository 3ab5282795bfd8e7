"""What an argument names: a file or folder here, a repository on the hub, or only a word.

`--concept`, `--init`, `--base`, `--similarity-model` and all other settings that are given by
path or name ask `find`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pseudoword.errors import BaseModelError, PseudowordError, SettingsError
from pseudoword.text import brief, nearest

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)

ENDINGS = frozenset(
    ".safetensors .pt .pth .bin .ckpt .pkl .pickle .gguf .onnx .npz .npy .h5 .zip "
    ".png .jpg .jpeg .webp .avif .gif .bmp .tif .tiff .heic .heif .jxl "
    ".txt .caption .toml .json .jsonl .yaml .yml .csv".split()
)
"""No word ends like this, so it must be a file's name."""

LOCAL_FOLDERS = frozenset({"runs", "embeddings", "models", ".", "..", "~"})
"""Where we and other tools keep words: `runs/toy` is never the `toy` of the hub's user `runs`."""

MAX_PATH_CHARS = 4096
"""No path has more characters."""

MAX_NAMES = 2000
"""Names of a folder that are compared with one that was mistyped."""


@dataclass(frozen=True)
class HubId:
    """A repository on the hub."""

    repository: str
    """`owner/name`"""
    revision: str | None = None
    """branch, tag or commit"""


def path_argument(given: str | Path, flag: str) -> Path:
    """The file or folder that `given` names, which need not be there; `~` is the home folder.

    Raises:
        SettingsError: it names none: an empty text is not the current folder.
    """
    text = str(given)
    if not text.strip() or "\0" in text:
        raise SettingsError(f"{argument_text(flag, repr(text))} names no file or folder.")
    return expand_home(text)


def find(
    given: str | Path,
    flag: str,
    *,
    bundled: Mapping[str, Path] = MappingProxyType({}),
    words: bool = False,
    error: type[PseudowordError] = SettingsError,
) -> Path | HubId | None:
    """What `given` names; `None` if it is a plain word and nothing that is known.

    In this order:

    1. A `Path`, or text that looks like one (`looks_like_path`): the file or folder, if it is
       there. If not, and the text is `owner/name` or `owner/name@revision`, the hub's repository;
       but not where a folder `owner` is here, or where the name ends like a file's. Anything else
       that looks like a path and is not there is an error. Nothing here asks the hub.
    2. The name of something that comes with the package.
    3. A plain word: with `words` never a file, whatever lies about; otherwise the file or folder
       of that name in the current folder, if there is one.

    Args:
        given: the argument.
        flag: what the argument is called, for the message; may be empty.
        bundled: name -> where it is.
        words: whether the argument may be words, so that a file must be given as a path.
        error: which error to raise.

    Raises:
        PseudowordError: of the kind `error`: nothing is named, or what is named is not there.
    """
    text = str(given)
    if not text.strip() or "\0" in text:
        raise error(f"{argument_text(flag, repr(text))} names nothing. Give a path or a name.")
    path = expand_home(text)
    if isinstance(given, Path) or looks_like_path(text):
        if exists(path):
            return path
        hub = None if isinstance(given, Path) else _hub_id(text)
        if hub is None:
            raise error(f"{argument_text(flag, text)}: {_missing(text, path, words)}")
        return hub
    if text in bundled:
        return bundled[text]
    return path if not words and exists(path) else None


def model_source(given: str | Path, flag: str) -> str:
    """What transformers can load: the folder that `given` names, or the hub's repository.

    Raises:
        BaseModelError: it names neither.
    """
    found = find(given, flag, error=BaseModelError)
    if found is None or (isinstance(found, HubId) and found.revision):
        raise BaseModelError(
            f"{argument_text(flag, given)}: there is no such folder here. Give one, or a hub id "
            "without a revision, such as openai/clip-vit-base-patch32."
        )
    return found.repository if isinstance(found, HubId) else str(found)


def looks_like_path(text: str) -> bool:
    """Whether `text` can hardly be words: it has a slash or a backslash in it, `~` before it, or
    a file's ending."""
    return (
        "/" in text
        or "\\" in text
        or text.startswith("~")
        or text in {".", ".."}
        or Path(text).suffix.lower() in ENDINGS
    )


def split_token(given: str | Path, flag: str) -> tuple[str | Path, str | None]:
    """`FILE=TOKEN` as its parts; a file may have `=` in its name, a token too.

    What is there as a whole is a file. Else the file ends at the first `=` before which there is
    one, or at the very first.

    Raises:
        SettingsError: there is nothing before, or nothing behind the `=`.
    """
    text = str(given)
    if isinstance(given, Path) or "=" not in text or exists(expand_home(text)):
        return given, None
    cuts = [i for i, letter in enumerate(text[:MAX_PATH_CHARS]) if letter == "="] or [
        text.index("=")
    ]
    cut = next((i for i in cuts if i and exists(expand_home(text[:i]))), cuts[0])
    file, token = text[:cut], text[cut + 1 :]
    for part, name in ((file, "file before"), (token, "token behind")):
        if not part.strip():
            raise SettingsError(
                f'{argument_text(flag, text)}: there is no {name} the =. Write FILE="<token>".'
            )
    return file, token


def expand_home(text: str) -> Path:
    """The path `text`, in which `~` is the home folder."""
    path = Path(text)
    try:
        return path.expanduser()
    except (RuntimeError, ValueError):  # no such user
        return path


def exists(path: Path) -> bool:
    """Whether there is anything at `path`, readable or not."""
    try:
        return path.exists()
    except PermissionError:
        return True
    except (OSError, ValueError):  # a name that no file can have
        return False


def absolute(text: str) -> str:
    """`text` in a form that names the same from any folder, if it looks like a path that exists.

    So with `FILE=TOKEN`.
    """
    if len(text) > MAX_PATH_CHARS:
        return text
    for cut in (len(text), *(i for i, letter in enumerate(text) if letter == "=")):
        file = text[:cut]
        if looks_like_path(file) and exists(expand_home(file)):
            return f"{expand_home(file).resolve()}{text[cut:]}"
    return text


def argument_text(flag: str, given: str | Path) -> str:
    """How an argument is told of; those without a flag stand for themselves."""
    return f"{flag} {brief(str(given))}".strip()


def _hub_id(text: str) -> HubId | None:
    repository, _, revision = text.partition("@")
    owner, _, name = repository.partition("/")
    if not HUB_ID.fullmatch(repository) or {owner, name} & {".", ".."} or "@" in revision:
        return None
    if Path(name).suffix.lower() in ENDINGS or owner in LOCAL_FOLDERS or exists(Path(owner)):
        return None
    return HubId(repository, revision or None)


def _missing(text: str, path: Path, words: bool) -> str:
    """What is wrong with a path, and what was meant perhaps: the end of a sentence."""
    if "://" in text:
        return "is an address. Give a file or folder, or of a repository on the hub owner/name."
    instead = " If you mean words, write them without slashes and endings." if words else ""
    if not exists(path.parent):
        return f"there is no folder {brief(str(path.parent))} here.{instead}"
    return f"there is no such file or folder.{suggestion(path) or instead}"


def suggestion(path: Path) -> str:
    """A sentence that asks for what lies where `path` is not and is called nearly so, or nothing.

    With a space before it.
    """
    names = _names(path.parent)
    same_stem = (name for name in names if Path(name).stem == path.name)
    near = nearest(path.name, names) or next(same_stem, "")
    return f" Did you mean {brief(str(path.parent / near))}?" if near else ""


def _names(folder: Path) -> list[str]:
    try:
        names = (path.name for path in folder.iterdir())
        return [name for name, _ in zip(names, range(MAX_NAMES), strict=False)]
    except OSError:
        return []
