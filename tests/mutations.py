"""Feed readers damaged, dishonest and foreign files, each reader in processes of its own.

A file that crashes a process, or does not let go of it, costs that file: the next process goes on
behind it. An audit hook notes what no reader has any business to do. `mutation_readers` has the
readers; `benchmarks/mutations.py` runs them all.
"""

import contextlib
import ctypes
import random
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from forked import FORKS

from pseudoword.models.compute import allocator

SLOW_SECONDS = 5.0
"""A file that takes longer counts as a hang."""

GIGABYTE = 1 << 30
"""A file may not take more memory than this, on top of what the process has at the start."""

START_SECONDS = 300.0
"""Time for a process to import its libraries and to make its valid files."""

FORBIDDEN = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork"),
    *("os.startfile", "os.putenv", "os.chown", "os.symlink", "os.chroot"),
    *("socket.", "shutil.", "ctypes.", "webbrowser.", "pty.", "ftplib.", "smtplib.", "urllib."),
    *("exec", "code.", "sys.settrace", "sys.setprofile"),
)
"""Events of the audit hook, by how they begin. To import a module is none of them."""

CALLS = {ctypes.cast.__code__, allocator._set.__code__}
"""What calls C by itself, of which Python 3.14 tells, to write a file and to keep memory."""


class Learned(AssertionError):  # noqa: N818 - what has happened
    """Something was read from a damaged file that was not in it before."""


class Reader(Protocol):
    """One kind of file. Made in an empty folder, where it reads each valid file once."""

    sentences: int
    """lines that an error may have; errors in settings are listed all at once"""

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        """The i-th file, and a description of it."""
        ...

    def read(self, kind: str, data: bytes) -> None:
        """Read it as the product does.

        Raises:
            PseudowordError: it is refused.
            Learned: it should have been.
        """
        ...


@dataclass
class Came:
    """The results of one reader's files."""

    reader: str
    files: int = 0
    accepted: int = 0
    refused: int = 0
    """with a sentence"""
    crashed: int = 0
    """with any other error, or with a crash"""
    hung: int = 0
    gigabytes: int = 0
    executed: int = 0
    learned: int = 0
    """words or settings from damaged data"""
    slowest_seconds: float = 0.0
    """of processor time"""
    most_mb: float = 0.0
    kinds: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    """what went wrong, one line each"""

    @property
    def clean(self) -> bool:
        """Whether nothing went wrong."""
        return not self.faults and self.accepted + self.refused == self.files

    @property
    def numbers(self) -> dict[str, Any]:
        """The table's row."""
        row = asdict(self)
        del row["faults"], row["kinds"]
        return row


def run(
    reader: Callable[[Path], Reader],
    count: int,
    seed: int = 0,
    *,
    kept: Path | None = None,
    told: Callable[[int], None] = lambda _: None,
) -> Came:
    """Read `count` files.

    Args:
        reader: makes the reader; a name that a new process can import.
        count: how many files.
        seed: which ones.
        kept: a folder for the files that did harm.
        told: called with how many are done.
    """
    came = Came(reader.__name__)
    first, patience = 0, 1.0
    while first < count:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = FORKS.Pipe()
            given = (reader, first, count, seed, Path(folder), theirs)
            process = FORKS.Process(target=_work, args=given, daemon=True)
            process.start()
            theirs.close()
            wait, at, kind, done = START_SECONDS, first, "", first
            fault = ""
            while done < count:
                try:
                    if not ours.poll(wait):
                        fault = "hangs"
                        break
                    event, *facts = ours.recv()
                except EOFError:
                    process.join()
                    fault = f"ended the process ({process.exitcode})"
                    break
                wait = SLOW_SECONDS * patience
                if event == "begin":
                    at, kind = facts
                elif event == "end":
                    if not _count(came, at, kind, *facts):
                        _keep(kept, came.reader, seed, at, Path(folder) / "current")
                    done, patience = at + 1, 1.0
                    told(done)
            process.kill()
            process.join()
            ours.close()
            first = done
            if not fault:
                continue
            if wait == START_SECONDS:
                raise RuntimeError(f"{came.reader} {fault} before its first file")
            if fault == "hangs" and patience == 1:
                patience = 6.0  # another process may have used the processor: try again
                continue
            came.files += 1
            came.hung += fault == "hangs"
            came.crashed += fault != "hangs"
            came.faults.append(f"{at} {kind}: {fault}")
            _keep(kept, came.reader, seed, at, Path(folder) / "current")
            first, patience = at + 1, 1.0
        for line in came.faults[-1:]:
            print(f"{came.reader} {line}", file=sys.stderr)
    return came


