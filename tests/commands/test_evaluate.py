"""`evaluate`, with the bundled similarity model and with another kind."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import Notes
from transformers import BitImageProcessor, Dinov2Config, Dinov2Model
from typer.testing import CliRunner
from word_files import write_word

from pseudoword import api
from pseudoword.benchmark.image_similarity import SimilarityModel
from pseudoword.cli.app import app
from pseudoword.commands import evaluate
from pseudoword.concept import Concept
from pseudoword.errors import BaseModelError, RunFolderError, SettingsError, StorageError
from pseudoword.example_files import PANDA
from pseudoword.models import generation
from pseudoword.models.base_model import load_named
from pseudoword.models.loading import devices
from pseudoword.report import grids


@pytest.fixture(scope="module")
def apple() -> Concept:
    """A word with exactly the vectors of the bundled model's own word."""
    encoder = load_named("emoji").encoders["clip_l"]
    (row,) = encoder.reader.token_ids("apple")
    rows = encoder.table[row : row + 1].detach().clone()
    return Concept("<apple>", {"clip_l": rows}, provenance={"init": "apple"})


@pytest.fixture
def dino(tmp_path: Path) -> Path:
    """A similarity model that reads no text."""
    torch.manual_seed(0)
    config = Dinov2Config(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=8
    )
    Dinov2Model(config).save_pretrained(tmp_path / "dino")
    size = {"height": 32, "width": 32}
    BitImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(tmp_path / "dino")
    return tmp_path / "dino"


TRUE = PANDA / "unseen"


