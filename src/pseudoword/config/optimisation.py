"""Settings of the optimiser."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pseudoword.config.aliases import Alias, Synonyms
from pseudoword.config.fields import (
    AUTO,
    MOST_SAMPLES,
    MOST_STEPS,
    OFTEN,
    Auto,
    Every,
    Name,
    Samples,
    Seed,
    Steps,
)
from pseudoword.config.method import MethodSettings
from pseudoword.config.rates import LearningRate, Rates
from pseudoword.config.settings import Idle, Settings
from pseudoword.errors import SettingsError
from pseudoword.text import brief


class OptimiserSettings(Settings):
    """How the word is learned."""

    heading: ClassVar[str] = "Optimisation"

    idle: ClassVar = {
        "max_steps": Idle("without --steps auto", lambda s: s.steps is not AUTO),
        "average": Idle("beside --ema", lambda s: s.average and s.ema),
    }

    steps: Annotated[Steps | Auto, OFTEN, Alias("max_train_steps")] = AUTO
    """How many optimiser steps; auto stops when the evaluation loss no longer falls."""

    extend: Every = 0
    """So many steps more; a finished run goes on from its end, as if it had been longer."""

    max_steps: Steps = 2000
    """With --steps auto: stop here, settled or not."""

    batch: Annotated[Samples, OFTEN, Alias("batch_size", "train_batch_size")] = 4
    """Samples per step."""

    accumulate: Annotated[Samples, Alias("gradient_accumulation_steps")] = 1
    """Batches per step, one after the other: what a batch so many times larger gives, in the
    memory of one."""

    lr: Annotated[LearningRate, OFTEN, Alias("learning_rate")] = Rates.parse("50%")
    """Learning rate: a number, a percentage, or auto, which tries a few. A percentage is of the
    size of a usual number in the vocabulary's rows. Several rates have their last steps with them:
    "0.005:100, 1e-3:1000, 1e-5"."""

    schedule: Annotated[
        Literal["constant", "linear", "cosine"],
        Alias("lr_scheduler"),
        Synonyms({"constant_with_warmup": "constant"}),
    ] = "constant"
    """Stay at the rate, or fall from it to nothing by the last step."""

    warmup: Annotated[Every, Alias("lr_warmup_steps")] = 0
    """Steps over which the rate rises to its full size."""

    optimiser: Annotated[Name, Alias("optimizer", "optimizer_type")] = "AdamW"
    """A class of torch.optim, or an import path such as prodigyopt.Prodigy."""

    optimiser_option: Annotated[tuple[str, ...], Alias("optimizer_args")] = ()
    """An argument of the optimiser, as key=value. May be repeated."""

    clip_norm: Annotated[float, Field(ge=0, allow_inf_nan=False), Alias("max_grad_norm")] = 1.0
    """Gradients longer than this are shortened to it; 0 leaves them."""

    clip_value: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Each number of the gradient is cut to this size; 0 leaves them."""

    average: bool = True
    """Hand over the mean of the vectors of all steps, in which late ones count most, instead of
    those of the last step."""

    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Hand over a running mean of the vectors instead that keeps this much of itself per step; 0
    is off."""

    seed: Annotated[Seed, OFTEN] = 0
    """Seed of all that is random. Same seed, settings and machine: same word."""

    deterministic: bool = True
    """On a GPU, add up in a fixed order, so that a run that is resumed or done again ends with the
    same bytes; --no-deterministic may be faster."""

    @property
    def total_steps(self) -> int:
        """The last step there can be."""
        return self.max_steps if self.steps is AUTO else self.steps + self.extend

    @model_validator(mode="after")
    def _an_end_for_what_needs_one(self) -> Self:
        if self.schedule != "constant" and (self.steps is AUTO or self.extend):
            which, instead = (
                ("--steps auto", "give a number of --steps")
                if self.steps is AUTO
                else ("--extend", "begin a new run with the finished word as its --init")
            )
            raise SettingsError(
                f"--schedule {self.schedule} falls to nothing at a last step known beforehand, so "
                f"it does not go with {which}. Use --schedule constant, or {instead}."
            )
        if self.steps is AUTO and self.extend:
            raise SettingsError("--extend needs a number of --steps; auto ends where it settles")
        return self

    @model_validator(mode="after")
    def _within_the_run(self) -> Self:
        """What must be over by the last step is; and what must last until then does."""
        last, by = self.total_steps, self._last_step_by
        if self.warmup > last:
            raise SettingsError(f"--warmup {self.warmup} is not over by {by}. Give fewer steps.")
        if self.lr is not AUTO and self.lr.last_step < last:
            raise SettingsError(
                f"--lr {brief(self.lr.text)} ends at step {self.lr.last_step:.0f}, before {by}. "
                "Leave the last step number out, and its rate holds to the end."
            )
        return self

    @model_validator(mode="after")
    def _samples_in_memory(self) -> Self:
        if self.batch * self.accumulate > MOST_SAMPLES:
            raise SettingsError(
                f"--batch {self.batch} and --accumulate {self.accumulate} are "
                f"{self.batch * self.accumulate} samples a step; there may be {MOST_SAMPLES}"
            )
        return self

    @property
    def _last_step_by(self) -> str:
        """What says which step is the last."""
        if self.steps is AUTO:
            return f"--max-steps {self.max_steps}"
        return f"--steps {self.steps}" + (f" --extend {self.extend}" if self.extend else "")


class ObjectiveSettings(Settings):
    """What the model is asked, and what counts as an error."""

    heading: ClassVar[str] = "Noise and loss"

    idle: ClassVar = {"huber_delta": Idle("without --loss huber", lambda s: s.loss != "huber")}

    latents: Literal["random", "deterministic", "once"] = "random"
    """Draw each latent from the VAE's moments at every step, take their mean, or draw it once."""

    min_timestep: Every = 0
    """Least noisy timestep to learn at."""

    max_timestep: Annotated[int | None, Field(ge=1, le=MOST_STEPS)] = None
    """Learn at timesteps below this one; by default all that the model knows."""

    timestep_spread: Literal["uniform", "stratified", "logit-normal", "importance"] = "importance"
    """All timesteps alike, alike and evenly spread within each step, rather the middle ones, or
    those more often that move the word, each counting for less."""

    noise_offset: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Shift the noise of each sample and channel at random by so much; for very dark or bright
    pictures."""

    min_snr: Annotated[
        float, Field(ge=0, allow_inf_nan=False), Alias("min_snr_gamma", "snr_gamma")
    ] = 0.0
    """Weigh nearly clean samples down (min-SNR gamma; 5 is usual); 0 weighs all alike."""

    loss: Annotated[Literal["squared", "huber"], Alias("loss_type")] = "squared"
    """Square of the error, or Huber's, in which large errors count less."""

    huber_delta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    """With --loss huber: the size from which an error counts as large."""

    @model_validator(mode="after")
    def _some_timesteps(self) -> Self:
        if self.max_timestep is not None and self.max_timestep <= self.min_timestep:
            raise SettingsError(
                f"--max-timestep {self.max_timestep} leaves nothing above --min-timestep "
                f"{self.min_timestep}"
            )
        return self


class Hyperparameters(OptimiserSettings, ObjectiveSettings, MethodSettings):
    """All that the training loop reads."""
