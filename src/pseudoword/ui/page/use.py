"""The tab where words are used: prompts, words to put into them, and what is drawn."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from pseudoword.config import GenerateConfig
from pseudoword.errors import ConceptError, PromptError, PseudowordError, SettingsError
from pseudoword.placeholders import named
from pseudoword.ui.desk import Desk
from pseudoword.ui.drawing import Drawn
from pseudoword.ui.library import Word
from pseudoword.ui.page import pieces
from pseudoword.ui.page.events import (
    EACH,
    LATEST,
    NEW_ID,
    PRIVATE,
    UNSEEN,
    in_turn,
    pressed,
    sentence,
    shown_id,
    told,
)
from pseudoword.ui.page.forms import TYPED, Form, whole
from pseudoword.ui.page.galleries import WordGallery
from pseudoword.ui.page.handed_out import hand_out
from pseudoword.ui.page.typed import Typed
from pseudoword.ui.page.uploads import arrived
from pseudoword.ui.settings import NEVER, base_choice
from pseudoword.ui.workspace import base_name

SCHEDULERS = [
    *("DDIM", "EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep"),
    *("DPMSolverMultistep Karras", "DPMSolverSinglestep", "HeunDiscrete", "LMSDiscrete", "PNDM"),
    "UniPCMultistep",
]
"""Offered by name; any other of diffusers' may be typed."""

ONE_MODEL = in_turn("model")
"""Only one drawing runs at a time, whoever asks for it."""

IN_TURN = in_turn("words to use")

WRITE = """(answer, ...held) => {
    if (!answer) return ["", ...held];
    const [at, token, sent, written] = JSON.parse(answer);
    const now = held[at] ?? "";
    const added = now.includes(token) ? now : `${now} ${token}`.trim();
    held[at] = now === sent ? written : added;
    return ["", ...held];
}"""
"""Runs in the browser: writes a word into one of the prompts, where something else may have been
typed, or written by an earlier press, since it was sent."""

MOST_TABS = 100
"""Of so many tabs of browsers the page knows what was drawn last."""

TAB_ID = f"""() => {{
    const known = sessionStorage.getItem("pseudoword-tab-id") ?? {NEW_ID};
    sessionStorage.setItem("pseudoword-tab-id", known);
    return [known, sessionStorage.getItem("pseudoword-drawing")];
}}"""
"""Runs in the browser: the id of this tab, by chance, which nobody else knows; and whether a
drawing that was asked for here has had no answer."""

ASKED = """(...asked) => {
    sessionStorage.setItem("pseudoword-drawing", "yes");
    return asked;
}"""
ANSWERED = "() => sessionStorage.removeItem('pseudoword-drawing')"

LOST = (
    "What was to be drawn here is lost: the page was stopped, or out of reach. Press the button "
    "once more."
)


class Shown:
    """A `Progress` on the page; what is told stays for the end."""

    def __init__(self, bar: gr.Progress) -> None:
        self._bar, self._phase = bar, ""
        self.notes: list[str] = []

    def phase(self, text: str) -> None:
        """Something begins."""
        self._phase = text
        self._bar(0, desc=text)

    def advance(self, done: int, total: int, detail: str = "") -> None:
        """It goes on."""
        self._bar((done, total), desc=f"{self._phase} {detail}".strip())

    def note(self, text: str) -> None:
        """Something to know."""
        self.notes.append(text)


def mentioned(words: Sequence[Word], *prompts: str) -> list[str]:
    """The ids of the words that are in a prompt."""
    meant = named([prompt or "" for prompt in prompts], [word.token for word in words])
    return [word.id for word in words if word.token in meant]


def with_token(prompt: str, token: str, known: Sequence[str]) -> str:
    """`prompt` with `token`, one of the `known`, in it: at its end, or in a sentence of its own."""
    prompt = (prompt or "").strip()
    if not prompt:
        return f"a photo of {token}"
    return prompt if token in named([prompt], known) else f"{prompt} {token}"


