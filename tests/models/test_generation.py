import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stand_ins
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file
from support import as_asked, diffusers_own, guided
from word_files import write_word

import pseudoword
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, PromptError, SettingsError
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.generation import MOST_PER_PASS, generate
from pseudoword.placeholders import delimited


def concept(token: str, n: int = 1, seed: int = 0) -> Concept:
    rows = torch.randn(n, 32, generator=torch.Generator().manual_seed(seed))
    return Concept(token, {"clip_l": rows})


def difference(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of any pixel, of 255."""
    a, b = (np.asarray(picture, dtype=np.int16) for picture in (one, other))
    return int(np.abs(a - b).max())


@pytest.mark.parametrize(("n", "rescale"), [(1, 0.7), (3, 0.0)])
def test_diffusers_draws_the_same_pictures_from_our_file(
    unet_base: Path, unet_family: Family, tmp_path: Path, n: int, rescale: float
) -> None:
    rows = {key: torch.randn(n, one.width) for key, one in unet_family.encoders.items()}
    write_word(Concept("<cat>", rows), tmp_path / "concept.safetensors")
    settings = {"guidance_scale": 4.0, "guidance_rescale": rescale, "num_inference_steps": 4}
    pipeline = DiffusionPipeline.from_pretrained(unet_base)
    pipeline.set_progress_bar_config(disable=True)
    if unet_family.name == "sdxl":
        for key, suffix in (("clip_l", ""), ("clip_g", "_2")):
            pipeline.load_textual_inversion(
                load_file(tmp_path / "concept.safetensors")[key],
                token="<cat>",
                text_encoder=getattr(pipeline, f"text_encoder{suffix}"),
                tokenizer=getattr(pipeline, f"tokenizer{suffix}"),
            )
    else:
        pipeline.load_textual_inversion(str(tmp_path / "concept.safetensors"))
    theirs = pipeline(
        "a photo of <cat> on a <cat>",
        negative_prompt="red <cat>",
        generator=torch.Generator().manual_seed(7),
        **settings,
    ).images[0]
    (ours,) = pseudoword.generate(
        "a photo of <cat> on a <cat>",
        concept=tmp_path,
        base=str(unet_base),
        seed=7,
        negative="red <cat>",
        guidance=4.0,
        guidance_rescale=rescale,
        sampler_steps=4,
    )
    assert difference(ours, theirs) <= 1
    (without,) = pseudoword.generate(
        "a photo of a cat", base=str(unet_base), seed=7, guidance=4.0, sampler_steps=4
    )
    assert difference(ours, without) > 1


@pytest.mark.parametrize("n", [1, 3])
def test_diffusers_draws_the_same_pictures_with_our_rows_in_its_vocabulary(
    transformer_base: Path, loaded: Callable[[Path], Family], n: int
) -> None:
    family = loaded(transformer_base)
    rows = {key: torch.randn(n, one.width) for key, one in family.encoders.items()}
    pipeline = DiffusionPipeline.from_pretrained(transformer_base)
    pipeline.set_progress_bar_config(disable=True)
    stand_ins.overwrite(pipeline, rows)
    drawn: dict[str, Any] = {"guidance": 4.0, "sampler_steps": 4}
    against = "red <cat>" if family.reads_negative else ""
    theirs = pipeline(
        prompt=stand_ins.spelled("a photo of <cat> on a <cat>", n),
        **guided(pipeline, 4.0, stand_ins.spelled(against, n)),
        generator=torch.Generator().manual_seed(7),
        num_inference_steps=4,
        **as_asked(pipeline),
    ).images[0]
    word = Concept("<cat>", rows)
    prompt = "a photo of <cat> on a <cat>"
    (ours,) = generate(family, [prompt], [word], seeds=[7], negative=against, **drawn)
    assert difference(ours, theirs) <= 1
    (without,) = generate(family, ["a photo of a cat"], [word], seeds=[7], **drawn)
    assert difference(ours, without) > 1


@pytest.mark.usefixtures("own_kernels")
def test_a_prompt_without_a_word_is_drawn_as_by_the_pipeline_bit_for_bit(any_base: Path) -> None:
    family = base_model.load_named(str(any_base), "cpu")
    pipeline = diffusers_own(any_base)
    against = "red" if family.reads_negative else ""
    theirs = pipeline(
        prompt="A photo of a Cat, red",
        **guided(pipeline, 4.0, against),
        generator=torch.Generator().manual_seed(7),
        num_inference_steps=4,
        **as_asked(pipeline),
    ).images[0]
    drawn: dict[str, Any] = {"negative": against, "guidance": 4.0, "sampler_steps": 4}
    told: list[tuple[int, int]] = []
    drawn["advance"] = lambda *counts: told.append(counts)
    (ours,) = generate(family, ["A photo of a Cat, red"], [], seeds=[7], **drawn)
    assert difference(ours, theirs) == 0
    assert told == [(step, 4) for step in (1, 2, 3, 4)]


def test_guidance_is_what_the_model_asks_for(base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(base, tmp_path / "base")

    def cfg(guidance: float | None = None) -> str:
        (drawn,) = pseudoword.generate("a cat", base=str(base), sampler_steps=1, guidance=guidance)
        return str(drawn.info["parameters"])

    assert "CFG scale: 7.5" in cfg()
    index = base / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_guidance_scale": 2.5}))
    assert "CFG scale: 2.5" in cfg()
    assert "CFG scale: 4" in cfg(guidance=4.0)


def test_guidance_is_rescaled_as_the_model_asks(base: Path, tmp_path: Path) -> None:
    base = shutil.copytree(base, tmp_path / "base")

    def draw(rescale: float | None = None) -> Image.Image:
        (drawn,) = pseudoword.generate(
            "a cat", base=str(base), guidance=30.0, guidance_rescale=rescale, sampler_steps=2
        )
        return drawn

    plain = draw()
    assert "CFG Rescale" not in plain.info["parameters"]
    index = base / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "_guidance_rescale": 1.0}))
    asked = draw()
    assert "CFG Rescale: 1.0" in asked.info["parameters"]
    assert difference(asked, plain) > 1
    assert difference(asked, draw(0.5)) > 1
    assert difference(plain, draw(0.0)) == 0


def test_a_picture_depends_on_its_own_seed_only(family: Family) -> None:
    seeds = range(MOST_PER_PASS + 2)
    many = generate(family, ["a cat"] * len(seeds), [], seeds=seeds, sampler_steps=2)
    for seed in (0, MOST_PER_PASS + 1):
        (one,) = generate(family, ["a cat"], [], seeds=[seed], sampler_steps=2)
        assert difference(one, many[seed]) <= 1
    assert difference(many[0], many[1]) > 1


def test_each_step_of_a_drawing_is_told(family: Family) -> None:
    told: list[tuple[int, int]] = []
    n = MOST_PER_PASS + 2
    generate(
        *(family, ["a cat"] * n, []),
        seeds=range(n), sampler_steps=2, advance=lambda *counts: told.append(counts),
    )  # fmt: skip
    assert told == [(done, 2 * n) for done in (MOST_PER_PASS, 2 * MOST_PER_PASS, 2 * n - 2, 2 * n)]


def test_several_concepts_work_together_and_in_the_negative_prompt(family: Family) -> None:
    words = [concept("<a>", seed=1), concept("<b>", 2, seed=2)]

    def draw(prompt: str, negative: str = "") -> Image.Image:
        return generate(family, [prompt], words, seeds=[0], negative=negative, sampler_steps=3)[0]

    plain = draw("<a> and a cat")
    assert difference(plain, draw("<a> and a <b>")) > 1
    assert difference(plain, draw("<a> and a cat", "<b>")) > 1
    assert difference(plain, draw("<a> and a cat", "dog")) > 1
    assert difference(plain, draw("<a> and a cat")) == 0


def test_drawing_leaves_no_trace_in_the_model(family: Family) -> None:
    first = generate(family, ["a <a> cat"], [], seeds=[0], sampler_steps=2)[0]
    generate(family, ["a <a> cat"], [concept("<a>")], seeds=[0], sampler_steps=2)
    again = generate(family, ["a <a> cat"], [], seeds=[0], sampler_steps=2)[0]
    assert difference(first, again) == 0


def test_a_marked_token_is_found_anywhere_and_shown_without_marks(family: Family) -> None:
    word = concept("cat")
    named_, plain = generate(
        family, [f"a {delimited('cat')}egory", "a category"], [word], seeds=[0, 0], sampler_steps=1
    )
    assert difference(named_, plain) > 0
    for picture in (named_, plain):
        assert picture.info["parameters"].startswith("a category\nSteps")
    with pytest.raises(PromptError, match="the weight of '<a>' in the prompt is too large"):
        generate(family, [f"({delimited('<a>')}:9999999)"], [concept("<a>")], seeds=[0])


def test_what_does_not_fit_is_explained(base: Path, family: Family) -> None:
    wide = Concept("<wide>", {"clip_l": torch.ones(1, 768)})
    with pytest.raises(ConceptError, match=r"width 768.*width 32"):
        generate(family, ["a <wide>"], [wide], seeds=[0])
    with pytest.raises(ConceptError, match="2 concepts are called <a>"):
        generate(family, ["a <a>"], [concept("<a>"), concept("<a>", 2)], seeds=[0])
    with pytest.raises(SettingsError, match="multiple of 8"):
        generate(family, ["a cat"], [], seeds=[0], resolution=33)
    with pytest.raises(SettingsError, match=r"^`n`: .*greater than or equal to 1, got 0"):
        pseudoword.generate("a cat", base=str(base), n=0)


def test_pictures_have_the_size_asked_for(family: Family) -> None:
    assert generate(family, ["a cat"], [], seeds=[0], sampler_steps=1)[0].size == (32, 32)
    (large,) = generate(family, ["a cat"], [], seeds=[0], sampler_steps=1, resolution=48)
    assert large.size == (48, 48)


def test_the_vae_comes_back_after_it_was_released(base: Path) -> None:
    family = base_model.load_named(str(base), "cpu")
    before = generate(family, ["a cat"], [], seeds=[0], sampler_steps=1)[0]
    family.release_vae()
    assert not family.autoencoder.is_loaded  # type: ignore[attr-defined]
    assert difference(before, generate(family, ["a cat"], [], seeds=[0], sampler_steps=1)[0]) == 0
