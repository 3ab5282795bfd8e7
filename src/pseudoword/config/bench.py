"""How words are measured: by the benchmark, and on a user's own pictures."""

from itertools import combinations
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from pseudoword import lookup
from pseudoword.config.base_choice import BaseChoice
from pseudoword.config.fields import (
    GUIDANCE,
    OFTEN,
    SAMPLER_STEPS,
    FilePath,
    FilePaths,
    Pictures,
    Place,
    SamplerSteps,
    Samples,
    Seed,
)
from pseudoword.config.other_trainers.aliases import Alias
from pseudoword.config.variants import Compared, Variant, parse_variant
from pseudoword.errors import SettingsError
from pseudoword.files import file_stem
from pseudoword.text import brief

MOST_CONCEPTS = 40
"""Things whose right pictures come with the package, and were not learned by the bundled model."""


class BenchConfig(BaseChoice):
    """What `bench` compares."""

    heading: ClassVar[str] = "Benchmark"

    compare: Annotated[tuple[Compared, ...], Field(min_length=1), OFTEN] = (parse_variant(""),)
    """Settings of train to try, like "lr=2e-3,steps=200"; empty for the defaults. Repeatable.
    toward=0.2 or rows=1 among them draws the words as generate does with these, and layers=false
    draws layered words as tools without layers do."""

    concepts: Annotated[int | None, Field(ge=2, le=MOST_CONCEPTS), OFTEN] = None
    """Number of things to learn, and of words for the new style; by default, all."""

    ceiling: bool = False
    """Also learn each word for a long time, to show how near the base model can come to it."""

    relearn: bool = False
    """Also learn known things again, from another word. It shows the method's share of the gap."""

    pictures_each: Pictures = 1
    """Pictures drawn for each prompt, with consecutive seeds."""

    sampler_steps: Annotated[SamplerSteps, Alias("num_inference_steps")] = 25
    """Denoising steps per picture."""

    pack: Annotated[Samples, OFTEN] = 8
    """Number of words that are learned at once."""

    similarity_model: Place | None = None
    """Folder or hub id of a CLIP, SigLIP or DINOv2 model; by default the bundled one."""

    seed: Seed = 0
    """Seed of training, and of the first picture."""

    out: Annotated[FilePath, OFTEN] = Path("bench")
    """Folder for everything; a run that was stopped continues there."""

    @field_validator("compare")
    @classmethod
    def _differ(cls, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        for one, other in combinations(variants, 2):
            if one.is_same(other):
                written = " and ".join(dict.fromkeys((brief(one.name), brief(other.name))))
                raise SettingsError(
                    f"--compare: the same settings are given twice, {written}; leave one out"
                )
            if file_stem(one.name) == file_stem(other.name):
                raise SettingsError(
                    f"--compare: {brief(one.name)} and {brief(other.name)} would have one folder; "
                    "give the settings of one in another order, or compare them in two --out"
                )
        return variants

    def check_there(self) -> None:
        """Also what the variants name, and the similarity model."""
        super().check_there()
        for one in self.compare:
            one.config.check_there()
        if self.similarity_model is not None:
            lookup.model_source(self.similarity_model, "--similarity-model")


class EvaluateConfig(BaseChoice):
    """How `evaluate` measures a word."""

    heading: ClassVar[str] = "Evaluation"

    pictures: Annotated[FilePaths, OFTEN]
    """Folder or files with true pictures; best are pictures that were not used for training."""

    prompt: Annotated[tuple[str, ...], Field(min_length=1), OFTEN] = (
        "a photo of a [name]",
        "a [name] on a white background",
        "a [name] on a blue background",
        "a drawing of a [name]",
    )
    """Prompt to draw; [name] stands for the word. May be repeated."""

    compare_with: Annotated[str | None, OFTEN] = None
    """A known word for the same kind of thing; by default, the word that training started from."""

    n: Annotated[Pictures, OFTEN] = 2
    """Pictures per prompt."""

    seed: Seed = 0
    """Seed of the first picture of each prompt."""

    guidance: Annotated[float | None, GUIDANCE, Alias("guidance_scale", "cfg_scale")] = None
    """How strongly to follow the prompt (classifier-free guidance). 1 is off. The default is 7.5,
    or the model's own."""

    sampler_steps: Annotated[int | None, SAMPLER_STEPS, Alias("num_inference_steps")] = None
    """Denoising steps per picture. The default is 25, or fewer for a model that is distilled to
    few steps."""

    similarity_model: Annotated[Place | None, OFTEN] = None
    """Folder or hub id of a CLIP, SigLIP or DINOv2 model; by default the bundled one, which knows
    the bundled base model's world only."""

    out: Annotated[FilePath, OFTEN] = Path("evaluation")
    """Folder for the report."""

    @model_validator(mode="after")
    def _prompts_and_a_known_word(self) -> Self:
        for prompt in self.prompt:
            if "[name]" not in prompt:
                raise SettingsError(f"--prompt {prompt!r}: write [name] where the word belongs")
        if lookup.looks_like_path(self.compare_with or ""):
            raise SettingsError(
                f"--compare-with {self.compare_with!r} looks like a file; give a known word"
            )
        return self

    def check_there(self) -> None:
        """Also the pictures and the similarity model."""
        super().check_there()
        lookup.pictures_there(self.pictures)
        if self.similarity_model is not None:
            lookup.model_source(self.similarity_model, "--similarity-model")
