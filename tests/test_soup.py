"""`--soup`: words learned side by side from samples of their own, whose mean is handed over."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import member

from pseudoword import loss, train, training
from pseudoword.errors import RunFolderError
from pseudoword.families.base import Family
from pseudoword.member import Member
from pseudoword.samples import batches


def rows(one: Member) -> list[torch.Tensor]:
    """Of each ingredient."""
    return [method.vectors()["clip_l"].detach().clone() for method in one.ingredients]


def samples(family: Family, one: Member, part: int, step: int = 0) -> loss.Batch:
    """What a part of a step sees."""
    ((_, found),) = batches(family, [one], step, part)
    return found


def test_each_word_learns_from_samples_of_its_own(family: Family, pictures: Path) -> None:
    soup = member(family, pictures, soup=2)
    shares = [samples(family, soup, part) for part in range(2)]
    assert not torch.equal(shares[0].noise, shares[1].noise)
    [reading] = training.gradients(family, [soup], 0)
    expected = []
    for method, share in zip(soup.ingredients, shares, strict=True):
        [found] = [p.grad for p in method.parameters()]
        assert found is not None
        alone = member(family, pictures)
        value = loss.losses(family, [alone.method], share).sum()
        value.backward()
        expected.append(value.item())
        [own] = [p.grad for p in alone.method.parameters()]
        assert own is not None
        assert torch.equal(found, own)
    assert expected[0] != expected[1]
    assert reading[0] == pytest.approx(sum(expected) / 2)


@pytest.mark.parametrize(("soup", "kept_from"), [(1, [0]), (2, [2, 2]), (3, [2, 1, 1])])
def test_each_word_misses_a_share_of_the_pictures(
    family: Family, pictures: Path, soup: int, kept_from: list[int]
) -> None:
    one = member(family, pictures, soup=soup, latents="deterministic", templates=["[name]"])
    every = {tuple(p.moments.mean.flatten().tolist()) for p in one.pictures}
    missed = []
    for k in range(soup):
        seen = [samples(family, one, k, step).latents for step in range(20)]
        found = {tuple(latent.flatten().tolist()) for latent in torch.cat(seen)}
        assert found <= every
        missed.append(every - found)
    assert [len(some) for some in missed] == kept_from
    assert soup == 1 or set.union(*missed) == every  # none is missed by two: they add up to all


def test_of_two_pictures_each_word_sees_both(family: Family, pictures: Path) -> None:
    one = member(family, pictures, soup=2)
    one.pictures = one.pictures[:2]
    assert [list(one.seen_by(k)) for k in range(2)] == [[0, 1], [0, 1]]


def test_gradients_are_accumulated_and_clipped_word_by_word(family: Family, pictures: Path) -> None:
    whole = member(family, pictures, batch=4, soup=2, clip_norm=1e-4)
    parts = member(family, pictures, batch=2, accumulate=2, soup=2, clip_norm=1e-4)
    readings = [training.gradients(family, [one], 3)[0] for one in (whole, parts)]
    assert readings[0] == pytest.approx(readings[1], rel=1e-3)
    for one in (whole, parts):
        for parameter in one.method.parameters():
            assert parameter.grad is not None
            assert parameter.grad.norm().item() == pytest.approx(1e-4, rel=1e-2)


def test_the_word_is_the_mean_of_all(family: Family, pictures: Path) -> None:
    one = member(family, pictures, soup=3, steps=4)
    list(training.train(family, [one]))
    found = rows(one)
    assert len(found) == 3
    assert all((found[0] - other).abs().max() > 1e-3 for other in found[1:])
    torch.testing.assert_close(one.word()["clip_l"], sum(found) / 3)


def test_each_keeps_to_the_length_asked_for(family: Family, pictures: Path) -> None:
    one = member(family, pictures, soup=2, norm="rescale", lr="0.01", steps=3)
    list(training.train(family, [one]))
    for each in rows(one):
        assert each.norm().item() == pytest.approx(one.typical_norm["clip_l"], rel=1e-5)


def test_members_of_a_pack_may_take_different_numbers_of_batches(
    family: Family, pictures: Path
) -> None:
    def pack() -> list[Member]:
        return [
            member(family, pictures, "<a>", soup=3),
            member(family, pictures, "<b>", soup=1),
            member(family, pictures, "<c>", soup=2, accumulate=2),
        ]

    together, alone = pack(), pack()
    list(training.train(family, together))
    for packed, one in zip(together, alone, strict=True):
        list(training.train(family, [one]))
        for found, expected in zip(rows(packed), rows(one), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * 2e-3)


def test_a_resumed_soup_stays_a_soup(base: Path, pictures: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"init": "cat", "base": str(base), "batch": 1, "preview": ()}
    settings["out"] = tmp_path / "a"
    train(pictures, "<cat>", soup=2, steps=3, **settings)
    with pytest.raises(RunFolderError, match="--soup was 2, is 1"):
        train(pictures, "<cat>", soup=1, steps=3, extend=3, **settings)
    with pytest.raises(RunFolderError, match="another --soup, which cannot change"):
        train(pictures, "<cat>", soup=1, steps=3, extend=3, allow_changes=True, **settings)
    extended = train(pictures, "<cat>", soup=2, steps=3, extend=3, **settings)
    whole = train(pictures, "<cat>", soup=2, steps=6, **(settings | {"out": tmp_path / "b"}))
    assert extended.concept.provenance["soup"] == "2"
    assert torch.equal(extended.concept.vectors["clip_l"], whole.concept.vectors["clip_l"])
