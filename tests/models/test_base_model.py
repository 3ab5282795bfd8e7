import json
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline, SchedulerMixin

from pseudoword.config import BaseChoice
from pseudoword.errors import BaseModelError, SettingsError
from pseudoword.models import base_model
from pseudoword.models.autoencoder import Autoencoder
from pseudoword.models.generation import generate
from pseudoword.models.loading import devices, folder


@pytest.fixture
def broken(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "broken"))


def test_nothing_that_is_loaded_asks_for_a_gradient(base: Path) -> None:
    family = base_model.load_named(str(base), "cpu")
    family.encode_pictures(torch.zeros(1, 3, 32, 32))
    for module in (family.denoiser, family.vae, family.encoders["clip_l"].model):  # type: ignore[attr-defined]
        assert not module.training
        assert not any(p.requires_grad for p in module.parameters())


def test_moments_are_scaled_as_the_pipeline_scales(base: Path) -> None:
    family = base_model.load_named(str(base), "cpu")
    pixels = torch.rand(2, 3, 32, 32) * 2 - 1
    moments = family.encode_pictures(pixels)
    found = family.vae.encode(pixels).latent_dist  # type: ignore[attr-defined]
    torch.testing.assert_close(moments.mean, found.mean * 0.18215)
    torch.testing.assert_close(moments.std, found.std * 0.18215)


def test_the_fingerprint_tells_models_apart(base: Path) -> None:
    family = base_model.load_named(str(base), "cpu")
    before = family.fingerprint()
    assert base_model.load_named(str(base), "cpu").fingerprint() == before
    family.denoiser.conv_out.weight.data[0] += 1e-3
    assert family.fingerprint() != before


def test_a_drawing_reads_no_config_again(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would be a question to the hub, where the model comes from there."""
    family = base_model.load_named(str(base), "cpu")
    draw = partial(generate, family, ["a cat", "a dog"], [], seeds=[0, 1], sampler_steps=1)
    draw()
    read: list[Path] = []
    monkeypatch.setattr(folder, "read", read.append)
    monkeypatch.setattr(SchedulerMixin, "from_pretrained", lambda path, **_: read.append(path))
    draw()
    assert read == []


def test_the_vae_s_digest_follows_its_weights(base: Path) -> None:
    family = base_model.load_named(str(base), "cpu")
    before = family.vae_digest()
    assert base_model.load_named(str(base), "cpu").vae_digest() == before
    next(family.vae.parameters()).data[0] += 1e-3  # type: ignore[attr-defined]
    assert family.vae_digest() != before


def test_all_of_the_vae_is_read_once_however_often_it_is_loaded(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each word of a pack asks for its digest."""
    family: Any = base_model.load_named(str(base), "cpu")
    before, vae = family.vae_digest(), family.vae
    monkeypatch.setattr(Autoencoder, "_digest_of_all", lambda _self: "computed anew")
    assert family.vae_digest() == before
    family.release_vae()
    assert family.vae_digest() == before
    assert family.vae is not vae
    family.vae.register_to_config(scaling_factor=1.0)
    assert family.vae_digest() == "computed anew"


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_damaged_part_is_named(broken: Path, part: str) -> None:
    (weights,) = (broken / part).glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(BaseModelError, match=rf"/{part}/.* is cut short: its header alone has"):
        base_model.load_named(str(broken))


def test_weights_of_a_variant_are_loaded_if_it_is_given(base: Path, tmp_path: Path) -> None:
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.save_pretrained(tmp_path, variant="fp16")
    with pytest.raises(
        BaseModelError, match=r"/text_encoder holds no weights.* There are some for --variant fp16"
    ):
        base_model.load_named(str(tmp_path), "cpu")
    chosen = base_model.load(BaseChoice(base=str(tmp_path), variant="fp16", device="cpu"))
    assert chosen.fingerprint() == base_model.load_named(str(base), "cpu").fingerprint()


def test_the_vae_keeps_float32_unless_its_config_says_otherwise(broken: Path) -> None:
    half: Any = base_model.load_named(str(broken), "cpu", "float16")
    assert half.denoiser.dtype == torch.float16
    assert half.vae.dtype == torch.float32
    assert torch.isfinite(half.encode_pictures(torch.ones(1, 3, 32, 32)).mean).all()
    config = json.loads((broken / "vae" / "config.json").read_text())
    (broken / "vae" / "config.json").write_text(json.dumps(config | {"force_upcast": False}))
    assert base_model.load_named(str(broken), "cpu", "bfloat16").vae.dtype == torch.bfloat16  # type: ignore[attr-defined]
    assert base_model.load_named(str(broken), "cpu", "float16").vae.dtype == torch.float32  # type: ignore[attr-defined]


def gpus(monkeypatch: pytest.MonkeyPatch, kind: str | None, count: int = 1) -> None:
    """Pretend that torch finds so many GPUs of a kind, and is built for all of them."""
    found = kind and torch.device(kind)
    monkeypatch.setattr(torch.cuda, "get_arch_list", list)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda **_: found)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)


