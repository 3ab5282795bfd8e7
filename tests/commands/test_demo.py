"""The bundled model and the demo with real settings, as a new user runs them."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from support import SHARED
from typer.testing import CliRunner

from pseudoword import api, formats
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.cli.app import app
from pseudoword.commands import demo as demo_command
from pseudoword.commands.demo import TOKEN
from pseudoword.config.base_choice import BUNDLED
from pseudoword.data import images, picture_files
from pseudoword.example_files import EXAMPLE_PICTURES, PANDA
from pseudoword.models import base_model, generation

EMOJI = BUNDLED["emoji"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The demo's folder and what it printed, at its real settings, but drawn in fewer steps."""
    out = tmp_path_factory.mktemp("demo") / "demo"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_command, "generate", partial(generation.generate, sampler_steps=8))
        result = CliRunner().invoke(app, ["demo", "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    return out, result.stdout


@pytest.mark.slow
def test_the_learned_word_is_nearer_to_unseen_pictures_than_its_start(
    demo: tuple[Path, str],
) -> None:
    last = demo[1].splitlines()[-1]
    found = re.fullmatch(r"similarity before=(-?\d\.\d\d) after=(-?\d\.\d\d)", last)
    assert found
    before, after = map(float, found.groups())
    assert after > max(before + 0.2, 0.7)


@pytest.mark.slow
def test_the_demo_leaves_pages_to_look_at(demo: tuple[Path, str]) -> None:
    out, output = demo
    for name in ("before_after.png", "loss.png", "report.html", "concept.safetensors"):
        assert str(out / name) in output
    sheet = np.asarray(Image.open(out / "before_after.png").convert("RGB"))
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 1000
    page = (out / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    assert TOKEN.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "similarity after" in page
    assert f"--concept {out.name}" in page
    assert str(out.parent) not in page
    entries = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in entries if entry["step"]]
    assert sum(losses[-50:]) < sum(losses[:50])


def pictures_of(pipeline: StableDiffusionPipeline, prompt: str, seed: int) -> np.ndarray:
    own = json.loads((EMOJI / "model_index.json").read_bytes())
    drawn = pipeline(
        prompt,
        generator=torch.Generator().manual_seed(seed),
        guidance_scale=own["_guidance_scale"],
        guidance_rescale=own["_guidance_rescale"],
        num_inference_steps=3,
    ).images[0]
    return np.asarray(drawn, dtype=np.int16)


@pytest.mark.slow
@pytest.mark.parametrize("vectors", [1, 3])
def test_diffusers_draws_the_same_pictures_on_the_bundled_base(
    demo: tuple[Path, str], tmp_path: Path, vectors: int
) -> None:
    concept = demo[0]
    if vectors == 1:
        concept = tmp_path / "one"
        api.train(
            EXAMPLE_PICTURES,
            TOKEN,
            init="animal",
            vectors=vectors,
            steps=5,
            out=concept,
            preview=(),
        )
    assert formats.read(concept).vectors["clip_l"].shape[0] == vectors
    pipeline = StableDiffusionPipeline.from_pretrained(EMOJI, torch_dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_textual_inversion(str(concept / "concept.safetensors"))
    for seed, prompt in enumerate((f"a photo of a {TOKEN}", f"a {TOKEN} on a blue background")):
        (ours,) = api.generate(prompt, concept=concept, seed=seed, sampler_steps=3)
        theirs = pictures_of(pipeline, prompt, seed)
        assert np.abs(np.asarray(ours, dtype=np.int16) - theirs).max() <= 1


def test_an_end_of_text_in_the_middle_never_happens() -> None:
    """CLIP pools at the first end-of-text id, and this U-Net uses the pooled output."""
    family = base_model.load_named("emoji", "cpu")
    width = family.encoders["clip_l"].width
    one, other = torch.randn(2, 2, width, generator=torch.Generator().manual_seed(0))
    found = [
        family.encode_text([f"a {TOKEN} here"], {TOKEN: {"clip_l": rows}}).hidden
        for rows in (one, other)
    ]
    changed = (found[0] - found[1]).abs().amax((0, 2)) > 1e-6
    assert not changed[:2].any()  # begin mark and "a" come before the word
    assert changed[2:].all()


def test_the_similarity_model_tells_the_panda_from_plain_pictures() -> None:
    model = SimilarityModel()
    learn = [images.open_picture(p) for p in picture_files.find([EXAMPLE_PICTURES])]
    unseen = [images.open_picture(p) for p in picture_files.find([PANDA / "unseen"])]
    plain = [Image.new("RGB", (64, 64), colour) for colour in ("white", "blue", "green")]
    assert model.image_similarity(learn, unseen) > model.image_similarity(plain, unseen) + 0.2
    assert model.image_similarity(unseen[:1], unseen[:1]) == pytest.approx(1, abs=1e-5)


def test_unknown_words_do_not_break_the_bundled_tokenizer() -> None:
    family = base_model.load_named("emoji", "cpu")
    hidden = family.encode_text(["a zyzzyva 猫 🐙 of Ångström!?"], {}).hidden
    assert torch.isfinite(hidden).all()


@pytest.mark.skipif(not SHARED.exists(), reason="no sample photographs here")
def test_photographs_train_on_the_bundled_base(tmp_path: Path) -> None:
    done = api.train(SHARED / "photos" / "dog", "<dog>", init="dog", steps=3, out=tmp_path / "run")
    assert done.effect > 0
    assert done.concept.provenance["pictures"] == "5"
