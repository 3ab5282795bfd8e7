"""The program around its commands: its streams, and what it says of wrong arguments."""

import itertools
import re
import sys
from collections import Counter
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import Any

from typer.core import TyperCommand, TyperGroup, TyperOption

from pseudoword.cli.help import WholeWords, of_command, of_program
from pseudoword.cli.options import dashed
from pseudoword.cli.terminal import abandon, complain, not_too_narrow, ready
from pseudoword.config import flag
from pseudoword.config.other_trainers.elsewhere import INSTEAD
from pseudoword.errors import SettingsError
from pseudoword.files import WINDOWS
from pseudoword.imports import need_docstrings
from pseudoword.lookup import exists, expand_home
from pseudoword.text import command, listed, visible, without_middle


class Program(WholeWords, TyperGroup):
    """All commands: streams are made ready first, and last longer than their readers."""

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
                # On Windows typer would take any argument for names of files, prompts too:
                # "[name]" is there a file called n, a, m or e.
                return super().main(*args, **{"windows_expand_args": False} | kwargs)
        except OSError as error:  # help and mistakes are written by typer
            abandon(sys.stdout)
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
                unknown = (
                    vars(error).get("option_name") if hasattr(error, "possibilities") else None
                )
                if unknown and (where := self._where_else(unknown)):
                    said += where
                    vars(error)["possibilities"] = []  # options that are merely called alike
                vars(error)["message"] = "\n".join(map(without_middle, said.split("\n")))
            raise

    def _where_else(self, option: str) -> str:
        """A sentence on which commands have an option that the one which was called has not."""
        names = {
            name: {text for one in command.params for text in (*one.opts, *one.secondary_opts)}
            for name, command in self.commands.items()
        }
        having = [name for name, options in names.items() if option in options]
        return f". It is an option of {listed(having)}" if having else ""


class Command(WholeWords, TyperCommand):
    """A command whose help fits on a screen, at any width and in any encoding."""

    def get_help(self, ctx: Any) -> str:
        """What `--help` prints."""
        return of_command(self, ctx)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; which of two values was meant is not guessed."""
        self._tell_unknown(ctx, args)
        values, places, given = self.make_parser(ctx).parse_args(list(args))
        options = [one for one in self.params if isinstance(one, TyperOption)]
        for argument in (one for one in self.params if one not in options):
            value = values.get(argument.name) or ()
            places += [value] if isinstance(value, str) else value
        named = {name for one in options if not one.is_flag for name in one.opts}
        lists = {"optimiser_option", "optimizer_args"} & {one.name for one in given}
        for place in filter(None, places):
            name, equals, value = place.partition("=")
            if not equals or exists(Path(place)):
                continue
            if flag(name) in named:
                ctx.fail(f"{place}: write {command(flag(name), value)}")
            if lists:  # kohya's scripts take several after one name
                ctx.fail(f"{place}: write {command('--optimiser-option', place)}")
        for option, times in Counter(given).items():
            if times > 1 and option in options and not _repeats(option):
                name = "/".join([*option.opts, *option.secondary_opts])
                ctx.fail(f"{name} is given {times} times, and takes one value. Give it once.")
        left = list(super().parse_args(ctx, args))
        for several in (one.name for one in self.params if one.nargs == -1):
            ctx.params[several] = _matching(ctx.params[several])
        return left

    def _tell_unknown(self, ctx: Any, args: Sequence[str]) -> None:
        """Say of all options of other trainers at once what to do instead."""
        names = {name for one in self.params for name in (*one.opts, *one.secondary_opts)}
        if flag("max_train_steps") not in names:  # the command does not train
            return
        options = itertools.takewhile(lambda one: one != "--", args)
        given = dict.fromkeys(dashed(one.partition("=")[0]) for one in options)
        told = {name: INSTEAD.get(name[2:].replace("-", "_")) for name in given}
        lines = [f"{n}: {why}" for n, why in told.items() if why and n not in names]
        if lines:
            ctx.fail("there are no such options here\n  " + "\n  ".join(lines))


def _matching(names: Sequence[str] | None) -> list[str] | None:
    """Names of files, where `*.jpg` stands for several as elsewhere: no shell of Windows sees to
    it."""
    if not WINDOWS or names is None:
        return names if names is None else [*names]
    found = []
    for name in names:
        path = expand_home(name)
        matching = [] if exists(path) else sorted(glob(str(path)))  # noqa: PTH207 - of any folder
        found += matching or [name]
    return found


def _repeats(option: TyperOption) -> bool:
    """Whether an option may be given again: it takes several values, or is a switch without an
    opposite."""
    return option.multiple or (option.is_flag and not option.secondary_opts)