def _count(
    came: Came, at: int, kind: str, end: str, why: str, seconds: float, nbytes: int, ran: list[str]
) -> bool:
    """Count one file. Returns whether all went well."""
    came.files += 1
    came.kinds.add(kind)
    came.slowest_seconds = max(came.slowest_seconds, round(seconds, 2))
    came.most_mb = max(came.most_mb, round(nbytes / 1e6))
    setattr(came, end, getattr(came, end) + 1)
    faults = [f"{end}: {why[:300]}"] if end in ("crashed", "learned") else []
    if nbytes > GIGABYTE:
        came.gigabytes += 1
        faults.append(f"took {nbytes / 1e6:.0f} MB")
    if seconds > SLOW_SECONDS:
        came.hung += 1
        faults.append(f"took {seconds:.1f} s")
    if ran:
        came.executed += 1
        faults.append(f"ran {', '.join(sorted(set(ran)))}")
    came.faults += [f"{at} {kind}: {fault}" for fault in faults]
    return not faults


def _keep(kept: Path | None, reader: str, seed: int, at: int, file: Path) -> None:
    if kept is not None and file.exists():
        kept.mkdir(parents=True, exist_ok=True)
        (kept / f"{reader}-{seed}-{at}").write_bytes(file.read_bytes())


def file_of(
    reader: Callable[[Path], Reader], at: int, seed: int, folder: Path
) -> tuple[Reader, str, bytes]:
    """The reader and one of its files, for debugging."""
    made = reader(folder)
    return made, *made.make(at, _chance(reader.__name__, seed, at))


def _chance(reader: str, seed: int, at: int) -> random.Random:
    return random.Random(f"{reader} {seed} {at}")


_ran: list[str] = []
_watching = False


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if not _watching or not event.startswith(FORBIDDEN):
        return
    if event == "exec":  # what is imported comes from files
        name = str(getattr(arguments[0], "co_filename", ""))
        if not name.startswith("<") or "frozen" in name:
            return
    if sys._getframe(1).f_code in CALLS:
        return
    _ran.append(event)


def _work(
    reader: Callable[[Path], Reader],
    first: int,
    count: int,
    seed: int,
    folder: Path,
    told: Connection,
) -> None:
    """In a process of its own: read the files from `first` on."""
    global _watching
    import torch

    from pseudoword.errors import PseudowordError

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    (folder / "own").mkdir()
    made = reader(folder / "own")
    _bound(4 * GIGABYTE)
    sys.addaudithook(_watch)
    for at in range(first, count):
        kind, data = made.make(at, _chance(reader.__name__, seed, at))
        (folder / "current").write_bytes(data)
        told.send(("begin", at, kind))
        _ran.clear()
        before = _peak_reset()
        began = time.process_time()
        end, why = "accepted", ""
        _watching = True
        try:
            made.read(kind, data)
        except PseudowordError as error:
            end, why = "refused", str(error)
            lines = why.split("\n")
            if not (all(map(str.strip, lines)) and len(lines) <= made.sentences):
                end = "crashed"
        except Learned as error:
            end, why = "learned", str(error)
        except BaseException as error:
            end, why = "crashed", repr(error)[:400]
        _watching = False
        seconds = time.process_time() - began
        told.send(("end", end, why, seconds, max(0, _peak() - before), list(_ran)))


def _bound(nbytes: int) -> None:
    """Limit the memory of the process, to protect the machine."""
    size = _status("VmSize")
    if size:
        resource.setrlimit(resource.RLIMIT_AS, (size + nbytes, size + nbytes))


def _peak_reset() -> int:
    """Start measuring the peak of memory. Returns the bytes in use now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_bytes(b"5")
    return _status("VmRSS") or _peak()


def _peak() -> int:
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(name: str) -> int:
    """A memory figure of this process in bytes; 0 if the system does not have it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
