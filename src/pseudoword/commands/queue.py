"""`queue`: show the words of a queue, steer them, and fetch what was learned."""

from collections.abc import Sequence
from pathlib import Path

from pseudoword.errors import DamagedError
from pseudoword.files import move, storage_error
from pseudoword.fleet import archive, history, scratch
from pseudoword.fleet.queue import CANCEL, RETRY, Queue, open_queue
from pseudoword.fleet.view import QueuedWord, view
from pseudoword.outputs import check_writable
from pseudoword.progress import Progress
from pseudoword.text import counted

ALL = "all"
"""Instead of a name: all that can be."""


def steer_queue(
    address: str | Path,
    retry: Sequence[str],
    cancel: Sequence[str],
    out: Path | None,
    progress: Progress,
) -> list[QueuedWord]:
    """Steer a queue, and say what is in it; the public `queue`."""
    queue = open_queue(address)
    retried = _named(queue, retry, ("failed",))
    cancelled = _named(queue, cancel, ("waiting", "running"))
    if retry and not retried:
        progress.note(f"--retry {ALL}: no word has failed")
    if cancel and not cancelled:
        progress.note(f"--cancel {ALL}: no word waits or is being learned")
    for name in retried:
        queue.check(name, RETRY)
    for name in cancelled:
        queue.check(name, CANCEL)
    for name in retried:
        queue.retry(name)
    for name in cancelled:
        queue.cancel(name)
    words = view(queue)
    if out is not None:
        _fetch(queue, [word.name for word in words if word.state == "done"], out, progress)
    return words


def _named(queue: Queue, names: Sequence[str], states: Sequence[str]) -> list[str]:
    named = [queue.named(name) for name in names if name != ALL]
    if ALL in names:
        happened = queue.histories().items()
        named += [name for name, events in happened if history.state(events) in states]
    return list(dict.fromkeys(named))


def _fetch(queue: Queue, names: Sequence[str], out: Path, progress: Progress) -> None:
    """Write the run's folder of each word that is not there yet.

    Raises:
        DamagedError: some are damaged; the others are there then.
        StorageError: the queue cannot be read, or `out` cannot be written to.
    """
    missing = [name for name in names if not (out / name).is_dir()]
    check_writable(*(out / name for name in missing))
    progress.phase(f"fetching {counted(len(missing), 'word')}")
    if not missing:
        return
    out.mkdir(parents=True, exist_ok=True)
    damaged = []
    with scratch.folder(out) as unfinished:
        for count, name in enumerate(missing, 1):
            try:
                result = queue.result_folder(name)
                word = f"The word alone is results/{name}.safetensors in the queue."
                archive.unpack(result, unfinished / name, f"the result of {name}", word)
            except DamagedError as error:
                damaged.append(str(error))
                continue
            try:
                move(unfinished / name, out / name)
            except OSError as error:
                if not (out / name).is_dir():  # else another process has fetched it meanwhile
                    raise storage_error(out / name, error) from error
            progress.advance(count, len(missing))
    if damaged:
        raise DamagedError("\n".join(damaged))
