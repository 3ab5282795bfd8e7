"""Read an embedding file of any tool. Its content says what it is; its name is never trusted."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import NamedTuple

from pseudoword import lookup
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.files import read_errors, read_regular
from pseudoword.formats import grouping, keys, layouts, pictures, safetensors_file, torch_file
from pseudoword.formats.file_kinds import describe_bytes, kind_of_names
from pseudoword.formats.raw_content import PREFIX, RawContent
from pseudoword.text import listed, visible

LARGEST_NBYTES = 256 * 1024 * 1024
"""Larger files are refused before memory is allocated. No embedding is as large."""

CONCEPT_FILE = "concept.safetensors"

FOLDER_FILES = (CONCEPT_FILE, "learned_embeds.safetensors", "learned_embeds.bin")
"""What is read if a folder or a repository is given: the first of these that exists."""

LEARNED_WITH = "learned_with"
"""What a word of a run of several says of the others: their tokens."""

BEFORE_TOKEN = "--token "
"""What is written before its token to choose one of several words."""


class Container(NamedTuple):
    """A kind of file: how to recognise it, and its reader."""

    matches: Callable[[bytes], bool]
    read: Callable[[bytes, str], RawContent]


CONTAINERS = (
    Container(safetensors_file.matches, safetensors_file.read),
    Container(pictures.matches, pictures.read),
    Container(torch_file.matches, torch_file.read),
)
"""In the order in which they are tried."""


@dataclass(frozen=True)
class EmbeddingFile:
    """An embedding file that has been read and recognised."""

    path: Path
    raw: RawContent
    """the tensors and texts, under the file's own names"""
    layout: str
    """a name in `layouts.LAYOUTS`"""
    concepts: tuple[Concept, ...]
    second: Path | None = None
    """diffusers' second file, with the rows for the second text encoder, if there is one"""

    @property
    def container(self) -> str:
        """`safetensors`, `torch`, `chunk` or `pixels`"""
        return self.raw.container

    @property
    def is_picture(self) -> bool:
        """Whether it is a picture that holds an embedding."""
        return self.container in ("chunk", "pixels")


def read(path: Path, token: str | None = None, before_token: str = BEFORE_TOKEN) -> Concept:
    """Read one concept from a file, or from a run's folder.

    Args:
        path: the file, or a folder that holds `concept.safetensors` or `learned_embeds…`.
        token: the name to give it; if there are several concepts, the one to read.
        before_token: as for `select_concept`.

    Raises:
        ConceptError: there is no such file, or it holds no concept, or several.
    """
    return select_concept(read_files(path), token, before_token)


def read_all(path: Path) -> tuple[Concept, ...]:
    """Read every concept of a file, or of a folder.

    Raises:
        ConceptError: there is no such file, or it holds no concept.
    """
    return tuple(concept for file in read_files(path) for concept in file.concepts)


def read_files(path: Path) -> tuple[EmbeddingFile, ...]:
    """Read a file; of the folder of a run that learned several words, the file of each.

    Raises:
        ConceptError: there is no such file, or one holds no concept.
    """
    first = read_file(path)
    return (first, *_learned_with(first)) if path.is_dir() else (first,)


def file_of_word(name: str, number: int) -> str:
    """The name of a file of this word of a run, counted from 1; the first has `name` itself."""
    return name if number == 1 else f"{name.removesuffix('.safetensors')}-{number}.safetensors"


def read_file(path: Path) -> EmbeddingFile:
    """Read a file, or the file in a folder, with its layout and all its concepts.

    diffusers writes one file per text encoder; if `path` is one of such a pair, both are read.

    Raises:
        ConceptError: there is no such file, or it holds no concept.
    """
    with read_errors(path, ConceptError):
        path = _file_in(path)
        first = _first_of_pair(path)
        is_second = first != path and first.is_file()
    if is_second:
        with suppress(ConceptError):
            pair = read_file(first)
            if pair.second == path:
                return pair
    file, second = _read_one(path), second_of_pair(path)
    if len(file.concepts) > 1 or file.layout not in ("native", "diffusers"):
        return file
    joined = _joined_with(file, second) if second.is_file() else None
    return _checked(file) if joined is None else replace(file, concepts=(joined,), second=second)


