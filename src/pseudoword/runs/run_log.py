"""The log of a run: a line of JSON for each step and each evaluation."""

import json
from collections.abc import Mapping
from pathlib import Path

from pseudoword.errors import RunFolderError
from pseudoword.files import patiently, read_regular, write_errors

LARGEST_NBYTES = 256 * 1024 * 1024
"""A larger log is not read."""


def append(path: Path, entry: Mapping[str, float]) -> None:
    """Add a line: step, loss, lr, norm, grad, seconds, and the losses of an evaluation.

    Where `words` of a pack took the step together, that is how many.

    Raises:
        StorageError: it cannot be written.
    """
    with write_errors(path), patiently(lambda: path.open("ab")) as file:
        file.write(line(entry))


def read(path: Path) -> list[dict[str, float]]:
    """All lines; one that was cut off by a crash is left out.

    Raises:
        RunFolderError: a line was not written by a run, or the file cannot be read.
    """
    if not path.exists():
        return []
    entries = []
    data = read_regular(path, LARGEST_NBYTES, RunFolderError)
    for number, text in enumerate(data.splitlines(), 1):
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if not _is_entry(entry):
            raise RunFolderError.altered(path, f"line {number} does not hold a step's metrics")
        entries.append(entry)
    return entries


def line(entry: Mapping[str, float]) -> bytes:
    """An entry as it is in the file."""
    return json.dumps(dict(entry)).encode() + b"\n"


def _is_entry(entry: object) -> bool:
    if not (isinstance(entry, dict) and type(entry.get("step")) is int):
        return False
    try:
        numbers = [float(value) for value in entry.values() if type(value) in {int, float}]
    except OverflowError:
        return False
    return len(numbers) == len(entry) and 0 <= entry["step"] < 2**63
