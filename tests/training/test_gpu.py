"""The same promises on CUDA. Where there is none, all of this is skipped; the rest runs on the CPU.

Convolutions keep float32 exact here (`exact`); as torch comes, it rounds their inputs to 10 bits.
"""

import copy
import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import single_file
import tiny
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from support import asked, train_state
from word_files import write_word

from benchmarks import full_size, memory
from pseudoword import formats, generate, methods, train
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice, DType, Quantize
from pseudoword.config.base_choice import BUNDLED
from pseudoword.config.word import NewWord
from pseudoword.example_files import EXAMPLE_PICTURES
from pseudoword.models import base_model
from pseudoword.models.compute.live_memory import nbytes
from pseudoword.models.family import Family
from pseudoword.models.loading import devices
from pseudoword.training import encoded_prompts, loop, loss, memory_plan
from pseudoword.training.batches import batch
from pseudoword.training.determinism import repeatable
from pseudoword.training.encoded_prompts import PromptsOfWord
from pseudoword.training.initialisation import begin, initial_rows
from pseudoword.training.state import TrainState

pytestmark = pytest.mark.gpu

DTYPES: tuple[DType, ...] = ("float32", "bfloat16", "float16")
QUICK: dict[str, Any] = {"init": "cat", "batch": 2, "steps": 4, "preview": (), "device": "cuda"}


@pytest.fixture
def exact() -> Iterator[None]:
    """Float32 in full, also in convolutions."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def load(base: Path, dtype: DType, quantize: Quantize = "none") -> Any:
    choice = BaseChoice(base=str(base), device="cuda", dtype=dtype, quantize=quantize)
    return base_model.load(choice)


def rows(one: TrainState) -> torch.Tensor:
    return torch.cat([found.detach().flatten() for found in one.method.word().values()])


def gradient(family: Family, pictures: Path) -> torch.Tensor:
    """Of all rows of a word, end to end; on the CPU, in float32."""
    one = train_state(family, pictures)
    loss.losses(family, [asked(one)], batch(family, [one.data], 0)).sum().backward()
    found = [given.grad for given in one.method.parameters()]
    return torch.cat([given.float().flatten().cpu() for given in found if given is not None])


def off_by(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def difference(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of any pixel, of 255."""
    a, b = (np.asarray(picture, dtype=np.int16) for picture in (one, other))
    return int(np.abs(a - b).max())


def test_auto_is_the_gpu_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(devices.VARIABLE)
    placed = base_model.placement(BaseChoice())
    assert placed.device.type == "cuda"
    assert placed.dtype in (torch.bfloat16, torch.float16)


@pytest.mark.usefixtures("exact")
def test_the_gradient_is_that_of_the_cpu(any_base: Path, pictures: Path) -> None:
    on_cpu = gradient(base_model.load_named(str(any_base), "cpu"), pictures)
    assert off_by(gradient(load(any_base, "float32"), pictures), on_cpu) < 1e-4
    assert off_by(gradient(load(any_base, "bfloat16"), pictures), on_cpu) < 0.1
    # float16 has no loss scale here, without which a gradient this small is coarse
    assert off_by(gradient(load(any_base, "float16"), pictures), on_cpu) < 0.5


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_word_is_learned_and_drawn_in_every_precision(
    any_base: Path, pictures: Path, tmp_path: Path, dtype: DType
) -> None:
    done = train(pictures, "<cat>", base=str(any_base), out=tmp_path / "run", dtype=dtype, **QUICK)
    assert done.effect > 0
    read = formats.read(done.folder)
    assert all(one.device.type == "cpu" for one in read.vectors.values())
    assert all(one.dtype == torch.float32 for one in read.vectors.values())
    drawn: dict[str, Any] = {"base": str(any_base), "device": "cuda", "dtype": dtype}
    (with_word,) = generate("a <cat>", concept=done.folder, sampler_steps=3, **drawn)
    (without,) = generate("a dog", sampler_steps=3, **drawn)
    assert np.isfinite(np.asarray(with_word)).all()
    assert difference(with_word, without) > 1


def test_the_loss_falls_and_the_frozen_weights_stay(any_base: Path, pictures: Path) -> None:
    family = load(any_base, "float32")
    before = family.fingerprint()
    one = train_state(family, pictures, steps=60, batch=4, lr=0.05)
    samples = [batch(family, [one.data], 1000 + i) for i in range(8)]

    def measured() -> float:
        with torch.no_grad():
            return sum(loss.losses(family, [asked(one)], some).item() for some in samples)

    at_first = measured()
    list(loop.train(family, [one]))
    assert measured() < at_first
    assert family.fingerprint() == before


