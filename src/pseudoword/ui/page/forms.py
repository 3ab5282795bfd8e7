"""Controls made of settings: name, help, bounds, choices and defaults are those of `config`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import gradio as gr

from pseudoword.config import GenerateConfig, Settings, TrainConfig, group_of
from pseudoword.config.fields import OFTEN
from pseudoword.config.other_trainers.aliases import names_of
from pseudoword.errors import SettingsError

CALLED = {
    "also": "Further new words",
    "base": "Base model",
    "ema": "EMA",
    "init": "Starting word",
    "n": "Pictures",
    "negative": "Negative prompt",
    "token": "Name of the new word",
}
"""Settings that are called something else on the page than in the settings."""

_FLAG = re.compile(r"--(no-)?([a-z]+(?:-[a-z]+)*)")
BUTTONS = {
    "Run the same command again to go on": "Press “Go on”",
    "run the same command again; what was saved": "go on; what was saved",
    "run the same command again": "try again",
    "Resume it": "Press “Go on”",
    "resume it, and it goes on": "press “Go on”, and it goes on",
    "resume it": "press “Go on”",
    "; --words FILE gives one": " that was learned here on this base model",
}
"""What messages say of commands, and what it is on the page."""

LONGEST = 20_000
"""The most characters of a text that is typed into one control."""

TYPED: dict[str, Any] = {"max_length": LONGEST + 1}
"""For controls of text. What is longer, the browser cuts without a word: one character more than is
taken, so that `whole` refuses it."""

SEARCH = """(asked) => {
    const words = asked.toLowerCase().split(/[\\s_-]+/);
    for (const one of document.querySelectorAll("#%s .setting")) {
        const names = `${one.id} ${one.className}`.replace(/[-_]/g, " ");
        const text = `${names} ${one.textContent}`.toLowerCase();
        one.classList.toggle("unmatched", !words.every((word) => text.includes(word)));
    }
}"""
"""Runs in the browser: leaves only the settings in sight that have all the words."""


def label(name: str, kind: type[Settings]) -> str:
    """What a setting is called on the page: by its longer name, if it has one, such as `lr`."""
    names = _aliases(kind, name)
    called = names[0] if names and len(name) < 3 else name
    return CALLED.get(name) or called.replace("_", " ").capitalize()


def _aliases(kind: type[Settings], name: str) -> list[str]:
    """What other trainers call a setting."""
    return [other for other, field in names_of(kind).items() if field == name]


def in_words(text: str) -> str:
    """Help or a message, in which settings are called as on the page, not as on a command line."""

    def called(found: re.Match[str]) -> str:
        name = found[2].replace("-", "_")
        kinds = (kind for kind in (TrainConfig, GenerateConfig) if name in kind.model_fields)
        kind = next(kinds, None)
        off = " switched off" if found[1] else ""
        return f"“{label(name, kind)}”{off}" if kind else found[0]

    for command, button in BUTTONS.items():
        text = text.replace(command, button)
    return _FLAG.sub(called, text)


def lines_of(text: str) -> list[str]:
    """The lines of a text that is typed into one control, without those that are empty."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def whole(called: str, text: str) -> str:
    """`text` that was typed into a control, not cut by the browser.

    Raises:
        SettingsError: it may have been: it is too long.
    """
    if len(text) > LONGEST:
        raise SettingsError(f"“{called}” is too long: at most {LONGEST} characters are taken.")
    return text


def holds_path(annotation: Any) -> bool:
    """Whether a field is a file or folder, which a page never names."""
    return annotation is Path or any(map(holds_path, get_args(annotation)))