def read_bytes(data: bytes, path: Path) -> EmbeddingFile:
    """Read the bytes of a file; `path` is its name only, and need not exist.

    Raises:
        ConceptError: it holds no concept.
    """
    return _checked(_recognised(data, path))


def select_concept(
    files: Sequence[EmbeddingFile], token: str | None, before_token: str = BEFORE_TOKEN
) -> Concept:
    """The only concept of what `read_files` has read, named `token`; of several, that of `token`.

    `before_token` is what the user writes before the token to choose one.

    Raises:
        ConceptError: there are several, and none has that token.
    """
    concepts = [concept for file in files for concept in file.concepts]
    path = files[0].path if len(files) == 1 else files[0].path.parent
    if len(concepts) == 1:
        return concepts[0] if token is None else with_token(concepts[0], token)
    wanted = token and unicodedata.normalize("NFC", token)  # tokens are always in this form
    for concept in concepts:
        if concept.token == wanted:
            return concept
    tokens = ", ".join(c.token for c in concepts[:8]) + (" …" if len(concepts) > 8 else "")
    raise ConceptError(
        f"{path} holds {len(concepts)} words, not one concept: {tokens}. "
        f'Say which one, for example with {before_token}"{concepts[0].token}".'
    )


def with_token(concept: Concept, token: str) -> Concept:
    """The same concept under another token."""
    return replace(concept, token=token)


def is_concept(path: Path) -> bool:
    """Whether `path` is a file, or a folder with an embedding file in it."""
    return path.is_file() or any((path / name).is_file() for name in FOLDER_FILES)


def parse(data: bytes, where: str) -> RawContent:
    """Read the bytes of an embedding file.

    Raises:
        ConceptError: the file is damaged, or of an unknown kind; the message says what it is.
    """
    for container in CONTAINERS:
        if container.matches(data):
            return container.read(data, where)
    kind = describe_bytes(data)
    if kind is not None:
        raise ConceptError(f"{where} is {kind}.")
    raise ConceptError(
        f"{where} is no embedding: it is neither a safetensors file, nor torch's, nor a picture"
        f"{' (it is empty)' if not data else ''}."
    )


def _read_one(path: Path) -> EmbeddingFile:
    return _recognised(_bytes_of(path), path)


def _recognised(data: bytes, path: Path) -> EmbeddingFile:
    raw = parse(data, str(path))
    layout = layouts.identify(raw)
    return EmbeddingFile(path, raw, layout, tuple(layouts.LAYOUTS[layout].read(raw)))


def _checked(file: EmbeddingFile) -> EmbeddingFile:
    """The file, if it is not one of two that hold a word together.

    Raises:
        ConceptError: it is.
    """
    lacking = _encoders_elsewhere(file)
    if not lacking:
        return file
    concept, path = file.concepts[0], file.path
    first = _first_of_pair(path)
    other = first if first != path else second_of_pair(path)
    raise ConceptError(
        f"{path} holds only a part of {concept.token}: its rows for {', '.join(concept.vectors)}. "
        f"Those for {listed(lacking)} should be in {other.name}: put both files of one "
        "training into a folder, under these names; `pseudoword convert` makes one file of them."
    )


def _encoders_elsewhere(file: EmbeddingFile) -> list[str]:
    """The text encoders whose rows are in another file, if we wrote the word into two."""
    held = {key for concept in file.concepts for key in concept.vectors}
    everywhere = file.raw.metadata.get(layouts.ALL_ENCODERS, "")
    return [visible(key) for key in everywhere.split(",") if key and key not in held]


def _file_in(path: Path) -> Path:
    """`path`, or the embedding file in it if it is a folder."""
    if not path.is_dir():
        return path
    for name in FOLDER_FILES:
        if (path / name).is_file():
            return path / name
    raise ConceptError(
        f"{path} holds no {CONCEPT_FILE} and no learned_embeds{_where_instead(path)}"
    )


