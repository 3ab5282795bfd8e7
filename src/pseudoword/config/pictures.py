"""Settings of the pictures a word is learned from."""

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from pseudoword import lookup
from pseudoword.config.fields import OFTEN, SIDE_PX, FilePaths, SideOfSquare
from pseudoword.config.other_trainers.aliases import Alias
from pseudoword.config.settings import Idle, Settings
from pseudoword.errors import SettingsError

SUFFIXES = {
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".pnm", ".ppm", ".pgm", ".pbm", ".pfm", ".avif", ".avifs"),
    *(".heic", ".heif", ".hif", ".jxl"),
}
"""Suffixes of the pictures in a folder. A file that is named itself is always read."""


def is_hidden_picture(path: Path) -> bool:
    """Whether it is a picture that its name hides; macOS puts a `._NAME` beside files, which is
    none."""
    name = path.name
    return name.startswith(".") and not name.startswith("._") and path.suffix.lower() in SUFFIXES


SYSTEM_FOLDERS = {
    *("@eadir", "#recycle", "#snapshot", "__macosx"),
    *("$recycle.bin", "system volume information", "lost+found"),
}
"""Folders that operating systems and storage devices put beside pictures."""

REPEATS = re.compile(r"0*([1-9]\d{0,2})_(?=.)")
"""How the name of a folder begins that is called as kohya's scripts want it: `REPEATS_NAME`. A year
is no number of repeats."""


class PictureSettings(Settings):
    """Which pictures to learn from, and which part of them."""

    heading: ClassVar[str] = "Pictures"

    idle: ClassVar = {
        "crops": Idle("without --crop random", lambda s: s.crop != "random"),
        "mask": Idle("beside --unmasked-weight 1", lambda s: s.unmasked_weight == 1),
        "unmasked_weight": Idle("without --mask", lambda s: s.mask == "none"),
    }

    pictures: Annotated[FilePaths, Alias("train_data_dir", "instance_data_dir")]
    """A folder of pictures, or several files. Three to five are enough."""

    resolution: Annotated[SideOfSquare, OFTEN] = None
    """Side in pixels of the square that pictures are cut to; by default the model's own."""

    width: Annotated[int | None, SIDE_PX] = None
    """Width in pixels, if pictures are not to be cut to a square."""

    height: Annotated[int | None, SIDE_PX] = None
    """Height in pixels, if pictures are not to be cut to a square."""

    crop: Literal["centre", "random", "focal", "buckets"] = "centre"
    """Which part of a picture is used: the centre, random places, the place with most to see
    (focal), or nearly everything, in the most similar of several shapes (buckets)."""

    crops: Annotated[int, Field(ge=1, le=100)] = 4
    """With --crop random: how many places per picture."""

    flip: Annotated[bool, Alias("flip_aug", "random_flip")] = False
    """Use a mirrored copy of each picture too. Not for subjects with a left and a right side."""

    background: str = "white"
    """Colour behind transparent parts: a name or #rrggbb."""

    mask: Literal["none", "alpha", "file"] = "none"
    """Which part of a picture counts: all of it (none), its opaque part (alpha), or the white part
    of a mask (file). The mask is NAME-mask.png or NAME-masklabel.png beside the picture, or
    masks/NAME.png."""

    unmasked_weight: Annotated[float, Field(ge=0, le=1)] = 0.0
    """With a mask: the weight of the rest of the picture."""

    skip_bad: bool = False
    """Leave out pictures that cannot be used, instead of stopping with an error."""

    @field_validator("background")
    @classmethod
    def _colour(cls, background: str) -> str:
        from PIL import ImageColor

        try:
            ImageColor.getrgb(background)
        except ValueError as error:
            raise SettingsError(
                f"--background {background!r} is no colour; give a name such as gray, or #rrggbb"
            ) from error
        return background

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        if self.crop == "buckets" and (self.width or self.height):
            raise SettingsError(
                "--crop buckets chooses width and height for each picture; leave --width and "
                "--height out, or choose another --crop"
            )
        return self

    def check_there(self) -> None:
        """Also the pictures."""
        super().check_there()
        lookup.pictures_there(self.pictures)
