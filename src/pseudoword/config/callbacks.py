"""Settings of what a run shows and keeps; none changes what is learned."""

from typing import Annotated, ClassVar, Literal

from pydantic import field_validator

from pseudoword.config.fields import OFTEN, Count, Steps
from pseudoword.config.other_trainers.aliases import Alias
from pseudoword.config.prompt_lines import Preview, lines_of, parse
from pseudoword.config.schedulers import check_known
from pseudoword.config.settings import Idle, Settings
from pseudoword.errors import SettingsError
from pseudoword.text import brief

NO_PREVIEW = "none"
"""Instead of a prompt: nothing is drawn, which saves minutes on a slow device."""

Log = Literal["csv", "tensorboard", "wandb", "trackio"]


class CallbackSettings(Settings):
    """What is shown and kept on the way."""

    heading: ClassVar[str] = "Previews and saving"

    idle: ClassVar = {
        "preview_every": Idle(
            "without --preview, or if the run ends earlier",
            lambda s: not s.preview or s.preview_every >= s.total_steps,
        ),
        "embedding_in_preview": Idle("without --preview", lambda s: not s.preview),
        "keep_last": Idle("without --save-every", lambda s: not s.save_every),
        "save_every": Idle("in so short a run", lambda s: s.save_every > s.total_steps),
    }

    preview: Annotated[tuple[Preview, ...], OFTEN, Alias("validation_prompt", "sample_prompts")] = (
        parse("a photo of [name]"),
    )
    """Prompt to draw with the word; [name] stands for it. May end in --n NEGATIVE --d SEED
    --w WIDTH --h HEIGHT --s STEPS --l GUIDANCE --ss SCHEDULER. May be repeated,
    or be a .txt file with one on each line. "none" draws nothing. By default, there is one for each
    new word."""

    preview_every: Annotated[Count, Alias("validation_steps", "sample_every_n_steps")] = 0
    """Number of steps from one preview to the next; 0 is at the end only. A filmstrip shows them
    all."""

    embedding_in_preview: bool = True
    """Store the word in the preview files, so that each can be used as an embedding."""

    save_every: Annotated[Count, Alias("save_steps", "save_every_n_steps")] = 0
    """Number of steps from one copy of the word to the next; 0 is none."""

    keep_last: Count = 0
    """Number of the last copies to keep; 0 is all."""

    checkpoint_every: Annotated[Steps, Alias("checkpointing_steps")] = 25
    """Number of steps from one checkpoint to the next."""

    log: Annotated[tuple[Log, ...], Alias("report_to", "log_with")] = ()
    """Where to log, besides log.jsonl: csv, tensorboard, wandb or trackio. May be repeated."""

    @field_validator("preview", mode="before")
    @classmethod
    def _lines(cls, given: object) -> object:
        """`none` is no preview; beside others it would be a guess. Files stand for their lines."""
        lines = [given] if isinstance(given, str) else given
        if not isinstance(lines, list | tuple):
            return given
        if NO_PREVIEW not in lines:
            return tuple(
                part for one in lines for part in (lines_of(one) if isinstance(one, str) else [one])
            )
        if len(lines) > 1:
            raise SettingsError(f"--preview {NO_PREVIEW} cannot be given with other previews.")
        return ()

    def check_there(self) -> None:
        """Also the schedulers of previews."""
        super().check_there()
        for line in self.preview:
            if line.scheduler is not None:
                check_known(line.scheduler, f"--preview {brief(line.text)}")

    @field_validator("log")
    @classmethod
    def _each_once(cls, names: tuple[Log, ...]) -> tuple[Log, ...]:
        return tuple(dict.fromkeys(names))
