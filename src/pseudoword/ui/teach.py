"""The tab where words are taught: pictures, a name, one button; and all settings, if wanted."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from pseudoword.config import TrainConfig
from pseudoword.config.fields import AUTO
from pseudoword.errors import PseudowordError
from pseudoword.text import duration
from pseudoword.ui import pieces
from pseudoword.ui.desk import Desk
from pseudoword.ui.estimates import Estimate
from pseudoword.ui.events import LATEST, PRIVATE, QUIET, in_turn, sentence, told
from pseudoword.ui.forms import Form
from pseudoword.ui.picture_panel import PicturePanel, existing
from pseudoword.ui.pictures import Picture
from pseudoword.ui.settings import NEVER, SENTENCES, bases
from pseudoword.ui.training_panel import TrainingPanel

KINDS = {"a thing": "subject", "a style": "style", "a person": "subject"}
"""What a word can be for, and the sentences that suit."""

BEGINNINGS = {"a thing": "object", "a style": "style", "a person": "person"}
"""The word to start from, if there is no better one."""

DECIDE_HOW_SEEN = (
    *("crop", "crops", "flip", "background", "mask", "unmasked_weight", "template"),
    *("resolution", "width", "height"),
)
"""Settings after whose change the pictures are looked at again."""

DECIDE_NEED = (
    "base", "resolution", "batch", "steps", "max_steps", "quantize", "gradient_checkpointing",
)  # fmt: skip
"""Settings after whose change memory and time are estimated again."""

OPTIMISERS = [
    *("AdamW", "Adam", "SGD", "RAdam", "NAdam", "Adafactor"),
    *("prodigyopt.Prodigy", "schedulefree.AdamWScheduleFree"),
]
"""Offered by name; any other of torch.optim may be typed."""


def token_of(name: str) -> str:
    """How a word that a person calls `name` is written in prompts: `my cat` as `<my-cat>`."""
    name = re.sub(r"\s+", "-", name.strip())
    return name if not name or re.search(r"[<>\[\]{}*@$]", name) else f"<{name}>"


def settings_of(
    form: Form, kind: str, values: Sequence[Any], pictures: Sequence[Picture]
) -> dict[str, Any]:
    """Settings of a training; what was not set follows from what the word is for.

    Captions and masks that are there are used.
    """
    found = form.settings(values)
    captioned = kind != "a style" and any(one.caption for one in pictures)
    found.setdefault("template", "captioned" if captioned else KINDS[kind])
    if any(one.masked for one in pictures):
        found.setdefault("mask", "file")
    return found


def needs(found: Estimate, config: TrainConfig) -> str:
    """Memory and time, as HTML."""
    need = found.plan.need(config.quantize, config.gradient_checkpointing, offload=config.offload)
    memory = f"It needs about {pieces.size(need.nbytes)} of memory"
    most = "at most " if config.steps is AUTO else ""
    if found.seconds is None:
        return pieces.note(
            f"{memory}. How long it takes is known after the first steps; {most}"
            f"{found.steps} of them are made."
        )
    return pieces.note(
        f"{memory}, and {most}about {duration(found.seconds)} for {found.steps} steps."
    )


def base_choice(desk: Desk) -> dict[str, Any]:
    """How the control of the base model differs from what its field says: a page names no files."""
    return {
        "label": "Base model",
        "info": "A model that came with pseudoword, one in the folder models/ of the workspace, or "
        "the id of one on the Hugging Face hub, such as owner/name or owner/name@revision.",
        "choices": bases(desk.workspace),
        "allow_custom_value": True,
    }


def build(desk: Desk, opened: Any) -> TrainingPanel:
    """The tab; returns its trainings.

    Args:
        desk: what the page works on.
        opened: the event of a page that is opened.
    """
    form = Form(TrainConfig, "teach")
    with gr.Row(elem_classes="two", equal_height=False):
        with gr.Column(scale=3, min_width=340):
            pictures = PicturePanel(desk)
            with gr.Group():
                with gr.Row():
                    name = gr.Textbox(
                        label="Name of the new word",
                        info="As you will write it in prompts.",
                        placeholder="my-cat",
                        max_lines=1,
                        max_length=200,
                        elem_id="name",
                    )
                    form.add(
                        "init",
                        label="Starting word",
                        info="A known word for the same kind of thing; learning starts from it.",
                        elem_id="init",
                    )
                kind = gr.Radio(list(KINDS), value="a thing", label="It is", elem_id="kind")
                form.add("base", **base_choice(desk))
            need = gr.HTML(elem_id="need")
            start = gr.Button("Teach", variant="primary", size="lg", elem_id="teach-start")
            told_start = gr.HTML(elem_id="start-told")
            with gr.Accordion("All settings", open=False, elem_id="all-settings"):
                sentences = gr.Textbox(
                    label="Sentences of your own to learn in, one a line",
                    info="Each with [name] where the word belongs, and [filewords] where a "
                    "picture's caption does. They are used instead of “Template”.",
                    lines=2,
                    max_lines=8,
                    max_length=10_000,
                )
                form.more(
                    without=[*NEVER, "token"],
                    template={"choices": list(SENTENCES)},
                    optimiser={"choices": OPTIMISERS, "allow_custom_value": True},
                )
        with gr.Column(scale=2, min_width=340):
            training = TrainingPanel(desk)
    _connect(desk, opened, form, pictures, training, name, kind, sentences, need, start, told_start)
    return training


def _connect(
    desk: Desk,
    opened: Any,
    form: Form,
    pictures: PicturePanel,
    training: TrainingPanel,
    name: Any,
    kind: Any,
    sentences: Any,
    need: Any,
    start: Any,
    told_start: Any,
) -> None:
    """Let events happen."""

    def looked_with(data_set: str, values: Sequence[Any]) -> tuple[Mapping[str, Any], str]:
        called, which, *others = values
        found = settings_of(form, which, others, desk.data_sets.pictures(data_set))
        return found, token_of(called or "")

    def estimated(data_set: str, called: str, which: str, *values: Any) -> str:
        if not existing(desk, data_set):
            return ""
        try:
            config = desk.queue.config(
                data_set,
                token_of(called) or "<word>",
                **settings_of(form, which, values, desk.data_sets.pictures(data_set)),
            )
            return needs(desk.queue.estimate(config), config)
        except PseudowordError:  # told when it is started
            return ""

    def refused(why: str) -> list[Any]:
        return [pieces.note(why, "error"), gr.skip(), gr.skip(), gr.skip()]

    def started(data_set: str, own: str, called: str, which: str, *values: Any) -> list[Any]:
        if not (called or "").strip():
            return refused("Give the new word a name first.")
        if not existing(desk, data_set):
            return refused("Drop three to five pictures of the same thing first.")
        try:
            job = desk.queue.submit(
                data_set,
                token_of(called),
                sentences=[line.strip() for line in (own or "").splitlines() if line.strip()],
                **settings_of(form, which, values, desk.data_sets.pictures(data_set)),
            )
        except (PseudowordError, OSError) as error:
            return refused(sentence(error))
        return [pieces.note(f"{job.token} is in the queue.", "good"), "", {}, time.monotonic()]

    changed = {one: control.change for one, control in form.controls.items()}
    inputs = [name, kind, *form.inputs]
    pictures.connect(
        opened, looked_with, inputs, [name.blur, *(changed[one] for one in DECIDE_HOW_SEEN)]
    )
    kind.input(BEGINNINGS.get, kind, form.controls["init"], **LATEST, **QUIET)
    gr.on(
        [opened, pictures.gallery.change, *(changed[one] for one in DECIDE_NEED)],
        estimated,
        [pictures.data_set, *inputs],
        need,
        show_progress="hidden",
        **LATEST,
        **in_turn("estimate"),
    )
    training.connect(opened)
    start.click(
        told(started),
        [pictures.data_set, sentences, *inputs],
        [told_start, training.chosen, training.seen, training.asked],
        **PRIVATE,
    )
