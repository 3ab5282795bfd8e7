"""What an argument names: a local file or folder, a repository on the hub, or only a word.

`--concept`, `--init`, `--base`, `--similarity-model` and all other settings that take a
path or a name use `find`.
"""

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pseudoword.errors import (
    BaseModelError,
    ConceptError,
    PictureError,
    PseudowordError,
    SettingsError,
)
from pseudoword.text import brief, nearest

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)

ENDINGS = frozenset(
    ".safetensors .pt .pth .bin .ckpt .pkl .pickle .gguf .onnx .npz .npy .h5 .zip "
    ".png .jpg .jpeg .webp .avif .gif .bmp .tif .tiff .heic .heif .jxl "
    ".txt .caption .toml .json .jsonl .yaml .yml .csv".split()
)
"""Text that ends like this must be a file name, not a word."""

LOCAL_FOLDERS = frozenset({"runs", "embeddings", "models", ".", "..", "~"})
"""Folders where tools keep embeddings: `runs/toy` is never a repository of a hub user `runs`."""

MAX_PATH_CHARS = 4096
"""Longer text is not a path."""

SHOWN_CHARS = 300
"""An error shows at most this much of a path that does not exist."""

MAX_NAMES = 2000
"""How many names of a folder are compared with a mistyped one."""


@dataclass(frozen=True)
class HubId:
    """A repository on the hub."""

    repository: str
    """`owner/name`"""
    revision: str | None = None
    """branch, tag or commit"""


STREAM = "-"
NO_STREAM = (
    "- would be standard input or output, but a path is needed here; a file or folder of that name "
    "is ./-"
)


def path_argument(argument: str | Path, flag: str) -> Path:
    """The path that an argument names; it need not exist. `~` is the home folder.

    Raises:
        SettingsError: the argument is empty; that does not mean the current folder.
    """
    text = str(argument)
    if not text.strip() or "\0" in text:
        raise SettingsError(f"{argument_text(flag, repr(text))} names no file or folder.")
    return expand_home(text)


def is_address(path: Path) -> bool:
    """Whether `path` was meant as an address, such as `s3://bucket/file`: its first folder would be
    called `s3:`, and is not there."""
    first = Path(*path.parts[:1])
    return bool(re.fullmatch(r"[A-Za-z][\w+.-]+:", str(first), re.ASCII)) and not exists(first)


def find(
    argument: str | Path,
    flag: str,
    *,
    bundled: Mapping[str, Path] = MappingProxyType({}),
    words: bool = False,
    error: type[PseudowordError] = SettingsError,
) -> Path | HubId | None:
    """What an argument names; None if it is a word that names nothing known.

    In this order:

    1. A `Path`, or text that looks like a path (`looks_like_path`), is the file or folder, if it
       exists. If not, `owner/name` and `owner/name@revision` are repositories on the hub, unless
       there is a local folder `owner`, or the name ends like a file name. Any other path that does
       not exist is an error. The hub is not asked here.
    2. The name of something that comes with the package is that.
    3. Any other text is a word. With `words` it is never a file, even if a file has this name;
       otherwise it is the file or folder of this name in the current folder, if there is one.

    Args:
        argument: the argument.
        flag: the argument's name in messages; may be empty.
        bundled: name -> path, of what comes with the package.
        words: whether the argument may be a word, so that a file must be given as a path.
        error: the class of errors to raise.

    Raises:
        PseudowordError: `error`: the argument is empty, or names a path that does not exist or
            that this user may not see.
    """
    text = str(argument)
    if not text.strip() or "\0" in text:
        raise error(f"{argument_text(flag, repr(text))} names nothing. Give a path or a name.")
    path = expand_home(text)
    if isinstance(argument, Path) or looks_like_path(text):
        if _is_there(path, argument_text(flag, text), error):
            return path
        hub = None if isinstance(argument, Path) else _hub_id(text)
        if hub is None:
            raise error(f"{argument_text(flag, text)}: {_missing(text, path, words)}")
        return hub
    if text in bundled:
        return bundled[text]
    return path if not words and _is_there(path, argument_text(flag, text), error) else None


