"""A folder as one object: an archive that is the same whenever the files are, whoever makes it."""

import io
import unicodedata
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from pseudoword.errors import DamagedError
from pseudoword.files import WINDOWS, unfit_for_windows, write_whole
from pseudoword.locks import HOLDER, LOCK
from pseudoword.outputs import stays_inside

LARGEST_NBYTES = 2**31
"""A larger archive is not unpacked."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """An archive of files: name -> contents. Nothing is compressed, as pictures are already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name])  # its date is always 1980
    return buffer.getvalue()


def pack_folder(folder: Path) -> bytes:
    """An archive of all files in a folder, but those that say who uses it now."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    kept = (path for path in paths if path.name not in {LOCK, HOLDER} and path.suffix != ".tmp")
    return pack({path.relative_to(folder).as_posix(): path.read_bytes() for path in kept})


def unpack(data: bytes, folder: Path, where: str, advice: str = "") -> None:
    """Write the files of an archive into a folder.

    Args:
        data: the archive.
        folder: may be missing; files of the same name are replaced.
        where: it came from, for messages.
        advice: what to do if it is damaged.

    Raises:
        DamagedError: it is damaged, too large, or names files outside the folder.
        StorageError: the folder cannot be written to.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(part.file_size for part in archive.infolist()) > LARGEST_NBYTES:
                raise DamagedError(f"{where} is too large to be an archive of a queue.")
            files = {part.filename: archive.read(part) for part in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError) as error:
        raise DamagedError(f"{where} is damaged: {error}. {advice}".rstrip()) from error
    _check(files, where)
    for name, contents in files.items():
        write_whole(folder / name, contents)
    alike: dict[str, str] = {}
    for name in files:
        other = alike.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name and (folder / name).samefile(folder / other):
            raise DamagedError(
                f"{where} has {other!r} and {name!r}, which are one file on this machine. Let a "
                "worker elsewhere learn it, or rename one and submit the word again."
            )


def _check(names: Iterable[str], where: str) -> None:
    for name in names:
        if not stays_inside(name) or PureWindowsPath(name).drive:
            raise DamagedError(f"{where} names a file outside its folder: {name!r}.")
        if WINDOWS and (why := unfit_for_windows(PurePosixPath(name).parts)):
            raise DamagedError(
                f"{where} has a file {name!r}, which cannot be here: {why}. Let a worker elsewhere "
                "learn it, or rename the file and submit the word again."
            )
