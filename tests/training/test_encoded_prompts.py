"""Prompts of words whose rows go in after the text encoders, which then leave memory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Unplugged, asked, learn, train_state

from pseudoword import methods
from pseudoword.api import train, train_pack
from pseudoword.config import TrainConfig
from pseudoword.config.word import NewWord
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.reading.text_encoder import TextEncoder
from pseudoword.placeholders import pack_placeholder
from pseudoword.training import encoded_prompts, loop, loss, step
from pseudoword.training.batches import batch
from pseudoword.training.encoded_prompts import PromptsOfWord
from pseudoword.training.initialisation import begin, initial_rows
from pseudoword.training.state import TrainState

pytestmark = pytest.mark.usefixtures("models_are_kept")

MANY = ("flux", "sdxl", "sd3", "qwen-image", "sana", "z-image")
"""Families that differ in what they read of their encoders, and in how they pad."""


@pytest.fixture(params=MANY)
def family(request: pytest.FixtureRequest, tiny_base: Callable[[str], Path]) -> Family:
    return base_model.load_named(str(tiny_base(request.param)), "cpu")


@pytest.fixture
def state(family: Family, pictures: Path) -> TrainState:
    made = train_state(family, pictures, templates=("a [name]", "a photo of the [name] in red"))
    rows = initial_rows(family, NewWord("<cat>", "cat", "auto"), 2, 0, output=True)
    made.method = methods.begin(begin(family, rows), made.hyper)
    return made


def gradients(family: Family, state: TrainState) -> list[torch.Tensor]:
    """The loss of a step, and its gradients."""
    rows = asked(state)
    value = loss.losses(family, [rows], batch(family, [state.data], 0))[0]
    return [value.detach(), *torch.autograd.grad(value, list(rows.values()))]


def test_a_step_has_the_same_bytes_without_the_encoders(family: Family, state: TrainState) -> None:
    before = gradients(family, state)
    prompts = encoded_prompts.prompts_of(state.data)
    assert prompts is not None
    steps: list[tuple[int, int]] = []
    word = PromptsOfWord(state.word(), prompts)
    assert encoded_prompts.keep(family, [word], lambda *done: steps.append(done))
    encoded_prompts.release(family)
    assert steps == [(1, 2), (2, 2)]
    gone = encoded_prompts.freed(family, [state.word()])
    assert gone  # of FLUX.1, CLIP is not: rows are before it
    assert {key for key, one in family.encoders.items() if not one.is_loaded} == set(gone)
    after = gradients(family, state)
    assert not any(family.encoders[key].is_loaded for key in gone)
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))
    # a new prompt brings them back
    with torch.no_grad():
        new = family.encode_text(["a blue cat"], {"<cat>": state.word()})
    encoded_prompts.release(family)
    encoded_prompts.forget(family)
    with torch.no_grad():
        again = family.encode_text(["a blue cat"], {"<cat>": state.word()})
    assert torch.equal(new.hidden, again.hidden)


@pytest.fixture
def captioned(pictures: Path) -> Path:
    """Pictures with captions of two tags, and another line."""
    for i, picture in enumerate(sorted(pictures.glob("*.png"))):
        picture.with_suffix(".txt").write_text(
            f"on a {('red', 'blue')[i % 2]} table, at night\nasleep"
        )
    return pictures


def test_all_prompts_of_a_run_are_known(captioned: Path, base: Path) -> None:
    family = base_model.load_named(str(base), "cpu")
    templates = ("[name]", "a [name] [filewords]")

    def data(**captions: Any) -> Any:
        made = train_state(family, captioned, templates=templates, caption_settings=captions)
        return made.data

    each_line = {"caption_lines": "random"}
    for captions in (
        *({}, {"drop_caption": 0.5}, {"drop_caption": 1.0}, {"drop_tags": 1.0}),
        *(each_line, each_line | {"drop_caption": 0.5}),
    ):
        one = data(**captions)
        known = encoded_prompts.prompts_of(one)
        if captions.get("drop_tags"):
            assert known is None
            continue
        assert known is not None
        found = {prompt for step in range(40) for prompt in batch(family, [one], step).prompts}
        assert found == set(known)
        assert len(known) == len({*known})
        assert any("night asleep" in prompt for prompt in known) == (
            captions.get("drop_caption") != 1 and "caption_lines" not in captions
        )


def test_the_word_stays_where_its_tag_or_caption_is_left_out(pictures: Path, base: Path) -> None:
    for picture in pictures.glob("*.png"):
        picture.with_suffix(".txt").write_text("red, a <cat>, at night")
    family = base_model.load_named(str(base), "cpu")
    word = pack_placeholder(0)
    for settings, expected in (
        ({}, {f"red, a {word}, at night"}),
        ({"drop_caption": 1.0}, {word}),
        ({"drop_tags": 1.0}, {word}),
        ({"drop_tags": 1.0, "keep_tags": 1}, {f"{word}, red"}),
    ):
        made = train_state(family, pictures, templates=("[filewords]",), caption_settings=settings)
        assert set(batch(family, [made.data], 0).prompts) == expected


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened: a load or the run of a text encoder, or a step."""
    happened: list[str] = []
    ran, stepped = TextEncoder._run, step.take_step

    def run(self: TextEncoder, *inputs: Any) -> Any:
        happened.append("encoder" if self.is_loaded else "loads the encoder")
        return ran(self, *inputs)

    def take_step(*inputs: Any) -> Any:
        happened.append("step")
        return stepped(*inputs)

    monkeypatch.setattr(TextEncoder, "_run", run)
    monkeypatch.setattr(loop, "take_step", take_step)
    return happened