def _where_instead(path: Path) -> str:
    """How an error goes on about a folder that holds no embedding: perhaps folders in it do."""
    with suppress(OSError):
        inside = islice(path.iterdir(), lookup.MAX_NAMES)
        if found := sorted(one.name for one in inside if one.is_dir() and is_concept(one)):
            return f", but folders in it do: {listed(found)}. Give one of those."
    return ". Give a run's folder, or the file itself."


def _learned_with(first: EmbeddingFile) -> Iterator[EmbeddingFile]:
    """The files of the words that were learned with the one of `first`, if they lie beside it."""
    others = f", {first.concepts[0].provenance.get(LEARNED_WITH, '')}, "
    for number in count(2):
        path = first.path.with_name(file_of_word(CONCEPT_FILE, number))
        if first.path.name != CONCEPT_FILE or not path.is_file():
            return
        file = read_file(path)
        if f", {file.concepts[0].token}, " in others:  # else it came here in another way
            yield file


def second_of_pair(path: Path) -> Path:
    """Where diffusers writes the rows for the second encoder: `x_2`, or `x_2-steps-9`."""
    first, steps, number = path.stem.partition("-steps-")
    return path.with_name(f"{first}_2{steps}{number}{path.suffix}")


def _first_of_pair(path: Path) -> Path:
    """Where diffusers writes the rows for the first encoder; `path` if it is no second file."""
    second, steps, number = path.stem.partition("-steps-")
    return path.with_name(f"{second.removesuffix('_2') or second}{steps}{number}{path.suffix}")


def _joined_with(file: EmbeddingFile, second: Path) -> Concept | None:
    """The word of two files; None if the second is another thing with a name like this.

    Raises:
        ConceptError: the second cannot be read, and belongs to the first.
    """
    try:
        return _join(file, _read_one(second).concepts)
    except ConceptError:
        if _encoders_elsewhere(file) or file.path.stem.startswith("learned_embeds"):
            raise
        return None


def _join(file: EmbeddingFile, second: tuple[Concept, ...]) -> Concept | None:
    """The two halves of a concept as one; None if they do not belong together."""
    (first,) = file.concepts
    if len(second) != 1 or second[0].token != first.token:
        return None
    if second[0].provenance != first.provenance or second[0].vectors.keys() & first.vectors.keys():
        return None  # of another training, or what is left of a word that is now in one file
    vectors = {**first.vectors, **second[0].vectors}
    if keys.diffusers_suffixes(vectors) is None:
        return None
    families = keys.FAMILIES_OF_ENCODERS[frozenset(vectors)]
    written = file.raw.metadata.get(f"{PREFIX}family")  # a half alone is another family's
    family = written if written in families else families[0]
    return replace(first, vectors=vectors, family=family)


def _bytes_of(path: Path) -> bytes:
    """The whole file; of a very large one only the embeddings in it."""
    try:
        large = path.is_file() and path.stat().st_size > LARGEST_NBYTES
    except (OSError, ValueError):
        large = False
    return _embeddings_in_lora(path) if large else read_regular(path, LARGEST_NBYTES, ConceptError)


def _embeddings_in_lora(path: Path) -> bytes:
    """The embeddings inside a LoRA too large to read whole, as a safetensors file."""
    with read_errors(path, ConceptError):
        entries, metadata = safetensors_file.read_entries(path, str(path))
        shapes = {name: entry["shape"] for name, entry in entries.items()}
        names = grouping.embeddings_in_lora(shapes, metadata)
        if names:
            return safetensors_file.extract_tensors(path, str(path), names)
        nbytes = path.stat().st_size
    kind = kind_of_names(entries)
    what = f"{kind.what}, not an embedding. {kind.advice}" if kind else "a model, not an embedding"
    raise ConceptError(
        f"{path} has {nbytes / 1e6:.0f} MB, an embedding a few kilobytes: this is {what}."
    )
