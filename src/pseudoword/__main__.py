"""The `pseudoword` command, also as `python -m pseudoword`."""

import os
import signal
import sys


def main() -> None:
    """Run the command line. Ctrl-C before a command begins ends it as quietly as later."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:
        # An exception would be lost where an import calls back, and there is nothing to clean up.
        signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    from pseudoword.cli.app import main as run
    from pseudoword.errors import is_ctrl_c

    signal.signal(signal.SIGINT, usual)
    try:
        run()
    except (KeyboardInterrupt, RuntimeError) as error:
        if not is_ctrl_c(error):
            raise
        sys.exit(130)
    finally:
        if usual is signal.default_int_handler:  # all is said, and what Python still tidies, too
            signal.signal(signal.SIGINT, lambda *_: os._exit(130))


if __name__ == "__main__":
    main()
