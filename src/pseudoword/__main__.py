"""The `pseudoword` command, also as `python -m pseudoword`."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C before a command begins ends it as quietly as later."""
    try:
        from pseudoword.cli.app import main as run

        run()
    except (KeyboardInterrupt, RuntimeError) as error:
        from pseudoword.errors import is_ctrl_c  # above, Ctrl-C would not be caught

        if not is_ctrl_c(error):
            raise
        sys.exit(130)


if __name__ == "__main__":
    main()
