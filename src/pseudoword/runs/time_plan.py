"""How long each part of a run takes: foretold from its first samples, and told at the end."""

import time
from collections.abc import Callable

from pseudoword.config import TrainConfig
from pseudoword.config.fields import AUTO, USUAL_SAMPLER_STEPS
from pseudoword.config.prompt_lines import PromptLine
from pseudoword.config.rates import Rates
from pseudoword.methods import METHODS
from pseudoword.progress import PassedOn, Progress, is_watched
from pseudoword.text import duration
from pseudoword.training import importance, learning_rate_finder, optimisers
from pseudoword.training.early_stopping import SAMPLES, earliest_stop, far_at
from pseudoword.training.rate_schedules import Schedule

FORWARD = 1 / 3
"""Time of a sample without its backward pass, relative to a training sample."""

WARM_AFTER = 3
"""The first steps take longer, so the plan is made again after so many of them..."""

WRONG = 1.3
"""... and told again if it was wrong by this factor."""

MEASURING, TRYING, LEARNING, DRAWING = "measuring", "trying", "learning", "drawing"
"""The parts that are foretold, in their order. Those before them take as long as files to read."""


class TimedProgress(PassedOn):
    """A `Progress` that also notes how long the parts of a run will take, and have taken.

    A part is named by the first word of its phases. There are two plans at most, and none without
    the settings of the run, as for several words. `foretold` is that of `Options`.
    """

    config: TrainConfig | None = None
    """the settings of the only run; None where there are none yet, or several"""
    soonest: int | None = None
    """the step after which that ends, or may end first; None as long as only settings tell it"""

    def __init__(
        self, inner: Progress, foretold: Callable[[float, float], None] | None = None
    ) -> None:
        super().__init__(inner)
        self._foretold = foretold
        self._watched = is_watched(inner)
        self._spent: dict[str, float] = {}
        self._part, self._began = "", time.perf_counter()
        self._first: tuple[int, float] | None = None
        """of the phase: what was done when it first told, and when that was"""
        self._sample_seconds, self._warm, self._planned_to = 0.0, False, 0

    def phase(self, text: str) -> None:
        """Another part begins, or one goes on."""
        self._end_phase()
        self._part = text.split()[0]
        super().phase(text)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """Passed on; the first times tell how long a sample takes."""
        if self.config is not None and self._part in (MEASURING, TRYING, LEARNING):
            self._measure(done, self.config)
        super().advance(done, total, detail)

    def finish(self) -> None:
        """Note how long the parts took."""
        self._end_phase()
        parts = ", ".join(f"{part} {spent:.1f} s" for part, spent in self._spent.items())
        if parts:
            self._note_time(f"took {sum(self._spent.values()):.1f} s: {parts}")

    def _note_time(self, text: str) -> None:
        """To whoever watches; it is nothing for a log of warnings."""
        if self._watched:
            self.note(text)

    def _end_phase(self) -> None:
        now = time.perf_counter()
        if self._part:
            self._spent[self._part] = self._spent.get(self._part, 0.0) + now - self._began
        self._began, self._first = now, None

    def _measure(self, done: int, config: TrainConfig) -> None:
        now = time.perf_counter()
        samples = 1 if self._part == MEASURING else config.batch * config.accumulate
        if self._first is None:
            self._first = done, now
            if not self._sample_seconds:
                passed = float(done if self._part == MEASURING else samples)
                passed += FORWARD * SAMPLES * (self._part == LEARNING)  # evaluated before
                self._plan(done, (now - self._began) / passed, config)
        elif self._part == LEARNING and not self._warm and done >= self._first[0] + WARM_AFTER:
            self._warm = True
            before = self._sample_seconds
            seconds = (now - self._first[1]) / ((done - self._first[0]) * samples)
            end = self._end_of(config)
            as_planned = before / WRONG < seconds < before * WRONG and end == self._planned_to
            if done < end and not as_planned:
                self._plan(done, seconds, config)

    def _plan(self, done: int, sample_seconds: float, config: TrainConfig) -> None:
        """Tell how long what is left will take."""
        self._sample_seconds, self._planned_to = sample_seconds, self._end_of(config)
        end, total = self._planned_to, config.total_steps
        left = samples_left(config, self._part, done, end)
        most = sample_seconds * sum(samples_left(config, self._part, done, total).values())
        seconds = {part: samples * sample_seconds for part, samples in left.items()}
        if self._foretold:
            self._foretold(sum(seconds.values()), most)
            return
        if not seconds:
            return
        steps = f" (to step {end}" + (f", at most {total})" if end < total else ")")
        parts = ", ".join(
            f"{part} {duration(spent)}{steps if part == LEARNING else ''}"
            for part, spent in seconds.items()
        )
        about = duration(sum(seconds.values()))
        if end < total:
            self._note_time(f"at least {about} to go, at most {duration(most)}: {parts}")
        else:
            self._note_time(f"about {about} to go: {parts}")

    def _end_of(self, config: TrainConfig) -> int:
        return last_step(config) if self.soonest is None else self.soonest


def last_step(config: TrainConfig, far: int | None = None) -> int:
    """The step at which the run ends, or may end first.

    `far` is `far_step`; None: as far as that is known without a model.
    """
    if config.steps is not AUTO:
        return config.total_steps
    if far is None and config.lr is not AUTO and all(rate.percent for rate in config.lr.each):
        far = far_step(config, config.lr.absolute(1.0), 1.0)
    first = earliest_stop(config.evaluate_every, config.patience, far or 0)
    return min(first, config.total_steps)


def far_step(config: TrainConfig, rates: Rates, usual: float) -> int:
    """The step from which on a word can have become another one; 0: not known, or it never can.

    The `rates` are no percentages; `usual` is the usual size of a number of its rows.
    """
    return far_at(Schedule.of(config, rates), usual, config.total_steps) if by_rate(config) else 0


def by_rate(config: TrainConfig) -> bool:
    """Whether each step moves a number by about the learning rate, as only Adam's do."""
    own = METHODS[config.method].has_own_optimiser()
    return not own and optimisers.steps_by_rate(config.optimiser)


def samples_left(config: TrainConfig, part: str, done: int, end: int) -> dict[str, float]:
    """The work that is left in each part, from `part` on, in training samples.

    In that part, so many samples are measured, rates are tried, or steps are taken: `done`.
    """
    batch, now = config.batch * config.accumulate, done if part == LEARNING else 0
    end = max(end, now)
    step = batch + (FORWARD * SAMPLES / config.evaluate_every if config.evaluate_every else 0)
    every = config.preview_every
    drawings = 1 + (end // every - now // every if every else 0)
    work = {
        MEASURING: importance.PARTS * importance.EACH - done if part == MEASURING else 0,
        TRYING: learning_rate_finder.STEPS * batch if config.lr is AUTO else 0,
        LEARNING: (end - now) * step,
        DRAWING: drawings * sum(_drawing(line, config) for line in config.preview),
    }
    if part == TRYING:
        work[TRYING] -= done * batch
    order = list(work)
    return {name: work[name] for name in order[order.index(part) :] if work[name] > 0}


def _drawing(line: PromptLine, config: TrainConfig) -> float:
    """The work of drawing one preview, in training samples."""
    usual = config.resolution or 0
    area = (line.width or usual) * (line.height or usual) / usual**2 if usual else 1.0
    guided = 1 if line.guidance is not None and line.guidance <= 1 else 2
    return FORWARD * (line.sampler_steps or USUAL_SAMPLER_STEPS) * guided * area
