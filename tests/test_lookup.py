"""What an argument names: a local file, a repository on the hub, or only a word."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from word_files import write_word

from pseudoword import lookup
from pseudoword.concept import Concept
from pseudoword.config.base_choice import BUNDLED
from pseudoword.config.fields import AUTO
from pseudoword.config.word import InitMode, NewWord
from pseudoword.errors import ConceptError, PictureError, PseudowordError, SettingsError
from pseudoword.formats import sources
from pseudoword.lookup import HubId
from pseudoword.models import base_model
from pseudoword.training import initialisation

PATHS = [
    "runs/toyy",
    "runs/toyy/",
    "toyy/",
    "./toyy",
    "../toyy",
    "/toyy",
    "~/toyy",
    "~nobody-of-that-name/toyy",
    "embeddings/my-toy.pt",
    "toyy.safetensors",
    "TOYY.PT",
    "my word.bin",
    "card.PNG",
    "C:\\words\\toyy.pt",
    "words\\toyy",
    "here/toyy",
    "a/b/c",
    "runs/my toy",
    "https://huggingface.co/sd-concepts-library/cat-toy",
    "toyy/word.safetensors=<cat>",
]
"""Text that can only be a path, and does not exist; `here` is a folder."""

WORDS = [
    "cat",
    "red toy",
    "cat toy with a hat",
    "猫",
    "mr. bean",
    "3.5 inch disk",
    "cat-toy",
    "toy=x",
]


def begun(init: str, mode: InitMode = "auto") -> NewWord:
    return NewWord("<x>", init, mode)


TAKERS: dict[str, Callable[[str], object]] = {
    "--init": lambda text: initialisation.named_concept(begun(text)),
    "--init-mode file": lambda text: initialisation.named_concept(begun(text, "file")),
    "--concept": lambda text: sources.read_concepts(text),
    "inspect": lambda text: sources.read_one(text),
    "--base": lambda text: base_model.load_named(text),
}


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which has `here` in it. The hub must not be asked."""
    (tmp_path / "here").mkdir()
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)

    def asked(*_args: object, **_options: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", asked)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", asked)
    return tmp_path


def word(path: Path) -> Path:
    write_word(Concept("<old>", {"clip_l": torch.ones(2, 32)}), path)
    return path


@pytest.mark.parametrize("taker", TAKERS)
@pytest.mark.parametrize("text", PATHS)
def test_a_path_that_does_not_exist_is_an_error_for_every_argument(text: str, taker: str) -> None:
    with pytest.raises(PseudowordError, match=r"there is no|is an address"):
        TAKERS[taker](text)


@pytest.mark.parametrize("text", WORDS)
def test_a_word_is_never_a_file_of_that_name(text: str, somewhere: Path) -> None:
    for lies in ("nothing", "file", "folder", "concept", "folder with a concept"):
        path = somewhere / text
        if lies == "file":
            path.touch()
        elif lies == "folder":
            path.unlink()
            path.mkdir()
        elif lies == "concept":
            path.rmdir()
            word(path)
        elif lies == "folder with a concept":
            path.unlink()
            word(path / "concept.safetensors")
        assert initialisation.named_concept(begun(text)) is None, lies
        notes = initialisation.check(begun(text), AUTO)
        assert (notes is not None) == (lies not in ("nothing", "folder")), lies
        assert notes is None or f"./{text}" in notes


@pytest.mark.parametrize(
    "written", ["./cat", "cat/", "here/../cat", "{}", "~/cat", "here/w.pt=<x>"]
)
def test_init_takes_a_path_that_exists(
    written: str, somewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(somewhere))
    word(somewhere / "cat" / "concept.safetensors")
    word(somewhere / "here" / "w.pt")
    result = initialisation.named_concept(begun(written.format(somewhere / "cat")))
    assert result is not None
    assert len(result.vectors["clip_l"]) == 2
    assert initialisation.check(begun(written.format(somewhere / "cat")), 2) is None
    with pytest.raises(SettingsError, match=r"--vectors 3: .* has 2"):
        initialisation.check(begun(written.format(somewhere / "cat")), 3)
    with pytest.raises(SettingsError, match="--init-mode mean takes words"):
        initialisation.check(begun(written.format(somewhere / "cat"), "mean"), AUTO)


def test_init_takes_one_word_of_several(somewhere: Path) -> None:
    torch.save({"<a>": torch.ones(1, 32), "<b>": torch.zeros(1, 32)}, somewhere / "two.pt")
    for written in ("./two.pt=<b>", "two.pt=<b>"):
        result = initialisation.named_concept(begun(written))
        assert result is not None
        assert not result.vectors["clip_l"].any()
    with pytest.raises(ConceptError, match="holds 2 words"):
        initialisation.named_concept(begun("./two.pt"))
    with pytest.raises(ConceptError, match="holds 2 words"):
        sources.read_one("two.pt")


def test_the_error_about_a_mistyped_name_suggests_a_similar_one(somewhere: Path) -> None:
    word(somewhere / "runs" / "my-toy" / "concept.safetensors")
    with pytest.raises(ConceptError, match=r"--init runs/my-tou: .*Did you mean runs/my-toy\?"):
        initialisation.named_concept(begun("runs/my-tou"))


def test_the_error_about_a_name_without_suffix_suggests_the_file(somewhere: Path) -> None:
    word(somewhere / "my-toy.pt")
    with pytest.raises(ConceptError, match=r"my-toy: there is no .* Did you mean my-toy\.pt\?"):
        sources.read_one("my-toy")


