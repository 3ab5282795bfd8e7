"""The recipe of the bundled model, as small as it gets: it runs, and goes on after any kill."""

import json
import re
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from forked import Process
from safetensors.numpy import load_file
from transformers import CLIPModel

from basemodel import __main__ as command
from basemodel import drawings, icon_sets
from basemodel.captions import caption
from basemodel.denoiser import Average
from basemodel.painter import Painter
from basemodel.scenes import EXTRA_SHARE, SceneMaker, paint, tinted
from basemodel.settings import BUNDLED, MINI
from basemodel.tokenizer import learn_tokenizer
from basemodel.world import (
    SHAPES,
    STYLES,
    extra_things,
    further_things,
    held_out_things,
    held_out_words,
    icons_of,
    known_things,
    simplified,
)
from pseudoword.locks import lock_folder

STAGES = ("clip", "vae", "unet", "judge_tower", "judge", "judge_words")


def recipe(work: Path, *more: str, killed_in: str = "") -> Process:
    options = ["--preset", "mini", "--work", work, "--bundled", work / "bundled", *more]
    if killed_in:
        return Process(killed_in, *options, module="killed_recipe")
    return Process(*options, module="basemodel")


def finish(process: Process) -> str:
    """What it said, once it has done all."""
    assert process.wait() == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("unbroken")
    finish(recipe(work))
    return work / "bundled"


def asked(monkeypatch: pytest.MonkeyPatch, *options: str) -> list[object]:
    """Give the command; the artifacts that a stage would be run with."""
    ran: list[object] = []
    monkeypatch.setattr("sys.argv", ["basemodel", *options])
    monkeypatch.setattr(command, "run", lambda artifacts, _stages: ran.append(artifacts))
    threads = torch.get_num_threads()
    try:
        command.main()
    finally:
        torch.set_num_threads(threads)
    return ran


