"""The pictures in the base model's card: a contact sheet, and curves of the training logs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from basemodel.artifacts import Artifacts
from basemodel.logs import log_file, read_log
from basemodel.measure import known_prompts
from basemodel.rng import keyed
from basemodel.sampling import sample, tile
from basemodel.settings import Settings
from basemodel.world import known_styles

FIGURES = 64
"""First part of the random key."""

PANELS = (
    ("unet", ("loss", "right"), "U-Net: loss (training, fixed noise)"),
    ("unet", ("gap_name", "gap_style", "gap_ground"), "U-Net: cost of a wrong word"),
    ("madewords", ("named", "made", "pairs", "styles"), "made words: training loss by kind"),
    (
        "madewords",
        ("held_made", "held_wrong", "known_made", "known_by_name"),
        "made words: loss on fixed noise",
    ),
    ("clip", ("matched",), "captions matched in a batch"),
    ("vae", ("psnr_unseen",), "VAE: PSNR of held-out pictures (dB)"),
)
"""(stage, keys of its log, title) of each panel of curves."""


def _sheet_prompts(artifacts: Artifacts) -> list[str]:
    """48 single things, then pairs, copies, places, patterns and plain words.

    The single things are those that `measure` scores, so they are not chosen by their looks.
    """
    things = artifacts.drawings.for_training().things
    rng = keyed(artifacts.settings.seed, FIGURES)
    names, styles = [t.name for t in things if not t.held_out], known_styles()

    def one(options: list[str]) -> str:
        return options[int(rng.integers(len(options)))]

    singles = [prompt.text for prompt in known_prompts(artifacts, 48)]
    pairs = [f"a {one(styles)} of a {one(names)} and a {one(names)}" for _ in range(4)]
    copies = [
        f"three copies of a {one(styles)} {one(names)} on a white background" for _ in range(4)
    ]
    places = [f"a {one(styles)} {one(names)} on the left on a blue background" for _ in range(4)]
    return [
        *singles, *pairs, *copies, *places,
        "a cat on a red and white striped background", "a photo of an animal",
        "a drawing of a fruit", "a picture of a vehicle",
    ]  # fmt: skip


def draw_contact_sheet(artifacts: Artifacts, path: Path) -> list[str]:
    """Draw 8x8 pictures; returns their prompts row by row."""
    prompts = _sheet_prompts(artifacts)[: artifacts.settings.sheet_prompts]
    pictures = [
        sample(
            artifacts.unet,
            artifacts.vae,
            artifacts.text_encoder,
            artifacts.tokenizer,
            prompts[start : start + 32],
            start,
            artifacts.settings.sampler_steps,
        )
        for start in range(0, len(prompts), 32)
    ]
    tile(np.concatenate(pictures), 8).quantize(256).save(path, optimize=True)
    return prompts


def plot_curves(settings: Settings, path: Path) -> None:
    """One panel for each of PANELS whose stage has a log."""
    logs = {stage: read_log(log_file(settings.work, stage)) for stage, _, _ in PANELS}
    panels = [panel for panel in PANELS if logs[panel[0]]]
    figure = Figure(figsize=(3.75 * len(panels), 3.2), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    for axis, (stage, keys, title) in zip(axes[0], panels, strict=True):
        for key in keys:
            points = [(row["step"], row[key]) for row in logs[stage] if key in row]
            if points:
                axis.plot(*zip(*points, strict=True), label=key.replace("_", " "), linewidth=1)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        if len(keys) > 1:
            axis.legend(fontsize=7)
    figure.savefig(path, dpi=70)