@pytest.mark.parametrize("leads_to", ["moved.pt", "my-toy.pt"])
def test_a_link_that_leads_nowhere_is_called_one(somewhere: Path, leads_to: str) -> None:
    (somewhere / "my-toy.pt").symlink_to(leads_to)
    with pytest.raises(ConceptError, match=f"my-toy.pt: it is a link to {leads_to}, which is not"):
        sources.read_one("my-toy.pt")
    with pytest.raises(PictureError, match=f"it is a link to {leads_to}, .* Give"):
        lookup.pictures_there([Path("my-toy.pt")])


def test_init_takes_a_word_on_the_hub(somewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = word(somewhere / "cache" / "learned_embeds.bin")
    asked: list[tuple[object, ...]] = []

    def listed(_api: object, name: str, *, revision: str | None) -> list[str]:
        asked.append((name, revision))
        return ["README.md", kept.name]

    monkeypatch.setattr("huggingface_hub.HfApi.list_repo_files", listed)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_a, revision: str(kept))
    result = initialisation.named_concept(begun("sd-concepts-library/cat-toy@v2"))
    assert result is not None
    assert result.vectors["clip_l"].shape == (2, 32)
    assert asked == [("sd-concepts-library/cat-toy", "v2")]
    assert sources.read_concepts("sd-concepts-library/cat-toy=<x>")[0].token == "<x>"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("sd-concepts-library/cat-toy", HubId("sd-concepts-library/cat-toy")),
        ("stabilityai/sdxl-1.0@fp16", HubId("stabilityai/sdxl-1.0", "fp16")),
        ("owner/name@refs/pr/1", HubId("owner/name", "refs/pr/1")),
    ],
)
def test_a_hub_id_means_the_same_for_every_argument(
    text: str, result: HubId, somewhere: Path
) -> None:
    for words in (True, False):
        assert lookup.find(text, "--x", words=words) == result
    (somewhere / result.repository.split("/")[0]).mkdir()
    with pytest.raises(SettingsError, match="there is no"):
        lookup.find(text, "--x")


def test_a_path_object_is_never_a_hub_id() -> None:
    with pytest.raises(SettingsError, match="there is no"):
        lookup.find(Path("owner/name"), "--x")


def test_a_bundled_name_comes_before_a_folder_of_that_name(somewhere: Path) -> None:
    (somewhere / "emoji").mkdir()
    assert lookup.find("emoji", "--base", bundled=BUNDLED) == BUNDLED["emoji"]
    assert lookup.find("./emoji", "--base", bundled=BUNDLED) == Path("emoji")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("cat.pt", ("cat.pt", None)),
        ("cat.pt=<cat>", ("cat.pt", "<cat>")),
        ("cat.pt=a=b", ("cat.pt", "a=b")),
        ("a=b.pt", ("a=b.pt", None)),
        ("a=b.pt=<x>", ("a=b.pt", "<x>")),
        ("owner/name=<x>", ("owner/name", "<x>")),
    ],
)
def test_a_file_and_its_new_token_are_split(
    text: str, parts: tuple[str, str | None], somewhere: Path
) -> None:
    (somewhere / "cat.pt").touch()
    (somewhere / "a=b.pt").touch()
    assert lookup.split_token(text, "--concept") == parts


@pytest.mark.parametrize("text", ["=", "=<cat>", "cat.pt=", "cat.pt= ", " =x", "=="])
def test_a_missing_file_or_token_is_an_error(text: str) -> None:
    with pytest.raises(SettingsError, match=r"no (file before|token after) the ="):
        sources.read_concepts(text)


@given(st.text() | st.text("/\\~.=@:ab \0\ud800", max_size=12) | st.just("x" * 10**6))
def test_any_text_names_something_or_is_an_error(text: str) -> None:
    notes: list[str] = []
    for words in (True, False):
        try:
            result = lookup.find(text, "--x", words=words)
        except SettingsError as error:
            result = None
            notes.append(str(error))
        assert result is None or isinstance(result, Path | HubId)
        assert not words or result is None or lookup.looks_like_path(text)
    assert all(len(one) < 400 for one in notes), "no sentence"


@pytest.fixture
def hidden(tmp_path: Path) -> Iterator[Path]:
    """A file in a folder that this user may not enter."""
    path = tmp_path / "hidden" / "toy.safetensors"
    path.parent.mkdir()
    path.touch()
    path.parent.chmod(0)
    user = os.geteuid()
    if user == 0:  # who may enter every folder
        os.seteuid(65534)
    try:
        yield path
    finally:
        os.seteuid(user)
        path.parent.chmod(0o700)


def test_what_this_user_may_not_see_is_not_called_missing(hidden: Path) -> None:
    assert lookup.exists(hidden)
    assert lookup.absolute(str(hidden)) == str(hidden)
    for look in (lookup.find, lookup.concept_place, lookup.model_source):
        with pytest.raises(PseudowordError, match=r"toy\.safetensors cannot be read: Permission"):
            look(str(hidden), "--flag")
    with pytest.raises(PictureError, match=r"toy\.safetensors cannot be read: Permission"):
        lookup.pictures_there([hidden])


def test_a_name_that_no_file_can_have_does_not_exist() -> None:
    for text in ("x" * 5000, "a\0b", os.fsdecode(b"\xff")):
        assert not lookup.exists(Path(text))
