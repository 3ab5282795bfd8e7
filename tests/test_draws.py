import torch

from pseudoword.draws import Draw, draw
from pseudoword.timesteps import Timesteps


def at(step: int, concept: str = "<cat>", seed: int = 0, pictures: int = 5) -> Draw:
    return draw(
        seed,
        concept,
        step,
        batch=3,
        pictures=pictures,
        captions=7,
        timesteps=Timesteps(0, 1000),
        latent_shape=(4, 8, 8),
    )


def test_a_draw_depends_on_nothing_but_its_key() -> None:
    first = at(17)
    torch.manual_seed(1)
    at(3)
    again = at(17)
    assert first.picture == again.picture
    assert first.caption == again.caption
    assert torch.equal(first.t, again.t)
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.wobble, again.wobble)


def test_seed_concept_and_step_each_change_it() -> None:
    noise = [at(17), at(18), at(17, concept="<dog>"), at(17, seed=1)]
    for i, one in enumerate(noise):
        for other in noise[:i]:
            assert not torch.equal(one.noise, other.noise)


def test_every_picture_is_seen_once_per_epoch() -> None:
    seen = [p for step in range(10) for p in at(step).picture]
    epochs = [seen[i : i + 5] for i in range(0, 30, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_timesteps_cover_the_whole_range() -> None:
    t = torch.cat([at(step).t for step in range(400)])
    assert t.min() < 20
    assert t.max() > 979
    assert abs(t.float().mean() - 499.5) < 40
