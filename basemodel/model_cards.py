"""Model cards: what the weights are, how they were made, how good they are, what they cannot do.

The texts are the Jinja templates in `cards/`.
"""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from basemodel.artifacts import Artifacts
from basemodel.attribution import attribution_table
from basemodel.figures import draw_contact_sheet, plot_curves
from basemodel.logs import log_file, read_log
from basemodel.measure import GUIDANCES, guidance_key, read_measured
from basemodel.settings import GUIDANCE, Settings
from basemodel.world import SHAPES, STYLES, extra_things, further_things, held_out_things

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "cards"),
    undefined=StrictUndefined,
    autoescape=False,
    trim_blocks=True,
    keep_trailing_newline=True,
)

_SHARES = {
    "style": "style right, by its word",
    "style_nearest": "style right, by nearest true picture",
    "background": "background right",
    "thing": "thing first of all names",
    "thing_top5": "thing in first five names",
}
"""Key of a measured share -> its label."""

_STAGES = ("judge_tower", "judge", "judge_words")


def write_base_card(folder: Path, artifacts: Artifacts) -> None:
    """README.md, contact sheet and curves of the base model."""
    prompts = draw_contact_sheet(artifacts, folder / "contact-sheet.png")
    plot_curves(artifacts.settings, folder / "curves.png")
    measured = read_measured(artifacts.settings)
    _write(
        folder,
        "base.md",
        extra_names=f"{len(extra_things()) + len(further_things()):,}",
        guidance=GUIDANCE,
        sheet_rows=[prompts[first : first + 8] for first in range(0, len(prompts), 8)],
        binding=_binding(measured),
        shares=_share_rows(measured),
        psnr=f"{measured['psnr_unseen']:.1f}" if measured else "",
        guidances=_guidance_rows(measured),
        held_out=[thing.name for thing in held_out_things()],
        attribution=attribution_table(STYLES + SHAPES),
    )


def write_similarity_card(folder: Path, settings: Settings) -> None:
    """README.md of the similarity model."""
    measured = read_measured(settings)
    shares = [
        (key.removeprefix("true_").replace("_", " "), f"{value:.1%}")
        for key, value in measured.items()
        if key.startswith("true_")
    ]
    minutes = {stage: f"{_minutes(settings, stage):.0f}" for stage in _STAGES}
    _write(folder, "similarity_model.md", shares=shares, minutes=minutes)


def _write(folder: Path, template: str, **values: object) -> None:
    text = _TEMPLATES.get_template(template).render(**values)
    (folder / "README.md").write_text(text, encoding="utf-8")


def _binding(measured: dict[str, float]) -> dict[str, float]:
    if "binding_right" not in measured:
        return {}
    return {
        "right": measured["binding_right"],
        "name": measured["binding_gap_name"],
        "style": measured["binding_gap_style"],
        "background": measured["binding_gap_ground"],
    }


def _share_rows(measured: dict[str, float]) -> list[tuple[str, str, str]]:
    if "drawn_style" not in measured:
        return []
    return [
        (label, f"{measured[f'drawn_{key}']:.1%}", f"{measured[f'true_{key}']:.1%}")
        for key, label in _SHARES.items()
    ]


def _guidance_rows(measured: dict[str, float]) -> list[list[str]]:
    rows = []
    for guidance in GUIDANCES:
        prefix = guidance_key(guidance)
        if f"{prefix}_style" in measured:
            keys = ("style", "style_nearest", "thing", "thing_top5")
            shares = [f"{measured[f'{prefix}_{key}']:.1%}" for key in keys]
            rows.append([f"{guidance.scale:g}", f"{guidance.rescale:g}", *shares])
    return rows


def _minutes(settings: Settings, stage: str) -> float:
    rows = read_log(log_file(settings.work, stage))
    return rows[-1]["seconds"] / 60 if rows else 0.0
