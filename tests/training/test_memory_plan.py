"""What memory is said to be needed, on tiny models; `benchmarks/memory.py` has full-size ones."""

import gc
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import tiny
import torch
from support import without_numbers
from torch import nn
from torch.profiler import ProfilerActivity, profile
from typer.testing import CliRunner

from benchmarks import memory
from pseudoword.api import plan
from pseudoword.cli.app import app
from pseudoword.config import BaseChoice, DType
from pseudoword.errors import BaseModelError, PseudowordError, SettingsError
from pseudoword.models import base_model
from pseudoword.models.compute import live_memory
from pseudoword.models.compute.precision import shapes_of
from pseudoword.models.family import Family
from pseudoword.models.loading import devices
from pseudoword.models.loading.quantisation import quantize
from pseudoword.training import loss, memory_plan

FILMS = ("qwen-image", "krea2")
"""Tiny models with a VAE for films."""


def test_bytes_alive_at_a_time_are_counted_and_let_go() -> None:
    with live_memory.count_peak() as peak:
        one = torch.zeros(100, device="meta")
        assert peak() == 400
        for _ in range(5):
            other = one + 1
            del other
        assert peak() == 800
        view = one.view(10, 10)
        assert peak() == 800
        torch.cat([one, view.flatten(), one])
    assert peak() == 400 + 1200


def test_what_is_drawn_while_memory_is_counted_is_not_changed() -> None:
    """A page counts in one thread and draws in another."""
    one, seen = torch.randn(1, 2, 8, 16), torch.ones(8, 8, dtype=torch.bool).tril()
    attention = nn.functional.scaled_dot_product_attention
    expected = attention(one, one, one, attn_mask=seen)
    with live_memory.count_peak(), ThreadPoolExecutor(1) as thread:
        asked = thread.submit(
            lambda: nn.functional.scaled_dot_product_attention(one, one, one, attn_mask=seen)
        )
        assert torch.equal(asked.result(), expected)


def test_threads_that_count_at_once_leave_attention_as_it_was() -> None:
    """Two pages may: the first to end put back what the other one still used, which stayed."""
    attention = nn.functional.scaled_dot_product_attention
    began, ends = Event(), Event()

    def count() -> None:
        with live_memory.count_peak():
            began.set()
            ends.wait()

    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(count)
        began.wait()
        with live_memory.count_peak():
            fused = nn.functional.scaled_dot_product_attention
            ends.set()
            other.result()
            assert nn.functional.scaled_dot_product_attention is fused is not attention
    assert nn.functional.scaled_dot_product_attention is attention


def test_what_the_backward_pass_needs_is_counted() -> None:
    """A chain of n sigmoids keeps n results; frozen weights ask for nothing to be kept."""
    rows = torch.zeros(1000, device="meta", requires_grad=True)
    with live_memory.count_peak() as peak:
        value = rows
        for _ in range(7):
            value = value.sigmoid()
        assert peak() == 7 * 4000
        value.sum().backward()
    assert peak() >= 8 * 4000
    layer = nn.Linear(100, 100, bias=False, device="meta").requires_grad_(False)
    with live_memory.count_peak() as peak:
        value = torch.zeros(1, 100, device="meta", requires_grad=True)
        for _ in range(50):
            value = layer(value)
        assert peak() < 5 * 400


@pytest.fixture
def weights_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans that do not follow steps, an encoding and a drawing, which takes seconds each."""
    nothing = memory_plan._Peaks(0, 0, 0, 0, 0)
    monkeypatch.setattr(memory_plan, "_peaks", lambda *_: nothing)


@pytest.mark.usefixtures("weights_alone")
def test_parts_are_as_large_as_the_files_that_hold_them(any_base: Path, any_family: Family) -> None:
    found = plan(base=str(any_base), dtype="float32")
    for name, module in any_family.modules().items():
        tensors = [*module.parameters(), *module.buffers()]
        assert found.parts[name] == sum(one.numel() * one.element_size() for one in tensors)
    half = plan(base=str(any_base), dtype="bfloat16")
    (denoiser,) = {"unet", "transformer"} & set(half.parts)
    # but for small tables that stay as they are
    assert half.parts[denoiser] * 2 == pytest.approx(found.parts[denoiser], rel=1e-3)
    stays = not any_base.name.startswith(("sana", "flux2", *FILMS))  # in float32
    whole = half.parts["vae"] * (1 if stays else 2)
    assert whole == pytest.approx(found.parts["vae"], rel=1e-3)


def step(empty: Family, side: int, batch: int) -> int:
    return memory_plan._step(
        empty, memory_plan._latents(empty, side, batch), "classic", after=False
    )


@pytest.mark.parametrize("kind", ["sdxl", "sd3", "qwen-image"])
def test_more_pixels_and_samples_need_more_and_sparing_needs_less(
    kind: str, tiny_base: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each family, a step's memory is compared with what is planned below."""
    for name in ("_encode", "_draw"):  # not followed, as in `weights_alone`
        monkeypatch.setattr(memory_plan, name, lambda *_: 0)
    base = str(tiny_base(kind))
    # Tiny transformers read more text than picture.
    unet = kind == "sdxl"
    side, batch = (32, 8) if unet else (64, 24)
    planned = plan(base=base, batch=batch, resolution=side).train
    by_way = {(n.quantize, n.gradient_checkpointing): n for n in planned}
    plain = by_way["none", False]
    small = plain.step_nbytes
    empty = without_numbers(BaseChoice(base=base))
    assert step(empty, side, 3 * batch) > 2 * small
    larger = step(empty, side + 32, batch)
    assert larger > 2 * small if unet else larger >= small
    assert len(by_way) == 6
    assert by_way["none", True].step_nbytes < plain.step_nbytes
    assert by_way["4bit", False].weights_nbytes < by_way["8bit", False].weights_nbytes
    assert by_way["8bit", False].weights_nbytes < plain.weights_nbytes


