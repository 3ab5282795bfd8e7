"""The words of a workspace: brought along, renamed, handed over, drawn with, deleted and undone."""

import contextlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save
from ui_uploads import embedding, hostile_png

from pseudoword import api, formats, internals
from pseudoword.commands import push
from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, PictureError, SettingsError
from pseudoword.formats import WRITERS
from pseudoword.ui.library import Library
from pseudoword.ui.workspace import Workspace, WorkspaceLimits


@pytest.fixture
def library(workspace: Workspace) -> Library:
    return Library(workspace)


WORD = Concept("<cat>", {"clip_l": torch.ones(1, 768)}, "sd")


@pytest.mark.parametrize("kind", [kind for kind in WRITERS if not WRITERS[kind].refuses(WORD)])
def test_an_embedding_of_any_kind_is_taken_in_and_handed_over(library: Library, kind: str) -> None:
    concept = WORD
    (word,) = library.add(formats.encode(concept, kind)[""], "cat.bin")
    assert (word.token, word.vectors, word.families) == ("<cat>", {"clip_l": (1, 768)}, ("sd",))
    for download in library.convert(word.id, kind):
        assert download.name.startswith("cat")
        (again,) = formats.read_bytes(download.data, Path(download.name)).concepts
        assert torch.allclose(again.vectors["clip_l"], concept.vectors["clip_l"])


@pytest.mark.parametrize("kind", ["a1111", "diffusers", "onetrainer", "native"])
def test_a_layered_word_is_handed_over_as_what_a_format_can_hold(
    library: Library, kind: str
) -> None:
    layered = replace(WORD, vectors={**WORD.vectors, "clip_l.MID": torch.zeros(1, 768)})
    (word,) = library.add(formats.encode(layered, "native")[""], "cat.safetensors")
    assert kind in library.formats(word.id)
    (download,) = library.convert(word.id, kind)
    (again,) = formats.read_bytes(download.data, Path(download.name)).concepts
    assert torch.equal(again.vectors["clip_l"], WORD.vectors["clip_l"])
    assert len(again.vectors) == (2 if kind == "native" else 1)


def test_a_word_in_a_damaged_picture_is_refused_as_a_whole(library: Library) -> None:
    picture = Image.effect_noise((128, 128), 99).convert("RGB")
    data = WRITERS["a1111-png"].write(WORD, picture)[""]
    with pytest.raises(PictureError, match=r"cat\.png is damaged"):
        library.add(data[:-5000], "cat.png")
    assert library.words() == []
    (word,) = library.add(data, "cat.png")
    assert library.preview(word.id) is not None


def test_a_word_without_a_name_is_called_as_its_file(library: Library) -> None:
    (word,) = library.add(save({"emb_params": torch.ones(1, 768)}), "../my-cat.safetensors")
    assert (word.token, word.source) == ("my-cat", "my-cat.safetensors")


def test_a_name_is_given_once(library: Library) -> None:
    (first,) = library.add(embedding(), "one.safetensors")
    with pytest.raises(SettingsError, match="already"):
        library.add(embedding(), "two.safetensors")
    (second,) = library.add(embedding("<dog>"), "two.safetensors")
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
    seen = library.inspect(word.id)
    assert (seen.token, seen.file) == ("<cat>", "cat.safetensors")
    assert "native" in library.formats(word.id)
    assert library.formats(word.id).keys() < formats.WRITERS.keys()


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


@pytest.mark.parametrize(
    "data",
    [b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04rubbish", bytes(5000), hostile_png("sd-ti-embedding")],
    ids=["empty", "cut off", "no zip", "zeros", "text bomb"],
)
def test_what_holds_no_word_is_told_by_its_name(library: Library, data: bytes) -> None:
    with pytest.raises(ConceptError, match=r"^word\.png"):
        library.add(data, "a/word.png")
    assert not library.words()


def test_a_workspace_takes_words_until_it_is_full(tmp_path: Path) -> None:
    library = Library(Workspace(tmp_path / "workspace", WorkspaceLimits(workspace_gb=3e-6)))
    library.add(embedding("<one>"), "one.safetensors")
    for i in range(10):
        with contextlib.suppress(SettingsError):
            library.add(embedding(f"<{i}>"), "more.safetensors")
    assert len(library.words()) < 10
    with pytest.raises(SettingsError, match="fills the"):
        library.add(embedding("<more>"), "more.safetensors")


def test_an_upload_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    library = Library(Workspace(tmp_path / "workspace", WorkspaceLimits(largest_upload_mb=1)))
    with pytest.raises(SettingsError, match="at most 1 MB"):
        library.add(bytes(1_100_000), "large.pt")


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


def test_what_training_saves_while_a_word_is_renamed_is_kept(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, run = library.workspace.new("runs")
    file = run / "concept.safetensors"
    file.write_bytes(formats.encode(WORD, "native")[""])
    assert library.has(name)
    check = library.check_name

    def saved_meanwhile(token: str, but: str = "") -> None:
        last = replace(WORD, vectors={"clip_l": torch.full((1, 768), 2.0)})
        file.write_bytes(formats.encode(last, "native")[""])
        check(token, but)

    monkeypatch.setattr(library, "check_name", saved_meanwhile)
    assert library.rename(name, "<dog>").token == "<dog>"
    library.words()
    now = formats.read(library.file(name))
    assert now.token == "<dog>"
    assert torch.equal(now.vectors["clip_l"], torch.full((1, 768), 2.0))


def test_the_file_of_a_word_is_read_again_only_after_a_change(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    (word,) = library.add(embedding(), "one.safetensors")
    read, files = internals.read_all, []

    def counted(file: Path) -> Any:
        files.append(file)
        return read(file)

    monkeypatch.setattr(internals, "read_all", counted)
    assert library.words() == library.words() == [word]
    assert files == []
    library.rename(word.id, "<dog>")
    assert [one.token for one in library.words()] == ["<dog>"]
