"""What must hold for every family: the assertions that a new one gets by its builder alone.

The loss against a float64 reference is in `test_loss`, a pack against solo runs in
`test_training`, and drawing as diffusers draws in `test_generation`; they go over all families too.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Snapshot, asked, train_state
from support import Unplugged

from pseudoword import formats, train
from pseudoword.models import base_model
from pseudoword.training import loss
from pseudoword.training.batches import batch


def test_the_gradient_reaches_exactly_the_new_rows_of_each_encoder(
    any_base: Path, pictures: Path
) -> None:
    family = base_model.load_named(str(any_base), "cpu")
    modules = [family.unet, *(one.model for one in family.encoders.values())]  # type: ignore[attr-defined]
    before = [Snapshot(module) for module in modules]
    pack = [train_state(family, pictures, token, vectors=2) for token in ("<a>", "<b>")]
    methods = [asked(m) for m in pack]
    loss.losses(family, methods, batch(family, [m.data for m in pack], 0))[0].backward()
    found, other = (m.method.parameters() for m in pack)
    assert len(found) == len(family.encoders)
    for rows in found:
        assert rows.grad is not None
        assert (rows.grad.abs().amax(1) > 0).all()
    assert all(rows.grad is None or not rows.grad.any() for rows in other)
    for module, snapshot in zip(modules, before, strict=True):
        assert snapshot.same(module)
        assert all(p.grad is None and not p.requires_grad for p in module.parameters())


def test_a_run_that_was_cut_ends_with_the_same_bytes(
    any_base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"base": str(any_base), "init": "cat", "steps": 5, "preview": ()}
    settings |= {"batch": 8, "checkpoint_every": 2}
    whole = train(pictures, "<cat>", out=tmp_path / "whole", **settings)
    with pytest.raises(RuntimeError, match="unplugged"):
        train(pictures, "<cat>", out=tmp_path / "cut", progress=Unplugged(after=3), **settings)
    again = train(pictures, "<cat>", out=tmp_path / "cut", **settings)
    files = [(run.folder / "concept.safetensors").read_bytes() for run in (whole, again)]
    assert files[0] == files[1]
    assert set(formats.read(whole.folder).vectors) == set(whole.concept.vectors)
    assert whole.effect > 0


def test_pixels_that_are_cut_elsewhere_change_what_sdxl_predicts_and_nobody_else(
    any_base: Path, pictures: Path
) -> None:
    family = base_model.load_named(str(any_base), "cpu")
    one = train_state(family, pictures)
    samples = batch(family, [one.data], 0)
    condition = family.encode_text(["a cat"] * 2, {})
    found = [
        family.predict(samples.latents, samples.t, condition, micro_conditioning)
        for micro_conditioning in (samples.micro_conditioning, samples.micro_conditioning * 2)
    ]
    assert torch.equal(found[0], found[1]) == (family.name == "sd")
