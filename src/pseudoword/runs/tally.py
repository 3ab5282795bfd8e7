"""How many of the runs and words that one call learns have ended, and how."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from pseudoword.config import TrainConfig
from pseudoword.progress import EachWord, Ending
from pseudoword.runs.failures import saved_word
from pseudoword.runs.folder import RunFolder


@dataclass
class Tally:
    """The runs that one call makes, in all of its packs."""

    total: int
    """how many runs there are; a run learns several new words together, or one"""
    words: int
    """how many words they learn"""
    ended: int = 0
    """how many runs are ready, stopped or failed"""
    words_ended: int = 0
    """how many words these learn"""
    words_failed: int = 0
    """how many words could not be learned to the end"""
    each: EachWord | None = None
    """is told of each"""
    failures: list[str] = field(default_factory=list)
    """the tokens of each run that could not be learned to the end, and why"""
    stopped: list[str] = field(default_factory=list)
    """where each is saved that was asked to stop; empty if it had not begun"""

    @classmethod
    def of(cls, configs: Sequence[TrainConfig], each: EachWord | None) -> Self:
        """Of the runs that are known at the beginning."""
        return cls(len(configs), sum(len(config.tokens) for config in configs), each=each)

    def add(self, config: TrainConfig) -> None:
        """Count one more run that has come later."""
        self.total += 1
        self.words += len(config.tokens)

    def end(self, config: TrainConfig, how: Ending, sentence: str = "") -> None:
        """Count a run that is ready, was stopped or has failed, and tell it.

        `sentence` says where it was saved, or why it failed.
        """
        self.ended += 1
        self.words_ended += len(config.tokens)
        called = config.called
        if how == "done":
            sentence = f"{called} is ready."
        elif how == "failed":
            self.words_failed += len(config.tokens)
            self.failures.append(f"{called}: {sentence.removeprefix(f'{called}: ')}")
            if saved := saved_word(RunFolder(config.folder)):
                sentence += f"\n{saved}"
        else:
            self.stopped.append(sentence)
        if self.each is not None:
            self.each.ended(config.folder, how, sentence)
