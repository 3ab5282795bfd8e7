"""What the panels of the page show and take, without a browser."""

from pathlib import Path

import diffusers
import gradio as gr
import pytest
import torch
from PIL import Image
from ui_uploads import embedding

from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.schedulers import classes
from pseudoword.errors import PictureError, PromptError, SettingsError
from pseudoword.formats import encode
from pseudoword.report import contact_sheet
from pseudoword.training import optimisers
from pseudoword.ui.desk import Desk
from pseudoword.ui.job import Job
from pseudoword.ui.library import Word, token_of
from pseudoword.ui.page import pieces, use
from pseudoword.ui.page.events import shown_ids
from pseudoword.ui.page.forms import Form
from pseudoword.ui.page.picture_editor import (
    EDITOR_PX,
    Answer,
    Edits,
    _canvas,
    _framed,
    box,
    painted,
)
from pseudoword.ui.page.picture_panel import PicturePanel
from pseudoword.ui.page.picture_view import view
from pseudoword.ui.page.teach import OPTIMISERS, settings_of
from pseudoword.ui.page.training_panel import asked_of, curve_rows, listed, progress, to_show
from pseudoword.ui.page.uploads import add_files
from pseudoword.ui.pictures import Picture, by_name
from pseudoword.ui.run_logs import Curves
from pseudoword.ui.settings import checked
from pseudoword.ui.workspace import WorkspaceLimits

DATA_SET = "5" * 32
"""An id that a browser made up."""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "workspace")


def picture(path: Path, size: tuple[int, int] = (96, 64), colour: str = "red") -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def job(name: str, state: str, **more: object) -> Job:
    values = {
        **{"id": name, "tokens": {name: f"<{name}>"}, "state": state, "sentence": ""},
        **{"began": None, "phase": "", "step": 0, "soonest": 0, "total": 0},
        **{"seconds_left": None, "notes": (), "phase_done": 0, "phase_total": 0},
        "word": None,
    }
    return Job(**{**values, **more})  # type: ignore[arg-type]


def word(token: str) -> Word:
    return Word(token, token, (), {}, "", 0.0, "", "", None)


def test_captions_and_masks_find_their_pictures_by_name(desk: Desk, tmp_path: Path) -> None:
    cat = picture(tmp_path / "cat.png")
    mask = picture(tmp_path / "cat-mask.png", colour="white")
    caption = tmp_path / "cat.txt"
    caption.write_text(" on a beach\n")
    refused = add_files(desk, DATA_SET, [str(mask), str(caption), str(cat)])
    assert refused == []
    (found,) = desk.data_sets.pictures(DATA_SET)
    assert (found.name, found.caption, found.masked) == ("cat.png", "on a beach", True)


def test_a_caption_may_come_from_any_editor_and_is_never_garbled(
    desk: Desk, tmp_path: Path
) -> None:
    cat, caption = picture(tmp_path / "cat.png"), tmp_path / "cat.txt"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        caption.write_text(f"in a café, {encoding}", encoding=encoding)
        assert add_files(desk, DATA_SET, [str(cat), str(caption)]) == []
        assert desk.data_sets.pictures(DATA_SET)[-1].caption == f"in a café, {encoding}"
    caption.write_text("in a café", encoding="cp1252")
    (refused,) = add_files(desk, DATA_SET, [str(caption)])
    assert refused == "cat.txt is left out: it is not UTF-8 text. Save it as UTF-8."


def test_a_quotation_mark_in_a_name_is_one_and_its_caption_is_found(
    desk: Desk, tmp_path: Path
) -> None:
    cat = picture(tmp_path / "my %22big%22 cat.png")  # what a browser makes of it
    caption = tmp_path / "my %22big%22 cat.txt"
    caption.write_text("on a beach")
    lone = tmp_path / "%22b%22.txt"
    lone.write_text("asleep")
    (refused,) = add_files(desk, DATA_SET, [str(lone), str(caption), str(cat)])
    (found,) = desk.data_sets.pictures(DATA_SET)
    assert (found.name, found.caption) == ('my "big" cat.png', "on a beach")
    assert refused.startswith('"b".txt belongs to no picture')


