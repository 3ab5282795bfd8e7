"""What has happened to a job: events with numbers, each an object that is created once.

The state of a job is its last event, and nothing else. Whoever wants to change it creates the event
of the next number; of several that try at once, one succeeds. So a claim is a number, too: once
there is an event after it, its worker holds it no more, however late that worker notices. No clock
is compared, and nothing is ever replaced.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from pseudoword.errors import DamagedError

Kind = Literal["claimed", "returned", "lost", "error", "failed", "done", "cancelled", "retried"]
State = Literal["waiting", "running", "done", "failed", "cancelled"]

STATES: dict[Kind, State] = {
    "claimed": "running",
    "returned": "waiting",
    "lost": "waiting",
    "error": "waiting",
    "retried": "waiting",
    "failed": "failed",
    "done": "done",
    "cancelled": "cancelled",
}
"""Last event -> state. A job without events is waiting."""


class Event(BaseModel):
    """What happened to a job.

    A worker has `claimed` it. It ended `done`; was given back (`returned`); ended with an `error`
    and will be tried again, or `failed` for good; or was `lost`, because its worker gave no sign of
    life. Somebody has `cancelled` it, or has it `retried`.
    """

    model_config = ConfigDict(frozen=True)

    kind: Kind
    worker: str = ""
    """who claimed it"""
    lease_seconds: float = 0.0
    """of a claim: without a sign of life for so long, the worker has lost it"""
    step: int = 0
    """the last checkpoint in the store"""
    why: str = ""
    """what went wrong"""

    def to_bytes(self) -> bytes:
        """As it is stored."""
        return self.model_dump_json(exclude_defaults=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> "Event":
        """Read what `to_bytes` made.

        Raises:
            DamagedError: it is something else.
        """
        try:
            return cls.model_validate_json(data)
        except ValueError as error:
            raise DamagedError(f"{where} was not written by a worker.") from error


def state(events: Sequence[Event]) -> State:
    """The state of a job with these events."""
    return STATES[events[-1].kind] if events else "waiting"


def bad_tries(events: Sequence[Event]) -> int:
    """How many tries in a row have got nowhere.

    A try that got further than all before it, by the checkpoint it left, was merely interrupted: a
    job on machines that are taken away every minute is no bad job. A retry begins anew.
    """
    count, furthest = 0, 0
    for event in events:
        if event.kind == "retried":
            count = 0
        elif event.kind in ("lost", "error", "failed"):
            count = 1 if event.step > furthest else count + 1
            furthest = max(furthest, event.step)
    return count


def is_alone(events: Sequence[Event]) -> bool:
    """Whether a word with this history is learned in no pack."""
    return bad_tries(events) > 0


def last_reason(events: Sequence[Event]) -> str:
    """What went wrong last; empty if nothing did."""
    return next((event.why for event in reversed(events) if event.why), "")
