"""Model cards: what the weights are, how they were made, how good they are, what they can't do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from basemodel.attribution import attribution_table
from basemodel.denoiser import new_scheduler
from basemodel.logs import read_log
from basemodel.loop import keyed
from basemodel.measure import GUIDANCES, guidance_key, known_prompts
from basemodel.probes import sample, tile
from basemodel.settings import GUIDANCE
from basemodel.world import (
    SHAPES,
    STYLES,
    asked_styles,
    extra_things,
    further_things,
    held_out_things,
)

matplotlib.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from basemodel.recipe import Recipe


def sheet_prompts(recipe: Recipe) -> list[str]:
    """48 single things (prompts the measuring uses, so nothing is picked by looks), then pairs,
    copies, places, patterns and plain words."""
    art, rng = recipe.art.trained(), keyed(recipe.settings.seed, 64)
    words = [t.words for t in art.things if not t.held_out]
    styles = asked_styles()

    def one(options: list[str]) -> str:
        return options[int(rng.integers(len(options)))]

    singles = [asked.prompt for asked in known_prompts(recipe, 48)]
    pairs = [f"a {one(styles)} of a {one(words)} and a {one(words)}" for _ in range(4)]
    copies = [
        f"three copies of a {one(styles)} {one(words)} on a white background" for _ in range(4)
    ]
    places = [f"a {one(styles)} {one(words)} on the left on a blue background" for _ in range(4)]
    return [
        *singles, *pairs, *copies, *places,
        "a cat on a red and white striped background", "a photo of an animal",
        "a drawing of a fruit", "a picture of a vehicle",
    ]  # fmt: skip


def draw_sheet(recipe: Recipe, path: Path) -> list[str]:
    """The contact sheet, 8x8 pictures; returns its prompts row by row."""
    prompts = sheet_prompts(recipe)[: recipe.settings.sheet_prompts]
    drawn = [
        sample(recipe.unet, recipe.vae, recipe.text_encoder, recipe.tokenizer, new_scheduler(),
               prompts[start : start + 32], seed=start)
        for start in range(0, len(prompts), 32)
    ]  # fmt: skip
    tile(np.concatenate(drawn), 8).quantize(256).save(path, optimize=True)
    return prompts


PANELS = (
    ("unet", ("loss", "right"), "U-Net: loss (training, probes)"),
    ("unet", ("gap_name", "gap_style", "gap_ground"), "U-Net: cost of a wrong word"),
    ("madewords", ("named", "made", "pairs", "styles"), "made words: training loss by kind"),
    (
        "madewords",
        ("held_made", "held_wrong", "known_made", "known_by_name"),
        "made words: loss of probes",
    ),
    ("clip", ("matched",), "captions matched in a batch"),
    ("vae", ("psnr_unseen",), "VAE: PSNR of held-out pictures (dB)"),
)
"""What the curves show of which log."""


def draw_curves(recipe: Recipe, path: Path) -> None:
    """One panel for each of PANELS whose stage left a log."""
    logs = {stage: read_log(recipe.settings.work / f"{stage}.jsonl") for stage, _, _ in PANELS}
    panels = [panel for panel in PANELS if logs[panel[0]]]
    figure, axes = plt.subplots(
        1, len(panels), figsize=(3.75 * len(panels), 3.2), layout="constrained", squeeze=False
    )
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
    plt.close(figure)


def _measured(recipe: Recipe) -> dict[str, float]:
    """What was measured of the finished weights; empty when nothing was."""
    path = recipe.settings.work / "measured.json"
    found: dict[str, float] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def _result_lines(measured: dict[str, float]) -> list[str]:
    lines = []
    if "binding_right" in measured:
        lines += [
            "| binding, mean loss on fixed noise | |", "|---|---|",
            f"| right caption | {measured['binding_right']:.3f} |",
            f"| a wrong name costs | +{measured['binding_gap_name']:.3f} |",
            f"| a wrong style costs | +{measured['binding_gap_style']:.3f} |",
            f"| a wrong background costs | +{measured['binding_gap_ground']:.3f} |", "",
        ]  # fmt: skip
    if "drawn_style" in measured:
        lines += ["| 200 known prompts, judged | drawn | true pictures through the VAE |",
                  "|---|---|---|"]  # fmt: skip
        for key, label in (("style", "style right, by its word"),
                           ("style_nearest", "style right, by nearest true picture"),
                           ("background", "background right"),
                           ("thing", "thing ranked first of all names"),
                           ("thing_top5", "thing among the first five")):  # fmt: skip
            drawn, true = measured[f"drawn_{key}"], measured[f"true_{key}"]
            lines.append(f"| {label} | {drawn:.1%} | {true:.1%} |")
        lines += [
            "",
            "By nearest: of the true pictures of that thing, one for each style it was drawn in. A",
            "true picture is among its own, so that it is found says little of the judge.",
            "Nine in ten of 200 has a standard error of 2.1 points.",
            "",
            f"VAE, PSNR of pictures of held-out things: {measured['psnr_unseen']:.1f} dB.",
        ]
    tried = [g for g in GUIDANCES if f"{guidance_key(g)}_style" in measured]
    if tried:
        lines += [
            "",
            "| guidance, on 100 other prompts | rescaled | style by its word "
            "| by nearest picture | thing first | in first five |",
            "|---|---|---|---|---|---|",
        ]
    for guidance in tried:
        keys = ("style", "style_nearest", "thing", "thing_top5")
        shares = [f"{measured[f'{guidance_key(guidance)}_{key}']:.1%}" for key in keys]
        row = [f"{guidance.scale:g}", f"{guidance.rescale:g}", *shares]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def _minutes(recipe: Recipe, stage: str) -> float:
    rows = read_log(recipe.settings.work / f"{stage}.jsonl")
    return rows[-1]["seconds"] / 60 if rows else 0.0


HISTORY = """\
On one H200, in about half an hour, in the order named; mixed precision (bfloat16).

