"""Colours as a picture's ICC profile means them -> sRGB, which base models have learned from.

Phones and cameras write pictures in wider colour spaces: Display P3, Adobe RGB. Read as sRGB, they
are duller than anybody sees them.
"""

import io
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image

MAX_PROFILE_NBYTES = 4 * 1024 * 1024
"""A larger profile is not read."""

SAME_LEVELS = 4
"""Of 255. Profiles of sRGB that are rounded otherwise differ by less, and change nothing."""


def to_srgb(picture: Image.Image, profile: object) -> bool:
    """Change the colours of an RGB picture in place; whether that was needed.

    Args:
        picture: the pixels as they are in the file.
        profile: its ICC profile. One that is damaged, turns white into another
            colour, or is not of RGB colours, changes nothing.
    """
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MAX_PROFILE_NBYTES:
        return False
    with suppress(Exception):
        transform = _transform(profile)
        levels = np.arange(0, 256, 15, dtype=np.uint8)
        some = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
        changed = np.asarray(transform.apply(Image.fromarray(some)), dtype=int)
        white_stays = changed[0, -1].min() >= 255 - SAME_LEVELS
        if white_stays and np.abs(changed - some).max() > SAME_LEVELS:
            transform.apply_in_place(picture)  # and its profile is sRGB's then
            return True
    return False


def _transform(profile: bytes) -> Any:
    from PIL import ImageCms

    return ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        "RGB",
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
