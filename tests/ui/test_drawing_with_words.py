"""Drawing with words of a workspace, and reading back how a picture was drawn."""

import io
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from ui_uploads import embedding, hostile_png

from pseudoword import internals
from pseudoword.errors import PictureError
from pseudoword.ui import training
from pseudoword.ui.drawing import Drawing, Drawn
from pseudoword.ui.job_files import JobFiles
from pseudoword.ui.jobs import Queue
from pseudoword.ui.workspace import UnknownIdError


@pytest.fixture
def drawing(queue: Queue) -> Drawing:
    return queue.drawing


def pixels(one: Drawn) -> bytes:
    with Image.open(io.BytesIO(one.png)) as picture:
        return picture.tobytes()


def test_drawing_with_a_word_and_reading_it_back(drawing: Drawing) -> None:
    (word,) = drawing.library.add(embedding(), "one.safetensors")
    how: dict[str, Any] = {"base": "tiny", "sampler_steps": 2, "seed": 5, "negative": "blue"}
    (drawn,) = drawing.generate("a photo of <cat>", [word.id], scheduler="EulerDiscrete", **how)
    again = drawing.read_back(drawn.png, "picture.png")
    assert (again.prompt, again.negative) == ("a photo of <cat>", "blue")
    assert again.settings["base"] == "tiny"
    (same,) = drawing.generate(again.prompt, [word.id], negative="blue", **again.settings)
    assert pixels(same) == pixels(drawn)


@pytest.mark.parametrize("emphasis", ["no-norm", "none"])
def test_weights_and_how_they_are_applied_are_read_back(drawing: Drawing, emphasis: str) -> None:
    (word,) = drawing.library.add(embedding(), "one.safetensors")
    prompt = r"a \(red\) (<cat>:1.4) BREAK [dog]"
    how: dict[str, Any] = {"base": "tiny", "sampler_steps": 1}
    (drawn,) = drawing.generate(prompt, [word.id], emphasis=emphasis, **how)
    again = drawing.read_back(drawn.png, "picture.png")
    assert again.prompt == prompt
    assert again.settings["emphasis"] == emphasis
    (same,) = drawing.generate(again.prompt, [word.id], **again.settings)
    assert pixels(same) == pixels(drawn)


def test_a_turn_towards_a_known_word_is_read_back(drawing: Drawing) -> None:
    (word,) = drawing.library.add(embedding(), "one.safetensors")
    how: dict[str, Any] = {"base": "tiny", "sampler_steps": 1}
    turn: dict[str, Any] = {"toward": 0.5, "toward_word": "red, dog"}
    (drawn,) = drawing.generate("a <cat>", [word.id], **turn, **how)
    again = drawing.read_back(drawn.png, "picture.png")
    assert {name: again.settings[name] for name in turn} == turn
    (same,) = drawing.generate(again.prompt, [word.id], **again.settings)
    assert pixels(same) == pixels(drawn)


def test_with_and_without_a_word_have_the_same_seeds(drawing: Drawing) -> None:
    (word,) = drawing.library.add(embedding(), "one.safetensors")
    how: dict[str, Any] = {"base": "tiny", "sampler_steps": 1, "n": 2}
    pairs = drawing.with_and_without("a photo of <cat>", word.id, **how)
    plain = drawing.generate("a photo of dog", **how)
    assert [other.caption for _, other in pairs] == ["dog", "dog"]
    for (one, other), expected in zip(pairs, plain, strict=True):
        assert pixels(other) == pixels(expected) != pixels(one)


def test_the_copies_of_a_training_are_compared_and_one_is_chosen(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings, save_every=1, lr=0.1)
    training.train(JobFiles(queue.workspace, job.id))
    library, drawing = queue.library, queue.drawing
    library.rename(job.id, "<dog>")
    assert library.copies(job.id) == [1, 2]
    how: dict[str, Any] = {"base": "tiny", "sampler_steps": 1}
    drawn = drawing.sweep("a <dog>", job.id, **how)
    assert [one.caption for one in drawn] == ["step 1", "step 2", "as it is"]
    library.use_copy(job.id, 1)
    (now,) = drawing.generate("a <dog>", [job.id], **how)
    assert pixels(now) == pixels(drawn[0]) != pixels(drawn[2])
    with pytest.raises(UnknownIdError):
        library.use_copy(job.id, 3)


def test_a_picture_that_does_not_say_how_it_was_drawn_is_told(drawing: Drawing) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    with pytest.raises(PictureError, match="does not say how"):
        drawing.read_back(buffer.getvalue(), "plain.png")
    with pytest.raises(PictureError, match=r"^x\.png is no"):
        drawing.read_back(b"rubbish", "x.png")
    with pytest.raises(PictureError):
        drawing.read_back(hostile_png("parameters"), "bomb.png")


def test_what_a_picture_says_is_no_way_to_files(drawing: Drawing) -> None:
    chunks = PngInfo()
    said = 'Steps: 3, Model: /etc/passwd, Lora: "../x: 1", Size: 99999x8, Sampler: ../x, Seed: 2'
    chunks.add_text("parameters", f"a <cat>\nNegative prompt: one\ntwo\n{said}")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=chunks)
    found = drawing.read_back(buffer.getvalue(), "x.png")
    assert (found.prompt, found.negative) == ("a <cat>", "one\ntwo")
    assert found.settings == {"sampler_steps": 3, "seed": 2}


@pytest.mark.parametrize(
    "said", ["Sampler: DPM++ 2M Karras", "Sampler: DPM++ 2M, Schedule type: Karras"]
)
def test_noise_levels_and_a_skipped_layer_are_read_back(drawing: Drawing, said: str) -> None:
    """As AUTOMATIC1111 wrote them before 1.9, and since."""
    chunks = PngInfo()
    chunks.add_text("parameters", f"a cat\nSteps: 3, {said}, Seed: 2, Clip skip: 2")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=chunks)
    read = {**drawing.read_back(buffer.getvalue(), "x.png").settings}
    assert (read["scheduler"], read["clip_skip"]) == ("DPMSolverMultistep Karras", 2)
    (drawn,) = drawing.generate("a cat", base="tiny", **read)
    again = {**drawing.read_back(drawn.png, "y.png").settings}
    assert {name: again[name] for name in read} == read


def test_a_base_stays_loaded_until_something_is_learned(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = internals.load_base

    def counted(*how: Any) -> Any:
        loaded.append("once")
        return load(*how)

    monkeypatch.setattr(internals, "load_base", counted)
    for _ in range(2):
        queue.drawing.generate("a cat", base="tiny", sampler_steps=1)
    assert len(loaded) == 1
    job = queue.submit(data_set, "<cat>", **settings)
    for _ in range(2):
        queue.drawing.generate("a cat", base="tiny", sampler_steps=1)
    assert len(loaded) == 3  # it was let go of, and is not kept while a training waits
    queue.stop(job.id)
