"""Rows for each cross-attention layer (P+, arXiv 2303.09522), in training and in drawing."""

import base64
import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file
from support import Notes, asked, run, train_state, without_numbers
from torch import Tensor
from word_files import write_as, write_word

import pseudoword
from pseudoword import api, formats
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice
from pseudoword.config.written_files import ENDINGS
from pseudoword.errors import ConceptError
from pseudoword.formats import keys, layered_rows
from pseudoword.formats.layouts import LAYERED_ROWS
from pseudoword.models import base_model
from pseudoword.models.compatibility import check_compatible
from pseudoword.models.cross_attention import cross_attention_layers
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.models.loading import single_file_configs
from pseudoword.training import loop, loss, memory_plan
from pseudoword.training.batches import batch


def with_unet(base: Path, folder: Path, **config: Any) -> Path:
    """A tiny model with another U-Net."""
    shutil.copytree(base, folder)
    before = json.loads((folder / "unet" / "config.json").read_text())
    torch.manual_seed(0)
    UNet2DConditionModel.from_config(before | config).save_pretrained(folder / "unet")
    return folder


@pytest.fixture(scope="module")
def published_shape(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose U-Net has the blocks of Stable Diffusion 1's."""
    return with_unet(
        base,
        tmp_path_factory.mktemp("shape") / "base",
        block_out_channels=[8, 8, 8, 8],
        layers_per_block=2,
        down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    )


def layered_word(family: Family, n: int = 1) -> dict[str, Tensor]:
    """Random rows, about as long as a word's."""
    source = torch.Generator().manual_seed(5)
    return {
        f"{key}.{layer}": torch.randn(n, one.width, generator=source) * 0.02
        for key, one in family.encoders.items()
        for layer in family.layers
    }


def alone(family: Family, word: dict[str, Tensor], layer: str) -> dict[str, Tensor]:
    """An ordinary word with the rows of one layer."""
    return {key: word[f"{key}.{layer}"] for key in family.encoders}


def test_the_layers_of_stable_diffusion_1_are_those_of_xti() -> None:
    choice = BaseChoice(base=str(single_file_configs.folder("sd1")), device="cpu")
    assert tuple(without_numbers(choice).layers) == keys.XTI_LAYERS
    choice = BaseChoice(base=str(single_file_configs.folder("sdxl")), device="cpu")
    assert list(without_numbers(choice).layers) == [
        *("IN04", "IN05", "IN07", "IN08", "MID"),
        *("OUT00", "OUT01", "OUT02", "OUT03", "OUT04", "OUT05"),
    ]


def test_each_layer_reads_what_its_own_rows_make_of_the_prompt(unet_family: Family) -> None:
    family: Any = unet_family
    word, prompts = layered_word(family, n=2), ["a <cat> on red", "a dog"]
    read: dict[str, Tensor] = {}

    def seen(layer: str) -> Any:
        return lambda _module, _args, given: read.update({layer: given["encoder_hidden_states"]})

    condition = family.encode_text(prompts, {"<cat>": word})
    assert condition.layered
    before = family._layers
    with torch.no_grad():
        with family.reading(condition):  # hooks of ours come before those of the test
            hooks = [
                module.register_forward_pre_hook(seen(layer), with_kwargs=True)
                for layer, module in before.items()
            ]
            family.denoiser(
                torch.zeros(2, 4, 8, 8), torch.tensor([5, 5]), condition.hidden,
                added_cond_kwargs=family.added_conditions(
                    condition, torch.ones(2, 6, dtype=torch.int64)
                ),
            )  # fmt: skip
        for hook in hooks:
            hook.remove()
        assert list(read) == list(family.layers)
        for layer, found in read.items():
            expected = family.encode_text(prompts, {"<cat>": alone(family, word, layer)})
            torch.testing.assert_close(found, expected.hidden, rtol=0, atol=1e-5)


def test_a_layer_s_text_has_a_gradient_in_its_own_rows_only(unet_family: Family) -> None:
    word = {key: rows.requires_grad_() for key, rows in layered_word(unet_family).items()}
    condition = unet_family.encode_text(["a <cat>"], {"<cat>": word})
    parts = condition.hidden.chunk(len(unet_family.layers), dim=1)
    parts[1].square().sum().backward()
    reached = {key for key, rows in word.items() if rows.grad is not None and rows.grad.any()}
    assert reached == {f"{key}.{unet_family.layers[1]}" for key in unet_family.encoders}


def test_the_loss_reaches_the_rows_of_every_layer(unet_family: Family, pictures: Path) -> None:
    one = train_state(unet_family, pictures, method="layered", vectors=2)
    loss.losses(unet_family, [asked(one)], batch(unet_family, [one.data], 0)).sum().backward()
    found = one.method.parameters()
    assert len(found) == len(unet_family.encoders)
    for rows in found:
        assert rows.grad is not None
        assert rows.shape[0] == 1 + len(unet_family.layers)
        assert (rows.grad.abs().amax(-1) > 0).all()


def test_the_same_rows_for_all_layers_are_an_ordinary_word(
    unet_family: Family, pictures: Path
) -> None:
    layered = train_state(unet_family, pictures, method="layered", vectors=2, init="red cat")
    classic = train_state(unet_family, pictures, vectors=2, init="red cat")
    samples = batch(unet_family, [classic.data], 0)
    with torch.no_grad():
        first, second = (loss.losses(unet_family, [m.word()], samples) for m in (layered, classic))
    torch.testing.assert_close(first, second)
    words = [Concept("<cat>", m.word()) for m in (layered, classic)]
    drawn = [
        generate(unet_family, ["a <cat>"], [word], seeds=[0], sampler_steps=2)[0] for word in words
    ]
    pixels = [torch.tensor(list(picture.tobytes()), dtype=torch.int16) for picture in drawn]
    assert (pixels[0] - pixels[1]).abs().max() <= 1


def test_a_u_net_that_makes_one_vector_of_the_text_gets_the_mean_of_all_layers(
    base: Path, tmp_path: Path
) -> None:
    more = {"addition_embed_type": "text", "addition_embed_type_num_heads": 4}
    family: Any = base_model.load_named(str(with_unet(base, tmp_path / "base", **more)), "cpu")
    word, made, pooled = layered_word(family), list[Tensor](), family.denoiser.get_aug_embed

    def seen(**given: Any) -> Tensor:
        made.append(pooled(**given))
        return made[-1]

    family.denoiser.get_aug_embed = seen

    def read(rows: dict[str, Tensor]) -> Tensor:
        condition = family.encode_text(["a <cat>", "a dog"], {"<cat>": rows})
        family.predict(
            torch.zeros(2, 4, 8, 8), torch.tensor([3, 3]), condition, torch.ones(2, 6).long()
        )
        return made[-1]

    with torch.no_grad():
        each = [read(alone(family, word, layer)) for layer in family.layers]
        torch.testing.assert_close(read(word), torch.stack(each).mean(0))


def test_nothing_of_it_stays_in_the_model(family: Family) -> None:
    unet: Any = family.modules()["unet"]
    word = {"<cat>": layered_word(family)}
    condition, plain = family.encode_text(["a <cat>"], word), family.encode_text(["a cat"], {})
    noisy, t = torch.zeros(1, 4, 8, 8), torch.tensor([3])
    framing = torch.ones(1, 6, dtype=torch.int64)
    with torch.no_grad():
        before = family.predict(noisy, t, plain, framing)
        layered = family.predict(noisy, t, condition, framing)
        with pytest.raises(RuntimeError):
            family.predict(torch.zeros(1, 3, 8, 8), t, condition, framing)
        after = family.predict(noisy, t, plain, framing)
    assert torch.equal(before, after)
    assert not torch.equal(before, layered)
    assert not any(module._forward_pre_hooks for module in unet.modules())


def test_sparing_memory_gives_the_same_gradient(base: Path, pictures: Path) -> None:
    found = []
    for checkpointing in (False, True):
        family = base_model.load(
            BaseChoice(base=str(base), device="cpu"), checkpointing=checkpointing
        )
        one = train_state(family, pictures, method="layered")
        loss.losses(family, [asked(one)], batch(family, [one.data], 0)).sum().backward()
        found.append(one.method.parameters()[0].grad)
    assert found[0] is not None
    torch.testing.assert_close(found[0], found[1])


def test_a_layer_that_is_not_asked_is_told(base: Path) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    condition = family.encode_text(["a <cat>"], {"<cat>": layered_word(family)})
    family.denoiser.mid_block.forward = lambda hidden, *_args, **_given: hidden
    with pytest.raises(pseudoword.PseudowordError, match="did not use its layers MID"):
        family.predict(
            torch.zeros(1, 4, 8, 8), torch.tensor([3]), condition, torch.ones(1, 6).long()
        )


def test_a_u_net_that_reads_text_elsewhere_has_no_layers(base: Path) -> None:
    unet: Any = base_model.load_named(str(base), "cpu").modules()["unet"]
    assert cross_attention_layers(unet)
    unet.extra = next(m for m in unet.modules() if getattr(m, "is_cross_attention", False))
    attention = type(unet.extra)(query_dim=8, cross_attention_dim=8)
    unet.extra = attention
    assert cross_attention_layers(unet) == {}


def test_a_file_of_other_layers_does_not_fit(family: Family) -> None:
    other = Concept("<x>", {f"clip_l.{layer}": torch.ones(1, 32) for layer in keys.XTI_LAYERS})
    with pytest.raises(ConceptError, match=r"16 layers \(IN01 to OUT11\), the model has \d layers"):
        check_compatible(other, family)
    uneven = layered_word(family)
    uneven[next(iter(uneven))] = torch.ones(2, 32)
    with pytest.raises(ConceptError, match="more rows for some layers"):
        check_compatible(Concept("<x>", uneven), family)
    wide = Concept("<x>", {f"clip_l.{layer}": torch.ones(1, 768) for layer in family.layers})
    with pytest.raises(ConceptError, match="clip_l of width 768"):
        check_compatible(wide, family)


def test_a_word_goes_to_kohya_s_file_and_back_and_draws(
    published_shape: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"base": str(published_shape), "steps": 2, "preview": ()}
    told = Notes()
    done = api.train(
        pictures, "<cat>", out=tmp_path / "run", method="layered", init="cat", progress=told,
        **settings,
    )  # fmt: skip
    assert any("other tools read those for all layers" in note for note in told.lines)
    (file,) = api.convert(done.folder, tmp_path / "xti.safetensors", format="xti", progress=told)
    assert "xti holds the rows for each layer, and not those for all" in told.lines[-1]
    back = formats.read(file)
    assert list(back.vectors) == [f"clip_l.{layer}" for layer in keys.XTI_LAYERS]
    assert all(torch.equal(r, done.concept.vectors[key]) for key, r in back.vectors.items())
    pictures_of = [
        api.generate("a <cat>", concept=path, base=str(published_shape), seed=1, sampler_steps=2)[
            0
        ].tobytes()
        for path in (done.folder, file)
    ]
    assert pictures_of[0] == pictures_of[1]
    with pytest.raises(ConceptError, match="--method layered"):
        api.train(pictures, "<b>", out=tmp_path / "b", init=str(file), **settings)


def test_its_file_is_an_ordinary_word_to_those_who_know_no_layers(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"base": str(base), "init": "cat", "preview": ()}
    done = api.train(
        pictures, "<cat>", out=tmp_path / "run", method="layered", vectors=2, steps=4, **settings
    )
    file = done.folder / formats.CONCEPT_FILE
    ((name, theirs),) = load_file(file).items()
    assert name == "<cat>"
    assert torch.equal(theirs, done.concept.vectors["clip_l"])
    each = [rows for key, rows in done.concept.vectors.items() if key != "clip_l"]
    assert not any(torch.equal(rows, theirs) for rows in each)
    back = formats.read(file)
    assert back.vectors.keys() == done.concept.vectors.keys()
    assert all(torch.equal(rows, done.concept.vectors[key]) for key, rows in back.vectors.items())
    again = api.train(
        pictures, "<b>", out=tmp_path / "b", init=str(file), steps=2, lr=1e-9, base=str(base),
        preview=(),
    )  # fmt: skip
    assert list(again.concept.vectors) == ["clip_l"]
    torch.testing.assert_close(again.concept.vectors["clip_l"], theirs, rtol=0, atol=1e-6)
    (copy,) = api.convert(file, tmp_path / "cat.pt", format="a1111")
    assert torch.equal(formats.read(copy).vectors["clip_l"], theirs)


def test_rows_for_each_layer_that_are_damaged_are_told(tmp_path: Path) -> None:
    rows = torch.ones(1, 32)
    word = Concept("<cat>", {"clip_l": rows, "clip_l.MID": rows})
    other = layered_rows.as_text({"clip_h.MID": rows})
    more = base64.b64encode(save({"clip_l": rows, "clip_l.MID": rows.clone()})).decode()
    for text in ("!", "AAAA", layered_rows.as_text(word.vectors)[:-8], other, more):
        path = tmp_path / "cat.safetensors"
        write_word(word, path)
        with safe_open(path, "pt") as file:
            metadata = file.metadata() | {LAYERED_ROWS: text}
        save_file({"<cat>": rows}, path, metadata)
        with pytest.raises(ConceptError, match=r"cat\.safetensors"):
            formats.read(path)


def test_a_step_without_layers_reads_the_same_rows_everywhere(
    unet_family: Family, pictures: Path
) -> None:
    one = train_state(unet_family, pictures, method="layered", steps=4)
    start = [p.detach().clone() for p in one.method.parameters()]
    list(islice(loop.train(unet_family, [one]), 1))
    key = next(iter(unet_family.encoders))
    assert set(asked(one)) == set(unet_family.encoders)
    (shared, *added), first = one.method.parameters()[0], start[0]
    assert not torch.equal(shared, first[0])
    assert all(rows.any() for rows in added)
    each = zip(unet_family.layers, added, strict=True)
    expected = {key: shared, **{f"{key}.{layer}": shared + own for layer, own in each}}
    for name, rows in expected.items():
        torch.testing.assert_close(one.method.word()[name], rows)


def test_words_that_are_read_once_share_no_batch_with_one_that_is_read_for_each_layer(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their gradients would be summed in another order than alone."""
    found, real = list[list[bool]](), loss.losses

    def seen(family: Family, words: Any, *others: Any) -> Tensor:
        found.append([keys.is_layered(rows) for rows in words])
        return real(family, words, *others)

    monkeypatch.setattr(loss, "losses", seen)
    pack = [
        train_state(family, pictures, f"<{name}>", method=method, steps=2)
        for name, method in (("a", "classic"), ("b", "layered"), ("c", "classic"))
    ]
    list(loop.train(family, pack))
    assert found == [[False, False], [True], [False, False, False]]


def test_other_tools_get_the_mean_of_the_layers_which_is_said(
    base: Path, family: Family, tmp_path: Path
) -> None:
    word = Concept("<cat>", layered_word(family, n=2), method="layered")
    write_as(word, tmp_path / "own.safetensors", "native")
    told = Notes()
    for name in ("a1111", "diffusers-bin", "comfyui"):
        (file,) = api.convert(
            tmp_path / "own.safetensors",
            tmp_path / f"{name}{ENDINGS[name]}",
            format=name,
            progress=told,
        )
        ordinary = formats.read(file)
        each = torch.stack(list(word.vectors.values()))
        length = each.norm(dim=-1, keepdim=True).mean(0)
        expected = torch.nn.functional.normalize(each.mean(0), dim=-1) * length
        torch.testing.assert_close(ordinary.vectors["clip_l"], expected)
        check_compatible(ordinary, family)
    assert [note.partition(" holds")[0] for note in told.lines] == [
        f"<cat>: {name}" for name in ("a1111", "diffusers-bin", "comfyui")
    ]
    (file,) = api.convert(
        tmp_path / "own.safetensors", tmp_path / "copy.safetensors", progress=told
    )
    assert len(formats.read(file).vectors) == len(family.layers)
    assert len(told.lines) == 3
    code, said, _ = run("inspect", file, "--base", base)
    assert code == 0
    assert f"clip_l.{family.layers[-1]}" in said


def test_reading_a_prompt_for_each_layer_is_in_the_memory_plan(base: Path) -> None:
    family = without_numbers(BaseChoice(base=str(base), device="cpu"))
    latents = memory_plan._latents(family, 32, 4)
    classic, layered, directional = (
        memory_plan._step(family, latents, name, after=False)
        for name in ("classic", "layered", "directional")
    )
    assert layered > classic
    assert directional < 1.01 * classic
