"""The words of a workspace: brought along, renamed, handed over, drawn with, deleted and undone."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save

from pseudoword import api, formats
from pseudoword.commands import push
from pseudoword.concept import Concept
from pseudoword.config.workspace import WorkspaceLimits
from pseudoword.errors import ConceptError, PictureError, SettingsError
from pseudoword.formats import WRITERS
from pseudoword.ui import training
from pseudoword.ui.job_files import JobFiles
from pseudoword.ui.jobs import Queue
from pseudoword.ui.library import Library
from pseudoword.ui.workspace import UnknownIdError, Workspace

WIDTH = 32
"""Of the tiny model's text encoder."""


def embedding(token: str = "<cat>") -> bytes:
    torch.manual_seed(0)
    rows = torch.randn(2, WIDTH)
    concept = Concept(token, {"clip_l": rows}, "sd", provenance={"init": "dog"})
    return formats.encode(concept, "native")[""]


@pytest.fixture
def library(workspace: Workspace) -> Library:
    return Library(workspace)


WORD = Concept("<cat>", {"clip_l": torch.ones(1, 768)}, "sd")


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if not WRITERS[kind].refuses(WORD)])
def test_an_embedding_of_any_kind_is_taken_in_and_handed_over(library: Library, kind: str) -> None:
    concept = WORD
    (word,) = library.add(formats.encode(concept, kind)[""], "cat.bin", token="<cat>")
    assert (word.token, word.vectors, word.families) == ("<cat>", {"clip_l": (1, 768)}, ("sd",))
    for download in library.convert(word.id, kind):
        assert download.name.startswith("cat")
        (again,) = formats.read_bytes(download.data, Path(download.name)).concepts
        assert torch.allclose(again.vectors["clip_l"], concept.vectors["clip_l"])


def test_a_word_without_a_name_is_called_as_its_file(library: Library) -> None:
    (word,) = library.add(save({"emb_params": torch.ones(1, 768)}), "../my-cat.safetensors")
    assert (word.token, word.source) == ("my-cat", "my-cat.safetensors")


def test_a_name_is_given_once(library: Library) -> None:
    (first,) = library.add(embedding(), "one.safetensors")
    with pytest.raises(SettingsError, match="already"):
        library.add(embedding(), "two.safetensors")
    (second,) = library.add(embedding(), "two.safetensors", token="<dog>")
    with pytest.raises(SettingsError, match="already"):
        library.rename(second.id, "<cat>")
    library.delete(first.id)
    assert library.rename(second.id, "<cat>").token == "<cat>"
    with pytest.raises(SettingsError, match="already"):
        library.undo(first.id)
    assert [word.id for word in library.words()] == [second.id]


def test_a_deleted_word_comes_back_as_it_was(library: Library) -> None:
    (word,) = library.add(embedding(), "one.safetensors")
    library.delete(word.id)
    assert (library.words(), [one.id for one in library.trash()]) == ([], [word.id])
    assert library.undo(word.id) == word
    assert library.trash() == []


@pytest.mark.parametrize("token", ["", "  ", "a\nb", "x" * 500, "\x1b[0m"])
def test_what_is_no_name_is_refused(library: Library, token: str) -> None:
    (word,) = library.add(embedding(), "one.safetensors")
    with pytest.raises(SettingsError):
        library.rename(word.id, token)
    assert library.word(word.id).token == "<cat>"


@pytest.mark.parametrize("token", ["../../x", "<script>alert(1)</script>", "/etc/passwd", "a:b|c"])
def test_a_hostile_name_stays_a_name(library: Library, token: str) -> None:
    (word,) = library.add(embedding(), "one.safetensors")
    assert library.rename(word.id, token).token == token
    (download,) = library.convert(word.id, "native")
    assert not set(download.name) & set('<>/\\:|"')
    assert not download.name.startswith(".")


def test_a_word_is_described(library: Library) -> None:
    (word,) = library.add(embedding(), "one.safetensors")
    seen = library.inspect(word.id, base="tiny")
    assert (seen.token, seen.file) == ("<cat>", "cat.safetensors")
    assert seen.nearest is not None
    with pytest.raises(SettingsError):
        library.inspect(word.id, base="/etc")
    able = {kind for kind, refusal in library.formats(word.id).items() if not refusal}
    assert "native" in able
    assert able < set(library.titles())


