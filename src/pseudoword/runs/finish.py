"""The end of a run: write its word, measure its effect, and tell what the user should know."""

from dataclasses import dataclass
from pathlib import Path

from pseudoword.concept import Concept
from pseudoword.config.fields import AUTO
from pseudoword.formats.keys import is_output
from pseudoword.methods import norms
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.runs import checkpoint
from pseudoword.runs.run import Run
from pseudoword.training import loss
from pseudoword.training.batches import batch

NO_EFFECT = 1e-6
"""A word that changes the prediction by less than this part has learned nothing."""

TOO_LONG = 100
"""A word whose vectors are this many times longer than those of the vocabulary is not usable."""


@dataclass(frozen=True)
class Trained:
    """A finished run."""

    concept: Concept
    folder: Path
    effect: float
    """how much the word changes the model's prediction since its initialisation, relative to it"""
    seconds: float
    """spent in training steps by this call; 0 if the run was finished before"""
    stopped: str | None = None
    """why early stopping ended it, if it did"""


def finish(family: Family, run: Run, seconds: float, progress: Progress) -> Trained:
    """Write the word, check that it has an effect, and mark the run as finished.

    A word without effect is a failure of the run's state.
    """
    concept, state, token = run.concept(), run.state, run.config.token
    run.folder.write_concept(concept)
    samples = batch(family, [state.data], state.step)
    effect = loss.effect(family, run.setup.start.rows, concept.vectors, samples)
    if not effect > NO_EFFECT and not state.failure:
        state.failure = (
            f"{token}: the finished word does not change what the model predicts "
            f"(by {effect:.1e} of its size). Train longer, or with a higher --lr."
        )
    _note_long_vectors(run, concept, progress)
    if is_output(concept.vectors):
        progress.note(f"{token}: only pseudoword and OneTrainer use an output embedding")
    if state.method.for_other_tools:
        progress.note(f"{token}: {state.method.for_other_tools}")
    if state.failure is None:
        if state.stopped:
            progress.note(f"{token} stopped at step {state.step}: {state.stopped}")
        elif run.config.steps is AUTO:
            progress.note(f"{token} has not settled by --max-steps {run.config.max_steps}")
        checkpoint.finish(run.folder.path)
    return Trained(concept, run.folder.path, effect, seconds, state.stopped)


def _note_long_vectors(run: Run, concept: Concept, progress: Progress) -> None:
    """Report a word that is too strong beside other words."""
    length = float(norms.mean_norm(concept.vectors))
    usual = max(run.setup.start.usual_norms.values())
    if length > TOO_LONG * usual:
        progress.note(
            f"{concept.token}: its vectors have a norm of {length:.3g}, those of other words "
            f"{usual:.3g}, so it will drown the other words of a prompt. Learn it with --norm "
            "keep, or a lower --lr."
        )