def nvidia(monkeypatch: pytest.MonkeyPatch, name: str, *capability: int) -> None:
    """Pretend that these are the GPUs of NVIDIA."""
    properties = SimpleNamespace(name=name, major=capability[0], minor=capability[1])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: properties)


def test_auto_is_the_device_of_the_environment_or_the_best_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus(monkeypatch, "cuda", 2)
    nvidia(monkeypatch, "NVIDIA H100", 9, 0)

    def placed() -> tuple[str, torch.dtype]:
        found = base_model.placement(BaseChoice())
        return found.device.type, found.dtype

    assert placed() == ("cpu", torch.float32)  # all tests run so, on any machine
    monkeypatch.delenv(devices.VARIABLE)
    assert placed() == ("cuda", torch.float32)
    monkeypatch.delenv(devices.DTYPE_VARIABLE)
    assert placed() == ("cuda", torch.bfloat16)


@pytest.mark.parametrize(
    ("name", "capability", "expected"),
    [
        ("NVIDIA GeForce RTX 3060", (8, 6), torch.bfloat16),
        ("Tesla T4", (7, 5), torch.float16),
        ("NVIDIA GeForce RTX 2080", (7, 5), torch.float16),
        ("Tesla V100-SXM2-16GB", (7, 0), torch.float16),
        ("NVIDIA GeForce GTX 1660 SUPER", (7, 5), torch.float32),
        ("NVIDIA T1000 8GB", (7, 5), torch.float32),
        ("NVIDIA GeForce GTX 1080", (6, 1), torch.float32),
    ],
)
def test_auto_is_the_precision_in_which_a_gpu_multiplies(
    name: str, capability: tuple[int, int], expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch says of all of these that they support bfloat16: older ones compute it in float32."""
    monkeypatch.delenv(devices.DTYPE_VARIABLE)
    gpus(monkeypatch, "cuda")
    nvidia(monkeypatch, name, *capability)
    assert base_model.placement(BaseChoice(device="cuda")).dtype is expected


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("gfx1100", torch.bfloat16),
        ("gfx90a:sramecc+:xnack-", torch.bfloat16),
        ("gfx1032", torch.float16),
        ("gfx906:sramecc+:xnack-", torch.float16),
    ],
)
def test_auto_is_the_precision_in_which_a_gpu_of_amd_multiplies(
    architecture: str, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(devices.DTYPE_VARIABLE)
    gpus(monkeypatch, "cuda")
    monkeypatch.setattr(torch.version, "hip", "7.2")
    properties = SimpleNamespace(gcnArchName=architecture)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _device: properties)
    assert base_model.placement(BaseChoice(device="cuda")).dtype is expected


@pytest.mark.parametrize(("kind", "expected"), [("xpu", torch.bfloat16), ("mps", torch.float32)])
def test_gpus_of_intel_and_apple_are_found(
    kind: str, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(devices.DTYPE_VARIABLE)
    monkeypatch.delenv(devices.VARIABLE)
    gpus(monkeypatch, kind)
    for name in ("auto", kind):
        found = base_model.placement(BaseChoice(device=name))
        assert (found.device, found.dtype) == (torch.device(kind, 0), expected)


BUILT_FOR = ["sm_75", "sm_86", "sm_90a", "compute_120"]


@pytest.mark.parametrize(
    ("capability", "runs"),
    [
        ((7, 5), True),
        ((8, 6), True),
        ((8, 9), True),  # code for an earlier one of the same generation
        ((8, 0), False),
        ((9, 0), True),
        ((12, 1), True),  # compiled when it is first used
        ((6, 1), False),
        ((10, 0), False),
    ],
)
def test_a_gpu_that_torch_is_not_built_for_is_not_used(
    capability: tuple[int, int], runs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the first operation ends with `no kernel image is available`."""
    monkeypatch.delenv(devices.VARIABLE)
    gpus(monkeypatch, "cuda")
    nvidia(monkeypatch, "NVIDIA GeForce GTX 1080", *capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: BUILT_FOR)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "NVIDIA GeForce GTX 1080")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert devices.device("auto").type == ("cuda" if runs else "cpu")
    if runs:
        assert devices.device("cuda").type == "cuda"
        assert devices.unused_gpu("auto") is None
        return
    with pytest.raises(
        SettingsError, match=r"--device cuda: torch .* is not built for this .*1080"
    ):
        devices.device("cuda")
    assert "is not built for this NVIDIA GeForce GTX 1080" in str(devices.unused_gpu("auto"))
    assert devices.unused_gpu("cpu") is None


