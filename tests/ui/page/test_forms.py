"""Controls are made of the settings: no name, bound, choice, default or help is declared twice."""

import errno
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from pseudoword.config import TrainConfig
from pseudoword.errors import SettingsError
from pseudoword.files import storage_error
from pseudoword.ui.desk import Desk
from pseudoword.ui.page import app
from pseudoword.ui.page.forms import CALLED, LONGEST, Form, holds_path, in_words, label
from pseudoword.ui.settings import NEVER


@pytest.fixture
def form() -> Form:
    made = Form(TrainConfig, "test")
    with gr.Blocks():
        made.add("token")
        made.more(without=[*NEVER, "token"])
    return made


def test_every_setting_but_files_has_a_control(form: Form) -> None:
    files = {name for name, f in TrainConfig.model_fields.items() if holds_path(f.annotation)}
    assert files == {"pictures", "out"}
    assert files <= NEVER
    assert form.controls.keys() == TrainConfig.model_fields.keys() - NEVER


def test_bounds_choices_and_defaults_are_those_of_the_fields(form: Form) -> None:
    batch, crop = form.controls["batch"], form.controls["crop"]
    assert batch.value == 4
    assert batch.info.endswith("(at least 1, at most 4096)")
    assert [value for _, value in crop.choices] == ["centre", "random", "focal", "buckets"]
    assert crop.value == "centre"
    assert form.controls["flip"].value is False
    described = " ".join((TrainConfig.model_fields["flip"].description or "").split())
    assert form.controls["flip"].info == described


def typed(form: Form, values: Iterable[Any]) -> dict[str, Any]:
    """What is in the controls, by their ids, with these values."""
    ids = [control.elem_id for control in form.controls.values()]
    return dict(zip(ids, values, strict=True))


def test_controls_that_nobody_has_touched_set_nothing(form: Form) -> None:
    assert form.settings(typed(form, form.shown_at_first.values())) == {}


def test_what_is_set_can_be_shown_again(form: Form) -> None:
    values = dict(form.shown_at_first) | {"batch": 2, "average": False, "resolution": "64"}
    values |= {"preview": "a [name]\n\n a red [name] ", "log": ["csv"], "schedule": "cosine"}
    found = form.settings(typed(form, values.values()))
    assert found == {
        **{"batch": 2, "average": False, "resolution": "64", "log": ["csv"]},
        **{"preview": ["a [name]", "a red [name]"], "schedule": "cosine"},
    }
    TrainConfig.check(token="<x>", pictures=["."], steps=10, **found)
    again = form.settings(typed(form, form.filled(found)))
    assert again == found | {"preview": ["a [name]", "a red [name]"]}


def test_a_number_out_of_bounds_is_left_to_the_settings_which_name_it(form: Form) -> None:
    assert form.controls["batch"].minimum is None  # Gradio's own error tells no name


def test_settings_are_called_as_on_the_page() -> None:
    assert label("lr", TrainConfig) == "Learning rate"
    assert label("token", TrainConfig) == CALLED["token"] == "Name of the new word"
    assert in_words("--base ../x: no") == "“Base model” ../x: no"
    assert label("preview_every", TrainConfig) == "Preview every"
    assert in_words("with --crop random") == "with “Crop” random"
    assert in_words("--no-average takes the last") == "“Average” switched off takes the last"
    assert in_words("--sampler-steps: 0") == "“Sampler steps”: 0"
    assert in_words("use --format kohya") == "use --format kohya"
    full = in_words(str(storage_error(Path("a"), OSError(errno.ENOSPC, "full"))))
    assert full.endswith("Free some space and go on; what was saved is kept.")


def test_what_a_browser_has_cut_is_refused_and_not_used(form: Form, tmp_path: Path) -> None:
    page = app.page(Desk(tmp_path)).blocks.values()
    cut = {one.max_length for one in page if isinstance(one, gr.Textbox)} - {None}
    assert cut == {LONGEST + 1}
    values = form.shown_at_first | {"init": "x" * (LONGEST + 1)}
    with pytest.raises(SettingsError, match="“Starting word” is too long: at most 20000"):
        form.settings(typed(form, values.values()))