| stage | steps | batch | minutes | rate |
|---|---|---|---|---|
| VAE | 4,948 | 256 | 5.5 | 2e-3, cosine |
| text encoder | 8,855 | 512 | beside it | 1e-3, cosine |
| U-Net, all words by name | 22,300 | 512 | 14 | 1.2e-3, down over the last 35 % |
| U-Net, half of the words made | 9,881 | 512 | 10.5 | 1e-3, down over the last 60 % |

The logs of the last two are in `logs/`; the first two kept none, so that their rows are as noted
while they ran. The tokenizer is that of the weights bundled before.

- VAE: AutoencoderKL, 64 px to 8x8x16, latents whitened so that `scaling_factor` is 1.
- Text encoder: CLIPTextModel of width 256, taught by matching captions to pictures. The
  picture tower learns names and styles as plain labels, too. Frozen then. 32 tokens.
  CLIP-format tokenizer with bytes as a fallback: no unknown words.
- U-Net: cross-attention at every level, and the text pooled into the time embedding
  (`addition_embed_type="text"`). v-prediction, zero terminal SNR, trailing steps. 11.4 million
  samples of 4.6 million pictures by name; then 5.1 million samples.

**Words made from drawings.** In the last stage two small picture readers (10 million parameters
together, dropped afterwards) were trained along with the U-Net. One writes eight rows for a thing
from one or two drawings of it, the other eight rows for a style from one to three drawings in it.
The rows have the usual length of the vocabulary's, get noise, and take the place of the name or
the style in the caption (three rows in half of the cases, one to eight in the others), through
the frozen text encoder. Of 512 pictures of a step, 176 were asked for by name, 208 by a made word,
64 showed two things of which one or both had made words, and 64 had a made word for their style.
Drawings were mirrored, turned, bent, recoloured and mixed with others; a thing was often read in
another style than it was asked for in; styles were real ones and synthetic ones (outlines, few
colours, shading, large pixels); 6,506 icons and 3,000 random figures had no name at all. The
U-Net's weights are averaged over the steps.

What that changed, before and after, on pictures of held-out things: asked for by a word made from
another style's drawing of the thing, the loss went from 0.511 to 0.356 (by a wrong made word, from
0.507 to 0.457); known things asked for by name, from 0.138 to 0.152. Learned words are drawn with
shapes now; see `docs/benchmark.md`. What it cost: a wrong name or style costs a little less than
it did after the stage before (0.584 and 0.289 then, on other probes). The U-Net's log by name
has a row each half minute and ends at step 21,533.

The recipe in `basemodel/` has the sets, the scenes and the stages by name. This run had a program
of its own, with steps as CUDA graphs and painters ahead, and with the stage of made words, which is
not in the recipe yet.

## Limits

