"""One concept in training: what was measured before, its state, and its word as it is now."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pseudoword import methods
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.fields import AUTO
from pseudoword.config.rates import Rates
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.report import charts
from pseudoword.runs import checkpoint
from pseudoword.runs.folder import RATE_CURVE, RunFolder
from pseudoword.runs.planned import PlannedRun
from pseudoword.runs.setup import Setup
from pseudoword.runs.time_plan import by_rate, far_step, last_step
from pseudoword.text import listed, public
from pseudoword.training import early_stopping, importance, joint_words, nested_rows
from pseudoword.training.batches import fixed
from pseudoword.training.early_stopping import EvaluationLoss
from pseudoword.training.encoded_prompts import PromptsOfWord, prompts_of
from pseudoword.training.learning_rate_finder import find_learning_rate
from pseudoword.training.loss import Batch
from pseudoword.training.rate_schedules import Schedule
from pseudoword.training.state import TrainState

SHORT_WAY = 0.25
"""A word whose numbers move by less than this fraction of their size is still the same word."""


@dataclass
class Run:
    """One concept of a pack, with its state."""

    setup: Setup
    state: TrainState
    rates: Rates
    """the learning rates that are used"""
    far: int
    """`far_step`: early stopping waits for it"""
    samples: list[Batch]
    """samples of the training pictures, for evaluations; empty without evaluations"""
    held_out: list[Batch]
    """samples of the held-out pictures"""

    @property
    def planned(self) -> PlannedRun:
        """It, before it was set up."""
        return self.setup.planned

    @property
    def config(self) -> TrainConfig:
        """The settings."""
        return self.setup.config

    @property
    def folder(self) -> RunFolder:
        """The folder of the run."""
        return self.setup.folder

    def concepts(self) -> list[Concept]:
        """The current words, that of `token` first.

        After a failure they are the last good ones; with early stopping, the best ones so far.
        """
        state = self.state
        if state.failure is not None and state.good:
            rows, step = state.good, state.good_step
        elif self.config.steps is AUTO and state.evaluations.best:
            rows, step = state.evaluations.best, state.evaluations.best_step
        else:
            rows, step = state.word(), state.step
        changes = {"changed": "; ".join(self.folder.changes)} if self.folder.changes else {}
        facts = {**self.setup.provenance, "lr": str(self.rates), "steps": str(step), **changes}
        own = zip(self.config.tokens, joint_words.apart(rows), self.setup.beginnings, strict=True)
        return [
            Concept(
                token=token,
                vectors={key: r.detach().cpu().clone() for key, r in vectors.items()},
                family=self.setup.family,
                method=state.method.name,
                provenance={name: public(value) for name, value in {**facts, **began}.items()},
            )
            for token, vectors, began in own
        ]


def evaluate(family: Family, runs: Sequence[Run]) -> list[EvaluationLoss]:
    """Evaluate the current words of several runs together."""
    words = [(run.state.word(), run) for run in runs]
    asked = [(word, run.samples) for word, run in words]
    asked += [(word, run.held_out) for word, run in words if run.held_out]
    losses = early_stopping.evaluation_losses(family, asked)
    held_out = iter(losses[len(runs) :])
    return [
        EvaluationLoss(run.state.step, loss, next(held_out) if run.held_out else None)
        for run, loss in zip(runs, losses, strict=False)
    ]


def begin(family: Family, setup: Setup) -> Run:
    """Make the run of what `measure` has returned.

    An `auto` learning rate is found before, unless the folder has it.
    """
    config, data = setup.config, setup.data
    method = methods.begin(setup.start, config)
    if config.lr is AUTO:
        rates = _found_rate(family, setup)
    else:
        rates = config.lr.absolute(method.rate_unit)
    state = TrainState.begin(data, method, Schedule.of(config, rates))
    _note_short_way(config, state, setup.planned.progress)
    far = far_step(config, rates, method.rate_unit)
    unseen = replace(data, pictures=setup.held_out)
    samples = fixed(family, data, early_stopping.SAMPLES) if config.evaluate_every else []
    held_out = fixed(family, unseen, early_stopping.SAMPLES) if setup.held_out else []
    measured_on = {checkpoint.SAMPLES: early_stopping.digest([*samples, *held_out])}
    setup = replace(setup, sources=setup.sources | measured_on)
    return Run(setup, state, rates, far, samples, held_out)


def soonest(setup: Setup) -> int:
    """The step after which it ends, or may end first; with a rate that is still to be found, that
    may turn out to be a later one."""
    config = setup.config
    lr = setup.chosen.lr if config.lr is AUTO else config.lr
    if lr is None:
        return last_step(config, 0)
    usual = methods.begin(setup.start, config).rate_unit
    return last_step(config, far_step(config, lr.absolute(usual), usual))


def _note_short_way(config: TrainConfig, state: TrainState, progress: Progress) -> None:
    """Report rates so low that the word cannot become another one; other trainers have them."""
    usual, way = state.method.rate_unit, sum(map(state.schedule, range(config.total_steps)))
    if by_rate(config) and way < SHORT_WAY * usual:
        progress.note(
            f"{config.called}: in {config.total_steps} steps with --lr {config.lr}, a number of "
            f"the word moves by {way:.1g} at most, and {usual:.1g} is its usual size. So "
            "the word remains nearly what it starts from. Leave --lr out, or give a larger one"
        )


def resume(run: Run, step: int, *, allow_changes: bool) -> None:
    """Let the run go on from its checkpoint of `step`; with 0, begin it.

    Raises:
        RunFolderError: the checkpoint is damaged, or the run was begun with something else.
    """
    other: list[str] = []
    if step:
        other = checkpoint.load(
            run.folder.path, run.state, step, run.setup.sources, changed=allow_changes
        )
        note = run.planned.progress.note
        note(f"resuming {run.config.called} from step {step}")
        for change in [*run.folder.changed_settings(run.config), *other]:
            note(f"from here on, {change}")
    run.folder.begin(run.config, step, other)  # after everything that may raise an error


def all_prompts(run: Run) -> list[PromptsOfWord]:
    """What the word is learned and evaluated in; nothing if captions change at random."""
    data, state = run.setup.data, run.state
    prompts = prompts_of(replace(data, pictures=[*data.pictures, *run.setup.held_out]))
    if prompts is None:
        return []
    lengths = nested_rows.all_lengths(state.word(), state.hyper)
    return [PromptsOfWord(rows, prompts, data.others.rows) for rows in lengths]


def measure(family: Family, setups: Sequence[Setup], progress: Progress) -> list[Setup]:
    """Measure how often to sample each part of the timesteps, together for all that want it.

    What is measured is kept in the folders, and read from there, as is the word that a run starts
    from if it was chosen. A short run samples all alike; that is kept as well, for when the run is
    extended.

    Returns:
        The same, with the densities in their data.
    """
    wanted = [s for s in setups if s.config.timestep_sampling == "importance"]
    known = {s.folder.path: s.chosen.density for s in wanted}
    new = [s for s in wanted if s.chosen.density is None]
    long = [s for s in new if importance.is_worth_it(s.config)]
    if long:
        progress.phase(f"measuring which timesteps move {listed(s.config.called for s in long)}")
        words = [(s.data, s.start.rows) for s in long]
        found = importance.densities(family, words, progress.advance)
        known |= {s.folder.path: density for s, density in zip(long, found, strict=True)}
    if short := [s for s in new if known[s.folder.path] is None]:
        known |= {s.folder.path: () for s in short}
        progress.note(
            f"{listed(s.config.called for s in short)}: timesteps are sampled evenly, because "
            "measuring which ones move the word would take long beside so few steps"
        )
    measured = []
    for setup in setups:
        density = known.get(setup.folder.path, setup.chosen.density)
        chosen = setup.chosen.model_copy(update={"density": density})
        if chosen != setup.folder.read_chosen():
            setup.folder.write_chosen(chosen)
        data = replace(setup.data, density=known.get(setup.folder.path) or ())
        measured.append(replace(setup, data=data, chosen=chosen))
    return measured


def _found_rate(family: Family, setup: Setup) -> Rates:
    """The learning rate from the learning-rate finder, or from the folder."""
    called, folder, progress = setup.config.called, setup.folder, setup.planned.progress
    rates = setup.chosen.lr
    if rates is None:
        progress.phase(f"trying learning rates for {called}")
        found = find_learning_rate(family, setup.data, setup.start, progress.advance)
        folder.files.write(RATE_CURVE, charts.rate_curve(found.curve, found.rate, called))
        rates = Rates.parse(f"{found.rate:g}")
        values = {"lr": rates, "tried": found.curve}
        folder.write_chosen(setup.chosen.model_copy(update=values))
    progress.note(f"{called}: the learning rate is {rates}, see rate.png")
    return rates
