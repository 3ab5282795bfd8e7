"""The program around its commands: its streams, its help, and what it says of wrong arguments."""

import sys
from collections.abc import Sequence
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup

from pseudoword.cli.terminal import GoneError, complain, not_too_narrow, ready
from pseudoword.text import brief, visible


class Program(TyperGroup):
    """All commands: streams are made ready first, and a reader who has gone ends it quietly."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command that the arguments name."""
        ready()
        try:
            with not_too_narrow():
                return super().main(*args, **kwargs)
        except GoneError:
            sys.exit(1)
        except OSError as error:  # help and mistakes are written by typer
            complain(f"error: {error.strerror or error}")
            sys.exit(2)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what each command does, uncut."""
        names = self.list_commands(ctx)
        _section(formatter, "Commands", [(name, self.commands[name].help or "") for name in names])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; what it says of wrong arguments cannot steer the terminal."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if hasattr(error, "format_message"):  # typer's own, whose class it has moved about
                said = visible(vars(error).get("message", ""), lines=True)
                vars(error)["message"] = "\n".join(map(brief, said.split("\n")))
            raise


class Command(TyperCommand):
    """A command whose options are shown in their groups, at any width and in any encoding."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, group by group."""
        groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            usual = "Arguments" if isinstance(parameter, TyperArgument) else "Options"
            if record:
                title = getattr(parameter, "rich_help_panel", None) or usual
                groups.setdefault(title, []).append(record)
        for title, records in groups.items():
            if records:
                _section(formatter, title, records)


def _section(formatter: Any, title: str, records: Sequence[tuple[str, str]]) -> None:
    """Terms and what they mean; no line ends within a word such as --no-average."""
    whole = "\N{NON-BREAKING HYPHEN}"
    with formatter.section(title):
        formatter.write_dl([(term, meaning.replace("-", whole)) for term, meaning in records])
    formatter.buffer[:] = [written.replace(whole, "-") for written in formatter.buffer]
