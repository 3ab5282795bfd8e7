"""Picture files -> training examples: cropped views with their masks and captions."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
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
from pseudoword.files import open_regular, read_errors
from pseudoword.models.picture_size import picture_size
from pseudoword.progress import Note

MAX_VIEWS_PX = 200_000_000
"""Pixels of all views of one picture together. They are in memory at the same time, with 12 bytes
for each pixel."""

FAINT = 128
"""A mask file whose brightest level is below this is nowhere white. Masks of ones and zeros, which
should be 255 and 0, are common."""

CHECKED_PX = 64
"""Pictures are checked at about this size."""

END_NBYTES = 2**16
"""How much of each end of a file counts for `fingerprint`."""

TRANSFORM = "exif,short-side-lanczos"
"""Names what is done to every picture; part of the cache key of latents."""


@dataclass(frozen=True)
class View:
    """One crop of one picture."""

    pixels: Tensor
    """[3, H, W] float32 in [-1, 1]"""
    mask: Tensor | None
    """[H, W] in [0, 1]: which parts count; None if all do"""
    crop: Crop
    transform: str
    """names everything that was done to the file to get these pixels"""
    micro_conditioning: tuple[int, ...]
    """how the picture was cropped, in the order of `models.family.MicroConditioning`"""


@dataclass(frozen=True)
class Example:
    """One training picture."""

    path: Path
    digest: str
    """SHA-256 of the file's bytes"""
    whole: Image.Image
    """the upright picture; reduced if the file is very large"""
    size: Size
    """(width, height) of the upright picture in the file"""
    has_more_frames: bool
    """whether the file holds more pictures or frames; they are not used"""
    filewords: str
    """the picture's own caption"""
    views: tuple[View, ...]
    """all of one shape"""
    transparent: bool
    """whether parts of the picture are transparent"""
    mask_white: int
    """the brightest level of its mask file, of 255"""

    @property
    def identity(self) -> str:
        """A hash of everything that is learned from: picture, views, masks and caption."""
        digest = hashlib.sha256(f"{self.digest} {self.filewords}".encode())
        for view in self.views:
            digest.update(view.transform.encode())
            digest.update(b"" if view.mask is None else view.mask.numpy().tobytes())
        return digest.hexdigest()


def crop_sizes(settings: PictureSettings, own: int, step: int) -> tuple[Size, ...]:
    """The sizes that the settings ask to crop pictures to: one, or those of all buckets.

    Args:
        settings: of the pictures.
        own: the model's own resolution, in pixels.
        step: the model draws only sizes that are multiples of this.

    Raises:
        SettingsError: the resolution, width or height is not a multiple of `step`, or the views of
            one picture would not fit in memory.
    """
    resolution = settings.resolution or own
    width, height = picture_size(
        resolution, settings.width, settings.height, own=own, multiple_of=step
    )
    views = (settings.crops if settings.crop == "random" else 1) * (2 if settings.flip else 1)
    if views * width * height > MAX_VIEWS_PX:
        raise SettingsError(
            f"{views} views of {width} x {height} pixels of each picture are too much: together "
            f"they may have {MAX_VIEWS_PX / 1e6:.0f} million. Give a smaller size, or fewer "
            "--crops."
        )
    if settings.crop == "buckets":
        return tuple(crops.bucket_sizes(resolution, step))
    return ((width, height),)


