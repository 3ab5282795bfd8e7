"""The queue of trainings, its worker, and what they do when something goes wrong."""

from typing import Any

from pseudoword.ui import training
from pseudoword.ui.job_files import JobFiles
from pseudoword.ui.jobs import Queue


def test_a_training_waits_runs_and_leaves_a_word(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings)
    assert (job.state, job.step, job.total) == ("queued", 0, 2)
    training.train(JobFiles(queue.workspace, job.id))
    job = queue.job(job.id)
    assert (job.state, job.sentence, job.step) == ("done", "<cat> is ready.", 2)
    (word,) = queue.library.words()
    assert (word.id, word.token) == (job.word, "<cat>")
    assert [step for step, _ in queue.curves(job.id).loss] == [1, 2]
