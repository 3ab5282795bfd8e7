from pathlib import Path

import pytest
import tiny
from PIL import Image

from pseudoword import api
from pseudoword.data import captioning
from pseudoword.errors import BaseModelError
from pseudoword.progress import Silent


@pytest.fixture(scope="module")
def captioner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.captioner(tmp_path_factory.mktemp("blip"))


def test_pictures_without_captions_get_one(
    captioner: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "1.txt").write_text("my own words")
    (pictures / "2.txt").touch()
    (pictures / "bad.png").touch()
    paths = sorted(pictures.glob("*.png"))
    written = captioning.write_captions(paths, str(captioner), Silent())
    assert [path.name for path in written] == ["0.txt", "3.txt"]
    assert set((pictures / "0.txt").read_text().split()) <= set(tiny.WORDS)
    assert (pictures / "0.txt").read_text().strip()
    assert (pictures / "1.txt").read_text() == "my own words"
    assert (pictures / "2.txt").read_text() == ""
    monkeypatch.delattr(captioning, "_load")
    assert captioning.write_captions(written, str(captioner), Silent()) == []  # nothing to do


def test_pictures_of_one_name_share_a_caption(
    captioner: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = iter(["a cat", "a dog"])
    monkeypatch.setattr(captioning, "_describe", lambda *_: next(texts))
    paths = [tmp_path / "a.jpg", tmp_path / "a.png"]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    assert captioning.write_captions(paths, str(captioner), Silent()) == [tmp_path / "a.txt"]
    assert (tmp_path / "a.txt").read_text() == "a cat\n"


def test_kohya_s_captions_are_left_alone(captioner: Path, pictures: Path) -> None:
    for i in range(4):
        (pictures / f"{i}.caption").touch()
    assert captioning.write_captions(sorted(pictures.glob("*.png")), str(captioner), Silent()) == []


def test_prepare_shows_the_new_captions(
    captioner: Path, base: Path, pictures: Path, tmp_path: Path
) -> None:
    prepared = api.prepare(
        pictures, out=tmp_path / "a.png", base=str(base), caption_model=str(captioner)
    )
    assert [look.caption for look in prepared.pictures] == [
        (pictures / f"{i}.txt").read_text().strip() for i in range(4)
    ]


def test_a_model_that_cannot_caption_is_explained(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for model, why in ((base, "cannot be loaded"), (tmp_path / "nowhere", "there is no such")):
        with pytest.raises(BaseModelError, match=f"--caption-model {model}:? {why}"):
            captioning.write_captions([tmp_path / "a.png"], str(model), Silent())
    assert not (tmp_path / "a.txt").exists()
