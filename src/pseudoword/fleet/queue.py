"""A queue of words to learn, all of whose states lie in its store.

queue.json               says that this is a queue
jobs/NAME.zip            the pictures of a job
jobs/NAME.toml           its settings, put there after them: with this, there is a job
events/NAME/0001.json    what has happened to it, see `history`
checkpoints/NAME/25.zip  the folder of its run at a step; only the last is kept
results/NAME.zip         the folder of its finished run
results/NAME.safetensors the word, put there after it
workers/NAME             what a worker writes again and again while it lives
"""

import json
import re
from collections import ChainMap
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pseudoword.errors import DamagedError, SettingsError
from pseudoword.files import file_stem
from pseudoword.fleet import history
from pseudoword.fleet.history import Event, State
from pseudoword.fleet.jobs import AGAIN, Job
from pseudoword.fleet.stores import Store, open_store, read_all
from pseudoword.text import brief, listed

MARK, FORMAT = "queue.json", 1

Steering = tuple[Sequence[State], str]
RETRY: Steering = (("failed", "cancelled"), "tried again")
CANCEL: Steering = (("waiting", "running", "failed"), "cancelled")
"""Which states a job may have for it, and what is said that it cannot be."""

_EVENT = re.compile(r"events/([^/]+)/(\d{4,6})\.json")
_CHECKPOINT = re.compile(r"checkpoints/([^/]+)/(\d+)\.zip")


@dataclass(frozen=True)
class Claim:
    """A job that a worker holds, until an event comes after that of `number`."""

    name: str
    number: int


