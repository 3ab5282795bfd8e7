"""What will happen to a file in other tools, said before the user finds out: one module a tool.

Each sentence is held against the tool: against diffusers itself, and against restatements of the
others' loaders (`tests/test_advice.py`).
"""

from collections.abc import Collection

from pseudoword.concept import Concept
from pseudoword.formats.advice import automatic1111, comfyui, diffusers, invokeai, onetrainer
from pseudoword.formats.embedding_file import EmbeddingFile

__all__ = ["outlook"]


def advise(
    file: EmbeddingFile, word: Concept, vocabulary: Collection[str] = frozenset()
) -> dict[str, str]:
    """Tool -> what it does with a file.

    Args:
        content: the file.
        word: the word in it, or one of several.
        vocabulary: the tokens of the base model that it is for, if known.
    """
    return {
        "diffusers": diffusers.advise(file, word, vocabulary),
        "AUTOMATIC1111": automatic1111.advise(file, word),
        "ComfyUI": comfyui.advise(file, word),
        "InvokeAI": invokeai.advise(file, word),
        "OneTrainer": onetrainer.advise(file, word),
    }
