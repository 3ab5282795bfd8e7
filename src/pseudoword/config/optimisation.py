"""Settings of the optimiser."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pseudoword.config.fields import (
    AUTO,
    MOST_SAMPLES,
    MOST_STEPS,
    OFTEN,
    Auto,
    Count,
    Name,
    Samples,
    Seed,
    Steps,
)
from pseudoword.config.method import MethodSettings
from pseudoword.config.optimiser_options import Option, by_usual_name, check_installed
from pseudoword.config.other_trainers.aliases import Alias, Synonyms
from pseudoword.config.rates import LearningRate, Rates
from pseudoword.config.settings import Idle, Settings
from pseudoword.errors import SettingsError
from pseudoword.text import brief

_OWN_STEP = Idle(
    "beside --method directional, which has a step of its own", lambda s: s.method == "directional"
)


class OptimiserSettings(Settings):
    """How the word is learned."""

    heading: ClassVar[str] = "Optimisation"

    idle: ClassVar = {
        "max_steps": Idle("without --steps auto", lambda s: s.steps is not AUTO),
        "optimiser": _OWN_STEP,
        "optimiser_option": _OWN_STEP,
        "average": Idle("beside --ema", lambda s: s.average and s.ema),
    }

    steps: Annotated[Steps | Auto, OFTEN, Alias("max_train_steps")] = AUTO
    """How many optimiser steps; auto stops when the evaluation loss no longer falls."""

    extend: Count = 0
    """Number of steps to add. A finished run continues from its end, as if it had been longer."""

    max_steps: Steps = 2000
    """With --steps auto: the last step in any case."""

    batch: Annotated[Samples, OFTEN, Alias("batch_size", "train_batch_size")] = 4
    """Samples per step."""

    accumulate: Annotated[Samples, Alias("gradient_accumulation_steps")] = 1
    """Batches per step. The result is that of one larger batch, in the memory of a small one."""

    lr: Annotated[LearningRate, OFTEN, Alias("learning_rate")] = Rates.parse("50%")
    """Learning rate: a number, a percentage, or auto, which tries several. A percentage is relative
    to the usual size of a number in the vocabulary. Several rates are given with the last step of
    each: "0.005:100, 1e-3:1000, 1e-5"."""

    schedule: Annotated[
        Literal["constant", "linear", "cosine"],
        Alias("lr_scheduler"),
        Synonyms(
            {
                "constant_with_warmup": "constant",
                "polynomial": "linear",  # of power one, as by default there
                "cosine_with_restarts": "cosine",  # of one cycle, as by default there
            }
        ),
    ] = "constant"
    """How the rate changes: it stays, or falls to zero by the last step."""

    warmup: Annotated[Count, Alias("lr_warmup_steps")] = 0
    """Number of steps in which the rate rises from zero."""

    optimiser: Annotated[
        Name, AfterValidator(by_usual_name), Alias("optimizer", "optimizer_type")
    ] = "AdamW"
    """A class of torch.optim, or an import path such as prodigyopt.Prodigy."""

    optimiser_option: Annotated[tuple[Option, ...], Alias("optimizer_args")] = ()
    """An argument of the optimiser, as key=value. May be repeated."""

    clip_norm: Annotated[float, Field(ge=0, allow_inf_nan=False), Alias("max_grad_norm")] = 1.0
    """Largest norm of the gradient; 0 is no limit."""

    clip_value: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Largest size of each number of the gradient; 0 is no limit."""

    average: bool = True
    """Take the mean of the vectors of all steps, in which late steps count most. --no-average takes
    the vectors of the last step."""

    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of an exponential moving average of the vectors, which is taken instead. 0 is off."""

    seed: Annotated[Seed, OFTEN] = 0
    """Seed of all that is random. Same seed, settings and machine: same word."""

    deterministic: bool = True
    """On a GPU, compute sums in a fixed order, so that repeated and resumed runs give the same
    bytes. --no-deterministic may be faster."""

    graphs: bool = False
    """On an NVIDIA GPU, run the denoiser as CUDA graphs, recorded in the first step. This is faster
    where batches are small."""

    def check_there(self) -> None:
        """Also the optimiser."""
        super().check_there()
        check_installed(self.optimiser)

    @property
    def total_steps(self) -> int:
        """The last step that a run can reach."""
        return self.max_steps if self.steps is AUTO else self.steps + self.extend

    @property
    def can_extend(self) -> bool:
        """Whether `extend` goes with the other settings."""
        return self.steps is not AUTO and self.schedule == "constant"

    @model_validator(mode="after")
    def _an_end_for_what_needs_one(self) -> Self:
        if self.schedule != "constant" and (self.steps is AUTO or self.extend):
            which, instead = (
                ("--steps auto", "give a number of --steps")
                if self.steps is AUTO
                else ("--extend", "begin a new run with the finished word as its --init")
            )
            raise SettingsError(
                f"--schedule {self.schedule} falls to zero by a last step that must be known, so "
                f"it does not go with {which}. Use --schedule constant, or {instead}."
            )
        if self.steps is AUTO and self.extend:
            raise SettingsError("--extend needs a number of --steps: auto decides when to stop")
        return self

    @model_validator(mode="after")
    def _within_the_run(self) -> Self:
        """The warm-up ends, and the rates last, within the run."""
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
                f"{self.batch * self.accumulate} samples a step, and {MOST_SAMPLES} is the most"
            )
        return self

    @property
    def _last_step_by(self) -> str:
        """The settings that decide the last step, as on the command line."""
        if self.steps is AUTO:
            return f"--max-steps {self.max_steps}"
        return f"--steps {self.steps}" + (f" --extend {self.extend}" if self.extend else "")


class ObjectiveSettings(Settings):
    """Which noise the model is given, and how its error is counted."""

    heading: ClassVar[str] = "Noise and loss"

    idle: ClassVar = {"huber_delta": Idle("without --loss huber", lambda s: s.loss != "huber")}

    latent_sampling: Annotated[
        Literal["random", "deterministic", "once"], Alias("latent_sampling_method")
    ] = "random"
    """How latents come from the VAE's distribution: drawn at every step (random), its mean
    (deterministic), or drawn once."""

    min_timestep: Count = 0
    """First timestep to train at; low timesteps have little noise."""

    max_timestep: Annotated[int | None, Field(ge=1, le=MOST_STEPS)] = None
    """Train at timesteps below this one; by default, all timesteps of the model."""

    timestep_sampling: Literal["uniform", "stratified", "logit-normal", "mode", "importance"] = (
        "importance"
    )
    """How timesteps are drawn: uniform; evenly spread within each step (stratified); mostly the
    middle ones (logit-normal); more of these than of others (mode); or in proportion to their
    gradient, with weights that make up for it (importance)."""

    noise_offset: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Size of a random shift of the noise in each sample and channel. For very dark or bright
    pictures."""

    min_snr: Annotated[
        float, Field(ge=0, allow_inf_nan=False), Alias("min_snr_gamma", "snr_gamma")
    ] = 0.0
    """Gamma of min-SNR weighting, which makes samples with little noise count less. 5 is usual; 0
    is off."""

    loss: Annotated[Literal["l2", "huber"], Alias("loss_type"), Synonyms({"mse": "l2"})] = "l2"
    """Squared error (l2), or Huber's loss, in which large errors count less."""

    huber_delta: Annotated[float, Field(gt=0, allow_inf_nan=False), Alias("huber_c")] = 0.1
    """With --loss huber: errors above this are large."""

    keep_context: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Weight of a second loss: the other words of a prompt are to mean what they mean beside the
    word in --init, so that a dog beside the new word is still drawn. 0 is off."""

    @model_validator(mode="after")
    def _some_timesteps(self) -> Self:
        if self.max_timestep is not None and self.max_timestep <= self.min_timestep:
            raise SettingsError(
                f"--max-timestep {self.max_timestep} leaves no timestep from --min-timestep "
                f"{self.min_timestep} on"
            )
        return self


class Hyperparameters(OptimiserSettings, ObjectiveSettings, MethodSettings):
    """All that the training loop reads."""
