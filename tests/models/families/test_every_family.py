"""What must hold for every family; a new one is tested as soon as `tiny.py` has its builder.

Other tests over all families: the loss against a float64 reference is in `test_loss`, a pack
against single runs in `test_loop`, and drawing as in diffusers in `test_generation`.
"""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from support import Snapshot, Unplugged, asked, train_state

from pseudoword import formats, train
from pseudoword.config import BaseChoice
from pseudoword.errors import SettingsError
from pseudoword.models import base_model
from pseudoword.models.families import FAMILIES
from pseudoword.models.family import Family
from pseudoword.models.flow import Flow
from pseudoword.training import loss
from pseudoword.training.batches import batch

pytestmark = pytest.mark.usefixtures("models_are_kept")

BUILDERS = {"sd": "sd1", "pixart-alpha": "pixart", "sana-sprint": "sana"}
"""Family -> its builder, or that of the family that it is a variant of, where names differ."""


def test_every_family_has_a_tiny_member() -> None:
    assert {BUILDERS.get(name, name) for name in FAMILIES} <= set(tiny.DISTINCT)


def test_the_gradient_reaches_exactly_the_new_rows_of_each_encoder(
    any_family: Family, pictures: Path
) -> None:
    family = any_family
    modules = [m for name, m in family.modules().items() if name != "vae"]
    before = [Snapshot(module) for module in modules]
    pack = [train_state(family, pictures, token, vectors=2) for token in ("<a>", "<b>")]
    methods = [asked(state) for state in pack]
    loss.losses(family, methods, batch(family, [state.data for state in pack], 0))[0].backward()
    first, second = (state.method.parameters() for state in pack)
    assert len(first) == len(family.encoders)
    for rows in first:
        assert rows.grad is not None
        assert (rows.grad.abs().amax(1) > 0).all()
    assert all(rows.grad is None or not rows.grad.any() for rows in second)
    for module, snapshot in zip(modules, before, strict=True):
        assert snapshot.same(module)
        assert all(p.grad is None and not p.requires_grad for p in module.parameters())


def test_a_resumed_run_ends_with_the_same_bytes(
    any_base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"base": str(any_base), "init": "cat", "steps": 4, "preview": ()}
    settings |= {"batch": 2, "checkpoint_every": 2}
    whole = train(pictures, "<cat>", out=tmp_path / "whole", **settings)
    with pytest.raises(RuntimeError, match="unplugged"):
        train(pictures, "<cat>", out=tmp_path / "cut", progress=Unplugged(after=3), **settings)
    again = train(pictures, "<cat>", out=tmp_path / "cut", **settings)
    files = [(run.folder / "concept.safetensors").read_bytes() for run in (whole, again)]
    assert files[0] == files[1]
    assert set(formats.read(whole.folder).vectors) == set(whole.concept.vectors)
    assert whole.effect > 0


def test_another_prediction_type_is_used_or_refused(any_base: Path) -> None:
    choice = BaseChoice.check(base=str(any_base), device="cpu")
    noise_schedule = base_model.load(choice).noise_schedule
    other = choice.model_copy(update={"prediction_type": "v_prediction"})
    if isinstance(noise_schedule, Flow):
        with pytest.raises(SettingsError, match="which predicts a flow"):
            base_model.load(other)
    else:
        found: Any = base_model.load(other).noise_schedule
        assert found.prediction_type == "v_prediction"


def test_micro_conditioning_changes_the_prediction_of_sdxl_only(
    any_family: Family, pictures: Path
) -> None:
    family = any_family
    samples = batch(family, [train_state(family, pictures).data], 0)
    condition = family.encode_text(["a cat"] * 2, {})
    predictions = [
        family.predict(samples.latents, samples.t, condition, sizes)
        for sizes in (samples.micro_conditioning, samples.micro_conditioning * 2)
    ]
    assert torch.equal(predictions[0], predictions[1]) == (family.name != "sdxl")