def test_a_folder_is_of_one_preset_and_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that another preset trained would be taken for a finished one."""
    work = ("--work", str(tmp_path))
    assert asked(monkeypatch, "--preset", "mini", *work)
    with lock_folder(tmp_path):
        with pytest.raises(SystemExit, match=r"in use by another run .* choose another --work"):
            asked(monkeypatch, "--preset", "mini", *work)
        assert asked(monkeypatch, "--preset", "mini", "--as-is", *work), "to export during a run"
    with pytest.raises(SystemExit, match="is of the preset mini; give another --work"):
        asked(monkeypatch, "--preset", "gpu", *work)


@pytest.mark.slow
def test_the_recipe_makes_a_bundle_that_loads(unbroken: Path) -> None:
    pipeline = StableDiffusionPipeline.from_pretrained(unbroken / "emoji")
    pipeline.set_progress_bar_config(disable=True)
    picture = pipeline("a cat", num_inference_steps=2, output_type="np").images[0]
    assert picture.shape == (64, 64, 3)
    assert np.isfinite(picture).all()
    assert (
        CLIPModel.from_pretrained(unbroken / "judge").config.projection_dim
        == MINI.similarity.projection
    )
    assert json.loads((unbroken / "groundtruth" / "index.json").read_text())["sheets"]
    assert "CC-BY-4.0" in (unbroken / "emoji" / "ATTRIBUTION.md").read_text()
    large = [p for p in unbroken.rglob("*") if p.is_file() and p.stat().st_size > 16e6]
    assert not large


@pytest.mark.slow
def test_killed_in_every_stage_it_ends_at_the_same_weights(unbroken: Path, tmp_path: Path) -> None:
    for stage in STAGES:
        process = recipe(tmp_path, killed_in=stage)
        assert process.wait() == -signal.SIGKILL, process.stderr
    said = finish(recipe(tmp_path))
    assert "[clip]" not in said, "a finished stage was trained again"
    for path in unbroken.rglob("*.safetensors"):
        before = load_file(path)
        after = load_file(tmp_path / "bundled" / path.relative_to(unbroken))
        assert before.keys() == after.keys()
        for name in before:
            assert np.array_equal(before[name], after[name]), f"{path.name}: {name}"


@pytest.mark.slow
def test_from_a_bundle_alone_the_denoiser_goes_on(unbroken: Path, tmp_path: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "bundled")
    stages = [f"--only={stage}" for stage in ("unet", "measure", "export")]
    steps = MINI.unet.steps + 4
    finish(recipe(tmp_path, "--from-bundle", f"--unet-steps={steps}", *stages))
    log = (tmp_path / "bundled" / "emoji" / "logs" / "unet.jsonl").read_text().splitlines()
    assert json.loads(log[-1])["step"] == steps
    changed = set()
    for path in unbroken.rglob("*.safetensors"):
        before = load_file(path)
        after = load_file(tmp_path / "bundled" / path.relative_to(unbroken))
        if any(not np.array_equal(before[name], after[name]) for name in before):
            changed.add(path.parent.name)
    assert changed == {"unet"}
    for path in (tmp_path / "bundled").rglob("*.json"):
        assert str(tmp_path) not in path.read_text(), path


def test_the_same_captions_give_the_same_tokenizer(tmp_path: Path) -> None:
    lines = ["a cat on a sky", "gnome ghost sing fly", "a foggy night by the sea"]
    for name in "abc":
        learn_tokenizer(lines, tmp_path / name)
    first, *others = ((tmp_path / name / "merges.txt").read_text() for name in "abc")
    assert others == [first, first]


def test_trained_stages_see_nothing_that_is_held_out() -> None:
    art = drawings.draw_all(MINI)
    trained = art.for_training()
    assert 0 < len(trained.rgba) < len(art.rgba)
    held_out = {thing.name for thing in held_out_things()}
    assert not held_out & {trained.things[t].name for t in trained.thing.tolist()}
    assert not any(STYLES[s].held_out for s in trained.style.tolist())
    assert len(held_out) == 40
    assert not held_out & {thing.name for thing in known_things()}


def test_extra_names_are_neither_known_nor_held_out() -> None:
    named = [*known_things(), *held_out_things()]
    words = [thing.name for thing in (*named, *extra_things())]
    assert len(set(words)) == len(words)
    assert len({t.icon for t in named} | {t.icon for t in extra_things()}) == len(words)
    hidden = {thing.name for thing in held_out_things()}
    for thing in extra_things():
        assert thing.extra
        assert not hidden & set(thing.name.split()), thing.name


def words_of(name: str) -> set[str]:
    """A name's words, each also without an s at its end."""
    words = re.split("[^a-z]+", name.lower())
    return {spelt for word in words for spelt in (word, word.removesuffix("s"))}


@pytest.mark.parametrize(
    "package", [s.package for s in (*STYLES, *SHAPES) if s.extra or not s.word]
)
def test_no_set_shows_what_is_held_out_or_near_it(package: str) -> None:
    (style,) = (s for s in (*STYLES, *SHAPES) if s.package == package)
    icons = icons_of(style)
    assert len(set(icons)) == len(icons) > 100
    hidden = {simplified(spelt) for t in held_out_things() for spelt in (t.icon, t.name)}
    for icon in icons:
        assert not held_out_words() & words_of(icon), icon
        assert simplified(icon) not in hidden, icon
        assert not any(name in simplified(icon) for name in hidden if len(name) > 6), icon


def test_the_bundle_credits_every_set_that_its_weights_saw() -> None:
    credited = (BUNDLED / "emoji" / "ATTRIBUTION.md").read_text()
    card = (BUNDLED / "emoji" / "README.md").read_text()
    for style in (*STYLES, *SHAPES):
        (row,) = (
            line for line in credited.splitlines() if f"{style.package}` {style.version}" in line
        )
        assert style.licence in row
        assert style.author in row
        assert row in card


def test_names_of_further_sets_are_new_and_not_held_out() -> None:
    further, hidden = further_things(), {simplified(t.name) for t in held_out_things()}
    names = [simplified(t.name) for t in further]
    assert len(set(names)) == len(names) > 1000
    assert not hidden & set(names)
    assert not set(names) & {simplified(t.name) for t in (*known_things(), *extra_things())}
    assert all(thing.extra and not thing.held_out for thing in further)


