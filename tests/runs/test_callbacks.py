"""Previews, filmstrips, curves and copies of the word during a run."""

import importlib.util
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from support import Notes, run

from pseudoword import formats
from pseudoword.api import generate, train
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.errors import SettingsError, StorageError
from pseudoword.models import generation
from pseudoword.models.family import Family
from pseudoword.progress import Silent
from pseudoword.report import charts, grids
from pseudoword.runs import previews
from pseudoword.runs.finish import Trained
from pseudoword.runs.folder import RunFolder


def learn(base: Path, pictures: Path, out: Path, **settings: Any) -> Trained:
    options: dict[str, Any] = {"init": "cat", "batch": 2, "preview": (), "steps": 6}
    return train(pictures, "<cat>", base=str(base), out=out, **(options | settings))


def test_a_preview_is_what_generate_draws(base: Path, pictures: Path, tmp_path: Path) -> None:
    line = "a red [name] --n a blue [name] --d 7 --s 2 --l 3 --w 48"
    done = learn(base, pictures, tmp_path, preview=["a [name] --s 1", line])
    (expected,) = generate(
        "a red <cat>",
        concept=done.concept,
        negative="a blue <cat>",
        seed=7,
        sampler_steps=2,
        guidance=3,
        resolution=48,
        base=str(base),
    )
    shown = np.asarray(Image.open(tmp_path / "previews" / "step-6-2.png"))
    assert shown.shape == (48, 48, 3)
    assert np.array_equal(shown, np.asarray(expected))


def test_none_draws_nothing_and_is_remembered(base: Path, pictures: Path, tmp_path: Path) -> None:
    given = ["train", pictures, "--token", "<cat>", "--init", "cat", "--base", base, "--out"]
    code, *_ = run(*given, tmp_path / "run", "--steps", 2, "--preview", "none")
    assert code == 0
    assert not (tmp_path / "run" / "previews").exists()
    assert (tmp_path / "run" / "concept.safetensors").is_file()
    assert "preview = []" in (tmp_path / "run" / "config.toml").read_text()
    code, _, said = run(*given, tmp_path / "b", "--preview", "none", "--preview", "a [name]")
    assert code == 2
    assert "--preview none cannot be given with other previews" in said
    assert not (tmp_path / "b").exists()