class Queue:
    """The jobs in a store. What was read once and never changes is kept."""

    def __init__(self, store: Store, address: str) -> None:
        self.store, self.address = store, address
        self._events: dict[tuple[str, int], Event] = {}
        self._jobs: set[str] = set()

    def submit(self, job: Job) -> bool:
        """Put a job there.

        Returns:
            Whether it is new; what was submitted before stays as it is.
        """
        settings = f"jobs/{job.name}.toml"
        if self.store.read(settings) is not None:  # so that no pictures are sent again
            return False
        self.store.create(f"jobs/{job.name}.zip", job.files)
        return self.store.create(settings, job.settings.encode(errors="surrogateescape"))

    def mend(self, job: Job) -> None:
        """Put a job that has failed or was cancelled there again, in case it was damaged."""
        self.store.put(f"jobs/{job.name}.zip", job.files)
        self.store.put(f"jobs/{job.name}.toml", job.settings.encode(errors="surrogateescape"))

    def jobs(self) -> list[str]:
        """The names of all jobs."""
        names = self.store.names("jobs")
        jobs = [name[len("jobs/") : -len(".toml")] for name in names if name.endswith(".toml")]
        self._jobs.update(jobs)
        return jobs

    def named(self, name: str) -> str:
        """The job of this name, or of this word if no other job is of the same one.

        Raises:
            SettingsError: there is none, or there are several of the word.
        """
        if self._is_job(name):
            return name
        stems = (name, file_stem(name)) if name else ()  # cat, or <cat>
        of_word = [job for job in sorted(self._jobs) if job.rpartition("-")[0] in stems]
        if len(of_word) == 1:
            return of_word[0]
        if of_word:
            raise SettingsError(f"{name}: which one is meant, {listed(of_word)}?")
        raise self._no_job(name)

    def settings(self, name: str) -> str:
        """The settings of a job, as TOML."""
        return self._there(f"jobs/{name}.toml").decode(errors="surrogateescape")

    def job(self, name: str) -> Job:
        """A job with its files."""
        return Job(name, self.settings(name), self._there(f"jobs/{name}.zip"))

    def histories(self, names: Iterable[str] | None = None) -> Mapping[str, Sequence[Event]]:
        """What has happened to each job so far.

        An event that is damaged or missing counts as a failure, so that only its word needs a
        retry.

        Args:
            names: those of all events in the store, where they have just been listed.
        """
        numbers: dict[str, set[int]] = {name: set() for name in self.jobs()}
        for path in self.store.names("events") if names is None else names:
            match = _EVENT.fullmatch(path)
            if match and match[1] in numbers:
                numbers[match[1]].add(int(match[2]))
        return self._happened(numbers)

    def history(self, name: str) -> Sequence[Event]:
        """What has happened to one job so far, as in `histories`."""
        found = map(_EVENT.fullmatch, self.store.names(f"events/{name}"))
        return self._happened({name: {int(match[2]) for match in found if match}})[name]

    def add(self, name: str, number: int, event: Event) -> bool:
        """Let the event of this number happen, unless another one has.

        Where the store's answer is lost on its way, as that of a bucket or of NFS may be, it is
        asked again, and says that there is one already: ours.

        Returns:
            Whether it happened.
        """
        where, data = event_name(name, number), event.to_bytes()
        happened = self.store.create(where, data) or self.store.read(where) == data
        if happened:
            self._events[name, number] = event
        return happened

    def claim(self, name: str, worker: str, lease_seconds: float) -> Claim | None:
        """Claim a job; None if it is not waiting, or another worker was faster."""
        events = self.history(name)
        if history.state(events) != "waiting":
            return None
        event = Event(kind="claimed", worker=worker, lease_seconds=lease_seconds)
        claim = Claim(name, len(events) + 1)
        return claim if self.add(name, claim.number, event) else None

    def holds(self, claim: Claim) -> bool:
        """Whether nothing has come after this claim."""
        return self.store.read(event_name(claim.name, claim.number + 1)) is None

    def end(self, claim: Claim, event: Event) -> bool:
        """End a claim; False if somebody else has ended it before."""
        return self.add(claim.name, claim.number + 1, event)

    def check(self, name: str, steering: Steering) -> Sequence[Event]:
        """What has happened to a job, if it is in a state for `RETRY` or `CANCEL`.

        Raises:
            SettingsError: there is no such job, or it is in another state.
        """
        if not self._is_job(name):
            raise self._no_job(name)
        events, (states, done) = self.history(name), steering
        if (state := history.state(events)) not in states:
            raise SettingsError(f"{name} is {state}, so it cannot be {done}.")
        return events

    def retry(self, name: str) -> None:
        """Let a job that failed or was cancelled wait again; it is learned from the beginning.

        Raises:
            SettingsError: there is no such job, or it has done neither.
        """
        self.check(name, RETRY)
        self.remove_checkpoints(name)
        self._steer(name, RETRY, Event(kind="retried"))

    def cancel(self, name: str) -> None:
        """Take a job out that waits or runs, with its checkpoints; its worker notices by its next
        sign of life.

        Raises:
            SettingsError: there is no such job, or it has ended.
        """
        self._steer(name, CANCEL, Event(kind="cancelled"))
        self.remove_checkpoints(name)

    def _steer(self, name: str, steering: Steering, event: Event) -> None:
        while not self.add(name, len(self.check(name, steering)) + 1, event):
            pass  # something happened meanwhile

    def _no_job(self, name: str) -> SettingsError:
        return SettingsError(
            f"{brief(name) or repr(name)}: there is no such job in {brief(self.address)}. "
            "`pseudoword queue` lists them."
        )

    def _is_job(self, name: str) -> bool:
        return name in self._jobs or name in self.jobs()

    def put_checkpoint(self, claim: Claim, step: int, data: bytes) -> None:
        """Put the folder of a run there, as it is at a step; then remove older ones.

        A worker that has lost its claim, and does not know it yet, leaves nothing there.
        """
        if not self.holds(claim):
            return
        name = claim.name
        self.store.create(f"checkpoints/{name}/{step}.zip", data)
        for older in self._checkpoints(name):
            if older < step:
                self.store.remove(f"checkpoints/{name}/{older}.zip")
        over = ("done", "cancelled")
        if not self.holds(claim) and history.state(self.history(name)) in over:
            self.remove_checkpoints(name)  # who ended it had none of this one to remove

    def checkpoint(self, name: str) -> bytes | None:
        """The folder of the run at its last step there; None if there is none."""
        for step in reversed(self._checkpoints(name)):
            data = self.store.read(f"checkpoints/{name}/{step}.zip")
            if data is not None:  # else another worker has removed it, after it put a later one
                return data
        return None

    def last_step(self, name: str) -> int:
        """The step of the last checkpoint; 0 if there is none."""
        return max(self._checkpoints(name), default=0)

    def last_steps(self) -> dict[str, int]:
        """The step of the last checkpoint of each job that has one."""
        found = filter(None, map(_CHECKPOINT.fullmatch, self.store.names("checkpoints")))
        pairs = sorted((match[1], int(match[2])) for match in found)
        return dict(pairs)  # of several of a job, the last one stays

    def remove_checkpoints(self, name: str) -> None:
        """Remove those of a job that is done, or begins anew."""
        for step in self._checkpoints(name):
            self.store.remove(f"checkpoints/{name}/{step}.zip")

    def _checkpoints(self, name: str) -> list[int]:
        found = map(_CHECKPOINT.fullmatch, self.store.names(f"checkpoints/{name}"))
        return sorted(int(match[2]) for match in found if match)

    def put_result(self, name: str, folder: bytes, word: bytes) -> None:
        """Put the result of a job there: the folder of its run first, the word last.

        What is there already stays: it was put there by a worker that lost its claim thereafter.
        """
        self.store.create(f"results/{name}.zip", folder)
        self.store.create(f"results/{name}.safetensors", word)

    def has_result(self, name: str) -> bool:
        """Whether the result of a job is there, whole."""
        return self.store.read(f"results/{name}.safetensors") is not None

    def result_folder(self, name: str) -> bytes:
        """The folder of the finished run, as an archive."""
        return self._there(f"results/{name}.zip")

    def _happened(self, numbers: Mapping[str, Collection[int]]) -> dict[str, list[Event]]:
        """The events of jobs: name -> numbers that are there -> events. What is new is read."""
        listed = [(name, number) for name, each in numbers.items() for number in each]
        new = [one for one in listed if one not in self._events]
        damaged: dict[tuple[str, int], Event] = {}
        read = read_all(self.store, [event_name(*one) for one in new]) if new else []
        for one, data in zip(new, read, strict=True):
            try:
                self._events[one] = Event.from_bytes(data or b"", event_name(*one))
            except DamagedError as error:
                damaged[one] = Event(kind="failed", why=str(error))
        events = ChainMap(damaged, self._events)
        return {
            name: [
                events.get((name, number)) or _missing(name, number)
                for number in range(1, max(each, default=0) + 1)
            ]
            for name, each in numbers.items()
        }

    def _there(self, name: str) -> bytes:
        data = self.store.read(name)
        if data is None:
            advice = f" {AGAIN}" if name.startswith("jobs/") else ""
            raise DamagedError(f"{brief(self.address)}: {name} is missing.{advice}")
        return data


