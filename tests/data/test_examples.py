"""Picture files become examples with views, masks and captions; bad ones are reported."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from support import train_state

from pseudoword import api
from pseudoword.config.pictures import PictureSettings
from pseudoword.data import examples, picture_files
from pseudoword.data.examples import Example
from pseudoword.errors import PictureError, PromptError, SettingsError
from pseudoword.models.family import Family
from pseudoword.placeholders import pack_placeholder
from pseudoword.progress import Silent
from pseudoword.training.batches import batch


def read(folder: Path, resolution: int = 32, **settings: Any) -> list[Example]:
    picture_settings = PictureSettings.check(pictures=[folder], **settings)
    shapes = examples.crop_sizes(picture_settings, resolution, 8)
    return list(examples.read(picture_files.find([folder]), picture_settings, shapes))


def test_pixels_lie_in_minus_one_to_one(tmp_path: Path) -> None:
    picture = Image.new("RGB", (8, 8), "black")
    picture.paste("white", (0, 0, 8, 4))
    picture.save(tmp_path / "a.png")
    pixels = read(tmp_path, 8)[0].views[0].pixels
    assert pixels.shape == (3, 8, 8)
    assert pixels[:, 0].unique().tolist() == [1.0]
    assert pixels[:, -1].unique().tolist() == [-1.0]


def test_a_view_records_its_crop(tmp_path: Path) -> None:
    sideways = Image.new("RGB", (60, 120))
    exif = sideways.getexif()
    exif[0x0112] = 6  # turned by a quarter: upright it is 120 wide
    sideways.save(tmp_path / "a.jpg", exif=exif)
    (one,) = read(tmp_path)
    assert one.views[0].micro_conditioning == (60, 120, 0, 16, 32, 32)


def test_flips_double_the_views_and_are_off_by_default(pictures: Path) -> None:
    assert all(len(example.views) == 1 for example in read(pictures))
    for example in read(pictures, flip=True):
        straight, mirrored = example.views
        assert torch.equal(mirrored.pixels, straight.pixels.flip(-1))


def test_random_crops_differ_between_seeds_and_come_with_flips(tmp_path: Path) -> None:
    Image.effect_noise((400, 40), 90).save(tmp_path / "a.png")
    (one,) = read(tmp_path, crop="random", crops=3, flip=True)
    assert len(one.views) == 6
    assert len({view.transform for view in one.views}) == 6
    picture_settings = PictureSettings(pictures=(tmp_path,), crop="random", crops=3)
    other = examples.read_one(
        tmp_path / "a.png", picture_settings, examples.crop_sizes(picture_settings, 32, 8), seed=1
    )
    assert {v.micro_conditioning for v in other.views} != {
        v.micro_conditioning for v in one.views[:3]
    }


def test_crops_may_have_another_shape_than_a_square(pictures: Path) -> None:
    assert read(pictures, width=48)[0].views[0].pixels.shape == (3, 32, 48)
    with pytest.raises(SettingsError, match=r"--height 33 .* multiple of 8\. The nearest is 32"):
        read(pictures, height=33)
    with pytest.raises(SettingsError, match="--crop buckets chooses width and height"):
        read(pictures, height=32, crop="buckets")


def test_buckets_keep_the_shape_of_each_picture(tmp_path: Path) -> None:
    for name, size in (("a", (100, 60)), ("b", (60, 100)), ("c", (70, 70))):
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
    shapes = [tuple(e.views[0].pixels.shape[1:]) for e in read(tmp_path, 64, crop="buckets")]
    assert shapes == [(48, 80), (80, 48), (64, 64)]


def test_an_unknown_colour_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--background 'whitish' is no colour"):
        read(tmp_path, background="whitish")


def half_clear(path: Path) -> None:
    """Opaque red on the left, clear on the right."""
    picture = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), (0, 0, 16, 32))
    picture.save(path)


def test_alpha_and_mask_files_decide_what_counts(tmp_path: Path) -> None:
    half_clear(tmp_path / "a.png")
    Image.new("RGB", (64, 32)).save(tmp_path / "b.jpg")
    mask = Image.new("L", (32, 16))
    mask.paste(255, (8, 0, 16, 16))
    mask.save(tmp_path / "b-mask.png")
    (tmp_path / "masks").mkdir()
    Image.new("1", (8, 8), 1).save(tmp_path / "masks" / "a.png")

    a, b = (example.views[0].mask for example in read(tmp_path, mask="alpha"))
    assert a is not None
    assert b is None
    assert a[:, :16].unique().tolist() == [1.0]
    assert a[:, 16:].unique().tolist() == [0.0]

    a, b = (example.views[0].mask for example in read(tmp_path, mask="file"))
    assert a is not None
    assert b is not None
    assert a.unique().tolist() == [1.0]
    assert b[:, 2:14].min() > 0.9
    assert b[:, 20:].max() < 0.1

    assert all(example.views[0].mask is None for example in read(tmp_path))


def notes(folder: Path, **settings: Any) -> list[str]:
    picture_settings = PictureSettings.check(pictures=[folder], **settings)
    reported: list[str] = []
    result = picture_files.find([folder], reported.append)
    list(
        examples.read(
            result,
            picture_settings,
            examples.crop_sizes(picture_settings, 32, 8),
            note=reported.append,
        )
    )
    return reported


def test_unused_masks_and_pictures_without_a_mask_are_reported(tmp_path: Path) -> None:
    for name in ("a.png", "a-masklabel.png", "b.png"):
        Image.new("RGB", (32, 32), "white").save(tmp_path / name)
    assert notes(tmp_path) == ["1 of 2 pictures have unused masks; --mask file uses them"]
    (tmp_path / "c.png").touch()
    Image.new("L", (32, 32)).save(tmp_path / "c-mask.png")
    skipped, told = notes(tmp_path, skip_bad=True)
    assert skipped.startswith("skipped: ")
    assert told == "1 of 2 pictures have unused masks; --mask file uses them"
    (tmp_path / "c.png").unlink()
    (tmp_path / "c-mask.png").unlink()
    assert notes(tmp_path, mask="file") == ["1 of 2 pictures have no mask: all parts of them count"]
    (tmp_path / "masks").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("L", (32, 32), 99).save(tmp_path / "masks" / name)
    assert notes(tmp_path, mask="file") == [
        "a picture has several masks, and the first one is used: a-masklabel.png, not a.png"
    ]


def test_masks_without_effect_are_reported(tmp_path: Path) -> None:
    Image.new("RGBA", (32, 32), "red").save(tmp_path / "a.png")
    assert notes(tmp_path, mask="alpha", background="blue") == [
        "--mask alpha has no effect: no picture has a transparent part",
        "--background blue has no effect: no picture is transparent",
    ]
    mask = Image.new("L", (32, 32))
    mask.paste(1, (0, 0, 16, 16))  # of a program in which 1 is white
    mask.save(tmp_path / "a-mask.png")
    (said,) = notes(tmp_path, mask="file", unmasked_weight=0.1)
    assert said.startswith(f"{tmp_path / 'a-mask.png'} has no white: its brightest level is 1 of")
    assert not notes(tmp_path, mask="file")  # nothing else counts, so it does not matter
    mask.point(lambda level: level * 255).save(tmp_path / "a-mask.png")
    assert not notes(tmp_path, mask="file", unmasked_weight=0.1)


@pytest.mark.parametrize("crop", ["random", "focal", "centre"])
def test_crops_without_the_subject_are_left_out(tmp_path: Path, crop: str) -> None:
    """The subject is at the far end of a long picture, and in every view."""
    picture = Image.new("RGBA", (400, 40), (0, 0, 255, 0))
    picture.paste((255, 0, 0, 255), (372, 10, 390, 30))
    picture.save(tmp_path / "a.png")
    (one,) = read(tmp_path, mask="alpha", crop=crop)
    assert all(view.mask is not None and view.mask.any() for view in one.views)


def test_masks_that_cannot_work_are_explained(tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.jpg")
    with pytest.raises(SettingsError, match="--mask alpha: none of the 1 pictures has transp"):
        read(tmp_path, mask="alpha")
    with pytest.raises(SettingsError, match="--mask alpha: none of the 1 pictures has transp"):
        examples.check([tmp_path / "a.jpg"], PictureSettings(pictures=(tmp_path,), mask="alpha"))
    with pytest.raises(SettingsError, match=r"--mask file: none .*NAME-mask\.png"):
        read(tmp_path, mask="file")
    Image.new("L", (32, 16)).save(tmp_path / "a-mask.png")
    with pytest.raises(PictureError, match=r"a-mask\.png is 32 x 16 pixels and a\.jpg 32 x 32"):
        read(tmp_path, mask="file")
    Image.new("L", (32, 32)).save(tmp_path / "a-mask.png")
    with pytest.raises(PictureError, match=r"a\.jpg: its mask leaves nothing to learn from"):
        read(tmp_path, mask="file")
    assert len(read(tmp_path, mask="file", unmasked_weight=0.1)) == 1
    Image.new("RGB", (4000, 4000)).save(tmp_path / "a.jpg")
    speck = Image.new("L", (4000, 4000))
    speck.putpixel((2000, 2000), 1)
    speck.save(tmp_path / "a-mask.png")
    with pytest.raises(PictureError, match=r"a\.jpg: its mask leaves nothing to learn from"):
        read(tmp_path, mask="file")


def test_bad_pictures_are_skipped_if_asked_and_reported(pictures: Path) -> None:
    (pictures / "bad.png").write_bytes(b"no picture")
    with pytest.raises(PictureError, match=r"bad\.png is plain text.* add --skip-bad"):
        read(pictures)
    picture_settings = PictureSettings(pictures=(pictures,), skip_bad=True)
    reported: list[str] = []
    result = examples.read(
        picture_files.find([pictures]),
        picture_settings,
        examples.crop_sizes(picture_settings, 32, 8),
        note=reported.append,
    )
    assert [e.path.name for e in result] == ["0.png", "1.png", "2.png", "3.png"]
    (line,) = reported
    assert "bad.png" in line
    for path in pictures.iterdir():
        path.write_bytes(b"")
    with pytest.raises(PictureError, match="none of the 5 pictures can be used"):
        read(pictures, skip_bad=True)


def test_the_identity_covers_all_that_is_learned_from(tmp_path: Path) -> None:
    half_clear(tmp_path / "a.png")
    first = read(tmp_path)[0].identity
    assert read(tmp_path)[0].identity == first
    others = [read(tmp_path, **{"flip": True})[0], read(tmp_path, mask="alpha")[0]]
    others.append(read(tmp_path, background="black")[0])
    (tmp_path / "a.txt").write_text("a caption")
    others.append(read(tmp_path)[0])
    ImageDraw.Draw(picture := Image.new("RGB", (32, 32))).line((0, 0, 9, 9))
    picture.save(tmp_path / "a.png")
    others.append(read(tmp_path)[0])
    assert len({first, *(other.identity for other in others)}) == 6


def test_caption_settings_change_the_prompts(family: Family, pictures: Path) -> None:
    for path in list(pictures.iterdir()):
        path.with_suffix(".txt").write_text("red, blurry, small")
    lines = ["a [name] [filewords]"]
    plain = train_state(family, pictures, templates=lines)
    assert {p.split(maxsplit=2)[2] for p in batch(family, [plain.data], 0).prompts} == {
        "red, blurry, small"
    }
    kept = train_state(
        family, pictures, templates=lines, caption_settings={"drop_tags": 1.0, "keep_tags": 1}
    )
    assert {p.split(maxsplit=2)[2] for p in batch(family, [kept.data], 0).prompts} == {"red"}
    mixed = train_state(
        family, pictures, templates=lines, caption_settings={"shuffle_tags": True}, batch=16
    )
    assert len({p.split(maxsplit=2)[2] for p in batch(family, [mixed.data], 0).prompts}) > 3
    assert batch(family, [mixed.data], 0).prompts == batch(family, [mixed.data], 0).prompts


def test_the_word_is_found_in_captions_and_templates_too(family: Family, pictures: Path) -> None:
    """By the rule of prompts: in plurals and in any script, and not inside another word."""
    for path in list(pictures.iterdir()):
        path.with_suffix(".txt").write_text("two 猫s, 猫の写真")
    one = train_state(family, pictures, "猫", templates=["[name]の写真, [filewords]"])
    mark = pack_placeholder(0)
    assert set(batch(family, [one.data], 0).prompts) == {f"{mark}の写真, two {mark}s, {mark}の写真"}
    plain = train_state(family, pictures, "cat", templates=["a [name]egory, a category"])
    assert set(batch(family, [plain.data], 0).prompts) == {f"a {mark}egory, a category"}


def test_captions_that_would_cut_the_word_off_are_named_before_the_first_step(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "1.txt").write_text("red " * 90)
    template = tmp_path / "lines.txt"
    template.write_text("a [name]\n[filewords], a [name]\n")
    settings: dict[str, Any] = {
        "base": str(base),
        "template": str(template),
        "out": tmp_path / "run",
    }
    with pytest.raises(PromptError, match=r"1\.png: with the template '\[filewords\], a \[name\]'"):
        api.train(pictures, "<x>", steps=1, **settings)
    template.write_text("a [name], [filewords]\n")
    assert api.train(pictures, "<x>", steps=1, preview=(), **settings).effect > 0


def test_pictures_may_be_deleted_once_they_are_encoded(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    class Vandal(Silent):
        def phase(self, text: str) -> None:
            if text.startswith("learning"):
                for path in pictures.iterdir():
                    path.unlink()

    copy = tmp_path / "copy"
    shutil.copytree(pictures, copy)
    settings: dict[str, Any] = {"base": str(base), "steps": 5, "preview": ()}
    whole = api.train(copy, "<x>", out=tmp_path / "whole", **settings)
    done = api.train(pictures, "<x>", out=tmp_path / "run", progress=Vandal(), **settings)
    assert not list(pictures.iterdir())
    for key, rows in whole.concept.vectors.items():
        assert torch.equal(rows, done.concept.vectors[key])


class CutError(Exception):
    """Stands for a power cut."""


class PowerCut(Silent):
    def advance(self, done: int, total: int, detail: str = "") -> None:
        if total == 12 and done == 8:
            raise CutError


def test_with_every_setting_on_a_resumed_run_ends_as_an_unbroken_one(
    base: Path, tmp_path: Path
) -> None:
    """Crops, shapes, views, tags and captions are all sampled again, with the same result."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, size in enumerate([(90, 40), (40, 90), (48, 48), (80, 40)]):
        picture = Image.effect_noise(size, 80).convert("RGBA")
        picture.putalpha(Image.linear_gradient("L").resize(size))
        picture.save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text("red, small, blurry, on grass")
    settings: dict[str, Any] = {
        **{"base": str(base), "steps": 12, "checkpoint_every": 5, "preview": ()},
        **{"crop": "buckets", "flip": True, "mask": "alpha", "unmasked_weight": 0.2},
        **{"template": "captioned", "shuffle_tags": True, "drop_tags": 0.3, "keep_tags": 1},
        **{"drop_caption": 0.2, "background": "teal"},
    }
    whole = api.train(folder, "<x>", out=tmp_path / "whole", **settings)
    with pytest.raises(CutError):
        api.train(folder, "<x>", out=tmp_path / "cut", progress=PowerCut(), **settings)
    again = api.train(folder, "<x>", out=tmp_path / "cut", **settings)
    for key, rows in whole.concept.vectors.items():
        assert torch.equal(rows, again.concept.vectors[key])
    plain = {"crop": "random", "background": "white", "drop_caption": 0.0}
    other = api.train(folder, "<x>", out=tmp_path / "other", **(settings | plain))
    assert not torch.equal(*(run.concept.vectors["clip_l"] for run in (whole, other)))