def test_a_caption_that_fits_several_pictures_is_not_given_to_one(
    desk: Desk, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        picture(tmp_path / folder / "cat.png")
        (tmp_path / folder / "cat.txt").write_text(folder)
    refused = add_files(desk, DATA_SET, sorted(map(str, tmp_path.glob("[ab]/*"))))
    assert [one.caption for one in desk.data_sets.pictures(DATA_SET)] == ["", ""]
    assert len(refused) == 2
    assert "cat.txt is left out: several of the pictures" in refused[0]
    again = sorted(map(str, tmp_path.glob("b/*")))
    assert add_files(desk, DATA_SET, again) == []
    assert [one.caption for one in desk.data_sets.pictures(DATA_SET)] == ["", "", "b"]


def test_a_hidden_picture_is_left_out_with_a_word(desk: Desk, tmp_path: Path) -> None:
    dropped = [picture(tmp_path / name) for name in ("cat.png", ".dog.png", "._cat.png")]
    (refused,) = add_files(desk, DATA_SET, [*map(str, dropped), str(tmp_path / ".DS_Store")])
    assert refused.startswith(".dog.png is left out")
    assert [one.name for one in desk.data_sets.pictures(DATA_SET)] == ["cat.png"]


def test_a_file_that_looks_like_a_mask_of_nothing_is_a_picture(desk: Desk, tmp_path: Path) -> None:
    refused = add_files(desk, DATA_SET, [str(picture(tmp_path / "snow_mask.png"))])
    assert [one.name for one in desk.data_sets.pictures(DATA_SET)] == ["snow_mask.png"]
    assert refused == []


def test_what_onetrainer_writes_beside_pictures_is_never_one(desk: Desk, tmp_path: Path) -> None:
    add_files(desk, DATA_SET, [str(picture(tmp_path / "cat.png"))])
    names = ("cat-masklabel.png", "cat-condlabel.png", "gone-masklabel.png")
    later = [str(picture(tmp_path / name, colour="white")) for name in names]
    refused = add_files(desk, DATA_SET, later)
    (found,) = desk.data_sets.pictures(DATA_SET)
    assert (found.name, found.masked) == ("cat.png", True)
    assert "cat-condlabel.png is left out" in refused[0]
    assert "gone-masklabel.png belongs to no picture" in refused[1]


def test_pictures_are_shown_with_their_sentence_and_what_is_odd(desk: Desk, tmp_path: Path) -> None:
    add_files(desk, DATA_SET, [str(picture(tmp_path / "cat.png"))])
    desk.data_sets.set_caption(DATA_SET, "0001", "asleep")
    found = view(desk, DATA_SET, {"template": "captioned", "base": "emoji"}, "<cat>")
    ((tile, sentence),) = found.tiles
    assert tile.width == tile.height
    assert "<cat>" in sentence
    assert "asleep" in sentence
    assert "cat.png" in found.told
    assert "0001" not in found.told


def test_no_file_of_the_server_is_named_where_not_all_pictures_are_shown(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contact_sheet, "TALLEST_PX", 100)
    add_files(desk, DATA_SET, [str(picture(tmp_path / f"{one}.png")) for one in "ab"])
    found = view(desk, DATA_SET, {"base": "emoji"}, "<cat>")
    assert "this page shows the first 1 of 2 pictures" in found.told
    assert str(desk.workspace.folder) not in found.told


def test_a_caption_that_was_written_in_another_tab_is_kept(desk: Desk, tmp_path: Path) -> None:
    add_files(desk, DATA_SET, [str(picture(tmp_path / f"{one}.png")) for one in "ab"])
    with gr.Blocks():
        panel = PicturePanel(desk, lambda *_: ({"base": "emoji"}, "<cat>"))
    *_, written = panel._shown_anew(DATA_SET, "")  # in both tabs
    *_, now = panel._captioned([["a.png", "here"], ["b.png", ""]], written, DATA_SET, "")
    panel._captioned([["a.png", ""], ["b.png", "there"]], written, DATA_SET, "")
    panel._captioned([["a.png", "here"], ["b.png", ""]], now, DATA_SET, "")  # nothing is changed
    found = desk.data_sets.pictures(DATA_SET)
    assert [one.caption for one in found] == ["here", "there"]


def test_what_is_asked_while_the_page_is_opened_hides_no_pictures(desk: Desk) -> None:
    """It may be answered behind what is asked with the id of a data set."""
    with gr.Blocks():
        panel = PicturePanel(desk, lambda *_: ({"base": "emoji"}, "<cat>"))
    tiles, *_ = panel._seen_anew(DATA_SET, "")
    assert not tiles["visible"]
    assert panel._seen_anew(None, "") == [gr.skip()] * 4


def test_settings_that_do_not_work_still_show_the_pictures(desk: Desk, tmp_path: Path) -> None:
    add_files(desk, DATA_SET, [str(picture(tmp_path / "cat.png"))])
    found = view(desk, DATA_SET, {"background": "no colour", "base": "emoji"}, "<cat>")
    assert len(found.tiles) == 1
    assert "“Background”" in found.told
    assert 'role="alert"' in found.told


def test_pictures_are_called_as_people_called_them() -> None:
    named = {"0001": "my cat.png"}
    assert by_name("/a/b/0001.png is small", named) == "my cat.png is small"
    assert by_name(r"D:\a\b\0001.png is small", named) == "my cat.png is small"
    assert by_name("0002.png is small", named) == "0002.png is small"


@pytest.mark.parametrize(
    ("size", "zoom", "across", "down", "expected"),
    [
        ((300, 200), 1, 50, 50, (50, 0, 250, 200)),
        ((300, 200), 1, 0, 50, (0, 0, 200, 200)),
        ((300, 200), 2, 100, 100, (200, 100, 300, 200)),
        ((200, 300), 1, 50, 0, (0, 0, 200, 200)),
    ],
)
def test_a_crop_is_a_square_that_lies_where_the_sliders_say(
    size: tuple[int, int], zoom: float, across: float, down: float, expected: tuple[int, ...]
) -> None:
    assert box(size, zoom, across, down) == expected


def test_the_crop_of_a_picture_that_is_left_counts_though_its_event_comes_later(
    desk: Desk, tmp_path: Path
) -> None:
    data_set = desk.data_sets.new()
    add_files(desk, data_set, [str(picture(tmp_path / f"{one}.png")) for one in "ab"])
    first, second = (one.id for one in desk.data_sets.pictures(data_set))
    edits = Edits(desk, Answer([], lambda *_: []), Answer([], lambda *_: []))
    press = gr.SelectData(None, {"index": 1, "value": None})
    ids = shown_ids([first, second])
    edits.chosen(press, ids, data_set, first, "1 50 50", 2, 0, 50)
    assert desk.data_sets.one(data_set, first).crop == (0, 16, 32, 48)
    edits.moved(1, 50, 50, second, data_set, "")  # as the controls stand by then
    assert desk.data_sets.one(data_set, second).crop is None

    desk.data_sets.set_crop(data_set, first, (8, 8, 40, 40))  # in another tab
    edits.chosen(press, ids, data_set, first, "2 0 50", 2, 0, 50)  # nothing was done here
    assert desk.data_sets.one(data_set, first).crop == (8, 8, 40, 40)


def test_paint_becomes_a_mask_in_the_size_of_the_picture() -> None:
    layer = Image.new("RGBA", (50, 50))
    layer.paste("orange", (0, 0, 25, 50))
    mask = painted({"layers": [layer]}, (100, 100))
    assert mask.size == (100, 100)
    assert (mask.getpixel((10, 50)), mask.getpixel((90, 50))) == (255, 0)
    with pytest.raises(PictureError, match="nothing is painted"):
        painted({"layers": [Image.new("RGBA", (50, 50))]}, (100, 100))


@pytest.mark.parametrize(
    ("name", "token"),
    [("my cat", "<my-cat>"), ("<cat>", "<cat>"), ("", ""), ("  ", ""), ("猫", "<猫>"), ("*", "*")],
)
def test_a_name_becomes_a_token(name: str, token: str) -> None:
    assert token_of(name) == token


def test_what_can_be_asked_of_a_training_follows_from_its_state() -> None:
    assert asked_of(job("a", "running"))["preview"]
    assert not asked_of(job("a", "queued"))["preview"]
    assert asked_of(job("a", "queued"))["stop"]
    assert asked_of(job("a", "failed"))["resume"]
    assert not asked_of(job("a", "done"))["resume"]
    assert not any(asked_of(None).values())


def test_the_training_that_runs_is_shown_unless_another_is_chosen() -> None:
    done, runs, waits = job("a", "done"), job("b", "running"), job("c", "queued")
    assert to_show([done, runs, waits], "") is runs
    assert to_show([done, runs, waits], "c") is waits
    assert to_show([done, waits], "") is waits
    assert to_show([done], "gone") is done
    assert to_show([], "") is None


def test_of_many_trainings_the_latest_is_listed_first() -> None:
    found = listed([job("a", "done"), job("b", "running"), job("c", "queued")])
    assert [id_ for _, id_ in found] == ["c", "b", "a"]


def test_progress_is_told_to_eyes_and_to_screen_readers() -> None:
    steps = {"step": 30, "soonest": 120, "total": 120}
    runs = job("a", "running", **steps, phase="learning <a>", began=10.0)
    told = progress(runs, now=70.0)
    assert 'aria-valuenow="25"' in told
    assert "30 of 120 steps, for 60 s" in told
    assert "&lt;a&gt;" in told
    assert "<a>" not in told


@pytest.mark.parametrize(
    ("least", "most", "expected"),
    [
        (40.0, 40.2, "about 40 s left"),
        (40.0, 1000.0, "40 s to 17 min left"),
        (0.0, 1000.0, "at most 17 min left"),
    ],
)
def test_where_a_training_stops_by_itself_both_ends_are_told(
    least: float, most: float, expected: str
) -> None:
    open_end = {"step": 30, "soonest": 80, "total": 2000, "seconds_left": (least, most)}
    told = progress(job("a", "running", **open_end), now=70.0)
    assert f"30 of at most 2000 steps, {expected}<" in told


def test_the_loss_of_single_steps_is_smoothed_and_evaluations_are_not() -> None:
    rows = curve_rows(Curves(loss=((1, 1.0), (2, 0.0)), evaluation=((0, 3.0), (2, 2.0))))
    assert rows == [
        (1, 1.0, "in training"),
        (2, pytest.approx(0.9), "in training"),
        (0, 3.0, "evaluation"),
        (2, 2.0, "evaluation"),
    ]


def test_words_of_a_prompt_are_found_as_training_finds_them() -> None:
    words = [word("<cat>"), word("猫"), word("dog")]
    assert use.mentioned(words, "a <cat>.", "") == ["<cat>"]
    assert use.mentioned(words, "a photo", "猫の写真") == ["猫"]
    assert use.mentioned(words, "hotdogs", "") == []
    hat = word("<cat>-hat")
    assert use.mentioned([*words, hat], "a <cat>-hat", "") == ["<cat>-hat"]
    assert use.mentioned([*words, hat], "a <cat>-hat on a <cat>", "") == ["<cat>", "<cat>-hat"]


def test_further_new_words_are_written_as_the_first_is() -> None:
    """And captions decide alone which word a prompt has: a sentence would add the first."""
    with gr.Blocks():
        form = Form(TrainConfig, "test")
        form.add("also")
    captioned = [Picture("0001", "a.png", "a [name] with a <hat>", False, None, "a.png")]
    typed = {"kind": "a thing", "test-also": "my hat=red hat\n\n<toy>"}
    found = settings_of(form, typed, captioned)
    assert found == {"also": ["<my-hat>=red hat", "<toy>"], "template": "filewords"}


def test_no_further_word_starts_from_a_file(desk: Desk) -> None:
    for init in ("/etc/passwd", "words/cat.pt", "cat.safetensors", "cat.pt=<cat>"):
        with pytest.raises(SettingsError, match="looks like a file"):
            checked(desk.workspace, TrainConfig, {"also": [f"<hat>={init}"]})


def test_a_word_is_written_into_the_prompt_once() -> None:
    known = ["<cat>", "<cat>-hat"]
    assert use.with_token("", "<cat>", known) == "a photo of <cat>"
    assert use.with_token("a red", "<cat>", known) == "a red <cat>"
    assert use.with_token("a <cat>", "<cat>", known) == "a <cat>"
    assert use.with_token("a <cat>-hat", "<cat>", known) == "a <cat>-hat <cat>"


def test_a_word_that_is_used_leaves_what_was_written_in_the_prompt(desk: Desk) -> None:
    (cat,) = desk.library.add(embedding(), "cat.safetensors")
    (dog,) = desk.library.add(embedding("<dog>"), "dog.safetensors")
    with gr.Blocks():
        panel = use.DrawingPanel(desk)

    def taken(word: str, prompt: str) -> str:
        return str(panel.take(word, prompt, None, None)[1])

    assert taken(cat.id, "") == "a photo of <cat>"
    assert taken(dog.id, "a photo of <cat>") == "a photo of <dog>"
    assert taken(dog.id, "a photo of <called-otherwise-before>") == "a photo of <dog>"
    assert taken(dog.id, "a red house, at night") == "a red house, at night <dog>"
    assert taken(dog.id, "a <dog> at night") == "a <dog> at night"


def test_no_package_is_imported_that_a_page_names(desk: Desk) -> None:
    for good in ("AdamW", "prodigyopt.Prodigy", "bitsandbytes.optim.AdamW8bit"):
        checked(desk.workspace, TrainConfig, {"optimiser": good})
    for bad in ("antigravity.x", "os.system", ".x"):
        with pytest.raises(SettingsError, match="imports nothing else"):
            checked(desk.workspace, TrainConfig, {"optimiser": bad})


def test_what_is_offered_by_name_is_there(desk: Desk) -> None:
    for name in OPTIMISERS:
        checked(desk.workspace, TrainConfig, {"optimiser": name})
        optimisers.check(name, ())
    for name in use.SCHEDULERS:
        assert any(hasattr(diffusers, kind) for kind in classes(name)), name


def test_a_dropped_file_without_room_is_told_and_the_next_one_is_looked_at(
    desk: Desk, tmp_path: Path
) -> None:
    large, small = picture(tmp_path / "large.png", (500, 500)), picture(tmp_path / "small.png")
    desk.workspace.limits = WorkspaceLimits(workspace_gb=large.stat().st_size / 1e9 - 1e-9)
    with gr.Blocks():
        panel = use.DrawingPanel(desk)
    _, told, *_ = panel._brought([str(large), str(small)], "", "")
    assert "large.png is not taken" in told
    assert "small.png" in told


def test_a_picture_as_thin_as_a_line_can_be_edited(desk: Desk, tmp_path: Path) -> None:
    assert add_files(desk, DATA_SET, [str(picture(tmp_path / "thin.png", (1, 5000)))]) == []
    (thin,) = desk.data_sets.pictures(DATA_SET)
    assert _framed(desk, DATA_SET, thin).size == (1, EDITOR_PX)
    assert _canvas(desk, DATA_SET, thin.id)["background"].size == (1, EDITOR_PX)


def test_where_there_are_no_copies_to_compare_nothing_is_drawn_instead(desk: Desk) -> None:
    rows = {"clip_l": torch.ones(1, 256)}
    data = encode(Concept("<cat>", rows), "native")[""]
    (cat,) = desk.library.add(data, "cat.safetensors")
    with gr.Blocks():
        panel = use.DrawingPanel(desk)
    with pytest.raises(PromptError, match=r"no saved copies of <cat> .* “Save every”"):
        panel._swept("a <cat>", [cat.id])


def test_a_comparison_is_of_one_word(desk: Desk) -> None:
    panel_error = pytest.raises(PromptError, match="no word of the library")
    with panel_error:
        use._only([])


def test_text_of_files_is_escaped_and_cannot_turn_around() -> None:
    assert (
        pieces.note("<b>\u202e") == '<div class="note plain" role="status">&lt;b&gt;\\u202e</div>'
    )
    assert pieces.note("") == ""
    assert pieces.notes(["twice", "twice"]).count("twice") == 1
    seen, folded, rest = pieces.notes(f"no. {i}." for i in range(200)).partition("<details")
    assert (seen.count("no. "), rest.count("no. ")) == (pieces.MOST_NOTES, 200 - pieces.MOST_NOTES)
    assert f"{rest.count('no. ')} more" in folded + rest
    assert (pieces.size(741e6), pieces.size(3.2e9)) == ("741 MB", "3.2 GB")


def test_what_was_drawn_is_there_again_in_the_same_tab_alone(desk: Desk, tmp_path: Path) -> None:
    with gr.Blocks():
        panel = use.DrawingPanel(desk)
    files = [str(picture(tmp_path / f"{one}.png")) for one in "ab"]
    drawn = [(file, "") for file in files]
    panel._remember("one", [drawn, "", gr.update(visible=False)])
    found = [drawn, "", gr.update(visible=False), gr.skip(), gr.skip()]
    assert panel._again("one", None) == panel._again("one", "yes") == found
    assert panel._again("two", None) == [gr.skip()] * 5
    nothing, lost, *others = panel._again("two", "yes")
    assert "is lost" in lost
    assert [nothing, *others] == [gr.skip()] * 4
    Path(files[0]).unlink()
    assert panel._again("one", None)[0] == drawn[1:]
    Path(files[1]).unlink()
    assert panel._again("one", None) == [gr.skip()] * 5
    for i in range(use.MOST_TABS + 9):
        panel._remember(f"other {i}", [[]])
    assert len(panel._last) == use.MOST_TABS
