import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save
from support import flipped

from pseudoword.config.pictures import PictureSettings
from pseudoword.data import examples, latents, picture_files
from pseudoword.errors import BaseModelError
from pseudoword.files import cache_folder, with_checksum
from pseudoword.models import base_model
from pseudoword.models.family import Family, Moments


class Counting:
    """Counts how often the VAE encodes."""

    def __init__(self, family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = 0
        asked = family.encode_pictures

        def encode(pixels: torch.Tensor) -> Moments:
            self.calls += 1
            return asked(pixels)

        monkeypatch.setattr(family, "encode_pictures", encode)


def encode(
    family: Family,
    pictures: Path,
    side: int = 32,
    note: Callable[[str], None] | None = None,
    **settings: Any,
) -> Moments:
    """Of all views of all pictures."""
    picture_settings = PictureSettings.check(pictures=[pictures], **settings)
    shapes = examples.crop_sizes(picture_settings, side, family.resolution_step)
    read = examples.read(picture_files.find([pictures]), picture_settings, shapes)
    result = [picture.moments for picture in latents.encode(family, read, note=note)]
    return Moments(torch.cat([m.mean for m in result]), torch.cat([m.std for m in result]))


def test_pictures_are_encoded_once(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = Counting(family, monkeypatch)
    first = encode(family, pictures)
    assert count.calls == 4
    again = encode(family, pictures)
    assert count.calls == 4
    assert torch.equal(first.mean, again.mean)
    assert torch.equal(first.std, again.std)


def test_a_changed_picture_size_or_vae_is_encoded_anew(
    base: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = base_model.load_named(str(base), "cpu")
    count = Counting(family, monkeypatch)
    encode(family, pictures)
    (pictures / "0.png").write_bytes((pictures / "1.png").read_bytes() + b" ")
    encode(family, pictures)
    assert count.calls == 5
    encode(family, pictures, side=40)
    assert count.calls == 9
    next(family.vae.parameters()).data += 0.01  # type: ignore[attr-defined]
    encode(family, pictures)
    assert count.calls == 13


@pytest.mark.parametrize(
    ("changed", "encoded"),
    [
        ({"crop": "random"}, 4),  # the centre may be among the places; four pictures of one shape
        ({"flip": True}, 4),
        ({"width": 40}, 4),
        ({"background": "red"}, 1),  # only one is transparent
        ({"mask": "alpha", "unmasked_weight": 0.5}, 0),
    ],
)
def test_whatever_changes_pixels_is_encoded_anew_and_nothing_else(
    family: Family,
    pictures: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    encoded: int,
) -> None:
    with Image.open(pictures / "0.png") as opaque:
        opaque.convert("RGBA").save(pictures / "0.png")
    encode(family, pictures)
    count = Counting(family, monkeypatch)
    encode(family, pictures, **changed)
    assert count.calls >= encoded
    assert (count.calls > 0) == (encoded > 0)
    before = count.calls
    encode(family, pictures, **changed)
    assert count.calls == before


def test_a_damaged_cache_is_replaced(family: Family, pictures: Path) -> None:
    first = encode(family, pictures)
    kept = sorted((cache_folder() / "latents").iterdir())
    assert len(kept) == 4
    kept[0].write_bytes(b"garbage")
    assert torch.equal(encode(family, pictures).mean, first.mean)
    assert kept[0].read_bytes() != b"garbage"


def test_a_cache_that_cannot_be_written_is_told_once_and_does_not_matter(
    family: Family, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    first = encode(family, pictures, note=told.append)
    assert told == []
    (tmp_path / "file").touch()
    monkeypatch.setenv("PSEUDOWORD_CACHE", str(tmp_path / "file"))
    assert torch.equal(encode(family, pictures, note=told.append).mean, first.mean)
    (note,) = told
    assert f"nothing can be kept in {tmp_path / 'file' / 'latents'} (Not a directory)" in note
    assert "the next run encodes these pictures again" in note


def test_no_flipped_bit_of_a_cached_latent_is_learned_from(family: Family, pictures: Path) -> None:
    first, source = encode(family, pictures), random.Random(0)
    for _ in range(8):
        for path in (cache_folder() / "latents").iterdir():
            path.write_bytes(flipped(path.read_bytes(), source))
        again = encode(family, pictures)
        assert torch.equal(first.mean, again.mean)
        assert torch.equal(first.std, again.std)


@pytest.mark.parametrize(
    "kept",
    [
        {"mean": torch.zeros(1, 4, 8, 8), "std": torch.full((1, 4, 8, 8), torch.nan)},
        {"mean": torch.zeros(1, 4, 8, 16), "std": torch.zeros(1, 4, 8, 16)},
        {"mean": torch.zeros(2, 4, 8, 8), "std": torch.zeros(2, 4, 8, 8)},
        {"mean": torch.zeros(4, 8, 8), "std": torch.zeros(4, 8, 8)},
        {"mean": torch.zeros(1, 4, 8, 8)},
    ],
)
def test_invalid_moments_are_not_read_from_the_cache(
    kept: dict[str, torch.Tensor], family: Family, pictures: Path
) -> None:
    first = encode(family, pictures)
    for path in (cache_folder() / "latents").iterdir():
        path.write_bytes(with_checksum(save(kept)))
    assert torch.equal(first.mean, encode(family, pictures).mean)


def test_a_vae_output_that_is_not_finite_is_an_error(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(pixels: torch.Tensor) -> Moments:
        return Moments(torch.full((1, 4, 8, 8), torch.nan), torch.ones(1, 4, 8, 8))

    monkeypatch.setattr(family, "encode_pictures", broken)
    with pytest.raises(BaseModelError, match=r"0\.png is not finite.*--dtype float32"):
        encode(family, pictures)
    assert not list((cache_folder() / "latents").glob("*"))
