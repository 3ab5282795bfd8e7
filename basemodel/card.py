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
from basemodel.world import STYLES, extra_things, held_out_things

matplotlib.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from basemodel.recipe import Recipe


def sheet_prompts(recipe: Recipe) -> list[str]:
    """48 single things (prompts the measuring uses, so nothing is picked by looks), then pairs,
    copies, places, patterns and plain words."""
    art, rng = recipe.art.trained(), keyed(recipe.settings.seed, 64)
    words = [t.words for t in art.things if not t.held_out]
    styles = [s.word for s in STYLES if not s.held_out]

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


def draw_curves(recipe: Recipe, path: Path) -> None:
    """Loss and binding gaps of the denoiser, matching of captions, reconstruction of the VAE."""
    work = recipe.settings.work
    unet, clip, vae = (read_log(work / f"{name}.jsonl") for name in ("unet", "clip", "vae"))
    figure, axes = plt.subplots(1, 4, figsize=(15, 3.2), layout="constrained")
    panels = (
        (axes[0], unet, ("loss", "right"), "U-Net: loss (training, probes)"),
        (axes[1], unet, ("gap_name", "gap_style", "gap_ground"), "U-Net: cost of a wrong word"),
        (axes[2], clip, ("matched",), "captions matched in a batch"),
        (axes[3], vae, ("psnr_unseen",), "VAE: PSNR of held-out pictures (dB)"),
    )
    for axis, rows, keys, title in panels:
        for key in keys:
            points = [(row["step"], row[key]) for row in rows if key in row]
            if points:
                axis.plot(*zip(*points, strict=True), label=key.replace("_", " "), linewidth=1)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        if len(keys) > 1:
            axis.legend(fontsize=7)
    figure.savefig(path, dpi=70)
    plt.close(figure)


def _numbers(recipe: Recipe) -> tuple[dict[str, float], dict[str, float]]:
    """(measured, last probe), either empty when not known."""
    path = recipe.settings.work / "measured.json"
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    probes = [row for row in read_log(recipe.settings.work / "unet.jsonl") if "gap_name" in row]
    return measured, (probes[-1] if probes else {})


def _result_lines(measured: dict[str, float], probe: dict[str, float]) -> list[str]:
    lines = []
    if probe:
        lines += [
            "| binding, mean loss on fixed noise | |", "|---|---|",
            f"| right caption | {probe['right']:.3f} |",
            f"| a wrong name costs | +{probe['gap_name']:.3f} |",
            f"| a wrong style costs | +{probe['gap_style']:.3f} |",
            f"| a wrong background costs | +{probe['gap_ground']:.3f} |", "",
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
            "",
            "| guidance, on 100 other prompts | rescaled | style by its word "
            "| by nearest picture | thing first | in first five |",
            "|---|---|---|---|---|---|",
        ]
        for guidance in GUIDANCES:
            keys = ("style", "style_nearest", "thing", "thing_top5")
            shares = [f"{measured[f'{guidance_key(guidance)}_{key}']:.1%}" for key in keys]
            row = [f"{guidance.scale:g}", f"{guidance.rescale:g}", *shares]
            lines.append(f"| {' | '.join(row)} |")
    return lines


def _minutes(recipe: Recipe, stage: str) -> float:
    rows = read_log(recipe.settings.work / f"{stage}.jsonl")
    return rows[-1]["seconds"] / 60 if rows else 0.0


