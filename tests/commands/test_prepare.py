"""`prepare` shows what training sees, and reports the problems of pictures."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont
from support import SHARED
from typer.testing import CliRunner

from pseudoword import api
from pseudoword.benchmark import artwork
from pseudoword.benchmark.tasks import TaskSet
from pseudoword.cli.app import app
from pseudoword.concept import Concept
from pseudoword.config.pictures import PictureSettings
from pseudoword.data import examples, image_quality, images, picture_files
from pseudoword.errors import SettingsError
from pseudoword.example_files import EXAMPLE_PICTURES
from pseudoword.formats import native
from pseudoword.report import contact_sheet
from pseudoword.training import suggestions


def texture(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """A sharp picture that is unlike all others."""
    noise = np.random.default_rng(seed).integers(0, 255, (20, 24, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.NEAREST)


def said_of(folder: Path) -> dict[str, list[str]]:
    picture_settings = PictureSettings(pictures=(folder,))
    find = image_quality.ProblemFinder()
    read = examples.read(
        picture_files.find([folder]), picture_settings, examples.crop_sizes(picture_settings, 64, 8)
    )
    return {example.path.stem: find(example) for example in read}


def test_problems_are_reported_and_good_pictures_have_none(tmp_path: Path) -> None:
    for i in range(3):
        texture(i).save(tmp_path / f"good{i}.png")
    texture(3, (30, 50)).save(tmp_path / "small.png")
    texture(4).filter(ImageFilter.GaussianBlur(6)).save(tmp_path / "shaky.png")
    texture(0, (150, 125)).save(tmp_path / "twin.jpg", quality=60)
    texture(5).save(tmp_path / "turning.gif", save_all=True, append_images=[texture(6)])
    assert said_of(tmp_path) == {
        **{f"good{i}": [] for i in range(3)},
        "small": ["is small: its 30 x 50 pixels are enlarged 2.1 times"],
        "shaky": ["looks blurred"],
        "turning": ["has several frames, and only the first one is used"],
        "twin": ["looks like a copy of good0.png"],
    }


def test_one_drawing_on_two_backgrounds_is_no_copy() -> None:
    assert {name for name, said in said_of(EXAMPLE_PICTURES).items() if said} == set()


@pytest.mark.parametrize(
    "changed",
    [
        lambda p: p.resize((80, 80)),
        lambda p: ImageEnhance.Brightness(p).enhance(1.1),
        lambda p: ImageEnhance.Brightness(p).enhance(0.6),
        lambda p: ImageEnhance.Contrast(p).enhance(1.6),
        lambda p: p.convert("L"),
        lambda p: p.crop((3, 3, p.width - 3, p.height - 3)),
    ],
)
def test_changed_copies_are_found(
    tmp_path: Path, changed: Callable[[Image.Image], Image.Image]
) -> None:
    originals = sorted(EXAMPLE_PICTURES.glob("*.png"))
    for path in originals:
        picture = Image.open(path).convert("RGB")
        picture.save(tmp_path / path.name)
        changed(picture).save(tmp_path / f"z-{path.name}")
    said = said_of(tmp_path)
    for path in originals:
        assert f"looks like a copy of {path.name}" in said[f"z-{path.stem}"]


def test_plain_pictures_are_copies(tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (64, 64), "white").save(tmp_path / f"{name}.png")
    assert said_of(tmp_path)["b"] == ["looks blurred", "looks like a copy of a.png"]


@pytest.mark.skipif(not SHARED.exists(), reason="no sample photographs here")
def test_real_photographs_have_no_problems_unless_blurred(tmp_path: Path) -> None:
    find = image_quality.ProblemFinder()
    for path in sorted((SHARED / "photos").rglob("*.jpg")):
        picture_settings = PictureSettings(pictures=(path,))
        shapes = examples.crop_sizes(picture_settings, 512, 64)
        assert find(examples.read_one(path, picture_settings, shapes)) == [], path
        picture = images.open_picture(path)
        blurred = picture.filter(ImageFilter.GaussianBlur(picture.width / 100))
        blurred.save(tmp_path / path.name)
        problems = image_quality.ProblemFinder()(
            examples.read_one(tmp_path / path.name, picture_settings, shapes)
        )
        assert problems == ["looks blurred"], path


def printed(picture: Image.Image, x: float, y: float) -> Image.Image:
    """With a watermark at (x, y), given as parts of width and height."""
    print_ = Image.new("RGBA", picture.size)
    ImageDraw.Draw(print_).text(
        (x * picture.width, y * picture.height),
        "(c) studio.com",
        fill=(255, 255, 255, 90),
        font=ImageFont.load_default(size=picture.height / 20),
    )
    return Image.alpha_composite(picture.convert("RGBA"), print_).convert("RGB")


def grey(picture: Image.Image) -> np.ndarray:
    side = image_quality.WATERMARK_SIDE_PX
    small = picture.convert("L").resize((side, side), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32)


@pytest.mark.parametrize(
    ("x", "y", "place"),
    [(0.7, 0.92, "at the bottom right"), (0.02, 0.9, "at the bottom left")],
)
@pytest.mark.skipif(not SHARED.exists(), reason="no sample photographs here")
def test_a_watermark_of_photographs_is_found(x: float, y: float, place: str) -> None:
    for subject in ("dog", "backpack"):
        photographs = [
            images.open_picture(p) for p in sorted((SHARED / "photos" / subject).glob("*.jpg"))
        ]
        assert len(photographs) >= image_quality.WATERMARK_MIN_PICTURES
        assert image_quality.find_watermark([grey(p) for p in photographs]) is None
        assert image_quality.find_watermark([grey(printed(p, x, y)) for p in photographs]) == place


def test_drawings_of_one_thing_have_no_watermark() -> None:
    for task in TaskSet.build(artwork.load(), 64).things:
        assert (
            image_quality.find_watermark([grey(one.picture) for one in task.training_pictures])
            is None
        ), task.name


def test_a_watermark_is_reported_once_for_all_pictures(base: Path, tmp_path: Path) -> None:
    for i in range(image_quality.WATERMARK_MIN_PICTURES):
        picture = Image.new("RGB", (400, 400), (40 + 20 * i, 60, 90))
        picture.paste(texture(i, (300, 300)), (20 * i, 10 * i))
        printed(picture, 0.55, 0.9).save(tmp_path / f"{i}.png")
    seen = api.prepare(tmp_path, out=tmp_path / "sheets" / "sheet.png", base=str(base))
    assert seen.shared_problem
    assert "at the bottom right, like a watermark" in seen.shared_problem
    arguments = ["prepare", str(tmp_path), "--base", str(base)]
    shown = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "sheets" / "sheet.png")])
    assert "like a watermark" in shown.stdout.replace("\n", " ")
    (tmp_path / "0.png").unlink()
    fewer = api.prepare(tmp_path, out=tmp_path / "sheets" / "sheet.png", base=str(base))
    assert fewer.shared_problem is None, "four pictures may agree by chance"


def test_the_sheet_shows_exactly_the_pixels_that_are_learned(tmp_path: Path) -> None:
    texture(0, (300, 120)).save(tmp_path / "a.png")
    picture_settings = PictureSettings(
        pictures=(tmp_path,), resolution=contact_sheet.VIEW_PX // 8 * 8, crop="focal"
    )
    example = examples.read_one(
        tmp_path / "a.png", picture_settings, examples.crop_sizes(picture_settings, 64, 8)
    )
    card = np.asarray(contact_sheet.panel(example, contact_sheet.tiles(example), "a [name]", []))
    seen = ((example.views[0].pixels.permute(1, 2, 0).numpy() + 1) * 127.5).round().astype(np.uint8)
    whole, side = contact_sheet.VIEW_PX, seen.shape[0]
    left = whole + contact_sheet.GAP_PX
    shown = Image.fromarray(card[:whole, left : left + whole]).resize((side, side))
    assert np.abs(np.asarray(shown, dtype=int) - seen).mean() < 12


@pytest.mark.parametrize("crop", ["centre", "random", "focal", "buckets"])
def test_thin_pictures_have_a_panel(tmp_path: Path, crop: str) -> None:
    for size in ((1, 1), (1, 3000), (3000, 1), (2, 9000), (1, 230)):
        Image.new("RGB", size, "red").save(tmp_path / "a.png")
        picture_settings = PictureSettings.check(pictures=[tmp_path], crop=crop, flip=True)
        example = examples.read_one(
            tmp_path / "a.png", picture_settings, examples.crop_sizes(picture_settings, 64, 8)
        )
        assert (
            contact_sheet.panel(example, contact_sheet.tiles(example), "a [name]", []).height
            > contact_sheet.VIEW_PX
        )


def test_parts_outside_the_mask_are_striped(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (64, 64), (255, 0, 0, 255))
    picture.paste((255, 0, 0, 0), (32, 0, 64, 64))
    picture.save(tmp_path / "a.png")
    picture_settings = PictureSettings(pictures=(tmp_path,), mask="alpha")
    example = examples.read_one(
        tmp_path / "a.png", picture_settings, examples.crop_sizes(picture_settings, 64, 8)
    )
    card = contact_sheet.panel(example, contact_sheet.tiles(example), "", [])
    left = card.width - contact_sheet.VIEW_PX
    assert card.getpixel((left + 40, 100)) == (255, 0, 0)
    grey = card.getpixel((card.width - 40, 100))
    assert isinstance(grey, tuple)
    assert len(set(grey)) == 1


@pytest.mark.parametrize(
    ("pictures", "vectors", "steps"),
    [(1, 3, 100), (4, 3, 100), (9, 3, 225), (10, 4, 250), (80, 4, 2000), (500, 4, 2000)],
)
def test_suggestions_grow_with_the_pictures(pictures: int, vectors: int, steps: int) -> None:
    assert (suggestions.vectors(pictures), suggestions.steps(pictures)) == (vectors, steps)


def test_prepare_shows_what_training_will_see(base: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "0.txt").write_text("red, round")
    (pictures / "bad.png").touch()
    seen = api.prepare(
        pictures,
        out=tmp_path / "sheet.png",
        base=str(base),
        template="captioned",
        crop="random",
        crops=3,
        flip=True,
        drop_tags=1.0,
        keep_tags=1,
        skip_bad=True,
    )
    first, second, *_ = seen.pictures
    assert len(seen.pictures) == 4
    assert (first.size, first.frame) == ((48, 40), (32, 32))
    assert first.views in (2, 4, 6)  # equal crops count once
    assert seen.skipped[0].startswith("skipped: ")
    assert first.prompt == "a [name] red"
    assert second.prompt == "a photo of a [name]", "a number is no caption"
    assert "bad.png" in seen.skipped[0]
    assert Image.open(seen.sheet).width > 4 * contact_sheet.VIEW_PX


def test_other_words_in_captions_take_their_room(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    """A caption that fits as plain text is too long with a word of many vectors in it."""
    hat = Concept("<hat>", {"clip_l": torch.ones(20, 32)})
    (tmp_path / "hat.safetensors").write_bytes(native.dump(hat))
    (pictures / "0.txt").write_text("red dog " * 22 + "on a <hat> and a <hat>")
    out = tmp_path / "sheet.png"
    given: dict[str, Any] = {"base": str(base), "template": "captioned"}
    assert not api.prepare(pictures, out=out, **given).pictures[0].problems
    seen = api.prepare(pictures, out=out, words=tmp_path / "hat.safetensors", **given)
    (problem,) = seen.pictures[0].problems
    assert "its caption is too long, and the word would be cut off" in problem


def test_the_command_prints_a_table_or_json(base: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    arguments = ["prepare", str(pictures), "--base", str(base), "--out", str(out)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "--vectors 3 --steps 100" in result.stdout
    out.unlink()
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert [Path(p["file"]).name for p in json.loads(result.stdout)["pictures"]] == [
        f"{i}.png" for i in range(4)
    ]
    assert out.is_file()


@pytest.mark.parametrize("out", ["pictures/sheet.png", "sheet.txt", "pictures"])
def test_the_sheet_is_not_written_into_the_folder_of_pictures(
    base: Path, pictures: Path, tmp_path: Path, out: str
) -> None:
    with pytest.raises(SettingsError, match="--out "):
        api.prepare(pictures, out=tmp_path / out, base=str(base))
    assert len(list(pictures.iterdir())) == 4


def test_a_sheet_is_bounded_and_reports_what_it_leaves_out(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_sheet, "TALLEST_PX", 400)
    for i in range(6):
        (pictures / f"4{i}.png").write_bytes((pictures / "0.png").read_bytes())
    (pictures / "0.txt").write_text("word " * 20_000)
    out = tmp_path / "sheet.png"
    seen = api.prepare(pictures, out=out, base=str(base), template="captioned")
    assert len(seen.pictures) == 10
    assert f"{out} shows the first 4 of 10 pictures" in seen.notes
    assert Image.open(out).height < 900


def test_train_reports_problems_too(base: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "twin.png").write_bytes((pictures / "0.png").read_bytes())
    arguments = ["train", str(pictures), "--base", str(base), "--token", "<x>", "--steps", "1"]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0
    assert "twin.png looks like a copy of 0.png" in result.stderr


def test_prompts_without_the_word_are_told(base: Path, tmp_path: Path) -> None:
    for i in range(3):
        texture(i).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text("a [name]" if i else "a [trigger]")
    out = tmp_path / "out" / "sheet.png"
    given: dict[str, Any] = {"base": str(base), "template": "filewords", "out": out}
    notes = api.prepare(tmp_path, **given).notes
    assert any(one.startswith("1 of 3 prompts have no [name] in them, such") for one in notes)
    (tmp_path / "0.txt").write_text("the [name]")
    assert not any("prompts have no [name]" in one for one in api.prepare(tmp_path, **given).notes)