@dataclass(frozen=True)
class Form:
    """Controls for some fields of a kind of settings, in the order in which they were added."""

    kind: type[Settings]
    page: str
    """begins the ids of its controls"""
    controls: dict[str, Any] = field(default_factory=dict)
    shown_at_first: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, **own: Any) -> Any:
        """Show the control of field `name`; `own` counts more than what the field says."""
        made = _control(self.kind, name, f"{self.page}-{name}".replace("_", "-"), own)
        self.controls[name] = made
        self.shown_at_first[name] = _default(self.kind, name)
        return made

    def more(self, without: Sequence[str], **own: Mapping[str, Any]) -> None:
        """Show all other fields in their groups, below a search field; never files and folders.

        Args:
            without: fields to leave out.
            **own: of a field, what counts more than what the field says.
        """
        place = f"{self.page}-more"
        groups: dict[str, list[str]] = {}
        for name, one in self.kind.model_fields.items():
            if name not in self.controls and name not in without and not holds_path(one.annotation):
                groups.setdefault(group_of(self.kind, name), []).append(name)
        with gr.Column(elem_id=place, elem_classes="more"):
            search = gr.Textbox(
                label="Search the settings",
                placeholder="learning rate, mask, seed …",
                elem_id=f"{place}-search",
            )
            for heading, names in groups.items():
                with gr.Column(elem_classes="settings"):
                    gr.Markdown(f"## {heading}")
                    with gr.Row(equal_height=False):
                        for name in names:
                            self.add(name, **own.get(name, {}))
        search.change(
            None, search, None, js=SEARCH % place, show_progress="hidden", api_visibility="private"
        )

    @property
    def inputs(self) -> list[Any]:
        """The controls, to be an event's inputs or outputs."""
        return list(self.controls.values())

    def settings(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the user has set: what in the controls is not as it was at first.

        Args:
            values: id of a control -> what is in it.
        """
        found: dict[str, Any] = {}
        for name, control in self.controls.items():
            value = values[control.elem_id]
            if value in (None, "", []) or value == self.shown_at_first[name]:
                continue
            if not isinstance(value, str):
                found[name] = value
                continue
            text = whole(label(name, self.kind), value)
            several = get_origin(self.kind.model_fields[name].annotation) is tuple
            found[name] = lines_of(text) if several else text.strip()
        return found

    def filled(self, settings: Mapping[str, Any]) -> list[Any]:
        """Values for `inputs` that show `settings`, and the defaults of all others."""
        return [
            _shown(settings[name]) if name in settings else self.shown_at_first[name]
            for name in self.controls
        ]


def _control(kind: type[Settings], name: str, id_: str, own: dict[str, Any]) -> Any:
    found = kind.model_fields[name]
    marks = ["often"] if OFTEN in found.metadata else []
    marks += [f"also-{known}" for known in _aliases(kind, name)]  # for the search
    shared: dict[str, Any] = {
        "label": label(name, kind),
        "info": " ".join((in_words(found.description or "") + _bounds(found.metadata)).split()),
        "value": _default(kind, name),
        "elem_id": id_,
        "elem_classes": ["setting", *marks],
        "min_width": 260,
    }
    choices = _choices(found.annotation)
    several = get_origin(found.annotation) is tuple
    if "choices" in own:
        return gr.Dropdown(**shared | own)
    if choices and several:
        return gr.CheckboxGroup(**shared | {"choices": choices} | own)
    if choices:
        return gr.Dropdown(**shared | {"choices": choices} | own)
    plain = _plain(found.annotation)
    if plain is bool:
        return gr.Checkbox(**shared | own)
    if plain in {int, float} and shared["value"] is not None:
        whole = {"precision": 0} if plain is int else {}
        return gr.Number(**shared | whole | own)
    lines = {"lines": 2, "max_lines": 8} if several else {"max_lines": 1}
    return gr.Textbox(**shared | lines | TYPED | own)


def _default(kind: type[Settings], name: str) -> Any:
    found = kind.model_fields[name]
    if found.is_required():
        return None
    value = found.get_default(call_default_factory=True)
    choices_of_several = isinstance(value, tuple) and _choices(found.annotation)
    return list(value) if choices_of_several else _shown(value)


def _shown(value: Any) -> Any:
    """A value as a control holds it: several texts are lines."""
    if isinstance(value, tuple | list):
        return "\n".join(map(str, value))
    return value if isinstance(value, bool | int | float | NoneType) else str(value)


def _choices(annotation: Any) -> list[str]:
    """The names that a field takes, if it takes nothing else."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return list(parts)
    if get_origin(annotation) is tuple:
        return _choices(parts[0])
    return []


def _plain(annotation: Any) -> Any:
    """int, float or bool, perhaps with None; else str."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        kinds = {_plain(part) for part in get_args(annotation)} - {NoneType}
        return kinds.pop() if len(kinds) == 1 else str
    return annotation if annotation in {int, float, bool, NoneType} else str


def _bounds(metadata: Sequence[Any]) -> str:
    """The smallest and the largest value of a number.

    The settings hold it to that, and name it: what Gradio says does not tell which number it is.
    """
    told = []
    for words, bound in (
        ("at least", "ge"),
        ("more than", "gt"),
        ("at most", "le"),
        ("below", "lt"),
    ):
        for one in metadata:
            value = getattr(one, bound, None)
            if value is not None and abs(value) < 2**53:
                told.append(f"{words} {value:g}" if abs(value) < 1e6 else f"{words} {value:,}")
    return f" ({', '.join(told)})" if told else ""