def open_queue(address: str | Path) -> Queue:
    """Open the queue at an address.

    Raises:
        SettingsError: there is none, or a later version has made it.
        StorageError: the store cannot be reached.
    """
    store = open_store(address)
    mark = store.read(MARK)
    if mark is None:
        raise SettingsError(f"{brief(str(address))} is no queue. `pseudoword submit` makes one.")
    _check_format(mark, address)
    return Queue(store, str(address))


def make_queue(address: str | Path) -> Queue:
    """Make a queue in a new or empty place, or open the one that is there.

    Raises:
        SettingsError: something else is there, or a later version has made it, or the store
            replaces what is there, so that two workers could claim one word.
        StorageError: it cannot be written to.
    """
    store = open_store(address)
    mark = store.read(MARK)
    if mark is not None:
        _check_format(mark, address)
    elif store.names(""):
        raise SettingsError(
            f"{brief(str(address))} holds other files. Choose a new or empty place for a queue."
        )
    data = json.dumps({"format": FORMAT}).encode()
    store.create(MARK, data)
    if store.create(MARK, data):
        raise SettingsError(
            f"{brief(str(address))} replaces what is there, so two workers would learn one word. "
            "Put the queue on a server that knows conditional writes (If-None-Match)."
        )
    return Queue(store, str(address))


def _check_format(mark: bytes, address: str | Path) -> None:
    try:
        known = json.loads(mark)["format"] == FORMAT
    except (ValueError, KeyError, TypeError, RecursionError):
        known = False
    if not known:
        raise SettingsError(
            f"{brief(str(address))} is no queue that this version knows. Take the version of "
            "pseudoword that has made it, or submit the words to another queue."
        )


def _missing(name: str, number: int) -> Event:
    return Event(kind="failed", why=f"{event_name(name, number)} is missing")


def event_name(name: str, number: int) -> str:
    """The object that holds an event of a job."""
    return f"events/{name}/{number:04}.json"
