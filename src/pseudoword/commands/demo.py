"""`demo`: learn a concept that the bundled model has never seen, and show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from PIL.Image import Image

from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.data import images, picture_files
from pseudoword.data.captions import render
from pseudoword.example_files import EXAMPLE_INIT, EXAMPLE_NAME, EXAMPLE_PICTURES, PANDA
from pseudoword.models import base_model
from pseudoword.models.generation import generate
from pseudoword.outputs import Outputs
from pseudoword.progress import Progress
from pseudoword.report import grids, html, picture_output
from pseudoword.runs.finish import Trained
from pseudoword.runs.planned import Options
from pseudoword.runs.runner import learn

TOKEN, INIT = f"<{EXAMPLE_NAME}>", EXAMPLE_INIT
SEEDS = (0, 1, 2)
SHEET, PAGE = "before_after.png", "report.html"

PROMPTS = (
    "a photo of a [name]",
    "a [name] on a white background",
    "a [name] on a teal background",
    "a [name] on a purple background",
    "a [name] in blob style",
    "a [name] in flat style on a blue background",
)
"""Drawn before and after: plain, on other backgrounds, and in styles that were not trained on."""

MEASURED_PROMPTS = {
    "blob-white.png": "a [name] in blob style on a white background",
    "flat-blue.png": "a [name] in flat style on a blue background",
}
"""Unseen picture -> the prompt that asks for exactly that. Drawn with every seed."""


@dataclass(frozen=True)
class Demo:
    """Results of the demo. Similarities are mean cosines; 1 is a perfect picture.

    What is drawn for a prompt is compared with the unseen picture that shows just that.
    """

    concept: Concept
    before: float
    """similarity of pictures drawn with the init word"""
    after: float
    """similarity of pictures drawn with the new word"""
    files: tuple[Path, ...]
    seconds: float
    """of training"""


def learn_demo(out: Path, progress: Progress, *, restart: bool, overwrite: bool) -> Demo:
    """Learn, draw, compare and report; the public `demo`."""
    outputs = Outputs(out, "demo")
    outputs.check((SHEET, PAGE), overwrite=overwrite)
    config = TrainConfig.check(
        pictures=(EXAMPLE_PICTURES,),
        token=TOKEN,
        init=INIT,
        template="captioned",  # captions name style and background, so the word need not
        out=out,
        preview=(),
    )
    trained = learn([config], progress, Options(restart=restart, overwrite=overwrite))[0]
    family = base_model.load_named(config.base)
    learned_from = [images.open_picture(p) for p in picture_files.find([EXAMPLE_PICTURES])]
    unseen = [images.open_picture(PANDA / "unseen" / name) for name in MEASURED_PROMPTS]

    def draw(lines: Sequence[str], name: str, seeds: Sequence[int]) -> list[Image]:
        prompts = [render(line, name) for line in lines for _ in seeds]
        return generate(family, prompts, [trained.concept], seeds=[*seeds] * len(lines))

    progress.phase("drawing before and after")
    drawn = {}
    for done, name in enumerate((INIT, TOKEN), 1):
        drawn[name] = draw(PROMPTS, name, SEEDS[:1])
        progress.advance(done, 4)
    model = SimilarityModel()
    similarity = {}
    for done, name in enumerate((INIT, TOKEN), 3):
        measured = draw([*MEASURED_PROMPTS.values()], name, SEEDS)
        similarity[name] = mean(
            model.image_similarity(measured[i : i + len(SEEDS)], [true])
            for i, true in zip(range(0, len(measured), len(SEEDS)), unseen, strict=True)
        )
        progress.advance(done, 4)
    files = _write(outputs, trained, learned_from, drawn, similarity)
    return Demo(trained.concept, similarity[INIT], similarity[TOKEN], files, trained.seconds)


def _write(
    outputs: Outputs,
    trained: Trained,
    learned_from: Sequence[Image],
    drawn: Mapping[str, Sequence[Image]],
    similarity: Mapping[str, float],
) -> tuple[Path, ...]:
    """The contact sheet and the page; `drawn` and `similarity` by the word in the prompts."""
    out = outputs.folder
    sheet = grids.before_after(
        learned_from,
        [render(p, "…") for p in PROMPTS],
        drawn[INIT],
        drawn[TOKEN],
        INIT,
        TOKEN,
        are="learned from",
    )
    page = html.page(
        run=out,
        title=f"A new word: {TOKEN}",
        concept=trained.concept,
        sections=[("Before and after", sheet), ("Learning", images.open_picture(out / "loss.png"))],
        facts={
            "similarity before": f"{similarity[INIT]:.2f}",
            "similarity after": f"{similarity[TOKEN]:.2f}",
            "training": f"{trained.seconds:.0f} s",
            "effect on the prediction": f"{trained.effect:.1%}",
        },
    )
    outputs.write(SHEET, picture_output.encode_picture(sheet, "PNG"))
    outputs.write(PAGE, page)
    return tuple(out / name for name in (SHEET, "loss.png", PAGE, "concept.safetensors"))