def test_a_gpu_that_torch_cannot_use_is_told(
    apple: Concept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(devices.VARIABLE)
    monkeypatch.setattr(devices, "available", lambda: ["cpu"])
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    notes = Notes()
    api.evaluate(apple, TRUE, n=1, sampler_steps=1, out=tmp_path, progress=notes)
    assert any("there seems to be an NVIDIA GPU" in line for line in notes.lines)


def test_a_word_like_a_known_one_measures_like_it(
    apple: Concept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: list[str] = []
    grid = grids.grid

    def seen(rows: Any, **more: Any) -> Any:
        labels.extend(label for label, _ in rows)
        return grid(rows, **more)

    monkeypatch.setattr(grids, "grid", seen)
    evaluation = api.evaluate(apple, TRUE, n=1, sampler_steps=4, guidance=4, out=tmp_path)
    near = evaluation.similarities
    assert near.image_known is not None
    assert near.image == pytest.approx(near.image_known, abs=1e-4)
    assert near.text == pytest.approx(near.text_known, abs=1e-4)
    assert near.image_true is not None
    assert -1 <= near.image_true <= 1
    kept = json.loads((tmp_path / "evaluation.json").read_text())
    assert kept["image"] == pytest.approx(near.image)
    drawn = {"sampler_steps": 4, "guidance": 4.0, "seed": 0, "pictures_per_prompt": 1}
    assert kept.items() >= (drawn | {"word": apple.token, "base": "emoji"}).items()
    assert kept["true_pictures"] == len(list(TRUE.glob("*.png")))
    assert len(kept["prompts"]) == 4
    page = (tmp_path / "report.html").read_text()
    assert f"{near.image:.3f}" in page
    assert "4 prompts, 1 pictures each, from seed 0; 4 sampler steps, guidance 4, " in page
    assert "--concept" not in page, "the report's folder holds no word"
    sheet = np.asarray(Image.open(tmp_path / "evaluation.png").convert("RGB"))
    assert len(np.unique(sheet.reshape(-1, 3), axis=0)) > 500
    assert labels == ["true pictures", "before: apple", "after: <apple>"]


def test_a_report_is_made_again_where_all_was_moved_together(
    apple: Concept, dino: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"n": 1, "sampler_steps": 1, "similarity_model": dino}

    def report(work: Path, pictures: str) -> None:
        api.evaluate(apple, work / pictures, out=work / "report", **settings)

    work = tmp_path / "work"
    shutil.copytree(TRUE, work / "photos")
    shutil.copytree(TRUE, work / "others")
    report(work, "photos")
    moved = work.rename(tmp_path / "moved")
    report(moved, "photos")
    with pytest.raises(StorageError, match="would be replaced"):
        report(moved, "others")


def test_two_evaluations_at_once_do_not_share_a_folder(
    apple: Concept, dino: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, draw = tmp_path / "report", generation.generate
    settings: dict[str, Any] = {"n": 1, "sampler_steps": 1, "similarity_model": dino, "out": out}

    def another(*of: Any, **options: Any) -> Any:
        monkeypatch.setattr(evaluate, "generate", draw)
        with pytest.raises(RunFolderError, match="report is in use by another run"):
            api.evaluate(replace(apple, token="<pear>"), TRUE, **settings)
        return draw(*of, **options)

    monkeypatch.setattr(evaluate, "generate", another)
    found = api.evaluate(apple, TRUE, **settings)
    assert "&lt;apple&gt;" in found.files[-1].read_text()


def test_the_right_text_is_more_similar_to_a_picture_than_a_wrong_one() -> None:
    model = SimilarityModel()
    pictures = [Image.open(path).convert("RGB") for path in sorted(TRUE.glob("*.png"))]
    texts = ["a flat of a panda on a blue background"] * len(pictures)
    others = ["a flat of a bus on a blue background"] * len(pictures)
    assert model.text_similarity(pictures, texts) > model.text_similarity(pictures, others) + 0.1


def test_a_similarity_model_without_a_text_encoder_leaves_texts_out(
    apple: Concept, dino: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"n": 1, "sampler_steps": 1, "prompt": ["a [name]"]}
    evaluation = api.evaluate(
        apple, TRUE, similarity_model=str(dino), out=tmp_path / "out", **options
    )
    assert evaluation.similarities.text is None
    assert -1 <= evaluation.similarities.image <= 1


def test_the_command_shows_a_table(apple: Concept, tmp_path: Path) -> None:
    write_word(apple, tmp_path / "apple.safetensors")
    options = ["--pictures", str(TRUE), "-n", "1", "--sampler-steps", "1", "--prompt", "a [name]"]
    out = ["--out", str(tmp_path / "out")]
    result = CliRunner().invoke(
        app, ["evaluate", str(tmp_path / "apple.safetensors"), *options, *out]
    )
    assert result.exit_code == 0, result.stderr
    assert "similarity to the prompt" in result.stdout
    assert str(tmp_path / "out" / "report.html") in result.stdout


def test_mistakes_are_explained(apple: Concept, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"\[name\]"):
        api.evaluate(apple, TRUE, prompt=["a cat"], out=tmp_path)
    with pytest.raises(BaseModelError, match="CLIP, SigLIP or DINOv2"):
        api.evaluate(apple, TRUE, similarity_model=str(tmp_path), out=tmp_path)


def test_pictures_that_measure_too_much_are_told(
    apple: Concept, dino: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "generate", lambda *_, **__: [Image.new("RGB", (32, 32))])
    photos = tmp_path / "photos"
    shutil.copytree(TRUE, photos)
    some, *others = sorted(photos.glob("*.png"))
    shutil.copy(some, photos / "copy.png")
    notes = Notes()
    settings: dict[str, Any] = {"prompt": ["a [name]"], "n": 1, "similarity_model": dino}
    copied = api.evaluate(apple, photos, out=tmp_path / "one", progress=notes, **settings)
    plain = api.evaluate(apple, TRUE, out=tmp_path / "two", **settings)
    assert copied.similarities == plain.similarities
    assert "copies of other pictures, left out" in " ".join(notes.lines)
    assert "learned from" not in " ".join(notes.lines)
    run = api.train(TRUE, "<toy>", init="toy", steps=1, preview=(), out=tmp_path / "run")
    for word in (run.folder, run.folder / "concept.safetensors"):
        notes = Notes()
        out = tmp_path / f"of-{word.name}"
        api.evaluate(word, [some, others[0]], out=out, progress=notes, **settings)
        assert f"the word was learned from {some}, {others[0]}" in " ".join(notes.lines)
    notes = Notes()
    api.evaluate(run.folder, PANDA / "learn", out=tmp_path / "new", progress=notes, **settings)
    assert "learned from" not in " ".join(notes.lines)


def test_the_bundled_similarity_model_is_for_the_bundled_base(
    apple: Concept, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "_evaluate", lambda *_: None)
    for model, told in ((base, True), ("emoji", False)):
        notes = Notes()
        api.evaluate(apple, TRUE, base=model, out=tmp_path, progress=notes)
        assert ("knows only what the bundled base model draws" in " ".join(notes.lines)) == told
