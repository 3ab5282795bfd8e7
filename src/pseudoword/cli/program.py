"""The program around its commands: its streams, and what it says of wrong arguments."""

import re
import sys
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup

from pseudoword.cli.help import WholeWords, of_command, of_program
from pseudoword.cli.terminal import GoneError, complain, not_too_narrow, ready
from pseudoword.errors import SettingsError
from pseudoword.imports import need_docstrings
from pseudoword.text import visible, without_middle


class Program(WholeWords, TyperGroup):
    """All commands: streams are made ready first, and a reader who has gone ends it quietly."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command that the arguments name."""
        ready()
        try:
            Path.cwd()
        except OSError:  # torch would say that it cannot load a file of its own
            complain("error: the current folder is there no longer. Change to another one.")
            sys.exit(2)
        try:
            need_docstrings()  # `--help` shows them, too
        except SettingsError as error:
            complain(f"error: {error}")
            sys.exit(2)
        try:
            with not_too_narrow():
                return super().main(*args, **kwargs)
        except GoneError:
            sys.exit(1)
        except OSError as error:  # help and mistakes are written by typer
            complain(f"error: {error.strerror or error}")
            sys.exit(2)

    def get_help(self, ctx: Any) -> str:
        """What `--help` prints."""
        return of_program(self, ctx)

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what it says of wrong arguments cannot steer the terminal."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "format_message"):  # typer's own, whose class it has moved about
                said = visible(vars(error).get("message", ""), lines=True)
                if re.fullmatch(r"-[^-]", getattr(error, "option_name", "")):
                    said += ". A text or a path that begins with a dash goes to the end, after --"
                vars(error)["message"] = "\n".join(map(without_middle, said.split("\n")))
            raise


class Command(WholeWords, TyperCommand):
    """A command whose help fits on a screen, at any width and in any encoding."""

    def get_help(self, ctx: Any) -> str:
        """What `--help` prints."""
        return of_command(self, ctx)
