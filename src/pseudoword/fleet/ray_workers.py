"""Workers that Ray starts, one for each GPU of a cluster, and starts again when they die.

Ray knows nothing of the words: those, and all that has happened to them, lie in the queue. So
actors and driver may be lost at any time, and whoever starts the same command again goes on.
"""

import contextlib
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pseudoword.config import WorkConfig
from pseudoword.errors import PseudowordError, SettingsError
from pseudoword.fleet import history
from pseudoword.fleet.queue import Queue, open_queue
from pseudoword.fleet.worker import Worked, Worker
from pseudoword.progress import Progress, Silent
from pseudoword.runs.interrupt import Interrupt, Interrupted
from pseudoword.text import brief, reason

LOCAL = "local"
"""Instead of a cluster's address: one of this machine alone, which ends with the command."""

LOOK_SECONDS = 2.0
"""Time from one look at the queue to the next."""

STOP_SECONDS = 60.0
"""How long workers may take to end their step, save and give their words back."""


class _Actor:
    """A worker in a process of Ray's. Its methods run in threads, so that it can be stopped."""

    def __init__(self, address: str, config: WorkConfig) -> None:
        self._worker = Worker(open_queue(address), config, Silent())

    def work(self) -> tuple[Worked, str]:
        """What it has done, and why it stopped early, if it did."""
        try:
            return self._worker.run(), ""
        except (PseudowordError, Interrupted) as error:
            return self._worker.worked, str(error)

    def stop(self) -> None:
        """Save, give all words back, and end."""
        self._worker.stop()


def work_on_ray(
    address: str | Path,
    config: WorkConfig,
    cluster: str,
    progress: Progress,
) -> Worked:
    """Let Ray's workers work on a queue until all its words are done, failed or cancelled.

    Args:
        address: of the queue; each worker opens it for itself.
        config: the settings of each worker. `workers` is how many there are; by default one for
            each GPU that the cluster has now, or else one for each machine. More than it has lets
            an autoscaling cluster grow.
        cluster: the address of a cluster, `auto` for the one that this machine belongs to, or
            `local`.
        progress: shows how many words are done.

    Raises:
        SettingsError: Ray is not installed, or there is no such cluster.
        PseudowordError: all workers stopped early; the message says why.
        Interrupted: on Ctrl-C, SIGTERM or SIGHUP; the workers have given their words back.
    """
    queue = open_queue(address)
    shared = address if "://" in str(address) else Path(address).resolve()
    with _cluster(cluster, config.workers, progress) as ray, Interrupt(progress.note) as signals:
        actors = _start(ray, str(shared), config)
        progress.phase(f"{len(actors)} workers learn")
        found = _wait(ray, actors, queue, signals, progress)
    if signals.signum is not None:
        raise Interrupted("stopped: the workers have given their words back", signals.signum)
    return _together(found)


def _start(ray: Any, address: str, config: WorkConfig) -> list[Any]:
    """Start the workers, each with a GPU if the cluster has any."""
    resources = ray.cluster_resources()
    of_each: dict[str, Any] = {"num_gpus": 1} if resources.get("GPU") else {"num_cpus": 1}
    machines = sum(name.startswith("node:") and "__" not in name for name in resources)
    count = config.workers or int(resources.get("GPU", 0)) or machines
    # A worker that died begins again, and claims what is left: nothing is lost by that.
    forever = {"max_restarts": -1, "max_task_retries": -1}
    kind = ray.remote(max_concurrency=2, **forever, **of_each)(_Actor)
    return [kind.remote(address, config) for _ in range(count)]


def _wait(
    ray: Any, actors: Sequence[Any], queue: Queue, signals: Interrupt, progress: Progress
) -> list[tuple[Worked, str]]:
    """Let the workers work until they end, or until some time after a signal to stop."""
    pending, ended = [actor.work.remote() for actor in actors], []
    until: float | None = None
    while pending and (until is None or time.monotonic() <= until):
        done, pending = ray.wait(pending, num_returns=len(pending), timeout=LOOK_SECONDS)
        ended += done
        _show(queue, progress)
        if signals.signum is not None and until is None:
            until = time.monotonic() + STOP_SECONDS
            for actor in actors:
                actor.stop.remote()
    return [_result(ray, one) for one in ended]


def _together(found: Sequence[tuple[Worked, str]]) -> Worked:
    """What all workers have done, as far as they lived to tell."""
    reasons = [why for _, why in found if why]
    if found and len(reasons) == len(found):
        raise PseudowordError(f"all workers stopped early: {reasons[0]}")
    whole = Worked()
    for worked, _ in found:
        whole.learned += worked.learned
        whole.failed |= worked.failed
    whole.failed = {name: why for name, why in whole.failed.items() if name not in whole.learned}
    return whole


def _result(ray: Any, one: Any) -> tuple[Worked, str]:
    try:
        result: tuple[Worked, str] = ray.get(one)
    except Exception as error:  # of Ray, whose node is gone, or of anything in the worker
        return Worked(), reason(error)
    return result


def _show(queue: Queue, progress: Progress) -> None:
    with contextlib.suppress(PseudowordError):  # the next look may succeed
        counts = Counter(map(history.state, queue.histories().values()))
        total = sum(counts.values())
        over = total - counts["waiting"] - counts["running"]
        said = ", ".join(f"{count} {state}" for state, count in counts.items() if state != "done")
        progress.advance(over, total, said)


@contextlib.contextmanager
def _cluster(address: str, workers: int | None, progress: Progress) -> Iterator[Any]:
    """Ray, connected to a cluster while the context lasts."""
    try:
        import ray
    except ImportError as error:
        raise SettingsError(
            '--ray needs the extra fleet: pip install "pseudoword[fleet]".'
        ) from error
    quiet = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    progress.phase("starting Ray" if address == LOCAL else f"joining {brief(address)}")
    try:
        if address == LOCAL:
            os.environ.pop("RAY_ADDRESS", None)  # else it would join that one
            ray.init(
                num_cpus=max(workers or 1, os.cpu_count() or 1), include_dashboard=False, **quiet
            )
        else:
            ray.init(address=address, **quiet)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise SettingsError(
            f"--ray {brief(address)} cannot be joined: {reason(error)}. Give the address of a "
            "cluster's head, auto on one of its machines, or local."
        ) from error
    try:
        yield ray
    finally:
        ray.shutdown()