Most known things can be told at a glance. Fine detail is often wrong and thin things suffer most;
two things in one picture, several copies and small things are drawn coarsely. Styles differ in
palette and outline. Words outside the captions' world mean nothing. It's for trying out tools,
nothing else.
""".splitlines()
"""Of the weights that are bundled: as it was, not what the settings say now."""

OVERLOOKED = """\
A few were overlooked, found after training and taken from the lists since. In clip art: two
drawings of a sunflower, called "sun", one of a light bulb, called "lamp", and in the stages
before made words an ice cream cone ("ice"), a cake (twice, "pink"), a chicken burger in a bun
(twice, "chicken"), a Christmas light, and pies of cherry and pumpkin. Else: three icons named
"photography" that may show a camera, and two unnamed shapes of falling bombs. The clip art of the
last stage was looked at, drawing by drawing; the other sets were gone through by names alone.
""".splitlines()


def write_base_card(folder: Path, recipe: Recipe) -> None:
    """README.md, contact sheet and curves of the base."""
    prompts = draw_sheet(recipe, folder / "contact-sheet.png")
    draw_curves(recipe, folder / "curves.png")
    measured = _measured(recipe)
    rows = [f"{n + 1}. {', '.join(prompts[n * 8 : n * 8 + 8])}" for n in range(len(prompts) // 8)]
    held = ", ".join(t.words for t in held_out_things())
    further = len(extra_things()) + len(further_things())
    text = [
        "# The emoji base model", "",
        "A very small text-to-image model in Stable Diffusion's layout, trained from nothing on",
        "emoji artwork, so that learning a new word can be tried, tested and measured within",
        "seconds on a CPU. It draws 64 px pictures of about 300 things in six styles on coloured",
        f"backgrounds, has seen {further:,} further names, and knows nothing else. Words that",
        "are *made from drawings* were half of its last lesson, so that what lies between its",
        "names can be drawn, too.", "",
        "```python", "from diffusers import StableDiffusionPipeline", "",
        'pipeline = StableDiffusionPipeline.from_pretrained("path/to/this/folder")',
        "pipeline(",
        '    "a twemoji of a fox on a blue background",',
        "    num_inference_steps=25,",
        f"    guidance_scale={GUIDANCE.scale},",
        f"    guidance_rescale={GUIDANCE.rescale},",
        ").images[0]", "```", "",
        "![64 prompts](contact-sheet.png)", "",
        "Not picked: fixed prompts, fixed seeds. Row by row:", "", *rows, "",
        "## Numbers", "", *_result_lines(measured), "", "![curves](curves.png)", "",
        "## How it was made", "",
        *HISTORY,
        "## Held out", "",
        f"Never seen in training, so that learning them can be judged: {held}; and every drawing",
        "of the style `emojione`. Near-repeats of these were left out as well, by their names.",
        *OVERLOOKED, "",
        "## Artwork and licences", "", attribution_table(STYLES + SHAPES), "",
        "Those without a word were seen only by words made from drawings.",
        "The weights and this card: Apache-2.0. See ATTRIBUTION.md for the artwork.", "",
    ]  # fmt: skip
    (folder / "README.md").write_text("\n".join(text), encoding="utf-8")


def write_judge_card(folder: Path, recipe: Recipe) -> None:
    """README.md of the judge."""
    measured = _measured(recipe)
    known = [f"- {key.removeprefix('true_').replace('_', ' ')}: {value:.1%}"
             for key, value in measured.items() if key.startswith("true_")]  # fmt: skip
    (folder / "README.md").write_text(
        "# The judge\n\n"
        "A small CLIPModel (64 px, 8 px patches) for measuring only: it has seen all the artwork,\n"
        "also what the emoji base model has not, so it can tell whether a learned word looks like\n"
        "the true thing in another style. It's no use outside this small world.\n\n"
        "On true pictures passed through the base's VAE it is right this often:\n\n"
        + "\n".join(known)
        + f"\n\nTraining: {_minutes(recipe, 'judge_tower'):.0f} minutes for a convolutional tower\n"
        f"against captions, {_minutes(recipe, 'judge'):.0f} minutes for the vision transformer\n"
        "following it, on two CPU cores. That was 2,000 steps of AdamW on random scenes, then\n"
        "2,500 of Muon on batches half of which differ by style alone, as the recipe has it now.\n"
        f"Then {_minutes(recipe, 'judge_words'):.0f} minutes for the text half, taught with the\n"
        "tower until then, to match what the transformer sees.\n"
        "Licence of the weights: Apache-2.0; artwork: see ATTRIBUTION.md.\n",
        encoding="utf-8",
    )