def test_none_may_stand_in_a_config_file(base: Path, pictures: Path, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('preview = "none"\nsteps = 1\ninit = "cat"\n')
    given = ["train", pictures, "--token", "<cat>", "--base", base, "--config", file, "--out"]
    assert run(*given, tmp_path / "run")[0] == 0
    assert not (tmp_path / "run" / "previews").exists()


def test_previews_show_the_word_of_their_step_and_make_a_filmstrip(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"preview": ["a [name] --s 2", "[name] --s 1"], "save_every": 2}
    done = learn(base, pictures, tmp_path / "a", preview_every=2, lr=0.05, **settings)
    folder = done.folder / "previews"
    result = {p.name for p in folder.iterdir()}
    expected = {f"step-{step}-{i}.png" for step in (2, 4, 6) for i in (1, 2)}
    assert result == expected | {"filmstrip.png"}
    kept = formats.read(done.folder / "words" / "step-2.safetensors")
    inside = formats.read(folder / "step-2-1.png")
    assert torch.equal(inside.vectors["clip_l"], kept.vectors["clip_l"])
    (drawn,) = generate("a <cat>", concept=kept, base=str(base), sampler_steps=2)
    with Image.open(folder / "step-2-1.png") as shown:
        assert np.array_equal(np.asarray(shown.convert("RGB")), np.asarray(drawn))
        cell = grids.in_square(shown, 160)
    strip = Image.open(folder / "filmstrip.png")
    left, top = 150 + grids.GAP_PX, 34 + grids.GAP_PX
    first = strip.crop((left, top, left + 160, top + 160))
    assert np.array_equal(np.asarray(first), np.asarray(cell))
    assert strip.width > left + 3 * 160
    unwatched = learn(base, pictures, tmp_path / "b", lr=0.05)
    assert torch.equal(done.concept.vectors["clip_l"], unwatched.concept.vectors["clip_l"])


def test_a_filmstrip_shows_the_first_the_last_and_some_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(previews, "MAX_COLUMNS", 3)
    for step in range(1, 8):
        Image.new("RGB", (8, 8), (30 * step, 0, 0)).save(tmp_path / f"step-{step}-1.png")
    (tmp_path / "step-4-1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0")
    config = TrainConfig.check(pictures=[tmp_path], token="<x>", preview=["a [name]"])
    strip = previews._filmstrip(config, tmp_path, 8)
    left, pitch = 150 + grids.GAP_PX + 80, 160 + grids.GAP_PX
    shown = [strip.getpixel((left + i * pitch, 120)) for i in range(3)]
    assert shown == [(30, 0, 0), (255, 255, 255), (210, 0, 0)]
    assert strip.width < left + 3 * pitch


def test_the_last_copies_are_kept(base: Path, pictures: Path, tmp_path: Path) -> None:
    done = learn(base, pictures, tmp_path, save_every=1, keep_last=2, evaluate_every=2)
    copies = sorted((done.folder / "words").iterdir())
    assert [p.name for p in copies] == ["step-5.safetensors", "step-6.safetensors"]
    assert [formats.read(p).provenance["steps"] for p in copies] == ["5", "6"]
    assert copies[1].read_bytes() == (done.folder / "concept.safetensors").read_bytes()
    assert formats.read(done.folder / "best.safetensors").provenance["steps"] in {"2", "4", "6"}


def test_a_preview_that_cannot_be_drawn_is_refused_before_the_first_step(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    for line, message in (
        ("a [name] --w 33", "33 does not work"),
        ("a --x 2", "no --x"),
        (
            "[name] --ss Nonsense",
            "--preview .name. --ss Nonsense: diffusers has no scheduler Nonsense",
        ),
        ("[name] --ss LMSDiscrete", "scipy"),
        ("[name] --ss PNDM --s 1", "PNDM"),
        ("[name] --s 1001", "trained for 1000 steps|less than or equal to 1000"),
    ):
        if message == "scipy" and importlib.util.find_spec("scipy"):
            continue
        with pytest.raises(SettingsError, match=message):
            learn(base, pictures, tmp_path / "run", preview=[line])
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("where", "broken", "lost"),
    [
        (generation, "generate", "the previews were not all drawn"),
        (charts, "curves", "the curves were not drawn"),
        (grids, "grid", "the previews were not all drawn"),
    ],
)
def test_a_failed_preview_is_reported_once_and_does_not_stop_the_run(
    where: Any,
    broken: str,
    lost: str,
    base: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError("CUDA out of memory.\nTried to allocate 2 GiB.")

    monkeypatch.setattr(where, broken, fail)
    notes, steps = Notes(), {"preview": ["[name] --s 1"], "preview_every": 1, "steps": 3}
    done = learn(base, pictures, tmp_path / "run", progress=notes, **steps)
    assert done.concept.provenance["steps"] == "3"
    assert (done.folder / "finished-3.pt").exists()
    assert [text for text in notes.lines if lost in text] == [
        f"<cat>: {lost}: CUDA out of memory. Tried to allocate 2 GiB. The word is not affected."
    ]
    assert learn(base, pictures, tmp_path / "run", **steps).seconds == 0


def test_a_full_disk_stops_the_run(
    base: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(charts, "curves", full)
    with pytest.raises(StorageError, match="the disk is full"):
        learn(base, pictures, tmp_path / "run")
    assert formats.read(tmp_path / "run").provenance["steps"] == "6"


def test_words_of_a_pack_are_drawn_together_as_alone(family: Family, tmp_path: Path) -> None:
    """Also where a preview names another word of the pack, and where two have the same token."""
    lines = ["a [name] --s 2", "[name] and <b> --s 2 --n a [name]"]
    words = [
        due(family, tmp_path / str(k), t, k, lines) for k, t in enumerate(("<a>", "<b>", "<a>"))
    ]
    together = previews.draw(family, words, Silent())
    for word, drawn in zip(words, together, strict=True):
        (alone,) = previews.draw(family, [word], Silent())
        assert drawn.error is alone.error is None
        assert list(drawn.pictures) == [1, 2]
        for number, picture in drawn.pictures.items():
            difference = np.asarray(picture, int) - np.asarray(alone.pictures[number], int)
            assert abs(difference).max() <= 1


def test_a_word_within_the_name_of_another_is_no_reason_to_draw_apart(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = []
    draw = generation.generate

    def counted(family: Family, prompts: list[str], *args: Any, **options: Any) -> Any:
        together.append(len(prompts))
        return draw(family, prompts, *args, **options)

    monkeypatch.setattr(generation, "generate", counted)
    tokens = ("<cat>", "<cat>-hat")
    words = [due(family, tmp_path / str(k), t, k, ["a [name] --s 1"]) for k, t in enumerate(tokens)]
    assert all(drawn.pictures for drawn in previews.draw(family, words, Silent()))
    assert together == [2]


def test_each_step_of_a_preview_is_told(family: Family, tmp_path: Path) -> None:
    class Told(Silent):
        def advance(self, done: int, total: int, detail: str = "") -> None:
            said.append(f"{done}/{total} {detail}")

    said: list[str] = []
    previews.draw(family, [due(family, tmp_path, "<a>", 0, ["a [name] --s 2"])], Told())
    assert said[:2] == ["0/1 50 % of the next", "0/1 100 % of the next"]
    assert said[2].startswith("1/1")


def test_a_word_that_cannot_be_drawn_spoils_no_other_one(family: Family, tmp_path: Path) -> None:
    words = [due(family, tmp_path / str(k), f"<{k}>", k, ["a [name] --s 1"]) for k in range(3)]
    words[1].concept.vectors["clip_l"].fill_(float("nan"))
    drawn = previews.draw(family, words, Silent())
    assert [bool(each.pictures) for each in drawn] == [True, False, True]
    assert [each.error is None for each in drawn] == [True, False, True]


def test_the_memory_of_a_drawing_that_failed_is_free_for_the_next_one(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[torch.Tensor]] = []
    draw = generation.generate

    def fail(family: Family, prompts: list[str], *args: Any, **options: Any) -> Any:
        assert [one() for one in held] == len(held) * [None]
        if options["concepts"][-1].token == "<1>" or len(prompts) > 1:
            large = torch.zeros(8)
            held.append(weakref.ref(large))
            raise torch.OutOfMemoryError(f"no memory for {large}")
        return draw(family, prompts, *args, **options)

    monkeypatch.setattr(generation, "generate", fail)
    words = [due(family, tmp_path / str(k), f"<{k}>", k, ["a [name] --s 1"]) for k in range(3)]
    drawn = previews.draw(family, words, Silent())
    assert [str(one.error)[:9] for one in drawn] == ["None", "no memory", "None"]
    assert len(held) == 2


def due(family: Family, out: Path, token: str, k: int, lines: list[str]) -> previews.Due:
    """A word of random rows."""
    config = TrainConfig.check(pictures=[out], token=token, preview=lines, seed=k)
    width = family.encoders["clip_l"].width
    rows = torch.randn(1, width, generator=torch.Generator().manual_seed(k))
    concept = Concept(token, {"clip_l": rows}, family.name, "classic", {})
    return previews.Due(concept, config, RunFolder(out), 1)
