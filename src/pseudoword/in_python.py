"""What the public functions say to who calls them from Python, where options are arguments.

The command line and the page use the same functions of `api`, and say it in their own ways.
"""

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, wraps
from typing import ParamSpec, TypeVar, get_args, get_type_hints

from pseudoword import config
from pseudoword.config.other_trainers.aliases import names_of
from pseudoword.errors import PseudowordError, StoppedError, is_out_of_memory
from pseudoword.keywords import KINDS
from pseudoword.process_wide import ProcessWide, without_notices
from pseudoword.progress import Logged, PassedOn, Progress
from pseudoword.runs.interrupt import Interrupted, StoppedAtOnce
from pseudoword.text import nearest

P = ParamSpec("P")
R = TypeVar("R")

_OPTION = re.compile(r"(?<![\w-])(?:--(no-)?([a-z]+(?:-[a-z]+)+|[a-z]{2,})|-(n))(?![\w-])")

_WRONG = re.compile(r"^(configs\[\d+\]: )?--([^:]+)(?=: (?:should|there is no such setting))")
"""What a message begins with: that setting is wrong, be it a switch or nothing known."""

_COMMAND = re.compile(r"\bpseudoword [a-z]")
"""A line with a command in it is to be typed in a terminal."""


_CALLS = {
    "Run the same command again": "Call it again",
    "run the same command again": "call it again",
    "he same command": "he same call",
    "this command did not": "this call did not",
}
"""What messages say of commands, and what it is of calls."""


def in_python(text: str) -> str:
    """A message in which options are called as arguments: `--overwrite` as `overwrite=True`.

    Nor does it speak of running a command again, but of a call.

    What belongs to a line of prompts, such as `--s 20`, stays.
    """
    for command, call in _CALLS.items():
        text = text.replace(command, call)
    return "\n".join(
        line if _COMMAND.search(line) else _OPTION.sub(_argument, _WRONG.sub(_name, line))
        for line in text.split("\n")
    )


def _listed(function: Callable[..., object]) -> inspect.Signature:
    """Its signature, in which the settings are arguments: so notebooks and shells complete them.

    `**settings` stays: it takes them by the names of other trainers, too.
    """
    written = inspect.signature(function)
    taken = get_type_hints(function).get("settings")
    if taken is None:
        return written
    (of,) = get_args(taken)
    defaults = KINDS[of].model_construct().model_dump(mode="json")
    settings = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=hint
        )
        for name, hint in get_type_hints(of).items()
    ]
    *own, others = written.parameters.values()
    return written.replace(parameters=[*own, *settings, others])


def _name(found: re.Match[str]) -> str:
    return f"{found[1] or ''}`{found[2].replace('-', '_')}`"


def _argument(found: re.Match[str]) -> str:
    name = (found[2] or found[3]).replace("-", "_")
    if name not in _switches():
        return found[0]
    if found[1]:
        return f"`{name}=False`"
    return f"`{name}=True`" if _switches()[name] else f"`{name}`"


@cache
def _switches() -> dict[str, bool]:
    """All arguments and settings, and whether they are only on or off."""
    from pseudoword import api

    functions = [one for one in vars(api).values() if inspect.isfunction(one)]
    arguments = {
        name: one.annotation is bool
        for function in functions
        for name, one in inspect.signature(function).parameters.items()
    }
    kinds = [
        one
        for one in vars(config).values()
        if isinstance(one, type) and issubclass(one, config.Settings)
    ]
    fields = {
        name: field.annotation is bool
        for kind in kinds
        for name, field in kind.model_fields.items()
    }
    other_names = {name: False for kind in kinds for name in names_of(kind)}
    return other_names | arguments | fields


class InPython(PassedOn):
    """Passes everything on; notes are told `in_python`."""

    def note(self, text: str) -> None:
        """Passed on."""
        super().note(in_python(text))


def _tell(error: BaseException) -> None:
    """Tell what an error says, and its notes, `in_python`."""
    error.args = tuple(in_python(one) if isinstance(one, str) else one for one in error.args)
    if hasattr(error, "__notes__"):
        error.__notes__ = [*map(in_python, error.__notes__)]


def _suggest(error: PseudowordError, name: str, meant: str) -> None:
    """Where `name` is no setting, and is like none, tell which argument may be meant."""
    unknown = f"`{name}`: there is no such setting"
    if meant and str(error).endswith(unknown):
        error.args = (f"{error}; did you mean `{meant}`?",)


def _forget_locals(error: BaseException | None, earlier: BaseException | None) -> None:
    """Let go of what the functions had that an error has ended, a base model for example.

    Notebooks and pools of workers keep errors, and these keep it all until they are gone.
    `earlier` is an error that the caller was handling before: what that has stays.
    """
    while error is not None and error is not earlier:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


@contextmanager
def _usual_modes() -> Iterator[None]:
    """While open, this thread computes as torch does by itself, whatever the caller has chosen.

    Without gradients nothing would be learned, and in autocast other numbers, without a word.
    """
    import torch

    gpu = torch.accelerator.current_accelerator()
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(mode=False))
        modes.enter_context(torch.enable_grad())
        for kind in ("cpu", gpu.type if gpu else "cpu"):
            if torch.is_autocast_enabled(kind):
                modes.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        yield


def _float32_by_default() -> AbstractContextManager[None]:
    import torch

    from pseudoword.models.loading.loaders import by_default

    return by_default(torch.float32)


_usual_dtype = ProcessWide(_float32_by_default)


@cache
def for_python(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, whose errors and notes are told `in_python`; torch's modes are the usual ones.

    Without a `progress`, notes are logged.
    """
    arguments = inspect.signature(function).parameters
    shows = "progress" in arguments

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        earlier, given = sys.exception(), kwargs.get("progress")
        if shows and given is None:
            kwargs["progress"] = InPython(Logged())
        elif isinstance(given, Progress) and not isinstance(given, type):  # else it is refused
            kwargs["progress"] = InPython(given)
        try:
            with without_notices, _usual_dtype, _usual_modes():
                return function(*args, **kwargs)
        except PseudowordError as error:
            _tell(error)
            for name in kwargs.keys() - arguments.keys():
                _suggest(error, name, nearest(name, arguments))
            _forget_locals(error, earlier)
            raise
        except KeyboardInterrupt as stop:
            _forget_locals(stop, earlier)
            if isinstance(stop, Interrupted | StoppedAtOnce):
                _tell(stop)
            if isinstance(stop, Interrupted) and stop.requested:
                # a KeyboardInterrupt would end the loop of asyncio, or a whole service
                raise StoppedError(str(stop)) from None
            raise
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                _forget_locals(error, earlier)
            raise

    called.__signature__ = _listed(function)  # type: ignore[attr-defined]
    called.__module__ = "pseudoword"  # where pickle finds it, as other processes need
    return called
