"""How a command of the command line is made: options out of settings, errors into messages."""

import copy
import functools
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from pseudoword import lookup
from pseudoword.cli.help import OTHER_NAMES, with_help_all
from pseudoword.cli.terminal import complain
from pseudoword.config import Settings, flag, group_of
from pseudoword.config.fields import OFTEN, Auto
from pseudoword.config.other_trainers.aliases import names_of
from pseudoword.config.rates import Rates
from pseudoword.errors import PseudowordError, SettingsError, is_ctrl_c
from pseudoword.text import brief

STOPPED = "stopped; nothing was lost that had been saved"


AS_OPTION = "argument_as_option"
"""The parameter behind the name of an argument with two dashes before it."""


def guarded(command: Callable[..., None]) -> Callable[..., None]:
    """Turn errors on purpose into a message and exit code 2, Ctrl-C into 130; add --help-all."""

    @with_help_all
    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        _quiet_libraries()
        try:
            command(*args, **kwargs)
        except PseudowordError as error:
            notes = getattr(error, "__notes__", [])
            complain("\n".join([f"error: {error}", *notes]), red=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt as stop:
            complain(str(stop) or STOPPED)
            raise typer.Exit(getattr(stop, "exit_code", 130)) from None
        except OSError as error:
            where = f" {error.filename}:" if error.filename else ""
            complain(f"error:{where} {error.strerror or error}", red=True)
            raise typer.Exit(2) from None
        except Exception as error:
            if not is_ctrl_c(error):
                raise
            complain(STOPPED)
            raise typer.Exit(130) from None

    return run


def settings_from(
    kind: type[Settings],
    argument: str = "",
    *,
    or_file: bool = False,
    without: Collection[str] = (),
) -> Callable[[Any], Any]:
    """Replace a command's `**settings` by one option per field of `kind`.

    The command gets those that the user gave; defaults are the settings' own.

    Args:
        kind: the settings.
        argument: the field that becomes a positional argument.
        or_file: what is required may also come from a file, so the command checks that itself.
        without: fields that the command sets itself.
    """

    def apply(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        kept = [p.replace(annotation=_grouped(p.annotation, kind.heading)) for p in kept]
        fields = [name for name in kind.model_fields if name not in without]
        made = [_parameter(kind, name, name == argument, or_file) for name in fields]
        others = {n: field for n, field in names_of(kind).items() if field not in without}
        made.sort(key=lambda p: p.default is not p.empty)  # what is required comes first

        @functools.wraps(command)
        def run(*args: Any, _context: typer.Context, **values: Any) -> None:
            unsaid = {
                name
                for name in (*fields, *others)
                if not _said(_context.get_parameter_source(name))
            }
            given = {name: v for name, v in values.items() if name not in unsaid}
            if (as_option := given.pop(AS_OPTION, None)) is not None:
                if argument in given:
                    two = f"{argument.upper()} and {flag(argument)}"
                    raise SettingsError(f"{two} are two names of one setting. Give one of them.")
                given[argument] = as_option
            command(*args, **given)

        context = inspect.Parameter(
            "_context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
        )
        shared = [p for p in made if group_of(kind, p.name) != kind.heading]
        of_it_alone = [p for p in made if p not in shared]
        aliases = [_alias(kind, name, field, argument) for name, field in others.items()]
        if argument:
            aliases.append(_alias(kind, argument, argument, argument).replace(name=AS_OPTION))
        parameters = [*shared, *kept, *of_it_alone, *aliases, context]
        parameters.sort(key=lambda p: p.kind)
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return apply


def _grouped(annotation: Any, title: str) -> Any:
    """The annotation of a command's own option or argument, on a help page below `title`."""
    kind, info = get_args(annotation)
    info = copy.copy(info)
    info.rich_help_panel = title
    return Annotated[kind, info]


def _said(source: Any) -> bool:
    return source is not None and source.name not in {"DEFAULT", "DEFAULT_MAP"}


def _parameter(
    kind: type[Settings], name: str, positional: bool, or_file: bool
) -> inspect.Parameter:
    field = kind.model_fields[name]
    annotation = _taken(kind, name)
    default: Any = None
    if not field.is_required():
        default = field.get_default(call_default_factory=True)
        if annotation is not bool and default is not None:
            default = [*map(str, default)] if get_origin(annotation) is list else str(default)
    elif or_file or name in names_of(kind).values():  # it may be given in another way
        annotation = annotation | None
    else:
        default = inspect.Parameter.empty
    shown: dict[str, Any] = {
        "help": field.description,
        "rich_help_panel": group_of(kind, name),
        "metavar": _metavar(field.annotation),
    }
    if positional:
        info: Any = typer.Argument(**shown | {"metavar": name.upper()}, show_default=False)
    else:
        off = f"/--no-{flag(name)[2:]}" if annotation is bool else ""
        hidden = OFTEN not in field.metadata
        info = typer.Option(f"{flag(name)}{off}", hidden=hidden, **shown)
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[annotation, info],
    )


def _alias(kind: type[Settings], name: str, field: str, argument: str) -> inspect.Parameter:
    """An option of another name of a field, which the settings know, too."""
    info = typer.Option(
        flag(name),
        help=f"Same as {field.upper() if field == argument else flag(field)}.",
        hidden=True,
        rich_help_panel=OTHER_NAMES,
        metavar=_metavar(kind.model_fields[field].annotation),
        show_default=False,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[_taken(kind, field) | None, info],
    )


def _taken(kind: type[Settings], name: str) -> Any:
    """How the command line takes a field: a switch as one, all else as text.

    The settings check that themselves. An empty text, for example, must not become the path of the
    current folder.
    """
    annotation = kind.model_fields[name].annotation
    if annotation is bool:
        return bool
    return list[str] if get_origin(annotation) is tuple else str


def _metavar(annotation: Any) -> str:
    """What stands for a value of this type on a help page."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if kind is Annotated or kind is tuple:
        return _metavar(parts[0])
    if kind is Literal:
        return f"<{' | '.join(parts)}>"
    if kind in {Union, UnionType}:
        inside = [_metavar(part)[1:-1] for part in parts if part is not type(None)]
        return f"<{' | '.join(inside)}>"
    known = {int: "<number>", float: "<number>", Path: "<path>", Auto: "<auto>", Rates: "<rate>"}
    return known.get(annotation, "<text>")


def file_path(text: str) -> Path:
    """A file or folder on the command line; an empty argument does not name the current folder."""
    if not str(text).strip() or "\0" in str(text) or len(str(text)) > lookup.MAX_PATH_CHARS:
        raise typer.BadParameter(
            f"{brief(str(text)) or repr(text)} is the name of no file or folder."
        )
    if str(text) == lookup.STREAM:
        raise typer.BadParameter(lookup.NO_STREAM)
    return lookup.expand_home(str(text))


def file_or_folder(text: str) -> str:
    """As `file_path`, and a slash at its end, which says that it is a folder, stays."""
    path = file_path(text)
    return f"{path}/" if text.endswith(("/", os.sep)) else str(path)


def check_there(settings: Settings, *concepts: str, flag: str = "") -> None:
    """Check that what a command reads is there, before it imports torch: that takes seconds.

    Args:
        settings: those of the command.
        concepts: embedding files, run's folders or hub ids.
        flag: their option.

    Raises:
        PseudowordError: it is not there.
    """
    for concept in concepts:
        lookup.concept_place(lookup.split_token(concept, flag)[0], flag)
    settings.check_there()


def check_queue_there(address: str) -> None:
    """As `check_there`, of a queue in a folder.

    Raises:
        SettingsError: it is not there.
    """
    if "://" not in address:
        instead = "`pseudoword submit` makes a queue."
        lookup.check_there([file_path(address)], instead, SettingsError)


def dashed(name: str) -> str:
    """The name of an option as it is here; other trainers have `_` in theirs."""
    return name.replace("_", "-")


text_option = functools.partial(typer.Option, metavar="<text>")
"""An option of a command itself that takes a text."""

path_option = functools.partial(typer.Option, metavar="<path>", parser=file_path)
"""An option of a command itself that takes a path."""


def _quiet_libraries() -> None:
    """Keep other libraries' loading bars and notices out of the way of ours."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_SYMLINKS_WARNING", "1")  # Windows has none for most
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    for library in ("bitsandbytes", "matplotlib"):
        logging.getLogger(library).setLevel(logging.ERROR)
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", category=FutureWarning)
