"""Where a concept comes from: a file, a folder, a hub id; and what it is to be called."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pseudoword import formats, lookup
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.lookup import HubId
from pseudoword.text import reason

ConceptSource = str | Path | Concept


@dataclass(frozen=True)
class NamedConcept:
    """A concept, and the file, folder or hub id it was given as."""

    concept: Concept
    name: str | None
    """None for a `Concept` that was given itself"""

    @property
    def stem(self) -> str:
        """What its file is called, without the ending: its word for other tools."""
        return Path(self.name).stem if self.name else ""


def read_concepts(
    given: ConceptSource | Sequence[ConceptSource], token: str | Sequence[str | None] | None = None
) -> list[Concept]:
    """As `read_named`, the concepts alone."""
    return [one.concept for one in read_named(given, token)]


def read_named(
    given: ConceptSource | Sequence[ConceptSource], token: str | Sequence[str | None] | None = None
) -> list[NamedConcept]:
    """Every concept in `given`, renamed if `token` says so.

    Args:
        given: one or several of: a file, a run's folder, a hub id, `FILE=TOKEN`, a `Concept`.
        token: what to call it; for several, one entry each, `None` to leave it as it is. Of a
            file with several words, the one of that name is taken.

    Raises:
        ConceptError: a source cannot be read, or two words have one name.
        SettingsError: there are more or fewer tokens than sources.
    """
    several = [given] if isinstance(given, str | Path | Concept) else list(given)
    if token is None:
        tokens: list[str | None] = [None] * len(several)
    else:
        tokens = [token] if isinstance(token, str) else list(token)
    if len(tokens) != len(several):
        raise SettingsError(f"{len(tokens)} tokens for {len(several)} concepts: give one for each")
    found = [word for one, name in zip(several, tokens, strict=True) for word in _read(one, name)]
    first: dict[str, NamedConcept] = {}
    for one in found:
        other = first.setdefault(one.concept.token, one)
        if other is not one:
            raise ConceptError(_same_token(one.concept.token, other, one))
    return found


def read_one(source: ConceptSource, token: str | None = None, flag: str = "") -> Concept:
    """The one concept of `given`; of a file with several words the one called `token`.

    Raises:
        ConceptError: it cannot be read, or holds several words and none is called so.
    """
    if isinstance(source, Concept):
        return formats.with_token(source, token) if token else source
    file, name = lookup.split_token(source, flag)
    return formats.read(locate(file, flag), token or name)


def locate(given: str | Path, flag: str = "") -> Path:
    """The file or folder that `given` names, fetched from the hub if it is a hub id.

    Raises:
        ConceptError: there is neither such a file nor such a repository.
    """
    found = lookup.find(given, flag, error=ConceptError)
    if found is None:
        raise ConceptError(
            f"{lookup.argument_text(flag, given)}: there is no such file or folder here."
            f"{lookup.suggestion(Path(given))} Give an embedding file, a run's folder, or a hub id "
            "such as sd-concepts-library/cat-toy."
        )
    return fetch(found, flag) if isinstance(found, HubId) else found


def _read(one: ConceptSource, token: str | None) -> list[NamedConcept]:
    if isinstance(one, Concept):
        return [NamedConcept(formats.with_token(one, token) if token else one, None)]
    source, called = lookup.split_token(one, "--concept")
    path = locate(source, "--concept")
    if token or called:
        return [NamedConcept(formats.read(path, token or called), str(source))]
    return [NamedConcept(word, str(source)) for word in formats.read_all(path)]


def _same_token(token: str, first: NamedConcept, second: NamedConcept) -> str:
    if first.name is None or second.name is None or first.name == second.name:
        return f"2 concepts are called {token}; each needs its own token"
    apart = (f'--concept {one.name}="<{one.stem}>"' for one in (first, second))
    return (
        f"{first.name} and {second.name} both hold a word called {token}, and each needs a name "
        f"of its own: {' '.join(apart)}"
    )


def fetch(found: HubId, flag: str = "") -> Path:
    """A repository's embedding in the hub's cache.

    Raises:
        ConceptError: there is no such repository, or no embedding in it.
    """
    from huggingface_hub import HfApi, hf_hub_download

    repository, revision = found.repository, found.revision
    try:
        names = set(HfApi().list_repo_files(repository, revision=revision))
        wanted = next((name for name in formats.FOLDER_FILES if name in names), None)
        if wanted is None:
            raise ConceptError(
                f"{repository} on the hub holds none of {', '.join(formats.FOLDER_FILES)}. "
                "Download the file you mean and give its path."
            )
        path = Path(hf_hub_download(repository, wanted, revision=revision))
        second = f"{Path(wanted).stem}_2{Path(wanted).suffix}"
        if second in names:
            hf_hub_download(repository, second, revision=revision)
        return path
    except ConceptError:
        raise
    except Exception as error:  # the hub's own errors, and any of its network library's
        raise ConceptError(
            f"{lookup.argument_text(flag, repository)} is no file or folder here, and could not be "
            f"fetched from the hub: {reason(error)}"
        ) from error