def model_source(argument: str | Path, flag: str) -> str:
    """The folder or repository that an argument names, as transformers loads it.

    Raises:
        BaseModelError: the argument names neither.
    """
    source = find(argument, flag, error=BaseModelError)
    if source is None or (isinstance(source, HubId) and source.revision):
        raise BaseModelError(
            f"{argument_text(flag, argument)}: there is no such folder here. Give one, or a hub id "
            "without a revision, as owner/name."
        )
    return source.repository if isinstance(source, HubId) else str(source)


def check_repository(name: str) -> None:
    """Check that a repository on the hub can have this name, which is given as `--to`.

    Raises:
        SettingsError: it cannot.
    """
    if not HUB_ID.fullmatch(name) or ".." in name:
        raise SettingsError(f"--to {name!r}: give a repository such as your-name/my-cat")


def concept_place(name: str | Path, flag: str = "") -> Path | HubId:
    """The file, folder or repository that holds a concept.

    Raises:
        ConceptError: there is no such file or folder, and it is no hub id.
    """
    place = find(name, flag, error=ConceptError)
    if place is None:
        raise ConceptError(
            f"{argument_text(flag, name)}: there is no such file or folder here."
            f"{suggestion(Path(name))} Give an embedding file, a run's folder, or a hub id such as "
            "sd-concepts-library/cat-toy."
        )
    return place


def pictures_there(pictures: Iterable[Path]) -> None:
    """Check that there are such files and folders.

    Raises:
        PictureError: one is not there.
    """
    check_there(pictures, "Give a folder of pictures, or the files.")


def words_there(source: Path) -> None:
    """Check that there is such a folder of words, or list of concepts.

    Raises:
        PictureError: it is not there.
    """
    check_there([source], "Give a folder of folders of pictures, or a TOML list of concepts.")


def check_there(
    paths: Iterable[Path], instead: str, error: type[PseudowordError] = PictureError
) -> None:
    """Check that there are such files and folders.

    Args:
        paths: the files and folders.
        instead: a sentence that says what to give.
        error: the class of errors to raise.

    Raises:
        PseudowordError: `error`: one is not there, or this user may not see it.
    """
    for path in paths:
        shown = brief(str(path), SHOWN_CHARS)
        if not _is_there(path, shown, error):
            if _link(path):
                raise error(f"{shown}: {_missing(str(path), path, words=False)} {instead}")
            if str(path).startswith(("http:/", "https:/")):
                instead = f"It is an address: download it first. {instead}"
            near = suggestion(path) if exists(path.parent) else ""
            raise error(f"{shown} does not exist.{near} {instead}")


def looks_like_path(text: str) -> bool:
    """Whether `text` is a path and not a word: it has a slash or a backslash, begins with `~`, or
    ends like a file name, as may the file of `FILE=TOKEN`."""
    return (
        "/" in text
        or "\\" in text
        or text.startswith("~")
        or text in {".", ".."}
        or any(Path(part).suffix.lower() in ENDINGS for part in (text, text.partition("=")[0]))
    )


def split_token(argument: str | Path, flag: str) -> tuple[str | Path, str | None]:
    """Split `FILE=TOKEN` into the file and the token, if there is one.

    File names and tokens may have `=` in them. If the whole text is an existing file, there is no
    token. Otherwise the text is split at the first `=` that comes after an existing file, or else
    at the first `=`.

    Raises:
        SettingsError: the file or the token is empty.
    """
    text = str(argument)
    if isinstance(argument, Path) or "=" not in text or exists(expand_home(text)):
        return argument, None
    signs = [i for i, letter in enumerate(text[:MAX_PATH_CHARS]) if letter == "="]
    cuts = signs or [text.index("=")]
    cut = next((i for i in cuts if i and exists(expand_home(text[:i]))), cuts[0])
    file, token = text[:cut], text[cut + 1 :]
    for part, name in ((file, "file before"), (token, "token after")):
        if not part.strip():
            raise SettingsError(
                f'{argument_text(flag, text)}: there is no {name} the =. Write FILE="<token>".'
            )
    return file, token


