"""One worker: it claims words, learns them in packs, and puts there what it has learned.

It may be killed at any instant. What it had claimed is then seen to be lost by the others, who go
on from the last checkpoint in the store, to the same bytes.
"""

import contextlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pseudoword import formats, threads
from pseudoword.config import TrainConfig, WorkConfig
from pseudoword.errors import BaseModelError, DamagedError, PseudowordError, StorageError
from pseudoword.fleet import archive, history, scratch
from pseudoword.fleet.claiming import Claiming
from pseudoword.fleet.history import Event
from pseudoword.fleet.life import SignOfLife, new_name
from pseudoword.fleet.queue import Claim, Queue
from pseudoword.fleet.stores import PatientStore
from pseudoword.fleet.unpacked import Unpacked, unpack
from pseudoword.models.family import Family
from pseudoword.progress import Progress
from pseudoword.runs import checkpoint, requests
from pseudoword.runs.interrupt import Interrupted, insists, signals_to, stopped_at_once
from pseudoword.runs.loaded_base import LoadedBase
from pseudoword.runs.planned import Options
from pseudoword.runs.runner import learn
from pseudoword.text import counted, reason

BEATS = 4
"""How many signs of life a worker gives in the time after which it is given up."""

REFILL_SECONDS = 2.0
"""How often a pack with room for more words looks for them."""

LOOKS_LEAVE = 9
"""How many times as long as a look takes, a pack learns until the next one."""

RETRY_SECONDS = 2.0
"""Time between two questions to a store that does not answer."""

KEEP_GOING = Options(keep_going=True)


@dataclass
class Worked:
    """What a worker has done."""

    learned: list[str] = field(default_factory=list)
    """the names of the jobs"""
    failed: dict[str, str] = field(default_factory=dict)
    """name of a job -> why its last try failed"""


class _NoBaseError(Exception):
    """The base model of a pack cannot be loaded here; another worker may have it."""


