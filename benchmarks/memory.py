"""Memory and speed of training steps on full-size models, compared with what `plan` predicts.

    python benchmarks/memory.py                  on the CPU: small pictures, a few cases
    python benchmarks/memory.py --device cuda    SD 1.5 at 512, SDXL at 1024, in every quantisation

Models have random weights, which need as much memory as real ones. Each case runs in its own
process. The table is printed, and written to benchmarks/memory-DEVICE.md.
"""

import copy
import ctypes
import gc
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from accelerate import init_empty_weights
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import shared
from pseudoword.config import BaseChoice, PlanConfig, Quantize
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.loading import single_file_configs
from pseudoword.models.loading.parts import ModelParts
from pseudoword.models.loading.quantisation import quantize, quantized_layers
from pseudoword.outputs import check_writable
from pseudoword.training import loss, memory_plan
from pseudoword.training.loss import Batch

GIB = 1 << 30
STEPS = 3


def cases(device: str) -> Iterator[dict[str, Any]]:
    """The cases to measure: layout, resolution, batch, checkpointing, quantisation."""
    if device == "cpu":
        for layout, side, checkpointing in (
            ("sd1", 256, False),
            ("sd1", 512, True),
            ("sdxl", 256, False),
            ("sdxl", 512, True),
        ):
            yield {"layout": layout, "resolution": side, "checkpointing": checkpointing}
        return
    models = (("sd1", 512), ("sdxl", 1024))
    for (layout, side), batch, checkpointing, quantized in itertools.product(
        models, (1, 4), (False, True), ("none", "8bit", "4bit")
    ):
        yield {
            "layout": layout,
            "resolution": side,
            "batch": batch,
            "checkpointing": checkpointing,
            "quantize": quantized,
        }


