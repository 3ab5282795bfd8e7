"""What an error of a run says: what would need less memory, and where the last good word is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from pseudoword import formats
from pseudoword.config import TrainConfig
from pseudoword.errors import PseudowordError, TrainingError, is_out_of_memory
from pseudoword.models import base_model
from pseudoword.runs import checkpoint
from pseudoword.runs.folder import RunFolder

MOST_NAMED = 3
"""So many words are named one by one."""


@contextmanager
def explain_failures(
    configs: Sequence[TrainConfig], folders: Sequence[RunFolder]
) -> Iterator[None]:
    """Add to each error where the last good words are, and explain a lack of memory.

    Raises:
        TrainingError: instead of the library's error when memory runs out.
    """
    try:
        yield
    except PseudowordError as error:
        _note_saved_words(error, folders)
        raise
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        explained = TrainingError(memory_advice(configs))
        _note_saved_words(explained, folders)
        raise explained from error


def memory_advice(configs: Sequence[TrainConfig]) -> str:
    """Which settings need less memory than `configs`; first those with the same result."""
    config = configs[0]
    place = base_model.placement(config)
    on_cpu, ways = place.device.type == "cpu", []
    if config.batch > 1:
        half = next(n for n in range(config.batch // 2, 0, -1) if config.batch % n == 0)
        parts = config.accumulate * config.batch // half
        ways.append(f"--batch {half} --accumulate {parts} (the same samples, in smaller batches)")
    if len(configs) > 1:
        ways.append(f"fewer than {len(configs)} words at a time")
    if place.dtype is torch.float32 and not on_cpu:
        ways.append("--dtype bfloat16")
    if not config.gradient_checkpointing:
        ways.append("--gradient-checkpointing (slower)")
    if not (on_cpu or config.offload):
        ways.append("--offload (much slower)")
    ways.append("a smaller --resolution")
    return (
        f"out of memory with {len(configs) * config.batch} samples at once. "
        f"What needs less: {'; '.join(ways)}. With --allow-changes the run goes on where it was."
    )


def saved_word(folder: RunFolder) -> str | None:
    """A sentence that says where the last good words of a run are, if there are some."""
    try:
        if not folder.has_word():
            return None
        facts = formats.read(folder.concept).provenance
    except PseudowordError:
        return None
    step = facts.get("steps", "?")
    if formats.LEARNED_WITH in facts:
        return f"The words of step {step} are safe in {folder.path}."
    return f"The word of step {step} is safe in {folder.concept}."


def _note_saved_words(error: PseudowordError, folders: Sequence[RunFolder]) -> None:
    """Add where the words are; of several, those that are not finished, and only the first few."""
    if len(folders) > 1:
        folders = [one for one in folders if checkpoint.finished_step(one.path) is None]
    saved = [sentence for sentence in map(saved_word, folders) if sentence]
    for sentence in saved[:MOST_NAMED]:
        error.add_note(sentence)
    if more := len(saved[MOST_NAMED:]):
        error.add_note(f"So are the words of {more} more.")
