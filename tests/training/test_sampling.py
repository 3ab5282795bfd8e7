import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from support import train_state

from pseudoword.models.family import Family
from pseudoword.training.batches import batch
from pseudoword.training.sampling import StepSamples, sample_step
from pseudoword.training.timestep_sampling import Timesteps

SQUARE, WIDE, TALL = (4, 8, 8), (4, 6, 10), (4, 10, 6)


def at(
    step: int,
    concept: str = "<cat>",
    seed: int = 0,
    pictures: int = 5,
    shapes: Sequence[tuple[int, ...]] | None = None,
) -> StepSamples:
    return sample_step(
        seed,
        concept,
        step,
        batch=3,
        pictures=shapes or [(1, *SQUARE)] * pictures,
        captions=7,
        timesteps=Timesteps(0, 1000),
    )


def test_a_draw_depends_on_nothing_but_its_key() -> None:
    first = at(17)
    torch.manual_seed(1)
    random.seed(1)
    at(3)
    again = at(17)
    for name in ("picture", "view", "caption", "wording"):
        assert getattr(first, name) == getattr(again, name)
    assert torch.equal(first.t, again.t)
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.latent_noise, again.latent_noise)


def test_seed_concept_and_step_each_change_it() -> None:
    drawn = [at(17), at(18), at(17, concept="<dog>"), at(17, seed=1)]
    for i, one in enumerate(drawn):
        for other in drawn[:i]:
            assert not torch.equal(one.noise, other.noise)
            assert one.wording != other.wording


def test_every_picture_is_seen_once_per_epoch() -> None:
    seen = [p for step in range(10) for p in at(step).picture]
    epochs = [seen[i : i + 5] for i in range(0, 30, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_views_share_their_picture_s_turns_and_are_seen_equally_often() -> None:
    shapes = [(1, *SQUARE), (4, *SQUARE)]
    seen: Counter[tuple[int, int]] = Counter()
    for step in range(16):
        drawn = at(step, shapes=shapes)
        seen.update(zip(drawn.picture, drawn.view, strict=True))
    assert seen == {(0, 0): 24, **{(1, view): 6 for view in range(4)}}


def test_a_step_keeps_to_one_shape_and_all_pictures_are_seen_equally_often() -> None:
    shapes = [(1, *s) for s in (SQUARE, WIDE, SQUARE, TALL, SQUARE, WIDE)]
    seen: Counter[int] = Counter()
    order = []
    for step in range(24):  # four rounds of six steps
        drawn = at(step, shapes=shapes)
        (shape,) = {shapes[p][1:] for p in drawn.picture}
        assert drawn.noise.shape == drawn.latent_noise.shape == (3, *shape)
        seen.update(drawn.picture)
        order.append(shape)
    assert seen == dict.fromkeys(range(6), 12)
    assert all(Counter(order[i : i + 6]) == {SQUARE: 3, WIDE: 2, TALL: 1} for i in range(0, 24, 6))
    assert order[:6] != order[6:12]


@pytest.mark.parametrize("crop", ["centre", "buckets"])
def test_pictures_have_turns_as_their_repeats_say(
    crop: str, family: Family, tmp_path: Path
) -> None:
    for name, size in {"a": (64, 64), "b": (64, 64), "c": (128, 64)}.items():
        Image.effect_noise(size, 90).convert("RGB").save(tmp_path / f"{name}.png")
    state = train_state(
        family, tmp_path, templates=["[filewords]"], picture_settings={"crop": crop}, batch=1
    )
    a, b, c = state.data.pictures

    def seen(*repeats: int) -> list[str]:
        pictures = [replace(p, repeats=n) for p, n in zip((a, b, c), repeats, strict=True)]
        data = replace(state.data, pictures=pictures)
        return [batch(family, [data], step).prompts[0][-1] for step in range(12)]

    assert Counter(seen(6, 2, 4)) == {"a": 6, "b": 2, "c": 4}
    assert seen(7, 7, 7) == seen(1, 1, 1)


def test_what_else_is_drawn_does_not_depend_on_crops() -> None:
    plain, many = at(5), at(5, shapes=[(8, *SQUARE)] * 5)
    assert plain.picture == many.picture
    assert torch.equal(plain.noise, many.noise)


def test_timesteps_cover_the_whole_range() -> None:
    t = torch.cat([at(step).t for step in range(400)])
    assert t.min() < 20
    assert t.max() > 979
    assert abs(t.float().mean() - 499.5) < 40
