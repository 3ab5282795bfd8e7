"""Picture files -> what the model sees of them: views, masks and captions."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pseudoword.config.pictures import PictureSettings
from pseudoword.data import captions, crops, images, masks, picture_files, saliency
from pseudoword.data.crops import Crop, Size
from pseudoword.data.images import OpenedPicture
from pseudoword.errors import PictureError, SettingsError
from pseudoword.models.picture_size import picture_size

MAX_VIEWS_PX = 200_000_000
"""Of all views of a picture, which are in memory together: 12 bytes for each pixel."""

TRANSFORM = "exif,short-side-lanczos"
"""Names what is done to every picture; part of the key of cached latents."""


@dataclass(frozen=True)
class View:
    """One crop of one picture."""

    pixels: Tensor
    """[3, H, W] float32 in [-1, 1]"""
    mask: Tensor | None
    """[H, W] in [0, 1]: what counts; None: everything does"""
    crop: Crop
    transform: str
    """names all that made the pixels out of the file"""
    micro_conditioning: tuple[int, ...]
    """how the picture was cut, as `families.base.MicroConditioning` lists it"""


@dataclass(frozen=True)
class Example:
    """One training picture."""

    path: Path
    digest: str
    """SHA-256 of the file's bytes"""
    whole: Image.Image
    """upright; smaller than in the file if that is very large"""
    size: Size
    """(width, height) in the file, upright"""
    has_more_frames: bool
    """whether the file holds further pictures or frames, which are not seen"""
    filewords: str
    """its own caption"""
    views: tuple[View, ...]
    """all of one shape"""
    transparent: bool = False
    """whether what is behind it can be seen"""

    @property
    def identity(self) -> str:
        """A hash of all that is learned from: the picture, its views, its mask and its caption."""
        digest = hashlib.sha256(f"{self.digest} {self.filewords}".encode())
        for view in self.views:
            digest.update(view.transform.encode())
            digest.update(b"" if view.mask is None else view.mask.numpy().tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class CropSizes:
    """The shapes that pictures are cut to, in pixels."""

    resolution: int
    sizes: tuple[Size, ...]
    """one, or the buckets to choose from"""


def crop_sizes(how: PictureSettings, own: int, step: int) -> CropSizes:
    """What `how` asks for, of a model that draws `own`² pixels, and sides in multiples of `step`.

    Raises:
        SettingsError: the resolution, width or height is no such multiple, or the views of a
            picture would not fit in memory.
    """
    resolution = how.resolution or own
    width, height = picture_size(resolution, how.width, how.height, own=own, multiple_of=step)
    views = (how.crops if how.crop == "random" else 1) * (2 if how.flip else 1)
    if views * width * height > MAX_VIEWS_PX:
        raise SettingsError(
            f"{views} views of {width} x {height} pixels of each picture are too much: together "
            f"they may have {MAX_VIEWS_PX / 1e6:.0f} million. Give a smaller size, or fewer "
            "--crops."
        )
    if how.crop == "buckets":
        return CropSizes(resolution, tuple(crops.bucket_sizes(resolution, step)))
    return CropSizes(resolution, ((width, height),))


def read(
    paths: Sequence[Path],
    how: PictureSettings,
    shapes: CropSizes,
    *,
    seed: int = 0,
    note: Callable[[str], None] = lambda _text: None,
) -> Iterator[Example]:
    """Read pictures one by one.

    Args:
        paths: the files.
        how: crops, mask, colour behind transparency; whether bad ones are skipped.
        shapes: what `crop_sizes` gives.
        seed: of random crops.
        note: told which pictures were skipped, and why.

    Raises:
        PictureError: a file cannot be used, or none can; the message names it.
        SettingsError: masks are asked for, and no picture has one.
    """
    used = masked = transparent = 0
    beside = picture_files.mask_files(paths)
    for path in paths:
        try:
            example = read_one(path, how, shapes, seed, beside)
        except PictureError as error:
            if not how.skip_bad:
                raise
            note(f"skipped: {error}")
            continue
        used += 1
        masked += example.views[0].mask is not None
        transparent += example.transparent
        yield example
    if not used:
        raise PictureError(f"none of the {len(paths)} pictures can be used; see above")
    if how.mask != "none" and not masked:
        where = (
            "transparency" if how.mask == "alpha" else "a mask (NAME-mask.png or masks/NAME.png)"
        )
        raise SettingsError(f"--mask {how.mask}: none of the {used} pictures has {where}")
    _note_masks(how, used, masked, beside, note)
    if "background" in how.model_fields_set and not transparent:
        note(f"--background {how.background} has no effect: no picture is transparent")


def _note_masks(
    how: PictureSettings,
    used: int,
    masked: int,
    beside: Mapping[Path, Sequence[Path]],
    note: Callable[[str], None],
) -> None:
    """Say which masks are not used, and which pictures have none."""
    if how.mask != "file" and beside:
        note(f"the masks beside {len(beside)} of {used} pictures are not used; --mask file does it")
    if how.mask == "file" and masked < used:
        note(f"{used - masked} of {used} pictures have no mask: there, everything counts")
    several = [files for files in beside.values() if len(files) > 1]
    if how.mask == "file" and several:
        first, *others = (file.name for file in several[0])
        note(f"of several masks of one picture the first is used: {first}, not {others[0]}")


def read_one(
    path: Path,
    how: PictureSettings,
    shapes: CropSizes,
    seed: int = 0,
    beside: Mapping[Path, Sequence[Path]] | None = None,
) -> Example:
    """Read one picture and cut it as `how` says.

    `beside` holds the masks that are known to lie beside pictures; by default they are looked for.

    Raises:
        PictureError: the picture, its mask or its caption cannot be used; the message names it.
    """
    data = images.read(path)
    digest = hashlib.sha256(data).hexdigest()
    needed_px = max(max(size) for size in shapes.sizes)
    opened = images.decode(data, path, how.background, needed_px)
    picture, mask = opened.picture, opened.alpha if how.mask == "alpha" else None
    if how.mask == "file":
        files = (picture_files.mask_files([path]) if beside is None else beside).get(path)
        mask = masks.read(files[0], path, picture, needed_px) if files else None
    chosen = _crops(picture, mask, how, shapes, (seed, digest))
    if how.flip:
        chosen += [replace(crop, flipped=True) for crop in chosen]
    made = how.background if opened.alpha is not None else "opaque"
    if opened.reduced > 1:
        made += f",reduced by {opened.reduced}"
    views = tuple(_view(opened, mask, crop, made) for crop in chosen)
    if not how.unmasked_weight and any(v.mask is not None and not v.mask.any() for v in views):
        raise PictureError(
            f"{path}: its mask leaves nothing to learn from. Mend it, take the picture out, or "
            "give --unmasked-weight."
        )
    own = captions.filewords(path)
    behind = opened.alpha is not None
    return Example(path, digest, picture, opened.size, opened.has_more_frames, own, views, behind)


def _crops(
    picture: Image.Image,
    mask: Image.Image | None,
    how: PictureSettings,
    shapes: CropSizes,
    key: tuple[int, str],
) -> list[Crop]:
    frame = crops.nearest_size(picture.size, shapes.sizes)
    if how.crop == "focal":
        return [crops.focal(picture.size, frame, _saliency_map(picture, mask))]
    if how.crop == "random":
        found = crops.random_crops(picture.size, frame, how.crops, key)
    else:
        found = [crops.centre(picture.size, frame)]
    if mask is not None and not how.unmasked_weight:  # where the mask is empty is nothing to see
        seen = [crop for crop in found if crop.cut(mask).getextrema() != (0, 0)]
        found = seen or [crops.focal(picture.size, frame, _saliency_map(picture, mask))]
    return found


def _saliency_map(picture: Image.Image, mask: Image.Image | None) -> Tensor:
    return saliency.saliency(picture) if mask is None else _mask_tensor(mask)


def _view(opened: OpenedPicture, mask: Image.Image | None, crop: Crop, made: str) -> View:
    cut = crop.cut(opened.picture)
    seen = torch.from_numpy(np.asarray(cut, dtype=np.float32) / 127.5 - 1)
    corner = crop.corner(opened.picture.size)
    return View(
        pixels=seen.permute(2, 0, 1).contiguous(),
        mask=None if mask is None else _mask_tensor(crop.cut(mask)),
        crop=crop,
        transform=f"{TRANSFORM},{made},{crop.size},{crop.offset},{crop.flipped}",
        micro_conditioning=(*opened.size[::-1], *corner, *crop.size[::-1]),
    )


def _mask_tensor(mask: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255)