class Worker:
    """A worker of a queue. It is also the progress of its runs, and so sees each of their steps."""

    def __init__(self, queue: Queue, config: WorkConfig, progress: Progress) -> None:
        self.name = new_name()
        self.worked = Worked()
        self._config, self._progress = config, progress
        self._life, self._at_once = SignOfLife(queue.store, self.name), queue
        self._queue = Queue(PatientStore(queue.store, self._have_patience), queue.address)
        self._claiming = Claiming(self._queue, self.name, config, progress)
        self._base = LoadedBase(progress)
        self._claims: dict[str, Claim] = {}
        """name of a job -> its claim, as long as it is ours"""
        self._active: dict[str, Unpacked] = {}
        """name of a job -> what was unpacked to be learned now"""
        self._taken: set[Claim] = set()
        """claims of ours that somebody else has ended"""
        self._ended = threading.Event()
        self._woken = threads.Flag()
        """set once it is to stop"""
        self._stopping: int | None = None
        self._loading = self._training = self._gave_up = False
        self._noted_at = float("-inf")
        """when it was last said that the store does not answer"""
        self._look_at = 0.0
        """when a pack may next look for words to join it"""
        self._saved_at = 0.0
        """when checkpoints were last put into the queue"""
        self._saved: dict[str, int] = {}
        """name of a job -> the step of its checkpoint there"""

    def run(self) -> Worked:
        """Work until all words of the queue are done, failed or cancelled.

        Raises:
            StorageError: the store cannot be reached, or the disk here is full.
            BaseModelError: words wait whose base model cannot be loaded here.
            Interrupted: on Ctrl-C, SIGTERM or SIGHUP; all claims have been given back.
        """
        self._life.give()
        signs = threading.Thread(target=self._give_signs, daemon=True)
        signs.start()
        try:
            with signals_to(self._on_signal):  # in training, the run takes them
                while self._stopping is None:
                    self._return_unopened()
                    claims = self._claim(self._config.pack)
                    if claims:
                        self._work_on(claims)
                    elif not (self._config.stay or self._claiming.others_run()):
                        break
                    else:
                        self._progress.phase("waiting for words")
                        self._woken.wait(self._beat_seconds)
        finally:
            self._ended.set()
            signs.join()
            self._return_unopened()
            with contextlib.suppress(StorageError):  # all is done, and nobody misses us
                self._life.end()
        if self._stopping is not None:
            given_back = "all that was not done has been given back"
            raise Interrupted(f"stopped: {given_back}", self._stopping)
        if left := self._claiming.left():
            raise BaseModelError(
                f"{counted(len(left), 'word')} cannot be learned by this worker, and wait for "
                f"another one: {next(iter(left.values()))}"
            )
        return self.worked

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Stop after this step: save, and give all claims back."""
        self._stopping = signum
        self._woken.set()
        self._ask_to_stop()

    def _have_patience(self, error: StorageError, seconds: float) -> bool:
        """Whether to ask the store again: until others would take our words, but a pack goes on
        without an answer, and so does who is to stop."""
        self._gave_up |= seconds >= self._config.lease
        if self._training or self._gave_up or self._stopping is not None:
            return False
        if time.monotonic() - self._noted_at > self._config.lease:
            self._noted_at = time.monotonic()
            self._progress.note(f"{error} It is tried again for {self._config.lease:g} s.")
        self._woken.wait(min(RETRY_SECONDS, self._beat_seconds))
        return True

    def _ask_to_stop(self) -> None:
        for one in list(self._active.values()):
            requests.ask(one.run, "stop")

    # Learning

    def _work_on(self, claims: Sequence[Claim]) -> None:
        """Learn what was claimed, or end each claim otherwise."""
        with scratch.folder() as folder:
            try:
                ready = self._open_all(claims, folder)
                if ready:
                    alone = history.is_alone(self._queue.history(ready[0].claim.name))
                    self._learn(ready, None if alone else folder)
            except _NoBaseError as error:
                self._leave(ready, str(error))
            finally:
                self._active = {}

    def _leave(self, some: Sequence[Unpacked], why: str) -> None:
        """Give words back whose base model cannot be loaded here: that is no try of theirs."""
        self._claiming.leave(some[0].claim.name, why)
        self._progress.note(why)
        for one in some:
            step = self._queue.last_step(one.claim.name)
            self._end(one.claim, Event(kind="returned", step=step, why=why))

    def _claim(self, room: int, like: Claim | None = None) -> list[Claim]:
        """Claim words; with `like`, those that can join its pack."""
        claims = []
        for claim in self._claiming.claim(room, like):
            self._claims[claim.name] = claim
            claims.append(claim)
            if self._stopping is not None:
                break
        return claims

    def _return_unopened(self) -> None:
        """Give words back that are claimed, but not unpacked: the store did not answer, or the
        worker stops."""
        for claim in [one for name, one in self._claims.items() if name not in self._active]:
            self._end(claim, Event(kind="returned", step=self._queue.last_step(claim.name)))

    def _open_all(self, claims: Sequence[Claim], folder: Path) -> list[Unpacked]:
        """Unpack what was claimed, but for what turns out to be done or damaged."""
        ready = []
        for claim in claims:
            if self._stopping is not None:
                break
            try:
                if self._queue.has_result(claim.name):  # of a worker that was lost right after
                    if self._end(claim, Event(kind="done")):
                        self._queue.remove_checkpoints(claim.name)
                    continue
                with self._failing(claim):
                    place = folder / claim.name
                    ready.append(unpack(self._queue, claim, place, self._progress.note))
                    self._active[claim.name] = ready[-1]
            except StorageError as error:
                if not self._training:
                    raise
                self._progress.note(str(error))  # the pack goes on with what could be opened
                break
        if self._stopping is not None:
            self._ask_to_stop()
        return ready

    def _learn(self, some: list[Unpacked], refill: Path | None = None) -> None:
        """Learn a pack; if it fails, those that did not finish are learned in smaller ones.

        Args:
            some: the words of its beginning; those that come later are added to it, and those that
                have left are removed.
            refill: the folder for words that are claimed when others have left; None for none.
        """
        why = self._try(some, refill)
        left = self._settle(some)
        if self._stopping is not None:
            self._save(left)
        elif why and len(some) == 1:
            why = why.removeprefix(f"{some[0].config.called}: ")
            self._fail(some[0].claim, why.replace(f"{some[0].job}{os.sep}", ""))
        elif left:
            smaller = (len(left) + 1) // 2 if len(left) == len(some) and why else len(left)
            for at in range(0, len(left), smaller):
                if self._stopping is None:
                    self._learn(left[at : at + smaller])

    def _try(self, some: list[Unpacked], refill: Path | None) -> str:
        """Learn a pack until it ends; why it failed, if it did."""
        if self._stopping is not None:
            return ""
        self._look_at = time.monotonic() + REFILL_SECONDS
        first = some[0].claim

        def more(room: int) -> list[TrainConfig]:
            joined = [] if refill is None else self._join(first, room, refill)
            some[:] = [*filter(self._is_active, some), *joined]  # a pack may go on for weeks
            return [one.config for one in joined]

        try:
            family = self._load(some[0])
            self._training = True
            learn([one.config for one in some], self, KEEP_GOING, family, more=more)
        except Interrupted as stopped:
            if not stopped.requested:  # else of words that others took, or by `stop`
                self._stopping = stopped.exit_code - 128
        except (StorageError, _NoBaseError):
            raise
        except Exception as error:  # the error itself would hold the memory of the pack
            return str(error) if isinstance(error, PseudowordError) else reason(error)
        finally:
            self._training = False
        return ""

    def _join(self, like: Claim, room: int, folder: Path) -> list[Unpacked]:
        """Claim and open words that can join the pack of `like`; from time to time only."""
        began = time.monotonic()
        if self._stopping or began < self._look_at:
            return []
        try:
            self._return_unopened()
            self._put_finished()
            room = min(room, self._config.pack - len(self._active))
            return self._open_all(self._claim(room, like), folder) if room > 0 else []
        except StorageError as error:  # the pack goes on, and the next look may succeed
            self._progress.note(str(error))
            return []
        finally:
            now = time.monotonic()  # in a queue of many words, a look takes seconds
            self._look_at = now + max(REFILL_SECONDS, LOOKS_LEAVE * (now - began))

    def _settle(self, some: Sequence[Unpacked]) -> list[Unpacked]:
        """Put the results of finished words, forget those that others took, return the rest."""
        left = []
        for one in some:
            if not self._is_active(one):
                continue
            if one.claim in self._taken:
                self._drop(one)
            elif one.is_finished:
                self._put_result(one)
            else:
                left.append(one)
        return left

    def _load(self, one: Unpacked) -> Family:
        self._claiming.loaded, self._loading = None, True
        try:
            if self._stopping is not None:
                raise Interrupted("stopped", self._stopping)
            family = self._base.of(one.config)
        except BaseModelError as error:
            raise _NoBaseError(str(error)) from error
        finally:
            self._loading = False
        self._claiming.loaded = one.claim.name
        return family

    def _is_active(self, one: Unpacked) -> bool:
        return one.claim.name in self._active

    def _put_finished(self) -> None:
        """Put the results of words there that have left their pack."""
        for one in list(self._active.values()):
            if checkpoint.finished_step(one.run) is not None and one.is_finished:
                self._put_result(one)

    def _put_result(self, one: Unpacked) -> None:
        name = one.claim.name
        if self._queue.holds(one.claim):
            word = (one.run / formats.CONCEPT_FILE).read_bytes()
            self._queue.put_result(name, archive.pack_folder(one.run), word)
        if self._end(one.claim, Event(kind="done")):
            self.worked.learned.append(name)
            self.worked.failed.pop(name, None)
            self._progress.note(f"{name} is done")
            self._queue.remove_checkpoints(name)
        self._drop(one)

    def _fail(self, claim: Claim, why: str) -> None:
        events = self._queue.history(claim.name)[: claim.number]
        self.worked.failed[claim.name] = why
        self._progress.note(f"{claim.name}: {why}")
        self._end(claim, self._claiming.bad("error", claim.name, events, why))

    def _end(self, claim: Claim, event: Event) -> bool:
        """End a claim of ours; False if somebody else has ended it before."""
        one = self._active.get(claim.name)
        self._forget(claim.name)
        try:
            return self._queue.end(claim, event)
        except StorageError:  # it is still ours, and tried again later
            self._claims[claim.name] = claim
            if one is not None:
                self._active[claim.name] = one
            raise

    def _drop(self, one: Unpacked) -> None:
        """Remove all of a word that is no longer ours."""
        self._forget(one.claim.name)
        self._taken.discard(one.claim)
        shutil.rmtree(one.folder, ignore_errors=True)

    def _forget(self, name: str) -> None:
        for known in (self._claims, self._active, self._saved):
            known.pop(name, None)

    @contextlib.contextmanager
    def _failing(self, claim: Claim) -> Iterator[None]:
        """Let an error of this word end its claim only."""
        try:
            yield
        except PseudowordError as error:
            if isinstance(error, StorageError) and not isinstance(error, DamagedError):
                raise  # the store or the disk here is at fault, and the other words would be next
            self._fail(claim, str(error))

    def _save(self, some: Sequence[Unpacked]) -> None:
        """Put the last checkpoint of each there, if it is new."""
        for one in some:
            name, step = one.claim.name, max(checkpoint.steps(one.run), default=0)
            if step > self._saved.get(name, 0):
                self._queue.put_checkpoint(one.claim, step, archive.pack_folder(one.run))
                self._saved[name] = step

    # Living

    @property
    def _beat_seconds(self) -> float:
        return self._config.lease / BEATS

    def _give_signs(self) -> None:
        """Give signs of life, and see whether the claims still hold."""
        while not self._ended.wait(self._beat_seconds):
            try:
                self._life.give()
                for claim in list(self._claims.values()):
                    if not self._at_once.holds(claim):
                        self._taken.add(claim)
                        one = self._active.get(claim.name)
                        if one is not None and one.claim == claim:
                            requests.ask(one.run, "stop")
            except PseudowordError as error:  # tried again at the next one
                self._progress.note(str(error))

    def _on_signal(self, signum: int, _frame: object) -> None:
        if self._stopping is not None and insists(signum):
            raise stopped_at_once((), signum)
        self.stop(signum)
        if self._loading:  # which may take minutes, and nothing is lost
            raise Interrupted("stopped", signum)

    # Progress

    def phase(self, text: str) -> None:
        """A phase of a run."""
        self._progress.phase(f"{counted(len(self.worked.learned), 'word')} done, {text}")

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """A step of a pack: puts new checkpoints there, from time to time, and finished words.

        The pack stands still meanwhile, so its folders are as if it were killed now.
        """
        self._progress.advance(done, total, detail)
        now = time.monotonic()
        if now - self._saved_at < self._beat_seconds:
            return
        self._saved_at = now
        try:
            self._save(list(self._active.values()))
            self._put_finished()
        except PseudowordError as error:
            self._progress.note(str(error))

    def note(self, text: str) -> None:
        """A note of a run."""
        self._progress.note(text)
