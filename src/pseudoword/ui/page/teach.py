"""The tab where words are taught: pictures, a name, one button; and all settings, if wanted."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from pseudoword.config import BaseChoice, PrepareConfig, TrainConfig
from pseudoword.errors import PseudowordError
from pseudoword.example_files import EXAMPLE_INIT, EXAMPLE_NAME
from pseudoword.text import duration
from pseudoword.ui.desk import Desk
from pseudoword.ui.estimates import Estimate, estimate
from pseudoword.ui.library import token_of
from pseudoword.ui.page import pieces
from pseudoword.ui.page.events import (
    EACH,
    LATEST,
    PRIVATE,
    UNSEEN,
    in_turn,
    kept_by_browser,
    sentence,
    told,
)
from pseudoword.ui.page.forms import CALLED, TYPED, Form, lines_of, whole
from pseudoword.ui.page.picture_editor import IN_TURN
from pseudoword.ui.page.picture_panel import OF_DATA_SET, PicturePanel
from pseudoword.ui.page.training_panel import TrainingPanel
from pseudoword.ui.page.typed import Typed
from pseudoword.ui.pictures import Picture, by_name, names_of
from pseudoword.ui.settings import INIT_MODES, NEVER, SENTENCES, base_choice

KINDS = {"a thing": "subject", "a style": "style", "a person": "subject"}
"""What a word can be for, and the sentences that suit."""

BEGINNINGS = {"a thing": "object", "a style": "style", "a person": "person"}
"""The word to start from, if there is no better one."""

BEGIN = f"""(kind, init) => {{
    const first = {json.dumps(BEGINNINGS)};
    return !init || Object.values(first).includes(init) ? first[kind] : init;
}}"""
"""Runs in the browser: the word to start from for that kind, unless a person has written one."""

AS_EXAMPLE = f"""(name, init) => {{
    const own = init && !{json.dumps([*BEGINNINGS.values()])}.includes(init);
    return [name || {json.dumps(EXAMPLE_NAME)}, own ? init : {json.dumps(EXAMPLE_INIT)}];
}}"""
"""Runs in the browser: name and starting word for the example, unless a person has written them."""

UNTYPED = ["", "object", "a thing"]
"""Name, starting word and kind of a new word, before a person has said any."""

DECIDE_HOW_SEEN = {"base", "also"} | (PrepareConfig.model_fields.keys() - BaseChoice.model_fields)
"""Settings after whose change the pictures are looked at again."""

ALSO = (
    "Learned together with the first from the same pictures: one a line, with the words that it "
    "starts from, as in hat=red hat. Captions say which of them is in a picture: a [name] with a "
    "<hat>."
)

INTERRUPTED = """() => {
    const was = sessionStorage.getItem("pseudoword-interrupted");
    sessionStorage.removeItem("pseudoword-interrupted");
    return was ? %s : { __type__: "update" };
}"""
"""Runs in the browser: whoever has dropped pictures knows when they may not have arrived."""

NO_ERROR = """(told) => told?.includes('role="alert"') ? "" : told"""
"""Runs in the browser: takes away why something was refused."""

OPTIMISERS = [
    *("AdamW", "Adam", "SGD", "RAdam", "NAdam", "Adafactor"),
    *("prodigyopt.Prodigy", "schedulefree.AdamWScheduleFree"),
]
"""Offered by name; any other of torch.optim may be typed."""


def settings_of(
    form: Form, values: Mapping[str, Any], pictures: Sequence[Picture]
) -> dict[str, Any]:
    """Settings of a training; what was not set follows from what the word is for.

    Captions and masks that are there are used.
    """
    found, kind = form.settings(values), values["kind"]
    if "also" in found:
        found["also"] = [_also(line) for line in found["also"]]
    captioned = kind != "a style" and any(one.caption for one in pictures)
    with_captions = "filewords" if "also" in found else "captioned"
    found.setdefault("template", with_captions if captioned else KINDS[kind])
    if any(one.masked for one in pictures):
        found.setdefault("mask", "file")
    return found


def _also(line: str) -> str:
    """A further new word, and the words it starts from, as the settings have it."""
    name, equals, init = line.partition("=")
    return token_of(name) + equals + init


def needs(found: Estimate, config: TrainConfig) -> str:
    """Memory and time, as HTML."""
    need = found.plan.need(config.quantize, config.gradient_checkpointing, offload=config.offload)
    memory = f"It needs about {pieces.size(need.nbytes)} of memory"
    steps, each = f"{found.steps} steps", found.seconds_per_step
    if found.soonest < found.steps:
        steps = f"{found.soonest} to {steps}, since it stops by itself"
    if each is None:
        return pieces.note(
            f"{memory}. How long it takes is known after the first steps; there will be {steps}."
        )
    seconds = [duration(each * last) for last in (found.soonest, found.steps)]
    return pieces.note(f"{memory}, and about {' to '.join(dict.fromkeys(seconds))} for {steps}.")


class TeachPanel:
    """The controls of the tab; its trainings are in `training`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._form = Form(TrainConfig, "teach")
        self._word = kept_by_browser(UNTYPED, "typed")
        with gr.Row(elem_classes="two", equal_height=False):
            with gr.Column(scale=3, min_width=340):
                self._pictures = PicturePanel(desk, self._looked_with)
                self._build_word()
                self._need = gr.HTML(elem_id="need")
                self._start = gr.Button(
                    "Teach", variant="primary", size="lg", elem_id="teach-start"
                )
                self._told = gr.HTML(elem_id="start-told")
                with gr.Accordion("All settings", open=False):
                    self._build_settings()
                typed = [self._sentences, self._name, self._kind, *self._form.inputs]
                self._typed = Typed("teach", typed)
            with gr.Column(scale=2, min_width=340):
                self.training = TrainingPanel(desk)

    def _build_word(self) -> None:
        with gr.Group():
            with gr.Row():
                self._name = gr.Textbox(
                    label=CALLED["token"],
                    info="In prompts it stands in angle brackets: my cat is <my-cat>.",
                    placeholder="my-cat",
                    max_lines=1,
                    **TYPED,
                    elem_id="name",
                )
                self._form.add(
                    "init",
                    info="A known word for the same kind of thing; learning starts from it.",
                    elem_id="init",
                )
            self._kind = gr.Radio(list(KINDS), value="a thing", label="It is", elem_id="kind")
            self._form.add("base", **base_choice(self._desk.workspace))

    def _build_settings(self) -> None:
        self._sentences = gr.Textbox(
            label="Sentences of your own to learn in, one a line",
            info="Each with [name] where the word belongs, and [filewords] where a picture's "
            "caption does. They are used instead of “Template”.",
            elem_id="sentences",
            lines=2,
            max_lines=8,
            **TYPED,
        )
        self._form.more(
            without=[*NEVER, "token"],
            template={"choices": list(SENTENCES)},
            init_mode={"choices": list(INIT_MODES)},
            also={"info": ALSO},
            optimiser={"choices": OPTIMISERS, "allow_custom_value": True},
        )

    def connect(self, opened: Any) -> None:
        """Let events happen.

        Args:
            opened: the event of a page that is opened.
        """
        pictures, training, controls = self._pictures, self.training, self._form.controls
        values = self._typed.values
        decide = [control.change for one, control in controls.items() if one in DECIDE_HOW_SEEN]
        looked_anew = [self._name.blur, self._kind.change, *decide]
        word = [self._name, controls["init"], self._kind]
        keep: dict[str, Any] = {"js": "(...word) => [word]", **EACH, **PRIVATE}
        # When a field is left: while it is typed into, the browser still tells the text before.
        gr.on([one.blur for one in word[:2]], None, word, self._word, **keep)
        # What is typed while the page is loaded counts more than what was typed before.
        js = f"(kept, ...now) => `${{now}}` === `${{{json.dumps(UNTYPED)}}}` ? kept : now"
        back = self._typed.connect(opened)
        again = self._typed.after(back.then(None, [self._word, *word], word, js=js, **PRIVATE).then)
        named = pictures.example.click(None, word[:2], word[:2], js=AS_EXAMPLE, **PRIVATE)
        named.then(None, word, self._word, **keep)
        exampled = self._typed.after(named.then)
        # What was missing may be there now; the next press tells what still is. Here, not behind
        # what asks the server: by its answer, that press may have told it.
        for left in (self._name.blur, controls["init"].blur, named.then):
            left(None, self._told, self._told, js=NO_ERROR, **EACH, **PRIVATE)
        pictures.connect(again, values, looked_anew, exampled, self._start)
        for dropped in pictures.dropped:
            dropped(None, self._told, self._told, js=NO_ERROR, **EACH, **PRIVATE)
        kind = [self._kind, controls["init"]]
        began = self._kind.input(None, kind, controls["init"], js=BEGIN, **EACH, **PRIVATE)
        began.then(None, word, self._word, **keep)
        gr.on(
            [pictures.gallery.change, values.change],
            self._estimated,
            [pictures.data_set, values],
            self._need,
            **UNSEEN,
            **LATEST,
            **in_turn("estimate"),
        )
        training.connect(opened)
        lost = pieces.note(
            "The page was loaded again while pictures were on their way. Drop those once more that "
            "you do not see.",
            "error",
        )
        opened(None, None, self._told, js=INTERRUPTED % json.dumps(lost), **PRIVATE)
        self._typed.after(self._start.click)(
            told(self._started),
            [pictures.data_set, values],
            [self._told, training.chosen, training.seen, training.asked],
            js=OF_DATA_SET,
            **IN_TURN,
        )

    def _settings(self, data_set: str, values: Mapping[str, Any]) -> dict[str, Any]:
        return settings_of(self._form, values, self._desk.data_sets.pictures(data_set))

    def _looked_with(self, data_set: str, typed: str) -> tuple[dict[str, Any], str]:
        """The settings to look at the pictures with, and how the word is written."""
        values = self._typed.read(typed)
        return self._settings(data_set, values), token_of(values["name"] or "")

    def _estimated(self, data_set: str, typed: str) -> str:
        """What a training would need, as HTML."""
        try:
            if not self._desk.data_sets.has(data_set):
                return ""
            settings, token = self._looked_with(data_set, typed)
            config = self._desk.queue.config(data_set, token or "<word>", **settings)
            return needs(estimate(self._desk.workspace, config), config)
        except (PseudowordError, OSError):  # told when it is started
            return ""

    def _started(self, data_set: str, typed: str) -> list[Any]:
        """Put a training into the queue, and look at it."""
        values = self._typed.read(typed)
        name = (values["name"] or "").strip()
        if not name:
            return _refused("Give the new word a name first.")
        try:
            if not self._desk.data_sets.has(data_set):
                return _refused(
                    "Drop three to five pictures of the same thing first, and wait until you see "
                    "them."
                )
            own = lines_of(whole("Sentences of your own", values["sentences"] or ""))
            settings = self._settings(data_set, values)
            job = self._desk.queue.submit(data_set, token_of(name), sentences=own, **settings)
        except (PseudowordError, OSError) as error:
            names = names_of(self._desk.data_sets.pictures(data_set))
            return _refused(by_name(sentence(error), names))
        return [
            pieces.note(f"{job.called} was put into the queue.", "good"),
            "",
            {},
            time.monotonic(),
        ]


def _refused(why: str) -> list[Any]:
    return [pieces.note(why, "error"), gr.skip(), gr.skip(), gr.skip()]
