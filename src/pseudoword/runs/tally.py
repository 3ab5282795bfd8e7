"""How many of the words that one call learns have ended, and how."""

from dataclasses import dataclass, field

from pseudoword.config import TrainConfig
from pseudoword.progress import EachWord, Ending
from pseudoword.runs.failures import saved_word
from pseudoword.runs.folder import RunFolder


@dataclass
class Tally:
    """The words that one call learns, in all of its packs."""

    total: int
    ended: int = 0
    """how many are ready, stopped or failed"""
    each: EachWord | None = None
    """is told of each"""
    failures: list[str] = field(default_factory=list)
    """the token of each that could not be learned to the end, and why"""
    stopped: list[str] = field(default_factory=list)
    """where each is saved that was asked to stop; empty if it had not begun"""

    def end(self, config: TrainConfig, how: Ending, sentence: str = "") -> None:
        """Count a word that is ready, was stopped or has failed, and tell it.

        `sentence` says where it was saved, or why it failed.
        """
        self.ended += 1
        called = config.called
        if how == "done":
            sentence = f"{called} is ready."
        elif how == "failed":
            self.failures.append(f"{called}: {sentence.removeprefix(f'{called}: ')}")
            if saved := saved_word(RunFolder(config.folder)):
                sentence += f"\n{saved}"
        else:
            self.stopped.append(sentence)
        if self.each is not None:
            self.each.ended(config.folder, how, sentence)