def test_a_gpu_that_torch_cannot_use_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip's own choice of torch on Windows, for example, is one without CUDA."""
    gpus(monkeypatch, None)
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert devices.unused_gpu("auto") is None  # the environment says cpu
    monkeypatch.delenv(devices.VARIABLE)
    assert "is built without CUDA" in str(devices.unused_gpu("auto"))
    assert devices.unused_gpu("cpu") is None
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert devices.unused_gpu("auto") is None
    gpus(monkeypatch, "cuda")
    monkeypatch.setattr(shutil, "which", lambda name: name)
    assert devices.unused_gpu("auto") is None


@pytest.mark.parametrize("multiplies", [True, False])
def test_auto_is_bfloat16_on_a_cpu_that_multiplies_in_it(
    multiplies: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(devices.DTYPE_VARIABLE)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: multiplies)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    best = torch.bfloat16 if multiplies else torch.float32
    assert base_model.placement(BaseChoice()).dtype is best
    assert base_model.placement(BaseChoice(dtype="float16")).dtype is torch.float16


@pytest.mark.parametrize("name", ["float64", "device", "bf16,"])
def test_an_unknown_precision_in_the_environment_is_an_error(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(devices.DTYPE_VARIABLE, name)
    with pytest.raises(SettingsError, match=f"PSEUDOWORD_DTYPE={name}: must be one of auto"):
        base_model.placement(BaseChoice())
    assert base_model.placement(BaseChoice(dtype="bfloat16")).dtype is torch.bfloat16


def test_names_of_devices_may_be_in_upper_or_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, "cuda", 2)
    names = ("cpu", "CPU", " Cpu:0 ", "cuda", "CUDA:0", "Cuda:1")
    found = [str(devices.device(name)) for name in names]
    assert found == ["cpu", "cpu", "cpu", "cuda:0", "cuda:0", "cuda:1"]
    assert devices.available() == ["cpu", "cuda:1", "cuda:0"]


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "cuda", "cuda:0", "cuda:99", "cuda:-1", "mps", "gpu", "xla", "meta", "cpu:3"),
        *("cuda:" + "9" * 99, "CPU:", "cpu,", "None", "Fehler é"),
    ],
)
def test_an_unknown_device_is_an_error_that_lists_the_others(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus(monkeypatch, None)
    for ask in (base_model.placement, base_model.load, base_model.Unloaded):
        with pytest.raises(
            SettingsError, match=r"--device.* Available: cpu, or auto, which is cpu"
        ):
            ask(BaseChoice(device=name))


def test_an_unknown_device_in_the_environment_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus(monkeypatch, None)
    monkeypatch.setenv(devices.VARIABLE, "cuda")
    with pytest.raises(SettingsError, match="PSEUDOWORD_DEVICE=cuda: there is no such device"):
        base_model.placement(BaseChoice())
    assert base_model.placement(BaseChoice(device="cpu")).device.type == "cpu"
