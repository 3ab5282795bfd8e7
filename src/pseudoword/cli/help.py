"""Help pages: `--help` shows on one screen what people often use, `--help-all` shows everything.

An option that is `hidden` is left out of the first. Lines are broken between words, so the name of
no option is cut, however narrow the terminal is.
"""

import copy
import functools
import inspect
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import typer

WIDEST = 80
"""The most columns of a page; longer lines are hard to read."""

SIDE_BY_SIDE = 60
"""The fewest columns of a page on which a term and its meaning stand side by side."""

TERM_WIDTH = 26
"""The most columns of a term; a longer one has a line of its own."""

OTHER_NAMES = "Names elsewhere"
"""The group of options that are other names of options."""

HELP_ALL = "help_all"
"""The parameter behind `--help-all`."""

Rows = list[tuple[str, str]]
"""Terms, and what each means."""


class WholeWords:
    """A command whose line of usage is broken between words only."""

    def get_usage(self, ctx: Any) -> str:
        """How the command is called."""
        pieces = self.collect_usage_pieces(ctx)  # type: ignore[attr-defined]
        return "\n".join(_lines(" ".join(["Usage:", ctx.command_path, *pieces]), 0, hang=4))


def of_program(program: Any, ctx: Any) -> str:
    """The page of all commands, in their groups."""
    groups: dict[str, Rows] = {}
    for name in program.list_commands(ctx):
        command = program.commands[name]
        row = (name, _first_sentence(command.help or ""))
        groups.setdefault(command.rich_help_panel, []).append(row)
    more = f"Show this page. {ctx.command_path} COMMAND --help shows what a command takes."
    rows = [("-h, --help", more), ("-V, --version", "Show the version.")]
    return _page(program, ctx, groups | {"Help": rows})


def of_command(command: Any, ctx: Any, *, everything: bool = False) -> str:
    """The page of a command: its arguments and options, in their groups.

    Args:
        command: the command.
        ctx: how it was called.
        everything: whether to show hidden options too, the names that other trainers have, and all
            that is said of an option; else the page has the first sentence alone.
    """
    groups = groups_of(command, ctx, everything=everything)
    rare = [one for one in command.params if one.hidden and one.rich_help_panel != OTHER_NAMES]
    groups["Help"] = [("-h, --help", "Show what is often used." if rare else "Show this page.")]
    if rare:
        more = f"Show {len(rare)} more options, and more about each."
        groups["Help"].append(("--help-all", more))
    return _page(command, ctx, groups)


def groups_of(command: Any, ctx: Any, *, everything: bool) -> dict[str, Rows]:
    """The groups of a page, as in `of_command`, but for the help itself."""
    parameters = [one for one in command.params if one.name != HELP_ALL]
    rare = [one for one in parameters if one.hidden and one.rich_help_panel != OTHER_NAMES]
    groups: dict[str, Rows] = {}
    for one in parameters:
        if (everything or not one.hidden) and one.rich_help_panel != OTHER_NAMES:
            title = one.rich_help_panel or f"{one.param_type_name.capitalize()}s"
            row = _row(one, ctx, everything=everything or not rare)
            groups.setdefault(title, []).append(row)
    others = _other_names(parameters)
    if everything and others:
        groups[OTHER_NAMES] = others
    return groups


def with_help_all(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the option `--help-all`."""

    @functools.wraps(command)
    def run(**values: Any) -> None:
        values.pop(HELP_ALL)
        command(**values)

    own = inspect.signature(command)
    option = inspect.Parameter(
        HELP_ALL,
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, typer.Option("--help-all", is_eager=True, callback=_show_all)],
    )
    run.__signature__ = own.replace(  # type: ignore[attr-defined]
        parameters=[*own.parameters.values(), option]
    )
    return run


def _show_all(ctx: typer.Context, wanted: bool) -> None:
    if wanted:
        typer.echo(of_command(ctx.command, ctx, everything=True))
        raise typer.Exit


def _row(parameter: Any, ctx: Any, everything: bool) -> tuple[str, str]:
    shown = copy.copy(parameter)
    shown.hidden = False
    if not everything:
        shown.secondary_opts = []
        shown.help = _first_sentence(shown.help)
    term, meaning = shown.get_help_record(ctx)
    return term.split()[0] if parameter.param_type_name == "argument" else term, meaning


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".") + "."


def _other_names(parameters: Sequence[Any]) -> Rows:
    """The options that are other names of one option, side by side."""
    names: dict[str, list[str]] = {}
    for one in parameters:
        if one.rich_help_panel == OTHER_NAMES:
            names.setdefault(one.help, []).extend(one.opts)
    return [(", ".join(several), meaning) for meaning, several in names.items()]


def _page(command: Any, ctx: Any, groups: Mapping[str, Rows]) -> str:
    terms = [term for rows in groups.values() for term, _ in rows]
    column = 2 + max(len(term) for term in terms if len(term) <= TERM_WIDTH) + 2
    if _width() < SIDE_BY_SIDE:
        column = 6
    lines = [command.get_usage(ctx), "", *_lines(command.help, 2), ""]
    for title, rows in groups.items():
        lines.append(f"{title}:")
        for term, meaning in rows:
            lines += _entry(term, meaning, column)
    return "\n".join(lines)


def _entry(term: str, meaning: str, column: int) -> list[str]:
    """A term and what it means: from `column` on, beside the term if it is short enough."""
    head, body = _lines(term, 2, hang=4), _lines(meaning, column)
    if len(head[0]) + 2 <= column and len(head) == 1 and body:
        return [head[0].ljust(column) + body[0].lstrip(), *body[1:]]
    return head + body


def _lines(text: str, indent: int, hang: int = 0) -> list[str]:
    return textwrap.wrap(
        text,
        _width(),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hang),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _width() -> int:
    """Columns, but for the last: some terminals begin a new line behind it."""
    return min(shutil.get_terminal_size().columns, WIDEST) - 1
