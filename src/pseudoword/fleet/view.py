"""What there is in a queue, for people, told from its store alone."""

from pydantic import BaseModel

from pseudoword.fleet import history
from pseudoword.fleet.history import State
from pseudoword.fleet.queue import Queue


class QueuedWord(BaseModel):
    """One word of a queue."""

    name: str
    """of the job"""
    state: State
    worker: str = ""
    """who learns it now"""
    tries: int = 0
    """how often it was claimed"""
    why: str = ""
    """of one that waits or failed: what went wrong last"""


def view(queue: Queue) -> list[QueuedWord]:
    """All words of a queue, by name."""
    words = []
    for name, events in sorted(queue.histories().items()):
        state = history.state(events)
        claims = [event for event in events if event.kind == "claimed"]
        words.append(
            QueuedWord(
                name=name,
                state=state,
                worker=claims[-1].worker if state == "running" else "",
                tries=len(claims),
                why=history.last_reason(events) if state in ("waiting", "failed") else "",
            )
        )
    return words
