"""The standard streams: any text can be written to them, whatever they can show, closed or not.

Results go to stdout through `say`, what went wrong to stderr through `complain`.
"""

import codecs
import contextlib
import errno
import io
import logging
import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

from pseudoword.errors import StorageError
from pseudoword.files import WINDOWS
from pseudoword.text import visible, without_middle

NARROWEST = 40
"""The fewest columns that text is laid out for; narrower terminals break the lines themselves."""

_WITH_COLOURS = {"WT_SESSION", "ANSICON", "ConEmuANSI", "TERM", "TERM_PROGRAM"}
"""What the environment has on Windows in a terminal that understands codes of colours."""

_LOOKALIKES = str.maketrans("×–—…“”‘’│", "x--~\"\"''|", "")


def ready() -> None:
    """Make the standard streams take any text, and hold their places if they are closed.

    A file opened by us must not get the number of a closed stream: what a library prints there
    would end up in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        with contextlib.suppress(OSError):
            _hold(number)
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))
    for name in ("stdout", "stderr"):
        setattr(sys, name, _outliving_its_reader(getattr(sys, name)))
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="pseudoword")
    logging.setLogRecordFactory(_Record)
    warnings.formatwarning = _warning


class _Lasting(io.FileIO):
    """A file or pipe to write to; what is written when its reader has gone goes nowhere."""

    def write(self, data: Any) -> int:
        """Write what can be written."""
        try:
            return super().write(data)
        except OSError as error:
            if not _says_gone(error):
                raise
            return memoryview(data).nbytes


def _says_gone(error: OSError) -> bool:
    """Whether this error says that a pipe has no reader any more; Windows says so in two ways."""
    return isinstance(error, BrokenPipeError) or (WINDOWS and error.errno == errno.EINVAL)


def _outliving_its_reader(stream: Any) -> Any:
    """A standard stream that breaks nothing when its reader goes, as in `pseudoword … | head -1`.

    Whoever writes to it, other libraries too: hours of work do not end because of a line.
    """
    try:
        number = stream.fileno()
    except (OSError, ValueError):  # what a program has put in its place
        return stream
    if number not in {1, 2} or stream.isatty():
        return stream
    lasting: Any = io.TextIOWrapper(
        io.BufferedWriter(_Lasting(number, "w", closefd=False)),
        encoding=stream.encoding,
        line_buffering=stream.line_buffering or stream.write_through,
    )
    lasting.instead_of = stream  # or Python would close it
    return lasting


class _Record(logging.LogRecord):
    """What another library logs, which may tell of a file."""

    def getMessage(self) -> str:  # noqa: N802
        return visible(super().getMessage(), lines=True)


def _warning(message: Warning | str, *_where: object, **_line: object) -> str:
    return f"warning: {visible(message, lines=True)}\n"


def _hold(number: int) -> None:
    try:
        os.fstat(number)
    except OSError as error:
        if error.errno == errno.EBADF:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free


def _shown(error: UnicodeError) -> tuple[str, int]:
    """What stands for letters that an encoding has not."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end].translate(_LOOKALIKES)
    return letters.encode("ascii", "backslashreplace").decode("ascii"), error.end


def writable(text: object) -> str:
    """`text` as it is seen once it is written to stdout; what lays it out counts on that."""
    encoding = sys.stdout.encoding or "utf-8"
    return visible(text).encode(encoding, "pseudoword").decode(encoding)


codecs.register_error("pseudoword", _shown)


@contextlib.contextmanager
def not_too_narrow() -> Iterator[None]:
    """While open, whatever lays text out has `NARROWEST` columns or more."""
    said, columns = os.environ.get("COLUMNS"), shutil.get_terminal_size().columns
    if said is not None or columns < NARROWEST:
        os.environ["COLUMNS"] = str(max(columns, NARROWEST))
    try:
        yield
    finally:
        if said is not None:
            os.environ["COLUMNS"] = said
        else:
            os.environ.pop("COLUMNS", None)


def say(text: object, *, lines: bool = False) -> None:
    """Write a result to stdout: a line, or `lines` of them.

    Raises:
        StorageError: it leads to a file that cannot take it.
    """
    write(visible(text, lines=lines) + "\n")


def write(text: str) -> None:
    """As `say`, for text that is fit to be shown as it is."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        abandon(sys.stdout)
        raise StorageError(
            f"what was done cannot be told: stdout takes no more ({error.strerror or error})"
        ) from error


def complain(text: object, *, red: bool = False) -> None:
    """Write to stderr what went wrong; if that cannot be written either, nothing is to be done."""
    shown = "\n".join(map(without_middle, visible(text, lines=True).split("\n")))
    if red and has_colours(sys.stderr):
        shown = f"\x1b[31m{shown}\x1b[0m"
    Unbreakable(sys.stderr).write(f"{shown}\n")


def has_colours(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that shows colours, and the user wants them."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    if WINDOWS and not _WITH_COLOURS & os.environ.keys():  # its old one shows the codes themselves
        plain = True
    return stream.isatty() and not plain


class Unbreakable:
    """A stream that work beside it does not depend on: once it cannot be written it stays quiet."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write at once, if that can be done."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # its reader is gone, its disk full, or it is closed
            abandon(self._stream)
        return len(text)

    def flush(self) -> None:
        """Nothing: it is written at once."""


class Page:
    """Takes what is to be written, and is otherwise like the stream it is written to later."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.text = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Keep `text`."""
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Nothing: nothing is written yet."""


def abandon(stream: TextIO) -> None:
    """Let what is still to be written go nowhere, or Python complains about it when it ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)
