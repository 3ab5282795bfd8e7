"""The end of a run: write its word, measure its effect, and tell what the user should know."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pseudoword import methods
from pseudoword.concept import Concept
from pseudoword.config.fields import AUTO
from pseudoword.formats import CONCEPT_FILE, file_of_word
from pseudoword.formats.keys import is_output
from pseudoword.methods import norms
from pseudoword.models.family import Family
from pseudoword.runs import checkpoint
from pseudoword.runs.run import Run
from pseudoword.training import joint_words, loss
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
    """how much the word changes the model's prediction since its initialisation, relative to it;
    of several words, that of the one which changes it most; NaN if the run was finished before"""
    seconds: float
    """spent in training steps by this call; 0 if the run was finished before"""
    stopped: str | None = None
    """why early stopping ended it, if it did"""
    also: Sequence[Concept] = ()
    """the further words that were learned with it"""

    @property
    def words(self) -> dict[Path, Concept]:
        """The file of each word -> the word, that of `token` first."""
        return {
            self.folder / file_of_word(CONCEPT_FILE, number): concept
            for number, concept in enumerate([self.concept, *self.also], 1)
        }


def finish(family: Family, run: Run, seconds: float) -> Trained:
    """Write the words, check that they have an effect, and mark the run as finished.

    Words without effect, or with one that is not finite, are a failure of the run's state.
    """
    concepts, state, called = run.concepts(), run.state, run.config.called
    note = run.planned.progress.note
    run.folder.write_concepts(concepts)
    effects = _effects(family, run, concepts)
    effect = max(effects)
    if not (state.failure or all(map(math.isfinite, effects))):
        state.failure = (
            f"{called}: with the finished word, the model predicts numbers that are not finite. "
            "Try a lower --lr, or --dtype float32."
        )
    for concept, own in zip(concepts, effects, strict=True):
        _note_long_vectors(run, concept)
        if own > NO_EFFECT or math.isnan(own):
            continue
        nothing = "does not change what the model predicts"
        if not effect > NO_EFFECT and not state.failure:
            state.failure = (
                f"{called}: the finished word {nothing} (by {effect:.1e} of its size). Train "
                "longer, or with a higher --lr."
            )
        elif effect > NO_EFFECT:
            note(
                f"{concept.token} {nothing} yet: too few prompts had it in them. Train longer, or "
                "name it in more captions."
            )
    if is_output(concepts[0].vectors):
        note(f"{called}: only pseudoword and OneTrainer use an output embedding")
    if state.method.for_other_tools:
        note(f"{called}: {state.method.for_other_tools}")
    if state.failure is None:
        if state.stopped:
            note(f"{called} stopped at step {state.step}: {state.stopped}")
        elif run.config.steps is AUTO:
            note(f"{called} has not settled by --max-steps {run.config.max_steps}")
        checkpoint.finish(run.folder.path)
    word, *also = concepts
    return Trained(word, run.folder.path, effect, seconds, state.stopped, also)


def _effects(family: Family, run: Run, concepts: Sequence[Concept]) -> list[float]:
    """`loss.effect` of each word: in prompts of the run, or where there are several, by itself.

    What `--norm` makes of rows as they begin is no effect of one of several words: it does so
    whether or not any prompt had that word in it.
    """
    data, start = run.state.data, run.setup.start
    samples = batch(family, [data], run.state.step)
    if not data.also:
        return [loss.effect(family, start.rows, concepts[0].vectors, samples)]
    untaught = methods.begin(start, run.config)
    untaught.constrain()
    rows = joint_words.together(one.vectors for one in concepts)
    names = joint_words.placeholders(0, data.tokens).values()
    asked = [replace(samples, prompts=len(samples.prompts) * [name]) for name in names]
    return [loss.effect(family, untaught.word(), rows, some) for some in asked]


def _note_long_vectors(run: Run, concept: Concept) -> None:
    """Report a word that is too strong beside other words."""
    length = float(norms.mean_norm(concept.vectors))
    usual = max(run.setup.start.usual_norms.values())
    if length > TOO_LONG * usual:
        run.planned.progress.note(
            f"{concept.token}: its vectors have a norm of {length:.3g}, those of other words "
            f"{usual:.3g}, so it will drown the other words of a prompt. Learn it with --norm "
            "keep, or a lower --lr."
        )