def handed(drawn: Sequence[Drawn]) -> list[tuple[str, str]]:
    """Drawn pictures for a gallery: files in which stands how they were drawn, and captions."""
    return [(hand_out(one.png, f"picture-{i}.png"), one.caption) for i, one in enumerate(drawn, 1)]


class DrawingPanel:
    """The controls of the tab."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.form = Form(GenerateConfig, "use")
        with gr.Row(elem_classes=["two", "asking"], equal_height=False):
            with gr.Column(scale=3, min_width=340):
                self._build_prompt()
            with gr.Column(scale=2, min_width=340):
                self._build_results()
        typed = [self.prompt, self.into, self.words.search, *self.form.inputs]
        self._typed = Typed("use", typed)

    def _build_prompt(self) -> None:
        self.prompt = gr.Textbox(
            label="Prompt",
            placeholder="a photo of …",
            lines=2,
            max_lines=6,
            **TYPED,
            elem_id="prompt",
        )
        self.negative = self.form.add("negative", lines=1, max_lines=4)
        self.words = WordGallery(
            self._desk,
            "Words: press one to write it into the prompt",
            6,
            "word-gallery",
            none="Words: none yet; teach one, or drop a file below",
        )
        self._answer = shown_id()  # of the server, on the word that was pressed
        self.into = gr.Radio(
            ["prompt", "negative prompt"], value="prompt", label="Write into the", elem_id="into"
        )
        self.draw = gr.Button("Draw", variant="primary", size="lg", elem_id="draw")
        with gr.Row():
            self.pair = gr.Button("With and without the word", size="sm", elem_id="pair")
            self.sweep = gr.Button("Compare saved copies", size="sm", elem_id="sweep")
        with gr.Row():
            self.form.add("n", min_width=150)
            self.form.add("sampler_steps", min_width=150)
            self.form.add("seed", min_width=150)
        with gr.Row():
            self.form.add("guidance", min_width=220)
            self.form.add("resolution", label="Size", min_width=220)
        with gr.Row():
            self.form.add("base", **base_choice(self._desk.workspace))
            self.form.add("scheduler", choices=SCHEDULERS, allow_custom_value=True, value=None)
        with gr.Accordion("All settings", open=False):
            self.form.more(without=[*NEVER])
        self.files = gr.File(
            label="Drop a word's file, or a picture: one that holds a word, or one to draw again",
            file_count="multiple",
            height=120,
            elem_id="bring",
        )
        self.brought = gr.HTML(elem_id="brought")

    def _build_results(self) -> None:
        self.results = gr.Gallery(
            label="Pictures",
            columns=2,
            fit_columns=False,
            height="auto",
            interactive=False,
            object_fit="contain",
            buttons=["download", "fullscreen"],
            format="png",
            elem_id="results",
        )
        self.told = gr.HTML()
        with gr.Row(visible=False) as self.choice:
            self.copy = gr.Dropdown([], label="The best copy is the one of step", scale=2)
            self.keep_copy = gr.Button("Keep that one as the word", scale=1)
        self.sheet = shown_id()  # the word whose copies there are to choose from
        self.tab_id = shown_id()  # of the browser's tab, which it has also after a reload
        self._unanswered = shown_id()  # whether a drawing was asked for before a reload
        self._last: dict[str, list[Any]] = {}  # id of a tab -> what was drawn there last

    @property
    def taken(self) -> list[Any]:
        """What `take` changes, after the tabs."""
        return [self.prompt, *self.words.shown]

    def take(self, word: str, prompt: str, search: str | None, ids: str | None) -> list[Any]:
        """Come here with a word in the prompt, beside what a person has written there."""
        token = self._desk.library.word(word).token
        known = [one.token for one in self._desk.library.words()]
        own = "" if re.fullmatch(r"a photo of \S+", prompt or "") else prompt
        listed = self.words.listed(search, ids)
        return [gr.Tabs(selected="use"), with_token(own, token, known), *listed]

    def connect(self, opened: Any, tab: Any) -> None:
        """Let events happen.

        Args:
            opened: the event of a page that is opened.
            tab: its own.
        """
        words = self.words
        self._typed.connect(opened)
        prompts = [self.prompt, self.negative]
        asked = [self.tab_id, self._typed.values]
        shown = [self.results, self.told, self.choice]
        quietly: dict[str, Any] = {**UNSEEN, **IN_TURN}
        tab.select(told(words.listed), words.asked, words.shown, **LATEST, **quietly)
        words.connect(IN_TURN)
        pressing = [words.ids, self.into, *prompts]
        insert = words.gallery.select(
            told(self._inserted), pressing, self._answer, **EACH, **quietly
        )
        writing = [self._answer, *prompts]
        insert.then(None, writing, writing, js=WRITE, **EACH, **PRIVATE)
        swept = [*shown, self.copy, self.sheet]
        plain = [self.draw.click, self.prompt.submit]
        for presses, draw, changed in (
            (plain, self._plain, shown),
            ([self.pair.click], self._paired, shown),
            ([self.sweep.click], self._swept, swept),
        ):
            asks = self._typed.after(partial(gr.on, presses))
            drawn = asks(self._drawing(draw), asked, changed, js=ASKED, **ONE_MODEL)
            drawn.success(None, None, None, js=ANSWERED, **PRIVATE)
        of_tab = [self.tab_id, self._unanswered]
        known = opened(None, None, of_tab, js=TAB_ID, **PRIVATE)
        # In its turn: what is being drawn for the tab is waited for.
        back = known.then(told(self._again), of_tab, swept, **UNSEEN, **ONE_MODEL)
        back.success(None, None, None, js=ANSWERED, **PRIVATE)
        self.keep_copy.click(told(self._kept), [self.sheet, self.copy], [self.told], **ONE_MODEL)
        event, files = arrived(self.files)
        changed = [files, self.brought, *words.shown, self.prompt, *self.form.inputs]
        event.then(told(self._brought), [files, *words.asked], changed, **EACH, **IN_TURN)

    def _inserted(
        self, event: gr.SelectData, ids: str, where: str, prompt: str, negative: str
    ) -> str:
        """For `WRITE`: which prompt, the pressed word, and that prompt without and with it."""
        token = self._desk.library.word(pressed(event, ids)).token
        known = [word.token for word in self._desk.library.words()]
        if where == "prompt":
            return json.dumps([0, token, prompt, with_token(prompt, token, known)])
        written = with_token(negative, token, known) if negative else token
        return json.dumps([1, token, negative, written])

    def _drawing(self, draw: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        """The handler of a button that draws.

        Args:
            draw: called with the prompt, the ids of its words, and settings. It returns what it
                has drawn, and what else changes on the page.
        """

        def run(
            tab: str | None,
            typed: str,
            progress: gr.Progress = gr.Progress(),  # noqa: B008
        ) -> list[Any]:
            prompt, words, settings = self._asked(self._typed.read(typed))
            watch = Shown(progress)
            drawn, *changes = draw(prompt, words, progress=watch, **settings)
            answer = [handed(drawn), pieces.notes(watch.notes), *changes]
            if tab:  # else the page is so new that it has none yet
                self._remember(tab, answer)
            return answer

        return told(run)

    def _remember(self, tab: str, answer: list[Any]) -> None:
        """Have `answer` for when the tab is loaded again, which loses what it shows."""
        self._last.pop(tab, None)
        self._last[tab] = answer
        for oldest in [*self._last][:-MOST_TABS]:
            del self._last[oldest]

    def _again(self, tab: str, unanswered: str | None) -> list[Any]:
        """What was drawn last in that tab of a browser, unless its files are gone.

        Of what a page that was stopped was drawing, the next one knows nothing.
        """
        if unanswered and tab not in self._last:
            return [gr.skip(), pieces.note(LOST, "error"), *[gr.skip()] * 3]
        pictures, *others = self._last.get(tab) or [[]]
        there = [(path, caption) for path, caption in pictures if Path(path).is_file()]
        if not there:
            return [gr.skip()] * 5
        return [there, *others, *[gr.skip()] * (4 - len(others))]

    def _plain(self, prompt: str, words: Sequence[str], **settings: Any) -> list[Any]:
        """Pictures of the prompt."""
        return [self._desk.drawing.generate(prompt, words, **settings), gr.update(visible=False)]

    def _paired(self, prompt: str, words: Sequence[str], **settings: Any) -> list[Any]:
        """Pictures with the word and without it."""
        pairs = self._desk.drawing.with_and_without(prompt, _only(words), **settings)
        return [[one for pair in pairs for one in pair], gr.update(visible=False)]

    def _swept(self, prompt: str, words: Sequence[str], **settings: Any) -> list[Any]:
        """Pictures with each saved copy of the word, and which copies there are to choose from."""
        word = _only(words)
        copies = self._desk.library.copies(word)
        if not copies:
            raise PromptError(
                f"There are no saved copies of {self._desk.library.word(word).token} to compare. "
                "“Save every”, in all settings of “Teach”, keeps some while a word is learned."
            )
        drawn = self._desk.drawing.sweep(prompt, word, **settings)
        return [drawn, gr.update(visible=True), gr.update(choices=copies, value=None), word]

    def _kept(self, word: str, step: Any) -> list[Any]:
        """Make the chosen copy the word."""
        if step is None:
            raise SettingsError("Choose the step of a copy first.")
        now = self._desk.library.use_copy(word, int(step))
        return [pieces.note(f"{now.token} is now the copy of step {step}.", "good")]

    def _asked(self, values: Mapping[str, Any]) -> tuple[str, list[str], dict[str, Any]]:
        """The prompt, the ids of the words in the prompts, and the settings."""
        prompt = values["prompt"] or ""
        if not prompt.strip():
            raise PromptError("there is no prompt. Write what to draw, such as: a photo of a cat.")
        whole("Prompt", prompt)
        settings = self.form.settings(values)
        words = mentioned(self._desk.library.words(), prompt, str(settings.get("negative", "")))
        return prompt, words, settings

    def _brought(self, paths: Any, search: str | None, ids: str | None) -> list[Any]:
        """Take files: words into the library, and how a picture was drawn into the controls."""
        found, back = [], None
        for path in map(Path, [paths] if isinstance(paths, str) else paths or []):
            for message, read in _taken(self._desk, path):
                found.append(message)
                back = read or back
        filled: list[Any] = [gr.skip()] * (1 + len(self.form.inputs))
        if back:
            settings: Mapping[str, Any] = {**back.settings, "negative": back.negative}
            filled = [back.prompt, *self.form.filled(settings)]
        return [None, "".join(found), *self.words.listed(search, ids), *filled]


def _taken(desk: Desk, path: Path) -> Iterator[tuple[str, Any]]:
    """What a dropped file holds: messages, and how a picture was drawn if it says so."""
    nothing, name = "", base_name(path.name)
    try:
        for word in desk.library.add(path, name):
            yield pieces.note(f"{word.token} is in the library now.", "good"), None
    except ConceptError as error:
        nothing = sentence(error)
    except PseudowordError as error:
        yield pieces.note(sentence(error), "error"), None
    try:
        back = desk.drawing.read_back(path, name)
        yield pieces.note(f"The settings of {name} are in the controls now.", "good"), back
    except PseudowordError as error:
        if nothing:  # else that is told
            picture = path.suffix.lower() in {".png", ".webp", ".jpg", ".jpeg"}
            yield pieces.note(sentence(error) if picture else nothing, "error"), None


def _only(words: Sequence[str]) -> str:
    if len(words) != 1:
        raise PromptError(
            f"the prompts have {len(words)} words of the library in them; this compares one. Leave "
            "the others out."
            if words
            else "the prompt has no word of the library in it, and this compares one. Press one."
        )
    return words[0]
