"""`submit`: put the words of folders into a queue."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudoword.config import TrainConfig
from pseudoword.config.problems import Problems
from pseudoword.config.word_folders import word_configs
from pseudoword.data import examples
from pseudoword.errors import SettingsError
from pseudoword.fleet import history, scratch
from pseudoword.fleet.jobs import make_job
from pseudoword.fleet.queue import make_queue
from pseudoword.progress import Once, Progress, Silent
from pseudoword.runs.runner import check
from pseudoword.text import command, listed


def submit_words(
    queue: str | Path,
    folders: Sequence[Path],
    file: Path | None,
    settings: Mapping[str, Any],
    progress: Progress,
) -> list[str]:
    """Put a word of each folder in `folders` into a queue; the public `submit`.

    `file` is a TOML file of settings, and `settings` those that were given for all words.
    """
    if not folders:
        raise SettingsError(
            "FOLDER is missing. Give a folder with a folder of pictures for a word."
        )
    # All is checked first, and read again to be sent: the pictures of all words may be more than
    # fits into memory.
    jobs: dict[str, TrainConfig] = {}
    problems, noted = Problems(), Once(progress)
    with scratch.folder() as elsewhere:
        configs = [
            config
            for folder in folders
            for config in word_configs(folder, elsewhere / "runs", file, settings, here=False)
        ]
        progress.phase("checking")
        for count, config in enumerate(configs, 1):
            with problems.of(config.pictures[0]):
                examples.check(check(config, noted).paths, config)
                jobs[make_job(config, noted.note).name] = config
            progress.advance(count, len(configs))
        problems.raise_all()
        to = make_queue(queue)
        progress.phase("submitting")
        new = []
        ended: dict[history.State, list[str]] = {"failed": [], "cancelled": []}
        for count, config in enumerate(jobs.values(), 1):
            job = make_job(config, Silent().note)
            if to.submit(job):
                new.append(job.name)
            elif (state := history.state(to.history(job.name))) in ended:
                to.mend(job)
                ended[state].append(job.name)
            progress.advance(count, len(jobs))
    if len(new) < len(jobs):
        progress.note(f"{len(jobs) - len(new)} of {len(jobs)} words were submitted before")
        for ending, names in ended.items():
            if names:
                progress.note(
                    f"{ending} before, and not learned again: {listed(names)}. "
                    f"`{command('pseudoword', 'queue', queue, '--retry', 'NAME')}` lets one of "
                    "them wait again."
                )
    return new
