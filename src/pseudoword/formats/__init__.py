"""Bytes <-> `Concept`, for the embedding files of every tool.

A file is a *container* (safetensors, torch's zip, a picture) with a *layout* (what its keys mean).
Readers are in `embedding_file.CONTAINERS` and `layouts.LAYOUTS`, writers in `writers.WRITERS`; what
other tools do with a file is in `advice`. Imports the ground floor only, and never a model.
"""

from pseudoword.formats.embedding_file import (
    BEFORE_TOKEN,
    CONCEPT_FILE,
    CONTAINERS,
    FOLDER_FILES,
    LEARNED_WITH,
    EmbeddingFile,
    file_of_word,
    is_concept,
    read,
    read_all,
    read_bytes,
    read_file,
    read_files,
    select_concept,
    with_token,
)
from pseudoword.formats.writers import WRITERS, FileParts, encode, part_files

__all__ = [
    "BEFORE_TOKEN",
    "CONCEPT_FILE",
    "CONTAINERS",
    "FOLDER_FILES",
    "LEARNED_WITH",
    "WRITERS",
    "EmbeddingFile",
    "FileParts",
    "encode",
    "file_of_word",
    "is_concept",
    "part_files",
    "read",
    "read_all",
    "read_bytes",
    "read_file",
    "read_files",
    "select_concept",
    "with_token",
]