def expand_home(text: str) -> Path:
    """The path `text` with `~` replaced by the home folder."""
    path = Path(text)
    try:
        return path.expanduser()
    except (RuntimeError, ValueError):  # no such user
        return path


def exists(path: Path) -> bool:
    """Whether `path` exists, even if it cannot be read."""
    try:
        return _is_there(path, "", SettingsError)
    except SettingsError:
        return True


def _is_there(path: Path, shown: str, error: type[PseudowordError]) -> bool:
    """Whether `path` exists.

    Raises:
        PseudowordError: `error`: this user may not see it. To Python 3.14, it does not exist.
    """
    try:
        path.stat()
    except PermissionError as refused:
        raise error(
            f"{shown} cannot be read: {refused.strerror}. Check the permissions of the folders "
            "that it is in."
        ) from None
    except (OSError, ValueError):  # it does not, or no file can have this name
        return False
    return True


def absolute(text: str, known: Container[str] | None = None) -> str:
    """`text` with an absolute path, if it is the path of an existing file, or `FILE=TOKEN`.

    With `known`, text that does not look like a path is one, too, unless it is one of these names;
    without, it is a word.
    """
    if len(text) > MAX_PATH_CHARS:
        return text
    for cut in (len(text), *(i for i, letter in enumerate(text) if letter == "=")):
        file = text[:cut]
        is_path = looks_like_path(file) or (known is not None and file and file not in known)
        if is_path and exists(expand_home(file)):
            return f"{expand_home(file).resolve()}{text[cut:]}"
    return text


def argument_text(flag: str, argument: str | Path) -> str:
    """How a message names an argument: its flag, if it has one, and its value.

    A flag may end with the beginning of the value: `--also <hat>=`.
    """
    space = "" if flag.endswith("=") else " "
    return f"{flag}{space}{brief(str(argument))}".strip()


def _hub_id(text: str) -> HubId | None:
    repository, _, revision = text.partition("@")
    owner, _, name = repository.partition("/")
    if not HUB_ID.fullmatch(repository) or {owner, name} & {".", ".."} or "@" in revision:
        return None
    if Path(name).suffix.lower() in ENDINGS or owner in LOCAL_FOLDERS or exists(Path(owner)):
        return None
    return HubId(repository, revision or None)


def _missing(text: str, path: Path, words: bool) -> str:
    """What is wrong with a path, and what the user may have meant: the end of a sentence."""
    if "://" in text:
        return "is an address. Give a file or a folder, or owner/name of a repository on the hub."
    instead = " If you mean words, write them without slashes and endings." if words else ""
    if link := _link(path):
        return f"it is a link to {brief(link, SHOWN_CHARS)}, which is not there."
    if not exists(path.parent):
        return f"there is no folder {brief(str(path.parent))} here.{instead}"
    return f"there is no such file or folder.{suggestion(path) or instead}"


def _link(path: Path) -> str:
    """Where the link `path` leads; empty if it is none."""
    try:
        return str(path.readlink())
    except (OSError, ValueError):
        return ""


def suggestion(path: Path) -> str:
    """A question whether the user meant a file with a similar name; empty if there is none.

    It begins with a space.
    """
    names = [name for name in _names(path.parent) if name != path.name]
    same_stem = (name for name in names if Path(name).stem == path.name)
    near = nearest(path.name, names) or next(same_stem, "")
    return f" Did you mean {brief(str(path.parent / near))}?" if near else ""


def _names(folder: Path) -> list[str]:
    try:
        names = (path.name for path in folder.iterdir())
        return [name for name, _ in zip(names, range(MAX_NAMES), strict=False)]
    except OSError:
        return []