def measure(device: str, case: dict[str, Any]) -> dict[str, float]:
    """Train for some steps in this process; returns its peak in bytes and its seconds per step."""
    choice = BaseChoice(
        base=folder(case["layout"]),
        device=device,
        dtype="bfloat16",
        quantize=case.get("quantize", "none"),
    )
    before = begin(device)
    with random_weights():
        family = base_model.load(choice, checkpointing=case["checkpointing"])
    unet: Any = family.denoiser  # asking for all modules would load the VAE, which training lacks
    batch, scale = case.get("batch", 1), family.resolution // unet.config.sample_size
    sample = memory_plan.stand_in(
        torch.randn(batch, 4, *[case["resolution"] // scale] * 2, device=device)
    )
    _, times = train(family, sample, STEPS)
    return {"peak": peak(device) - before, "seconds": min(times)}


def train(family: Family, sample: Batch, steps: int) -> tuple[dict[str, Tensor], list[float]]:
    """Train a word of one vector on the same sample again and again.

    Args:
        family: its weights are of no matter, as random ones are.
        sample: for one word.
        steps: of the optimiser.

    Returns:
        Its rows, and the seconds of each step; the first one is slower.
    """
    rows = {
        key: torch.randn(1, encoder.width, device=family.device, requires_grad=True)
        for key, encoder in family.encoders.items()
    }
    optimiser = torch.optim.AdamW(rows.values(), lr=1e-3)
    times: list[float] = []
    for _ in range(steps):
        with timed(family.device.type, times):
            loss.losses(family, [rows], sample).sum().backward()
            optimiser.step()
            optimiser.zero_grad()
    return {key: own.detach() for key, own in rows.items()}, times


@contextmanager
def timed(device: str, times: list[float]) -> Iterator[None]:
    """Note the seconds until what is done while open is ready on the device."""
    began = time.perf_counter()
    yield
    if device == "cuda":
        torch.cuda.synchronize()
    times.append(time.perf_counter() - began)


def random_weights(written_to: Path | None = None) -> Any:
    """A context in which models get random weights instead of those of a file.

    With `written_to`, their weights are also saved there, in a folder for each part.
    """

    def draw(self: ModelParts, kind: Any, part: str, dtype: torch.dtype) -> Any:
        model = _random(self, kind, part, dtype)
        if written_to is not None:
            model.save_pretrained(written_to / part)
        return model

    return mock.patch.object(ModelParts, "_from_folder", draw)


def folder(layout: str) -> str:
    """The folder of a published layout's configs, or the given folder of a model."""
    return str(single_file_configs.folder(layout)) if layout in PlanConfig.sizes else layout


def _random(self: ModelParts, kind: Any, part: str, dtype: torch.dtype) -> Any:
    """Takes the place of reading files: a part with random weights.

    Its buffers are those that its class computes. Weights are drawn on the device, and stay there
    unless the part is offloaded. A layer is quantised as soon as it has weights: there may be no
    room for those of all. Quantised layers of the same size are copies of one, since quantising
    takes most of the time on a CPU.
    """
    place = self.placement
    home = torch.device("cpu") if place.offload or place.offload_blocks else place.device
    stored: Quantize = "none" if part == "vae" else place.quantize
    make, before = self.maker(kind, part), torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with init_empty_weights(include_buffers=False):
            model = make()
    finally:
        torch.set_default_dtype(before)
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    made: dict[torch.nn.Parameter, torch.nn.Parameter] = {}

    def draw(module: torch.nn.Module) -> None:
        for name, weight in module.named_parameters(recurse=False):
            if weight.device.type != "meta":  # it is quantised already
                continue
            if weight not in made:
                empty = torch.empty_like(weight, device=home, dtype=dtype)
                drawn = torch.empty_like(empty, device=place.device).normal_(0, 0.02)
                made[weight] = torch.nn.Parameter(empty.copy_(drawn), requires_grad=False)
            setattr(module, name, made[weight])

    first: dict[tuple[Any, ...], torch.nn.Module] = {}
    for parent, name, layer, bits in quantized_layers(model, stored):
        size = (layer.in_features, layer.out_features, layer.bias is not None, bits)
        if size in first:
            setattr(parent, name, copy.deepcopy(first[size]))
            continue
        draw(layer)
        made.clear()  # else it would keep the weights as drawn
        alone = torch.nn.Sequential(layer)
        quantize(alone, bits).to(home)
        first[size] = alone[0]
        setattr(parent, name, alone[0])
    for module in model.modules():
        draw(module)
    for module in model.modules():
        for name in module._buffers.keys() - module._non_persistent_buffers_set:
            buffer = module._buffers[name]
            if buffer is not None and buffer.is_floating_point():  # as it is read from files
                module._buffers[name] = buffer.to(dtype)
    return model


def begin(device: str) -> int:
    """Bytes that are on the GPU before, with the workspaces of its libraries."""
    if device != "cuda":
        return 0
    for dtype in (torch.float32, torch.bfloat16):
        one = torch.zeros(64, 64, device=device, dtype=dtype)
        torch.nn.functional.linear(one @ one, one, one[0])
    del one
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def peak(device: str) -> float:
    """The most bytes that were needed, with the process, since the start or `forget_peak`."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() + memory_plan.PROCESS_NBYTES
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) * 1024


def forget_peak(device: str) -> None:
    """Let `peak` begin with what is needed now."""
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back to the system
        Path("/proc/self/clear_refs").write_text("5")


def predict(device: str, case: dict[str, Any]) -> int:
    """The bytes that `plan` predicts for a case."""
    config = PlanConfig(
        base=case["layout"],
        device=device,
        dtype="bfloat16",
        resolution=case["resolution"],
        batch=case.get("batch", 1),
    )
    return next(
        need.nbytes
        for need in memory_plan.plan_memory(config).train
        if need.quantize == case.get("quantize", "none")
        and need.gradient_checkpointing == case["checkpointing"]
    )


def main() -> None:
    """Measure all cases; or only one, with --case."""
    parser = shared.Parser(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--case", help="one case as JSON; prints what was measured")
    told = parser.parse_args()
    if told.case:
        print(json.dumps(measure(told.device, json.loads(told.case))))
        return
    out = Path(__file__).with_name(f"memory-{told.device}.md")
    check_writable(out)
    lines = [
        "| model | px | batch | checkpointing | quantize | predicted GiB | measured GiB "
        "| difference | s/step |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    print("\n".join(lines), flush=True)
    for case in cases(told.device):
        command = [sys.executable, __file__, "--device", told.device, "--case", json.dumps(case)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        seen = json.loads(done.stdout.splitlines()[-1])
        said = predict(told.device, case)
        lines.append(
            f"| {case['layout']} | {case['resolution']} | {case.get('batch', 1)} "
            f"| {'yes' if case['checkpointing'] else 'no'} | {case.get('quantize', 'none')} "
            f"| {said / GIB:.2f} | {seen['peak'] / GIB:.2f} | {said / seen['peak'] - 1:+z.0%} "
            f"| {seen['seconds']:.2f} |"
        )
        print(lines[-1], flush=True)
    out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