def read(
    paths: Sequence[Path],
    settings: PictureSettings,
    sizes: Sequence[Size],
    *,
    seed: int = 0,
    note: Note = lambda _text: None,
) -> Iterator[Example]:
    """Read pictures one by one.

    Args:
        paths: the files.
        settings: crops, masks, background, and whether to skip pictures that cannot be used.
        sizes: from `crop_sizes`.
        seed: of random crops.
        note: called with which pictures are skipped and why, and with settings without effect.

    Raises:
        PictureError: a file cannot be used, or none can; the message names it.
        SettingsError: masks are asked for, but no picture has one.
    """
    used = masked = transparent = 0
    mask_files = picture_files.mask_files(paths)
    faint: Example | None = None
    for path in paths:
        try:
            mask_file, *_ = mask_files.get(path, [None])
            example = read_one(path, settings, sizes, seed, mask_file)
        except PictureError as error:
            if not settings.skip_bad:
                raise _with_way_out(error, paths) from error
            note(f"skipped: {error}")
            mask_files.pop(path, None)
            continue
        used += 1
        masked += example.views[0].mask is not None
        transparent += example.transparent
        if faint is None and example.mask_white < FAINT:
            faint = example
        yield example
    if not used:
        raise PictureError(f"none of the {len(paths)} pictures can be used; see above")
    if settings.mask != "none" and not masked:
        raise _without_masks(settings, used)
    _note_masks(settings, used, masked, mask_files, note)
    if settings.mask == "alpha" and not transparent:
        note("--mask alpha has no effect: no picture has a transparent part")
    if faint and settings.unmasked_weight:
        note(
            f"{mask_files[faint.path][0]} has no white: its brightest level is "
            f"{faint.mask_white} of 255, so what it shows counts hardly more than the rest"
        )
    if "background" in settings.model_fields_set and not transparent:
        note(f"--background {settings.background} has no effect: no picture is transparent")


def _without_masks(settings: PictureSettings, used: int) -> SettingsError:
    """The error where no picture has a mask of the kind that is asked for."""
    missing = (
        "transparency"
        if settings.mask == "alpha"
        else "a mask (NAME-mask.png beside it, or NAME.png in a folder masks/ there)"
    )
    return SettingsError(f"--mask {settings.mask}: none of the {used} pictures has {missing}")


def _note_masks(
    settings: PictureSettings,
    used: int,
    masked: int,
    mask_files: Mapping[Path, Sequence[Path]],
    note: Note,
) -> None:
    """Report masks that are not used, and pictures without a mask."""
    if settings.mask != "file":
        if mask_files:
            note(f"{len(mask_files)} of {used} pictures have unused masks; --mask file uses them")
        return
    if masked < used:
        note(f"{used - masked} of {used} pictures have no mask: all parts of them count")
    several = [files for files in mask_files.values() if len(files) > 1]
    if several:
        first, second, *_ = (file.name for file in several[0])
        note(f"a picture has several masks, and the first one is used: {first}, not {second}")


def check(paths: Sequence[Path], settings: PictureSettings) -> None:
    """Check that each picture, its mask and its caption can be read, unless those that cannot are
    skipped.

    Raises:
        PictureError: one cannot; the message names it.
        SettingsError: masks are asked for, but no picture has one.
    """
    mask_files = picture_files.mask_files(paths) if settings.mask == "file" else {}
    if settings.mask == "file" and not mask_files:
        raise _without_masks(settings, len(paths))
    if settings.skip_bad:
        return
    has_alpha = False
    for path in paths:
        try:
            opened = images.decode(images.read(path), path, settings.background, CHECKED_PX)
            has_alpha |= opened.alpha is not None
            for mask in mask_files.get(path, ())[:1]:
                masks.read(mask, path, opened.picture, CHECKED_PX)
            captions.filewords(path)
        except PictureError as error:
            raise _with_way_out(error, paths) from error
    if settings.mask == "alpha" and not has_alpha:
        raise _without_masks(settings, len(paths))