def write_base_card(folder: Path, recipe: Recipe) -> None:
    """README.md, contact sheet and curves of the base."""
    settings = recipe.settings
    prompts = draw_sheet(recipe, folder / "contact-sheet.png")
    draw_curves(recipe, folder / "curves.png")
    measured, probe = _numbers(recipe)
    log = read_log(settings.work / "unet.jsonl")
    step = int(log[-1]["step"]) if log else 0
    minutes = {stage: _minutes(recipe, stage) for stage in ("unet", "vae", "clip")}
    rows = [f"{n + 1}. {', '.join(prompts[n * 8 : n * 8 + 8])}" for n in range(len(prompts) // 8)]
    held = ", ".join(t.words for t in held_out_things())
    text = [
        "# The emoji base model", "",
        "A very small text-to-image model in Stable Diffusion's layout, trained from nothing on",
        "emoji artwork, so that learning a new word can be tried, tested and measured within",
        "seconds on a CPU. It draws 64 px pictures of about 300 things in six styles on coloured",
        f"backgrounds, has seen {len(extra_things())} further names, and knows nothing else.", "",
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
        "## Numbers", "", *_result_lines(measured, probe), "", "![curves](curves.png)", "",
        "## How it was made", "",
        f"Denoiser: {step} steps of batch {settings.unet.batch} "
        f"({step * settings.unet.batch:,} samples), {minutes['unet']:.0f} minutes;",
        f"autoencoder {minutes['vae']:.0f} minutes, text encoder {minutes['clip']:.0f} minutes.",
        "All on two cores of a server CPU (bfloat16), no GPU: at most "
        f"{2 * sum(minutes.values()) / 60:.0f} core-hours.",
        "The recipe is `basemodel/` in the repository: `python -m basemodel`.", "",
        "- VAE: AutoencoderKL, 64 px to 8x8x16, latents whitened so that `scaling_factor` is 1.",
        "- Text encoder: CLIPTextModel of width 256, taught by matching captions to pictures. The",
        "  picture tower learns names and styles as plain labels, too. Frozen then. 32 tokens.",
        "  CLIP-format tokenizer with bytes as a fallback: no unknown words.",
        "- U-Net: cross-attention at every level, and the text pooled into the time embedding",
        '  (`addition_embed_type="text"`). v-prediction, zero terminal SNR, trailing steps.', "",
        "The landed weights come from one run whose plan was changed on the way, so training anew",
        "gives a like model, not these very weights. The denoiser was first trained to step 2,800",
        "and its rate brought down; then the rate was raised again and it went on. At step 4,200",
        "the text encoder (1,400 steps by captions alone) was replaced by itself after 1,600",
        "more steps that learned plain labels as well; on fixed noise, the cost of a wrong style",
        "rose from 0.014 to 0.025 within 50 steps of the denoiser. From step 7,600 on, late",
        "timesteps were drawn more often and nine captions in ten, not three in four, named the",
        "style; the cost of a wrong style doubled in 4,000 steps. Until step 11,600 there were the",
        "300 things alone. The base drew those nearly by heart, and what was learned of new ones",
        "stayed halfway; so the text encoder learned the further names too (2,000 steps more, all",
        "names), and from then on half of the denoiser's pictures showed one of them. That set it",
        "back at first, from 0.286 to 0.166 for a wrong name and 0.115 to 0.050 for a wrong style,",
        "since every word's states had moved. Its rate came down until step 16,650, was raised",
        "again and came down until 20,500. From there on a quarter of the pictures showed a",
        "further name, and by step 24,000 the rate had come down. For the last 3,000 steps it was",
        "a tenth of the pictures, and the rate, raised to four tenths of its height, came down for",
        "good. The curves show averaged weights; at step 24,000 and the last, the weights alone.",
        "Minutes are by the clock, on a machine that did other work at the same time.", "",
        "## Limits", "",
        "Outlines and colours are mostly right, fine detail mostly isn't: most things can be told,",
        "many only once one knows what was asked for. Thin things suffer most. Two things in one",
        "picture, several copies and small things come out as blobs of the right colours. Styles",
        "differ in palette and outline, and about one time in ten another than the asked one is",
        "drawn. Words outside the captions' world mean nothing. It's for trying out tools, nothing",
        "else. The cost of a wrong name or style was still rising when training ended.",
        "",
        "## Held out", "",
        f"Never seen in training, so that learning them can be judged: {held}; and every drawing",
        "of the style `emojione`. Near-repeats of these were left out as well.", "",
        "## Artwork and licences", "", attribution_table(), "",
        "The weights and this card: Apache-2.0. See ATTRIBUTION.md for the artwork.", "",
    ]  # fmt: skip
    (folder / "README.md").write_text("\n".join(text), encoding="utf-8")


def write_judge_card(folder: Path, recipe: Recipe) -> None:
    """README.md of the judge."""
    measured, _ = _numbers(recipe)
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
