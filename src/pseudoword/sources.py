"""Where a concept comes from: a file, a folder, a hub id; and what it is to be called."""

import re
from collections.abc import Sequence
from pathlib import Path

from pseudoword import formats
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, SettingsError

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
Source = str | Path | Concept


def concepts(
    given: Source | Sequence[Source], token: str | Sequence[str | None] | None = None
) -> list[Concept]:
    """Every concept in `given`, renamed if `token` says so.

    Args:
        given: one or several of: a file, a run's folder, a hub id, `FILE=TOKEN`, a `Concept`.
        token: what to call it; for several, one entry each, `None` to leave it as it is. Of a
            file with several words, the one of that name is taken.

    Raises:
        ConceptError: a source cannot be read.
        SettingsError: there are more or fewer tokens than sources.
    """
    several = [given] if isinstance(given, str | Path | Concept) else list(given)
    if token is None:
        tokens: list[str | None] = [None] * len(several)
    else:
        tokens = [token] if isinstance(token, str) else list(token)
    if len(tokens) != len(several):
        raise SettingsError(f"{len(tokens)} tokens for {len(several)} concepts: give one for each")
    return [word for one, name in zip(several, tokens, strict=True) for word in _read(one, name)]


def locate(given: str | Path) -> Path:
    """The file or folder that `given` names, fetched from the hub if it is a hub id.

    Raises:
        ConceptError: there is neither such a file nor such a repository.
    """
    path = Path(given)
    if isinstance(given, Path) or path.exists() or not HUB_ID.fullmatch(str(given)):
        return path
    if path.suffix or ".." in path.parts:
        return path  # meant as a file
    return _fetched(str(given))


def _read(one: Source, token: str | None) -> Sequence[Concept]:
    if isinstance(one, Concept):
        return [formats.renamed(one, token) if token else one]
    source, called = _split(one)
    path = locate(source)
    if token or called:
        return [formats.read(path, token or called)]
    return formats.read_all(path)


def _split(one: str | Path) -> tuple[str | Path, str | None]:
    """`FILE=TOKEN` as its parts; a file may have `=` in its name, a token too."""
    text = str(one)
    if isinstance(one, Path) or "=" not in text or Path(text).exists():
        return one, None
    cuts = [i for i, letter in enumerate(text) if letter == "="]
    cut = next((i for i in cuts if Path(text[:i]).exists()), cuts[0])
    if not text[cut + 1 :].strip():
        raise SettingsError(f"--concept {text}: there is no token behind the =")
    return text[:cut], text[cut + 1 :]


def _fetched(repository: str) -> Path:
    """The folder with a repository's embedding in it, in the hub's cache."""
    from huggingface_hub import HfApi, hf_hub_download

    try:
        names = set(HfApi().list_repo_files(repository))
        wanted = next((name for name in formats.IN_FOLDERS if name in names), None)
        if wanted is None:
            raise ConceptError(
                f"{repository} on the hub holds none of {', '.join(formats.IN_FOLDERS)}. "
                "Download the file you mean and give its path."
            )
        path = Path(hf_hub_download(repository, wanted))
        second = f"{Path(wanted).stem}_2{Path(wanted).suffix}"
        if second in names:
            hf_hub_download(repository, second)
        return path
    except ConceptError:
        raise
    except Exception as error:  # the hub's own errors, and any of its network library's
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConceptError(
            f"{repository} is no file or folder here, and could not be fetched from the hub: "
            f"{reason}"
        ) from error