def test_each_held_out_thing_has_its_words_among_those_that_no_set_may_have() -> None:
    for thing in held_out_things():
        assert held_out_words() & words_of(thing.name) or thing.name == "ice cream", thing.name


def test_a_tint_is_seen_and_said() -> None:
    art = drawings.draw_all(MINI).for_training()
    maker, rng = SceneMaker(art), np.random.default_rng(0)
    scene = next(s for s in iter(lambda: maker.scene(rng), None) if s.tint)
    assert scene.tint not in scene.colours
    assert f"{scene.tint} " in caption(scene, art, rng)
    flat = np.zeros((1, 2, 4), np.uint8)
    flat[..., 3] = 255
    flat[0, 1, :3] = 255
    assert tinted(flat, "red")[0] == pytest.approx(flat[0], abs=1)  # black and white stay
    assert not np.array_equal(paint(scene, art), paint(replace(scene, tint=""), art))


def test_scenes_show_extra_names_at_their_share_and_nothing_asks_for_them() -> None:
    art = drawings.draw_all(MINI).for_training()
    places = sorted(set(art.thing.tolist()))
    few, first = places[:3], places[3]
    things = [replace(t, extra=n >= first) for n, t in enumerate(art.things)]
    art = replace(art, things=things)
    maker, rng = SceneMaker(art), np.random.default_rng(0)
    drawn = [int(art.thing[maker.scene(rng).rows[0]]) for _ in range(600)]
    assert sum(things[t].extra for t in drawn) / len(drawn) == pytest.approx(EXTRA_SHARE, abs=0.06)
    assert {t for t in drawn if not things[t].extra} == set(few)
    assert set(art.without_extras().thing.tolist()) == set(few)
    assert all(not thing.extra for thing in art.without_extras().things)


def test_the_average_ends_at_the_last_weights() -> None:
    model: Any = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(0.0)
    average = Average(model, decay=0.99)
    model.weight.data.fill_(1.0)
    average.update(model, step=10_000, left=10_000)
    assert average.model.weight.item() == pytest.approx(0.01)
    average.update(model, step=10_000, left=5)
    assert average.model.weight.item() == pytest.approx(1 - 0.99 / 2)
    average.update(model, step=10_000, left=0)
    assert average.model.weight.item() == 1


def test_an_unexpected_licence_is_refused(tmp_path: Path) -> None:
    style = STYLES[0]
    folder = tmp_path / f"{style.package}-{style.version}"
    folder.mkdir()
    (folder / "icons.json").write_text("{}")
    (folder / "info.json").write_text(json.dumps({"license": {"spdx": "CC-BY-SA-4.0"}}))
    with pytest.raises(RuntimeError, match=r"CC-BY-SA-4\.0"):
        icon_sets.fetch_package(style, tmp_path)


def test_icons_are_drawn_cropped_to_their_ink(tmp_path: Path) -> None:
    body = '<rect x="2" y="6" width="4" height="4" fill="#ff0000"/>'
    icons = {
        "width": 16,
        "icons": {"square": {"body": body}},
        "aliases": {"also": {"parent": "square"}, "turned": {"parent": "square", "rotate": 1}},
    }
    (tmp_path / "icons.json").write_text(json.dumps(icons))
    found = icon_sets.svgs_of_package(tmp_path)
    assert found["also"] == found["square"]
    assert "turned" not in found
    drawn = drawings.draw_icon(found["square"])
    assert drawn.shape == (drawings.DRAWN_PX, drawings.DRAWN_PX, 4)
    assert (drawn[8:-8, 8:-8] == (255, 0, 0, 255)).all(), "the ink does not fill the drawing"


def test_painting_in_processes_is_painting() -> None:
    art = drawings.draw_all(MINI).for_training()
    maker, rng = SceneMaker(art), np.random.default_rng(0)
    scenes = [maker.scene(rng) for _ in range(5)]
    with Painter(art, 2) as several:
        assert np.array_equal(several(scenes), Painter(art, 0)(scenes))
