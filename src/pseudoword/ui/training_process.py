"""The process that trains words: `python -m pseudoword.ui.training_process WORKSPACE ID`."""

import sys

from pseudoword import imports


def main() -> None:
    """Train the word that the command line names."""
    imports.spare()
    from pseudoword.ui.job_files import JobFiles
    from pseudoword.ui.training import train  # and torch with it
    from pseudoword.ui.workspace import Workspace

    sys.exit(train(JobFiles(Workspace(sys.argv[1]), sys.argv[2])))


if __name__ == "__main__":
    main()