def fingerprint(paths: Sequence[Path], settings: PictureSettings) -> str:
    """A checksum of what would be learned from: pictures, their captions, and masks that are used.

    Of each file its size and both ends count, so it takes no longer for large ones. One that cannot
    be read counts as such: a run may go on without it.
    """
    mask_files = picture_files.mask_files(paths) if settings.mask == "file" else {}
    repeats = picture_files.repeats(settings.pictures, paths)
    digest = hashlib.sha256(repr(repeats).encode() if len({*repeats}) > 1 else b"")
    for path in paths:
        caption = picture_files.caption_files(path)[:1]
        for file in (path, *mask_files.get(path, ())[:1], *caption):
            digest.update(_size_and_ends(file))
        name = "" if caption else _listed_or_name(path)
        digest.update(f" {name}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _listed_or_name(path: Path) -> str:
    """The caption of a picture that has no caption file."""
    try:
        return captions.filewords(path)
    except PictureError:
        return "unreadable"


def _size_and_ends(file: Path) -> bytes:
    try:
        with open_regular(file, PictureError) as opened, read_errors(file, PictureError):
            nbytes = opened.seek(0, os.SEEK_END)
            read = [f"{nbytes} ".encode()]
            for start in sorted({0, max(nbytes - END_NBYTES, 0)}):
                opened.seek(start)
                read.append(opened.read(END_NBYTES))
            return b"".join(read)
    except PictureError:
        return b"unreadable"


def _with_way_out(error: PictureError, paths: Sequence[Path]) -> PictureError:
    """The error about one picture; beside others, it says how to go on without that one."""
    more = " To go on without pictures that cannot be used, add --skip-bad."
    return PictureError(f"{error}{more if len(paths) > 1 else ''}")


def read_one(
    path: Path,
    settings: PictureSettings,
    sizes: Sequence[Size],
    seed: int = 0,
    mask_file: Path | None = None,
) -> Example:
    """Read one picture and crop it.

    Args:
        path: the picture.
        settings: as for `read`.
        sizes: from `crop_sizes`.
        seed: of random crops.
        mask_file: its mask, for `--mask file`.

    Raises:
        PictureError: the picture, its mask or its caption cannot be used; the message names it.
    """
    data = images.read(path)
    digest = hashlib.sha256(data).hexdigest()
    needed_px = max(max(size) for size in sizes)
    opened = images.decode(data, path, settings.background, needed_px)
    mask = opened.alpha if settings.mask == "alpha" else None
    if settings.mask == "file" and mask_file is not None:
        mask = masks.read(mask_file, path, opened.picture, needed_px)
    view_crops = _crops(opened.picture, mask, settings, sizes, (seed, digest))
    if settings.flip:
        view_crops += [replace(crop, flipped=True) for crop in view_crops]
    decoding = settings.background if opened.alpha is not None else "opaque"
    if opened.reduced > 1:
        decoding += f",reduced by {opened.reduced}"
    if opened.recoloured:
        decoding += ",as sRGB"
    views = tuple(_view(opened, mask, crop, decoding) for crop in view_crops)
    if not settings.unmasked_weight and any(v.mask is not None and not v.mask.any() for v in views):
        raise PictureError(
            f"{path}: its mask leaves nothing to learn from. Correct the mask, remove the picture, "
            "or give --unmasked-weight."
        )
    return Example(
        path,
        digest,
        opened.picture,
        opened.size,
        opened.has_more_frames,
        captions.filewords(path),
        views,
        transparent=opened.alpha is not None and opened.alpha.getextrema() != (255, 255),
        mask_white=int(np.asarray(mask).max()) if mask and settings.mask == "file" else 255,
    )


def _crops(
    picture: Image.Image,
    mask: Image.Image | None,
    settings: PictureSettings,
    sizes: Sequence[Size],
    key: tuple[int, str],
) -> list[Crop]:
    """The crops of one picture. Crops where the mask is empty are left out."""
    size = crops.nearest_size(picture.size, sizes)
    if settings.crop == "focal":
        return [crops.focal(picture.size, size, _saliency_map(picture, mask))]
    if settings.crop == "random":
        candidates = crops.random_crops(picture.size, size, settings.crops, key)
    else:
        candidates = [crops.centre(picture.size, size)]
    if mask is None or settings.unmasked_weight:
        return candidates
    with_subject = [crop for crop in candidates if crop.cut(mask).getextrema() != (0, 0)]
    return with_subject or [crops.focal(picture.size, size, _saliency_map(picture, mask))]


def _saliency_map(picture: Image.Image, mask: Image.Image | None) -> Tensor:
    """Where the subject is: the mask, or else an estimate."""
    return saliency.saliency(picture) if mask is None else _mask_tensor(mask)


def _view(opened: OpenedPicture, mask: Image.Image | None, crop: Crop, decoding: str) -> View:
    cropped = crop.cut(opened.picture)
    pixels = torch.from_numpy(np.asarray(cropped, dtype=np.float32) / 127.5 - 1)
    corner = crop.corner(opened.picture.size)
    return View(
        pixels=pixels.permute(2, 0, 1).contiguous(),
        mask=None if mask is None else _mask_tensor(crop.cut(mask)),
        crop=crop,
        transform=f"{TRANSFORM},{decoding},{crop.size},{crop.offset},{crop.flipped}",
        micro_conditioning=(*opened.size[::-1], *corner, *crop.size[::-1]),
    )


def _mask_tensor(mask: Image.Image) -> Tensor:
    return torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255)
