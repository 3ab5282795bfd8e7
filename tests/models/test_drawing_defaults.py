"""Steps and guidance of a drawing for which none are asked for: those of the model's makers."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny
from support import learn

from pseudoword import api
from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.models import base_model
from pseudoword.models.generation import check


def changed(base: Path, folder: Path, file: str, **entries: Any) -> Path:
    """A copy of a model with other entries in one of its configs."""
    copy = shutil.copytree(base, folder)
    config = json.loads((copy / file).read_text())
    (copy / file).write_text(json.dumps(config | entries))
    return copy


def drawn_by_default(base: Path) -> tuple[int, float]:
    settings = check(base_model.load_named(str(base), "cpu"))
    return settings.sampler_steps, settings.guidance


SCHEDULER = "scheduler/scheduler_config.json"

MODELS: dict[str, tuple[Callable[[Path], Path], dict[str, Any], tuple[int, float]]] = {
    "FLUX.1 dev": (tiny.flux, {"use_dynamic_shifting": True}, (25, 3.5)),
    "FLUX.1 schnell": (
        lambda folder: tiny.flux(folder, guidance=False),
        {"shift": 1.0, "use_dynamic_shifting": False},
        (4, 1.0),
    ),
    "FLUX.2 klein": (tiny.flux2, {}, (25, 4.0)),
    "FLUX.2 klein, distilled": (lambda folder: tiny.flux2(folder, distilled=True), {}, (4, 1.0)),
    "Z-Image": (tiny.z_image, {"shift": 6.0}, (25, 6.0)),
    "Z-Image-Turbo": (tiny.z_image, {"shift": 3.0}, (8, 1.0)),
    "Sana-Sprint": (lambda folder: tiny.sana(folder, sprint=True), {}, (2, 4.5)),
    "SDXL": (tiny.sdxl, {}, (25, 7.5)),
    "with a scheduler for few steps": (tiny.sdxl, {"_class_name": "LCMScheduler"}, (4, 1.0)),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_drawn_as_its_makers_draw_it(name: str, tmp_path: Path) -> None:
    build, scheduler, expected = MODELS[name]
    base = changed(build(tmp_path / "made"), tmp_path / "base", SCHEDULER, **scheduler)
    assert drawn_by_default(base) == expected


def test_sdxl_turbo_is_known_by_its_size_and_its_timesteps(tmp_path: Path) -> None:
    made = tiny.sdxl(tmp_path / "made")
    for size, spacing, expected in ((64, "trailing", (1, 1.0)), (128, "trailing", (25, 7.5))):
        base = changed(made, tmp_path / f"{size}", SCHEDULER, timestep_spacing=spacing)
        config = base / "unet/config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": size}))
        assert drawn_by_default(base) == expected


def test_a_model_index_may_say_how_many_steps(base: Path, tmp_path: Path) -> None:
    few = changed(base, tmp_path / "few", "model_index.json", _sampler_steps=2)
    (picture,) = api.generate("a cat", base=str(few))
    assert "Steps: 2," in str(picture.info["parameters"])
    for wrong in (0, 1.5, 2000):
        index = few / "model_index.json"
        index.write_text(json.dumps(json.loads(index.read_text()) | {"_sampler_steps": wrong}))
        with pytest.raises(BaseModelError, match=r"_sampler_steps in model_index\.json is"):
            api.generate("a cat", base=str(few))


def test_a_negative_prompt_without_guidance_by_default_is_refused(
    base: Path, tmp_path: Path
) -> None:
    unguided = changed(base, tmp_path / "unguided", "model_index.json", _guidance_scale=1.0)
    drawn: dict[str, Any] = {"base": str(unguided), "sampler_steps": 1, "negative": "dog"}
    with pytest.raises(SettingsError, match="give a --guidance above 1"):
        api.generate("a cat", **drawn)
    assert api.generate("a cat", guidance=2.0, **drawn)


def test_a_preview_with_a_negative_prompt_that_has_no_effect_is_refused_before_training(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    unguided = changed(base, tmp_path / "unguided", "model_index.json", _guidance_scale=1.0)
    with pytest.raises(SettingsError, match=r"--preview .*--negative has no effect"):
        learn(unguided, pictures, tmp_path / "run", preview=("a [name] --n dog --s 1",))
    assert not (tmp_path / "run/log.jsonl").exists()
