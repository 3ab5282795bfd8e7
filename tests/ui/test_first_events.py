"""The first events of a page that has just been started come at once, in several threads."""

import subprocess
import sys

import pytest

from pseudoword.ui.jobs import Queue

FIRST = """
import sys, threading
from pseudoword import imports
imports.spare()  # as the command does that serves the page
from pseudoword.ui.estimates import estimate
from pseudoword.ui.jobs import Queue
from pseudoword.ui.workspace import Workspace

queue, data_set = Queue(Workspace(sys.argv[1])), sys.argv[2]
settings = {"base": "tiny", "init": "cat"}
config = queue.config(data_set, "<cat>", **settings)
events = [
    lambda: estimate(queue.workspace, config),
    lambda: queue.data_sets.look(data_set, base="tiny"),
]
threads = [threading.Thread(target=event) for event in events * 2]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.slow
def test_they_find_no_library_half_imported(queue: Queue, data_set: str) -> None:
    asked = [sys.executable, "-c", FIRST, str(queue.workspace.folder), data_set]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0