def test_a_step_in_eight_bits_takes_what_is_planned(base: Path) -> None:
    planned = next(
        n for n in plan(base=str(base), resolution=64, batch=4).train if n.quantize == "8bit"
    )
    family = without_numbers(BaseChoice(base=str(base), device="cpu"))
    for name in ("unet", "clip_l"):
        quantize(family.modules()[name], "8bit")
    with shapes_of(torch.device("cpu")):
        counted = step(family, 64, 4)
    assert 0.95 * planned.step_nbytes < counted <= planned.step_nbytes


def allocated_peak(work: Callable[[], object]) -> int:
    """The most bytes that torch's allocator had given to `work` at a time."""
    gc.collect()
    gc.freeze()  # or each call would search all that is there already
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    results: Any = profiler.profiler
    events = [e for e in results.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()  # less than 0 where it is given back
        peak = max(peak, live)
    return peak


def test_a_step_takes_what_is_planned_for_it(any_base: Path, any_family: Family) -> None:
    check_step(any_base, any_family, "float32")


def test_a_step_in_bfloat16_takes_what_is_planned_for_it(base: Path) -> None:
    family = base_model.load(BaseChoice(base=str(base), device="cpu", dtype="bfloat16"))
    check_step(base, family, "bfloat16")


def check_step(base: Path, family: Family, dtype: DType) -> None:
    """What a step of 8 samples at 64 pixels takes on the CPU is as planned."""
    side, batch = 64, 8
    with torch.no_grad():
        latents = family.encode_pictures(torch.zeros(1, 3, side, side)).mean
    sample = memory_plan.stand_in(latents.repeat(batch, 1, 1, 1))
    # prompts of one length need no mask in some text encoders
    sample = replace(sample, prompts=[f"{sample.prompts[0]} cat", *sample.prompts[1:]])

    def work() -> None:
        rows = {
            key: torch.zeros(1, encoder.width, requires_grad=True)
            for key, encoder in family.encoders.items()
        }
        loss.losses(family, [rows], sample).sum().backward()

    work()  # lays out weights, and makes tables
    measured = allocated_peak(work)
    empty = without_numbers(BaseChoice(base=str(base), dtype=dtype))
    with shapes_of(family.device):
        planned = step(empty, side, batch)
    # the plan counts 64 tokens of texts that are read in their own length, and these are shorter
    more = 0.3 if base.name.startswith(("z-image", "lumina2")) else 0.05
    assert 0.95 * measured < planned < (1 + more) * measured


@torch.no_grad()
def test_encoding_and_drawing_take_what_is_planned_for_them(
    any_base: Path, any_family: Family
) -> None:
    side, family = 64, any_family
    pixels = torch.zeros(1, 3, side, side)
    latents = family.encode_pictures(pixels).mean
    sample = memory_plan.stand_in(latents.repeat(2, 1, 1, 1))

    def denoise() -> None:
        condition = family.encode_text(["a cat", ""], {})
        family.predict(sample.latents, sample.t, condition, sample.micro_conditioning)

    def measured(work: Callable[[], object]) -> int:
        work()  # lays out weights, and makes tables
        return allocated_peak(work)

    empty = without_numbers(BaseChoice(base=str(any_base)))
    planned_encode, planned_draw = memory_plan._encode(empty, side), memory_plan._draw(empty, side)
    denoising = measured(denoise)
    if any_base.name.startswith(FILMS):  # its VAE for films: a CPU unfolds what it convolves
        assert denoising < planned_draw
        return
    encoding = measured(lambda: family.encode_pictures(pixels))
    decoding = measured(lambda: family.decode(latents))
    # convolutions and masks take a little of their own, which real sizes hide
    assert planned_encode == pytest.approx(encoding, rel=0.25)
    assert planned_draw == pytest.approx(max(denoising, decoding), rel=0.25)


@pytest.mark.usefixtures("weights_alone")
@pytest.mark.parametrize(
    ("layout", "unet", "encoders"),
    [("sd1", 859_520_964, 123_060_480), ("sdxl", 2_567_463_684, 123_060_480 + 694_659_840)],
)
def test_published_models_have_their_published_sizes(layout: str, unet: int, encoders: int) -> None:
    found = plan(base=layout, dtype="float16", resolution=64)  # not laid out on any CPU
    assert found.parts["unet"] == 2 * unet
    # with the numbers of positions, int64
    assert found.train[0].weights_nbytes == pytest.approx(2 * (unet + encoders), rel=1e-5)


def test_the_command_prints_a_table_or_json(base: Path) -> None:
    run = CliRunner().invoke(app, ["plan", "--base", str(base), "--batch", "2", "--json"])
    assert json.loads(run.stdout)["batch"] == 2
    table = CliRunner().invoke(app, ["plan", "--base", str(base)]).stdout
    assert "batch 1" in table
    assert "--gradient-checkpointing" in table


def test_a_picture_needs_less_with_what_training_needs_less_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_plan, "_step", lambda *_: 0)  # of steps, only weights count here
    found = plan(base="sdxl", device="cuda", resolution=64)
    plain, most = found.picture("none"), found.need("none", checkpointing=False)
    for need in (*found.train[1:3], *found.train_offloaded):
        one = found.picture(need.quantize, offload=need in found.train_offloaded)
        less = most.weights_nbytes - need.weights_nbytes
        assert plain.encode_nbytes - one.encode_nbytes == less > 0
        assert 0 < plain.draw_nbytes - one.draw_nbytes <= less  # a layer is unpacked to draw