def test_a_run_encodes_its_prompts_once_and_learns_the_same_bytes(
    base: Path, pictures: Path, tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"output_embedding": True, "steps": 4, "checkpoint_every": 2}
    kept = learn(base, pictures, tmp_path / "kept", **settings)
    first = calls.index("step")
    assert "encoder" in calls[:first]
    assert set(calls[first:]) == {"step"}
    with pytest.raises(RuntimeError, match="unplugged"):
        learn(base, pictures, tmp_path / "cut", **settings, progress=Unplugged(after=3))
    resumed = learn(base, pictures, tmp_path / "cut", **settings)
    calls.clear()
    monkeypatch.setattr(encoded_prompts, "keep", lambda *_: None)
    plain = learn(base, pictures, tmp_path / "plain", **settings)
    assert "encoder" in calls[calls.index("step") :]
    files = [(run.folder / "concept.safetensors").read_bytes() for run in (kept, resumed, plain)]
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("kind", ["sd1", "sana"])
def test_previews_are_encoded_before_the_steps_too(
    kind: str,
    tiny_base: Callable[[str], Path],
    pictures: Path,
    tmp_path: Path,
    calls: list[str],
) -> None:
    base = tiny_base(kind)
    lines = ("a blue [name] --s 2", "a [name] --s 2 --n red")
    run: dict[str, Any] = {"steps": 2, "preview": lines, "preview_every": 1, "batch": 2}
    done = learn(base, pictures, tmp_path / "run", output_embedding=True, **run)
    assert calls[calls.index("step") :] == ["step", "step"]
    assert len([*(done.folder / "previews").glob("step-*.png")]) == 4


def test_encoders_stay_where_captions_change_at_random_or_a_word_is_before_them(
    base: Path, captioned: Path, tmp_path: Path, calls: list[str]
) -> None:
    cases: dict[str, dict[str, Any]] = {
        "tags": {"output_embedding": True, "shuffle_tags": True, "template": "captioned"},
        "before": {},
    }
    for name, settings in cases.items():
        calls.clear()
        learn(base, captioned, tmp_path / name, **settings)
        assert "encoder" in calls[calls.index("step") :]
        assert "loads the encoder" not in calls


def test_too_much_is_not_kept(
    base: Path, pictures: Path, tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoded_prompts, "ALWAYS_NBYTES", 0)
    monkeypatch.setattr(encoded_prompts, "nbytes", lambda _model: 1)
    learn(base, pictures, tmp_path / "run", output_embedding=True)
    assert "encoder" in calls[calls.index("step") :]
    assert "loads the encoder" not in calls


def test_words_of_a_pack_are_encoded_once_and_have_the_bytes_of_words_alone(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"init": "cat", "batch": 2, "preview": (), "steps": 2}
    settings |= {"base": str(base), "output_embedding": True}
    alone = [
        train(pictures, token, out=tmp_path / token[1:-1], **settings) for token in ("<a>", "<b>")
    ]
    together = train_pack(
        [
            TrainConfig.check(pictures=pictures, token=t, out=tmp_path / f"pack-{t[1]}", **settings)
            for t in ("<a>", "<b>")
        ]
    )
    for one, other in zip(alone, together, strict=True):
        for key, rows in one.concept.vectors.items():
            assert torch.equal(rows, other.concept.vectors[key])
