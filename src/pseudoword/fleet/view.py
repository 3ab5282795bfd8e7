"""What there is in a queue, for people, told from its store alone."""

from pydantic import BaseModel

from pseudoword.fleet import history
from pseudoword.fleet.history import State
from pseudoword.fleet.life import is_gone
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
    """of one that waits or failed: what went wrong last; of one that is stale: that it is"""
    stale: bool = False
    """its worker is gone, so it will be claimed by another one"""


def view(queue: Queue) -> list[QueuedWord]:
    """All words of a queue, by name."""
    words = []
    gone: dict[str, bool] = {}
    for name, events in sorted(queue.histories().items()):
        state = history.state(events)
        claims = [event for event in events if event.kind == "claimed"]
        worker = claims[-1].worker if state == "running" else ""
        if worker not in gone:
            gone[worker] = bool(worker) and is_gone(queue.store, worker)
        why = history.last_reason(events) if state in ("waiting", "failed") else ""
        words.append(
            QueuedWord(
                name=name,
                state=state,
                worker=worker,
                tries=len(claims),
                why="its worker is gone; another one will go on" if gone[worker] else why,
                stale=gone[worker],
            )
        )
    return words
