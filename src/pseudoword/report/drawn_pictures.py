"""Where drawn pictures go: one file, or a numbered file each and a contact sheet of them all."""

from collections.abc import Sequence
from pathlib import Path

from PIL.Image import Image

from pseudoword.outputs import next_free
from pseudoword.report import charts

DEFAULT = Path("picture.png")
MAKER = "generate"


class Drawings:
    """The files of `n` pictures.

    One picture goes into the file that is named, several into `NAME-1`, `NAME-2` … beside it, and a
    contact sheet into that file itself. What was drawn into that file before is replaced. Where
    nothing is named it is `picture.png`, or `picture-2.png` and so on, so that drawing again keeps
    what was drawn before.
    """

    def __init__(self, out: Path | None, n: int, *, overwrite: bool = False) -> None:
        """Find out where to write, before anything is drawn.

        Raises:
            SettingsError: the name's ending is that of no picture.
            StorageError: a file of somebody's is there already, or cannot be written.
        """
        self._overwrite = overwrite
        if out is None:
            out = DEFAULT if overwrite else next_free(DEFAULT, lambda path: _files(path, n))
        self.paths = _files(out, n)
        for path in self.paths:
            charts.check_sheet(path, MAKER, overwrite=overwrite)

    def write(self, pictures: Sequence[Image]) -> list[Path]:
        """Write the pictures, and the sheet last."""
        several = [*pictures] if len(pictures) == 1 else [*pictures, charts.contact_sheet(pictures)]
        for path, picture in zip(self.paths, several, strict=True):
            charts.write_sheet(picture, path, MAKER, overwrite=self._overwrite)
        return self.paths


def _files(out: Path, n: int) -> list[Path]:
    if n == 1:
        return [out]
    return [*(out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(1, n + 1)), out]
