"""Read an embedding file of any tool. Its content says what it is; its name is never trusted."""

import unicodedata
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError
from pseudoword.files import read_regular, reading
from pseudoword.formats import grouping, keys, layouts, pictures, safetensors_file, torch_file
from pseudoword.formats.file_kinds import HEAD_NBYTES, describe_bytes, kind_of_names
from pseudoword.formats.raw_content import RawContent
from pseudoword.placeholders import check_token

LARGEST_NBYTES = 256 * 1024 * 1024
"""No embedding is larger: refused before anything is allocated."""

CONCEPT_FILE = "concept.safetensors"

FOLDER_FILES = (CONCEPT_FILE, "learned_embeds.safetensors", "learned_embeds.bin")
"""The files that stand for a folder, or a repository: the first that is there."""


class Container(NamedTuple):
    """A kind of file."""

    matches: Callable[[bytes], bool]
    read: Callable[[bytes, str], RawContent]


CONTAINERS: Mapping[str, Container] = {
    "safetensors": Container(safetensors_file.matches, safetensors_file.read),
    "picture": Container(pictures.matches, pictures.read),
    "torch": Container(torch_file.matches, torch_file.read),
}
"""Name -> container, in the order in which they are tried."""


@dataclass(frozen=True)
class EmbeddingFile:
    """What a file turned out to be."""

    path: Path
    raw: RawContent
    """what it holds, as it holds it"""
    layout: str
    """a name in `layouts.LAYOUTS`"""
    concepts: tuple[Concept, ...]
    second: Path | None = None
    """the file with the other half of the word, for its other text encoder, if there is one"""

    @property
    def container(self) -> str:
        """`safetensors`, `torch`, `chunk` or `pixels`"""
        return self.raw.container


def read(path: Path, token: str | None = None) -> Concept:
    """Read the one concept of a file, or of a run's folder.

    Args:
        path: the file, or a folder that holds `concept.safetensors` or `learned_embeds…`.
        token: name it this, whatever the file says; in a file of several, take the one so called.

    Raises:
        ConceptError: there is no such file, or it holds no concept, or several.
    """
    return select_concept(read_file(path), token)


def select_concept(file: EmbeddingFile, token: str | None) -> Concept:
    """The one concept of a file under the name `token`, or the one so called of several.

    Raises:
        ConceptError: there are several, and none is called so.
    """
    found = file.concepts
    if len(found) == 1:
        return with_token(found[0], token) if token else found[0]
    called = token and unicodedata.normalize("NFC", token)  # as in every concept
    for concept in found:
        if concept.token == called:
            return concept
    tokens = ", ".join(c.token for c in found[:8]) + (" …" if len(found) > 8 else "")
    raise ConceptError(
        f"{file.path} holds {len(found)} words, not one concept: {tokens}. "
        "Say which one with its token."
    )


def read_all(path: Path) -> tuple[Concept, ...]:
    """Read every concept of a file, or of a folder.

    Raises:
        ConceptError: there is no such file, or it holds no concept.
    """
    return read_file(path).concepts


def read_file(path: Path) -> EmbeddingFile:
    """Read a file, or what stands for a folder, and say what it is.

    diffusers has a file for each of two text encoders: of two such files both are read.

    Raises:
        ConceptError: there is no such file, or it holds no concept.
    """
    path = _file(path)
    first = _first_half(path)
    if first is not None:
        with suppress(ConceptError):
            whole = read_file(first)
            if whole.second == path:
                return whole
    file, second = _read_one(path), _second_half(path)
    if len(file.concepts) > 1 or file.layout not in ("native", "diffusers"):
        return file
    if not second.is_file():
        return file
    joined = _both_halves(file.concepts[0], _read_one(second).concepts)
    return file if joined is None else replace(file, concepts=(joined,), second=second)


def read_bytes(data: bytes, path: Path) -> EmbeddingFile:
    """Read the bytes of a file; `path` is what it is called, and need not be there.

    Raises:
        ConceptError: it holds no concept.
    """
    raw = parse(data, str(path))
    return EmbeddingFile(path, raw, layouts.identify(raw), tuple(layouts.words(raw)))


def is_concept(path: Path) -> bool:
    """Whether `path` names a file, or a folder with a concept in it."""
    return path.is_file() or any((path / name).is_file() for name in FOLDER_FILES)


def parse(data: bytes, where: str) -> RawContent:
    """What `data` holds, by its content.

    Raises:
        ConceptError: no kind of file that is known here, or damaged.
    """
    for container in CONTAINERS.values():
        if container.matches(data):
            return container.read(data, where)
    what = describe_bytes(data[:HEAD_NBYTES])
    if what is not None:
        raise ConceptError(f"{where} is {what}.")
    raise ConceptError(
        f"{where} is no embedding: it is not a safetensors file, nor torch's, nor a picture"
        f"{' (it is empty)' if not data else ''}."
    )


def with_token(concept: Concept, token: str) -> Concept:
    """The same word under another token."""
    check_token(token)
    return replace(concept, token=token)


def _file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in FOLDER_FILES:
        if (path / name).is_file():
            return path / name
    raise ConceptError(
        f"{path} holds no {CONCEPT_FILE} and no learned_embeds. "
        "Give a run's folder, or the file itself."
    )


def _second_half(path: Path) -> Path:
    """Where diffusers writes the other half of a word, also along the way."""
    first, steps, count = path.stem.partition("-steps-")
    return path.with_name(f"{first}_2{steps}{count}{path.suffix}")


def _first_half(path: Path) -> Path | None:
    """The file that `path` may be the other half of."""
    second, steps, count = path.stem.partition("-steps-")
    first = path.with_name(f"{second.removesuffix('_2')}{steps}{count}{path.suffix}")
    return first if second.endswith("_2") and first.is_file() else None


def _read_one(path: Path) -> EmbeddingFile:
    return read_bytes(_bytes(path), path)


def _bytes(path: Path) -> bytes:
    """The whole file; of a large one only what may be words in it."""
    try:
        large = path.is_file() and path.stat().st_size > LARGEST_NBYTES
    except (OSError, ValueError):
        large = False
    return _embeddings_in_lora(path) if large else read_regular(path, LARGEST_NBYTES, ConceptError)


def _embeddings_in_lora(path: Path) -> bytes:
    """The words inside a LoRA too large to be read whole, as a file of their own."""
    with reading(path, ConceptError):
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


def _both_halves(first: Concept, others: tuple[Concept, ...]) -> Concept | None:
    """The two halves of a word as one; None if they are none."""
    if len(others) != 1 or others[0].token != first.token:
        return None
    both = {**first.vectors, **others[0].vectors}
    if len(both) < 2 or frozenset(both) not in keys.DIFFUSERS_SUFFIXES:
        return None
    (family, *_) = keys.FAMILIES_OF_ENCODERS[frozenset(both)]
    return replace(first, vectors=both, family=family)