class Runs:
    """A pickle that would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_is_not_executed(library: Library, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"string_to_param": {"*": Runs(tmp_path / "executed")}}, buffer)
    with pytest.raises(ConceptError, match=r"^evil\.pt"):
        library.add(buffer.getvalue(), "evil.pt")
    assert not (tmp_path / "executed").exists()
    assert not library.words()


def hostile_png(keyword: str) -> bytes:
    """One whose text unpacks to far more than it is worth."""
    chunks = PngInfo()
    chunks.add_text(keyword, "A" * 30_000_000, zip=True)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04rubbish", bytes(5000), hostile_png("sd-ti-embedding")],
    ids=["empty", "cut off", "no zip", "zeros", "text bomb"],
)
def test_what_holds_no_word_is_told_by_its_name(library: Library, data: bytes) -> None:
    with pytest.raises(ConceptError, match=r"^word\.png"):
        library.add(data, "a/word.png")
    assert not library.words()


def test_an_upload_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    library = Library(Workspace(tmp_path / "workspace", WorkspaceLimits(largest_upload_mb=1)))
    with pytest.raises(SettingsError, match="at most 1 MB"):
        library.add(bytes(1_100_000), "large.pt")


def test_drawing_with_a_word_and_reading_it_back(library: Library) -> None:
    (word,) = library.add(embedding(), "one.safetensors")
    how: dict[str, Any] = {"base": "tiny", "sampler_steps": 2, "seed": 5, "negative": "blue"}
    (drawn,) = library.generate("a photo of <cat>", [word.id], scheduler="EulerDiscrete", **how)
    again = library.read_back(drawn.png, "picture.png")
    assert (again.prompt, again.negative, again.words) == ("a photo of <cat>", "blue", (word.id,))
    assert again.settings["base"] == "tiny"
    (same,) = library.generate(again.prompt, again.words, negative="blue", **again.settings)
    assert same.image.tobytes() == drawn.image.tobytes()


def test_with_and_without_a_word_have_the_same_seeds(library: Library) -> None:
    (word,) = library.add(embedding(), "one.safetensors")
    how: dict[str, Any] = {"base": "tiny", "sampler_steps": 1, "n": 2}
    pairs = library.with_and_without("a photo of <cat>", word.id, **how)
    plain = library.generate("a photo of dog", **how)
    assert [other.caption for _, other in pairs] == ["dog", "dog"]
    for (one, other), expected in zip(pairs, plain, strict=True):
        assert other.image.tobytes() == expected.image.tobytes() != one.image.tobytes()


def test_the_copies_of_a_training_are_compared_and_one_is_chosen(
    queue: Queue, data_set: str, settings: dict[str, Any]
) -> None:
    job = queue.submit(data_set, "<cat>", **settings, save_every=1, lr=0.1)
    training.train(JobFiles(queue.workspace, job.id))
    library = queue.library
    library.rename(job.id, "<dog>")
    assert library.copies(job.id) == [1, 2]
    how: dict[str, Any] = {"base": "tiny", "sampler_steps": 1}
    drawn = library.sweep("a <dog>", job.id, **how)
    assert [one.caption for one in drawn] == ["step 1", "step 2", "as it is"]
    library.use_copy(job.id, 1)
    (now,) = library.generate("a <dog>", [job.id], **how)
    assert now.image.tobytes() == drawn[0].image.tobytes() != drawn[2].image.tobytes()
    with pytest.raises(UnknownIdError):
        library.use_copy(job.id, 3)


def test_a_picture_that_does_not_say_how_it_was_drawn_is_told(library: Library) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    with pytest.raises(PictureError, match="does not say how"):
        library.read_back(buffer.getvalue(), "plain.png")
    with pytest.raises(PictureError, match=r"^x\.png is no"):
        library.read_back(b"rubbish", "x.png")
    with pytest.raises(PictureError):
        library.read_back(hostile_png("parameters"), "bomb.png")


def test_what_a_picture_says_is_no_way_to_files(library: Library) -> None:
    chunks = PngInfo()
    said = 'Steps: 3, Model: /etc/passwd, Lora: "../x: 1", Size: 99999x8, Sampler: ../x, Seed: 2'
    chunks.add_text("parameters", f"a <cat>\nNegative prompt: one\ntwo\n{said}")
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=chunks)
    found = library.read_back(buffer.getvalue(), "x.png")
    assert (found.prompt, found.negative) == ("a <cat>", "one\ntwo")
    assert found.settings == {"sampler_steps": 3, "seed": 2}
    assert set(found.unknown) == {"Model", "Lora", "Size", "Sampler"}


def test_a_base_stays_loaded_until_something_is_learned(
    queue: Queue, data_set: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    load = api.load_base

    def counted(*how: Any) -> Any:
        loaded.append("once")
        return load(*how)

    monkeypatch.setattr(api, "load_base", counted)
    for _ in range(2):
        queue.library.generate("a cat", base="tiny", sampler_steps=1)
    assert len(loaded) == 1
    job = queue.submit(data_set, "<cat>", **settings)
    for _ in range(2):
        queue.library.generate("a cat", base="tiny", sampler_steps=1)
    assert len(loaded) == 3  # it was let go of, and is not kept while a training waits
    queue.stop(job.id)


def test_a_word_is_published_with_its_own_files_only(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[str] = []

    def publish(folder: Path, to: str, *, private: bool) -> None:
        (concept,) = formats.read_all(folder)
        found.extend([*push.repository_files(folder, concept, to), f"{private}"])

    monkeypatch.setattr(api, "push", publish)
    (word,) = library.add(embedding(), "one.safetensors")
    library.push(word.id, "me/cat", private=True)
    names = ["README.md", "concept.safetensors", "learned_embeds.safetensors"]
    assert sorted(found) == sorted([*names, "True"])
