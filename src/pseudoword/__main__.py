"""The `pseudoword` command, also as `python -m pseudoword`."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C while it is imported ends it as quietly as later."""
    try:
        from pseudoword.cli.app import main as run
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
