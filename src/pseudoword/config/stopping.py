"""Settings of what is measured on the way, and of when a run stops by itself."""

from typing import Annotated, ClassVar

from pydantic import Field

from pseudoword.config.fields import AUTO, MOST_STEPS, Auto, Count
from pseudoword.config.settings import Idle, Settings
from pseudoword.errors import SettingsError


class StopSettings(Settings):
    """What is measured on the way, and when a run stops by itself."""

    heading: ClassVar[str] = "Evaluation and early stopping"

    idle: ClassVar = {
        "patience": Idle("without --steps auto", lambda s: s.steps is not AUTO),
        "held_out": Idle("without --evaluate-every", lambda s: not s.evaluate_every),
    }

    evaluate_every: Count = 10
    """Number of steps from one evaluation to the next; 0 is never. An evaluation measures the loss
    on samples that never change."""

    patience: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 3
    """With --steps auto: stop when the loss has hardly fallen in this many evaluations, or in the
    last third of all. A run never stops before its eighth evaluation."""

    held_out: Count | Auto = AUTO
    """Number of pictures that are not trained on but evaluated, to notice overfitting. auto is one
    in six, of six or more."""

    def held_out_of(self, pictures: int) -> int:
        """How many of this many pictures to keep out of training.

        Raises:
            SettingsError: none would be left to learn from.
        """
        if not self.evaluate_every:
            return 0
        n = pictures // 6 if self.held_out is AUTO else self.held_out
        if n >= pictures:
            raise SettingsError(f"--held-out {n} leaves none of {pictures} pictures to learn from")
        return n
