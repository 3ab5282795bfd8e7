"""What the page works on: one workspace, its data sets, trainings and words."""

from pathlib import Path

from pseudoword.ui.jobs import Queue
from pseudoword.ui.workspace import Workspace


class Desk:
    """All of a workspace that the tabs share.

    Args:
        folder: of the workspace; made if it is not there.

    Raises:
        StorageError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder)
        self.queue = Queue(self.workspace)
        self.data_sets = self.queue.data_sets
        self.library = self.queue.library
        self.drawing = self.queue.drawing