def test_a_gpu_that_is_elsewhere_can_be_planned_for(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "available", lambda: ["cpu"])
    monkeypatch.delenv(devices.DTYPE_VARIABLE, raising=False)
    found = plan(base=str(base), device="CUDA")
    assert (found.device, found.dtype) == ("cuda", "bfloat16")
    weights = sum(nbytes for name, nbytes in found.parts.items() if name != "vae")
    assert found.train[0].weights_nbytes == weights, "laid out again on a CPU only"
    table = CliRunner().invoke(app, ["plan", "--base", str(base), "--device", "cuda"]).stdout
    assert " on cuda: " in " ".join(table.split())


def test_what_cannot_be_planned_is_explained(base: Path) -> None:
    with pytest.raises(SettingsError, match="multiple of 8"):
        plan(base=str(base), resolution=33)
    with pytest.raises(SettingsError, match="--resolution 33 does not work with sd1: "):
        plan(base="sd1", resolution=33)
    with pytest.raises(BaseModelError, match=r"no base model sd9: .*\(emoji, sd1, .*sdxl"):
        plan(base="sd9")


def test_a_size_beyond_all_bounds_is_told(base: Path) -> None:
    for resolution in (8 * 10**9, 8 * 10**17):
        with pytest.raises(PseudowordError, match=r"cannot be counted|resolution"):
            plan(base=str(base), resolution=resolution)


def test_the_benchmark_s_models_have_random_weights(base: Path) -> None:
    real = base_model.load_named(str(base), "cpu")
    with memory.random_weights():
        made = base_model.load_named(str(base), "cpu")
    assert made.fingerprint() != real.fingerprint()
    assert [*made.modules()] == [*real.modules()]


def test_the_benchmark_measures_training_of_a_folder_without_weights(tmp_path: Path) -> None:
    configs = tiny.stable_diffusion(tmp_path)
    for weights in configs.rglob("*.safetensors"):
        weights.unlink()
    measured = memory.measure(
        "cpu", {"layout": str(configs), "resolution": 16, "checkpointing": False}
    )
    assert measured["peak"] > 0
    assert measured["seconds"] > 0


@pytest.mark.parametrize(("kind", "stays"), [("flux", "clip_l"), ("sana", None)])
def test_encoders_that_leave_are_not_counted_in_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, stays: str | None
) -> None:
    for name in ("_encode", "_draw"):
        monkeypatch.setattr(memory_plan, name, lambda *_: 0)
    base = str(tiny.BASES[kind](tmp_path))
    before, after = (
        plan(base=base, resolution=32, batch=1, output_embedding=output, dtype="float16")
        for output in (False, True)
    )
    encoders = before.parts.keys() - {"vae", "transformer", "unet", stays}
    gone = sum(before.parts[name] for name in encoders)
    for one, other in zip(
        [*before.train, *before.train_offloaded],
        [*after.train, *after.train_offloaded],
        strict=True,
    ):
        assert other.step_nbytes < one.step_nbytes
        if one.quantize == "none" and one in before.train:
            assert one.weights_nbytes - other.weights_nbytes == gone
        else:
            assert other.weights_nbytes < one.weights_nbytes
    assert after.pictures == before.pictures


def test_who_looks_for_nan_gets_the_same_plan() -> None:
    expected = plan(base="emoji")
    with torch.autograd.set_detect_anomaly(mode=True):
        assert plan(base="emoji") == expected
