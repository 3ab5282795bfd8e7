"""Read concepts from a file, a folder or the hub, under the tokens that the user gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pseudoword import formats, hub, lookup
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, SettingsError
from pseudoword.formats.embedding_file import second_of_pair
from pseudoword.lookup import HubId
from pseudoword.text import reason

ConceptSource = str | Path | Concept


@dataclass(frozen=True)
class NamedConcept:
    """A concept, and the file, folder or hub id that it was read from."""

    concept: Concept
    name: str | None
    """None if a `Concept` was given"""

    @property
    def stem(self) -> str:
        """The file's name without its ending, which other tools use as the token."""
        return Path(self.name).stem if self.name else ""


def read_concepts(
    source: ConceptSource | Sequence[ConceptSource], flag: str = "--concept"
) -> list[Concept]:
    """Read every concept in `source`, as `read_named` does, without where it came from."""
    return [named.concept for named in read_named(source, flag=flag)]


def read_named(
    source: ConceptSource | Sequence[ConceptSource],
    token: str | Sequence[str | None] | None = None,
    flag: str = "--concept",
) -> list[NamedConcept]:
    """Read every concept in `source`, and rename it if `token` is given.

    Args:
        source: one or several of: a file, a run's folder, a hub id, `FILE=TOKEN`, a `Concept`.
        token: the new token; one per source, `None` to keep its own. If a file holds several
            concepts, the one with this token is read.
        flag: what sources are given with.

    Raises:
        ConceptError: a source cannot be read, or two concepts have the same token.
        SettingsError: there are more or fewer tokens than sources.
    """
    sources = [source] if isinstance(source, str | Path | Concept) else list(source)
    if token is None:
        tokens: list[str | None] = [None] * len(sources)
    else:
        tokens = [token] if isinstance(token, str) else list(token)
    if len(tokens) != len(sources):
        raise SettingsError(f"{len(tokens)} tokens for {len(sources)} concepts: give one for each")
    concepts = [
        concept
        for given, new in zip(sources, tokens, strict=True)
        for concept in _read_source(given, new, flag)
    ]
    by_token: dict[str, NamedConcept] = {}
    for named in concepts:
        first = by_token.setdefault(named.concept.token, named)
        if first is not named:
            raise ConceptError(_same_token(named.concept.token, first, named, flag))
    return concepts


def read_one(source: ConceptSource, token: str | None = None, flag: str = "") -> Concept:
    """Read the only concept of `source`, or the one with `token` if it holds several.

    Raises:
        ConceptError: it cannot be read, or holds several concepts and none with that token.
    """
    if isinstance(source, Concept):
        return source if token is None else formats.with_token(source, token)
    file, own_token = lookup.split_token(source, flag)
    before_token = f"{lookup.argument_text(flag, file)}=" if flag else formats.BEFORE_TOKEN
    return formats.read(locate(file, flag), own_token if token is None else token, before_token)


def locate(name: str | Path, flag: str = "") -> Path:
    """The file or folder called `name`; if it is a hub id, it is downloaded.

    Raises:
        ConceptError: there is neither such a file nor such a repository.
    """
    place = lookup.concept_place(name, flag)
    return fetch(place, flag) if isinstance(place, HubId) else place


def _read_source(source: ConceptSource, token: str | None, flag: str) -> list[NamedConcept]:
    if isinstance(source, Concept):
        return [NamedConcept(read_one(source, token), None)]
    file, own_token = lookup.split_token(source, flag)
    if token is not None or own_token is not None:
        return [NamedConcept(read_one(source, token, flag), str(file))]
    files = formats.read_files(locate(file, flag))
    return [
        NamedConcept(concept, str(file if len(files) == 1 else one.path))
        for one in files
        for concept in one.concepts
    ]


def _same_token(token: str, first: NamedConcept, second: NamedConcept, flag: str) -> str:
    if first.name is None or second.name is None or first.name == second.name:
        return f"2 concepts are called {token}; each needs its own token"
    flags = (f'{flag} {named.name}="<{named.stem}>"' for named in (first, second))
    return (
        f"{first.name} and {second.name} both hold a word called {token}, and each needs a name "
        f"of its own: {' '.join(flags)}"
    )


def fetch(hub_id: HubId, flag: str) -> Path:
    """Download the embedding of a repository into the hub's cache.

    Raises:
        ConceptError: there is no such repository, or no embedding in it.
    """
    from huggingface_hub import HfApi, hf_hub_download

    repository, revision = hub_id.repository, hub_id.revision
    try:
        hub.check_reachable(repository)
        names = set(HfApi().list_repo_files(repository, revision=revision))
        first = next((name for name in formats.FOLDER_FILES if name in names), None)
        if first is None:
            raise ConceptError(
                f"{repository} on the hub holds none of {', '.join(formats.FOLDER_FILES)}. "
                "Download the file you mean and give its path."
            )
        path = Path(hf_hub_download(repository, first, revision=revision))
        second = second_of_pair(Path(first)).name
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
