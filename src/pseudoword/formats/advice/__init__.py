"""What other tools do with an embedding file: one module per tool.

`tests/formats/test_advice.py` checks each sentence against the tool: diffusers itself, or the
loaders of the others, written again in `tests/other_tools.py`.
"""

from collections.abc import Collection

from pseudoword.concept import Concept
from pseudoword.formats import layers
from pseudoword.formats.advice import automatic1111, comfyui, diffusers, invokeai, onetrainer
from pseudoword.formats.embedding_file import EmbeddingFile

__all__ = ["advise"]


def advise(
    file: EmbeddingFile, concept: Concept, vocabulary: Collection[str] = frozenset()
) -> dict[str, str]:
    """Tool -> what it does with a file.

    Args:
        file: the file.
        concept: the word in it, or one of several.
        vocabulary: the tokens of the base model that it is for, if known.
    """
    concept = layers.for_other_tools(concept)
    return {
        "diffusers": diffusers.advise(file, concept, vocabulary),
        "AUTOMATIC1111": automatic1111.advise(file, concept),
        "ComfyUI": comfyui.advise(file, concept),
        "InvokeAI": invokeai.advise(file, concept),
        "OneTrainer": onetrainer.advise(file, concept),
    }