@pytest.mark.usefixtures("exact")
def test_a_pack_gives_what_training_alone_gives(any_base: Path, pictures: Path) -> None:
    """As on the CPU, but for one thing: kernels of another kind may be chosen for another batch.

    Adam divides a gradient by its own size, so what was rounding can become a part of one step's
    rate in elements that hardly move; ten steps of other elements are a hundred times as large.
    """
    family = load(any_base, "float32")
    settings = [("<cat>", "cat", 1, 10), ("<dog>", "red dog", 2, 10), ("<toy>", "toy", 1, 6)]

    def pack() -> list[TrainState]:
        return [
            train_state(family, pictures, token, init=init, vectors=n, steps=steps)
            for token, init, n, steps in settings
        ]

    together, alone = pack(), pack()
    starts = [rows(one).clone() for one in together]
    list(loop.train(family, together))
    for one in alone:
        list(loop.train(family, [one]))
    for start, packed, solo in zip(starts, together, alone, strict=True):
        assert packed.step == solo.step
        assert (rows(solo) - start).abs().max() > 0.01
        torch.testing.assert_close(rows(packed), rows(solo), rtol=0, atol=0.1 * 2e-3)


def test_a_pack_in_half_precision_goes_where_training_alone_goes(
    any_base: Path, pictures: Path
) -> None:
    family = load(any_base, "bfloat16")
    together, alone = (
        [train_state(family, pictures, token, steps=10) for token in ("<cat>", "<dog>")]
        for _ in range(2)
    )
    start = rows(alone[0]).clone()
    list(loop.train(family, together))
    for one, packed in zip(alone, together, strict=True):
        list(loop.train(family, [one]))
        moved, beside = (rows(m) - start for m in (one, packed))
        assert torch.nn.functional.cosine_similarity(moved, beside, dim=0).item() > 0.9


WORD = "from json import loads; from sys import argv; from pseudoword import train"


@pytest.mark.parametrize("graphs", [False, True])
def test_killed_and_gone_on_or_run_again_it_ends_with_the_same_bytes(
    tmp_path: Path, graphs: bool
) -> None:
    """On the bundled base, in float32, by real kills."""
    settings: dict[str, Any] = {
        "pictures": str(EXAMPLE_PICTURES),
        "token": "<panda>",
        "init": "bear",
        "template": "captioned",
        "device": "cuda",
        "dtype": "float32",
        "vectors": 2,
        "steps": 30,
        "checkpoint_every": 3,
        "preview": (),
        "graphs": graphs,
    }

    def word(out: Path) -> bytes:
        done = train(out=out, **settings)
        return (done.folder / "concept.safetensors").read_bytes()

    whole = word(tmp_path / "whole")
    assert word(tmp_path / "again") == whole
    cut = tmp_path / "cut"
    given = json.dumps(settings | {"out": str(cut)})
    for target in (4, 17):
        process = subprocess.Popen(
            [sys.executable, "-c", f"{WORD}; train(**loads(argv[1]))", given]
        )
        log = cut / "log.jsonl"
        while process.poll() is None and not (
            log.exists() and f'"step": {target},' in log.read_text()
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert word(cut) == whole


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_graphs_learn_what_is_learned_without(any_base: Path, pictures: Path, dtype: DType) -> None:
    """Also where the shape of the batch changes, and where each of two words has its own."""
    family = load(any_base, dtype)
    if not family.graphable:
        pytest.skip("its denoiser cannot be a graph")
    learned = []
    for graphs in (False, True, True):
        states = [
            train_state(family, pictures, token, steps=steps, batch=2, graphs=graphs, lr=1e-3)
            for token, steps in (("<cat>", 6), ("<dog>", 3))
        ]
        start = torch.cat([rows(one) for one in states])
        list(loop.train(family, states))
        learned.append(torch.cat([rows(one) for one in states]) - start)
    assert torch.equal(learned[1], learned[2])
    assert off_by(learned[1], learned[0]) < 0.05


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_a_frozen_u_net_does_not_keep_changes_no_bit(unet_base: Path, dtype: DType) -> None:
    """Convolutions without their input, and activations that are computed again."""
    family = load(unet_base, dtype)
    if family.denoiser_part != "unet":
        pytest.skip("its denoiser is no U-Net")
    plain = copy.deepcopy(family.denoiser)
    for layer in plain.modules():
        vars(layer).pop("forward", None)
    text = torch.randn(2, 7, plain.config.cross_attention_dim)
    pooled = torch.randn(2, 40).to(family.device, family.dtype)
    noisy = torch.randn(2, 4, 8, 8).to(family.device, family.dtype)
    t = torch.tensor([3, 700]).to(family.device)
    added = {"text_embeds": pooled, "time_ids": torch.ones(2, 6, device=family.device)}
    found = []
    for unet in (plain, family.denoiser):
        asked_for = text.to(family.device, family.dtype).requires_grad_()
        with repeatable(family.device):
            out = unet(noisy, t, asked_for, added_cond_kwargs=added, return_dict=False)[0]
            out.float().square().mean().backward()
        found.append((out.detach(), asked_for.grad))
    assert torch.equal(found[0][0], found[1][0])
    usual, ours = (one for _, one in found)
    assert usual is not None
    assert ours is not None
    assert usual.abs().max() > 0
    assert torch.equal(usual, ours)


def test_the_gradient_of_a_published_size_repeats_bit_for_bit() -> None:
    """Attention over thousands of positions, which tiny models do not have."""
    placed = BaseChoice(base=memory.folder("sd1"), device="cuda", dtype="bfloat16")
    with memory.random_weights():
        family = base_model.load(placed)
    torch.manual_seed(3)
    start = {key: torch.randn(1, one.width) for key, one in family.encoders.items()}
    sample = memory_plan.stand_in(torch.randn(4, 4, 64, 64, device="cuda"))
    found = []
    for _ in range(4):
        rows = {key: some.cuda().requires_grad_() for key, some in start.items()}
        with repeatable(family.device):
            loss.losses(family, [rows], sample).sum().backward()
        found.append(next(iter(rows.values())).grad)
    assert found[0] is not None
    assert found[0].abs().max() > 0
    assert all(one is not None and torch.equal(one, found[0]) for one in found)


def test_how_weights_came_off_the_disk_changes_nothing(
    unet_base: Path, pictures: Path, tmp_path: Path
) -> None:
    file = single_file.write(unet_base, tmp_path / "model.safetensors")
    words = []
    for base in (unet_base, file):
        own: dict[str, Any] = {} if base is unet_base else {"configs": unet_base}
        out = tmp_path / f"run-{base.name}"
        done = train(pictures, "<cat>", base=str(base), out=out, dtype="float32", **own, **QUICK)
        words.append(done.concept.vectors)
    assert all(torch.equal(given, words[1][key]) for key, given in words[0].items())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_diffusers_draws_the_same_pictures(unet_base: Path, tmp_path: Path, dtype: DType) -> None:
    """With the same weights in the same precision; ours decodes in float32 whatever it is."""
    family = base_model.load_named(str(unet_base), "cpu")
    made = {key: torch.randn(2, one.width) for key, one in family.encoders.items()}
    write_word(Concept("<cat>", made), tmp_path / "concept.safetensors")
    pipeline = DiffusionPipeline.from_pretrained(unet_base, torch_dtype=getattr(torch, dtype))
    pipeline.to("cuda").set_progress_bar_config(disable=True)
    suffixes = {"clip_l": "", "clip_g": "_2"} if family.name == "sdxl" else {"": ""}
    for key, suffix in suffixes.items():
        pipeline.load_textual_inversion(
            made[key] if key else str(tmp_path / "concept.safetensors"),
            token="<cat>",
            text_encoder=getattr(pipeline, f"text_encoder{suffix}"),
            tokenizer=getattr(pipeline, f"tokenizer{suffix}"),
        )
    latents = pipeline(
        "a photo of <cat> on a <cat>",
        negative_prompt="red <cat>",
        generator=torch.Generator().manual_seed(7),
        guidance_scale=4.0,
        guidance_rescale=0.7,
        num_inference_steps=4,
        output_type="latent",
    ).images
    vae = AutoencoderKL.from_pretrained(unet_base, subfolder="vae").to("cuda")
    with torch.no_grad():
        pixels = vae.decode(latents.float() / vae.config.scaling_factor, return_dict=False)[0]
    (theirs,) = VaeImageProcessor().postprocess(pixels, output_type="pil")
    (ours,) = generate(
        "a photo of <cat> on a <cat>",
        concept=tmp_path,
        base=str(unet_base),
        device="cuda",
        dtype=dtype,
        seed=7,
        negative="red <cat>",
        guidance=4.0,
        guidance_rescale=0.7,
        sampler_steps=4,
    )
    assert difference(ours, theirs) <= 1


def test_the_bundled_base_draws_as_diffusers_does() -> None:
    emoji = BUNDLED["emoji"]
    pipeline = DiffusionPipeline.from_pretrained(emoji).to("cuda")
    pipeline.set_progress_bar_config(disable=True)
    own = json.loads((emoji / "model_index.json").read_bytes())
    theirs = pipeline(
        "a cat on a red background",
        generator=torch.Generator().manual_seed(3),
        guidance_scale=own["_guidance_scale"],
        guidance_rescale=own["_guidance_rescale"],
        num_inference_steps=8,
    ).images[0]
    (ours,) = generate(
        "a cat on a red background", device="cuda", dtype="float32", seed=3, sampler_steps=8
    )
    assert difference(ours, theirs) <= 1


def test_what_is_offloaded_draws_the_same(any_base: Path) -> None:
    drawn: dict[str, Any] = {"base": str(any_base), "device": "cuda", "dtype": "float32"}
    plain, spared = (
        generate("a cat", sampler_steps=2, offload=offload, **drawn)[0] for offload in (False, True)
    )
    assert difference(plain, spared) == 0


@pytest.mark.parametrize(("quantize", "error"), [("8bit", 0.1), ("4bit", 0.5)])
def test_a_quantised_base_learns_and_draws(
    unet_base: Path, pictures: Path, tmp_path: Path, quantize: Quantize, error: float
) -> None:
    if quantize == "4bit":
        pytest.importorskip("bitsandbytes")
    small, plain = load(unet_base, "bfloat16", quantize), load(unet_base, "bfloat16")
    assert nbytes(small.denoiser) < nbytes(plain.denoiser)
    rough, whole = gradient(small, pictures), gradient(plain, pictures)
    assert not torch.equal(rough, whole)
    assert off_by(rough, whole) < error
    how: dict[str, Any] = {"base": str(unet_base), "dtype": "bfloat16", "quantize": quantize}
    done = train(pictures, "<cat>", out=tmp_path / "run", **how, **QUICK)
    assert done.effect > 0
    pictures_drawn = [
        generate(prompt, concept=done.folder, device="cuda", sampler_steps=3, **how)[0]
        for prompt in ("a <cat>", "a dog")
    ]
    assert difference(*pictures_drawn) > 1


def need(case: dict[str, Any], record: Any) -> tuple[float, float]:
    """What `plan` says that training takes beside the process, and what it does; in bytes."""
    said = memory.predict("cuda", case) - memory_plan.PROCESS_NBYTES
    seen = memory.measure("cuda", case)["peak"] - memory_plan.PROCESS_NBYTES
    record(json.dumps(case), f"said {said / 2**20:.1f} MiB, seen {seen / 2**20:.1f} MiB")
    return said, seen


WAYS = [*itertools.product((False, True), ("none", "8bit", "4bit"))]


@pytest.mark.parametrize(("checkpointing", "quantize"), WAYS)
def test_a_plan_for_a_published_size_is_what_is_measured(
    checkpointing: bool, quantize: Quantize, record_property: Any
) -> None:
    case = {"layout": "sd1", "resolution": 512, "batch": 2}
    if quantize == "4bit":
        pytest.importorskip("bitsandbytes")
    case |= {"checkpointing": checkpointing, "quantize": quantize}
    said, seen = need(case, record_property)
    assert said == pytest.approx(seen, rel=0.1)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_plan_for_a_tiny_model_is_what_is_measured(
    unet_base: Path, checkpointing: bool, record_property: Any
) -> None:
    """With pictures so large that what libraries use for themselves does not count."""
    case = {"layout": str(unet_base), "resolution": 512, "batch": 16}
    said, seen = need(case | {"checkpointing": checkpointing}, record_property)
    assert said == pytest.approx(seen, rel=0.1)


@pytest.mark.parametrize("kind", ["sdxl", "sd3", "flux", "sana"])
def test_text_encoders_leave_the_gpu_where_rows_go_in_after_them(
    kind: str, pictures: Path, tmp_path: Path
) -> None:
    family = load(tiny.BASES[kind](tmp_path), "bfloat16")
    state = train_state(family, pictures)
    start = initial_rows(family, NewWord("<cat>", "cat", "auto"), 2, 0, output=True)
    state.method = methods.begin(begin(family, start), state.hyper)

    def step() -> list[torch.Tensor]:
        with repeatable(family.device):
            word = asked(state)
            value = loss.losses(family, [word], batch(family, [state.data], 0))[0]
            return [value.detach(), *torch.autograd.grad(value, list(word.values()))]

    first, gone = step(), encoded_prompts.freed(family, [state.word()])
    prompts = encoded_prompts.prompts_of(state.data)
    assert prompts
    held = sum(nbytes(family.encoders[key].model) for key in gone)
    before = torch.cuda.memory_allocated()
    encoded_prompts.keep(family, [PromptsOfWord(state.word(), prompts)])
    encoded_prompts.release(family)
    assert before - torch.cuda.memory_allocated() > 0.9 * held > 0
    assert all(torch.equal(one, other) for one, other in zip(first, step(), strict=True))


def test_the_script_for_full_sizes_measures_on_a_gpu(tmp_path: Path) -> None:
    case = full_size.Case("Sana 1.6B", "8 bits", "tiny", "cuda", "bfloat16", None, 2)
    measured = full_size.measure(case, tmp_path)
    assert measured["peak"].keys() == measured["planned"].keys()
    assert min(measured["seconds"].values()) > 0
