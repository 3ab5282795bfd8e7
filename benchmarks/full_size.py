"""A training step and a picture of full-size models with random weights, beside what `plan` says.

    python benchmarks/full_size.py --device cuda          five models at 1024 px
    python benchmarks/full_size.py --device cuda --way "8 bits" "FLUX.1 dev" "Qwen-Image"
    python benchmarks/full_size.py --scale tiny           on a CPU: whether this script works

Nothing is downloaded: configs have the published sizes (scripts/plan_table.py), weights are drawn
on the device, and tokenizers are tiny. Each model has a process of its own, so that one which finds
too little memory does not end the others. Results are kept as they come: the same command goes on
where it ended, and tries again what failed. Give each card an --out of its own.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch

from benchmarks import memory, shared
from pseudoword.benchmark.results import markdown_table
from pseudoword.concept import Concept
from pseudoword.config import BaseChoice, PlanConfig
from pseudoword.files import write_whole
from pseudoword.models import base_model, generation
from pseudoword.models.compute.device_memory import memory_nbytes
from pseudoword.text import reason
from pseudoword.training.memory_plan import Plan, plan_memory, stand_in
from scripts import plan_table

GIB = plan_table.GIB
MODELS = ("SD 3.5 medium", "FLUX.1 dev", "Sana 1.6B", "Z-Image", "Qwen-Image")
PHASES = {"encode": "encoding", "train": "training", "draw": "drawing"}

Result = dict[str, Any]
"""A `case`, and what `measure` says of it; or an `error`."""


@dataclass(frozen=True)
class Case:
    """What is measured in one process."""

    model: str
    """of scripts/plan_table.py"""
    way: str | None
    """of its `WAYS`; None for the mildest one that fits"""
    scale: str
    """full, or tiny for the tiny member of its family"""
    device: str
    dtype: str
    px: int | None
    sampler_steps: int
    steps: int = 3
    """of training; the fastest one counts, and the first is slower than others"""

    @property
    def file(self) -> str:
        """The name of the file with its result."""
        named = " ".join([self.scale, self.model, self.way or "", str(self.px or "")])
        return f"{re.sub(r'[^a-z0-9.]+', '-', named.lower()).strip('-')}.json"


def measure(case: Case, folder: Path) -> Result:
    """Encode a picture, learn for some steps, and draw a picture; with peaks in bytes.

    Args:
        case: what to measure.
        folder: an empty one, for the model's configs.
    """
    plan_table.make_folder(folder, case.model, tiny_member=case.scale == "tiny")
    shared = {"base": str(folder), "device": case.device, "dtype": case.dtype}
    planned = plan_memory(PlanConfig.check(**shared, resolution=case.px, batch=1))
    way = case.way or mildest(planned, case.device)
    quantize, checkpointing, offload = plan_table.WAYS[way]
    before = memory.begin(case.device)
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}

    def phase(name: str) -> list[float]:
        print(f"{case.model}, {way}: {PHASES.get(name, name)}", file=sys.stderr)
        memory.forget_peak(case.device)
        return seconds.setdefault(name, [])

    def ended(name: str) -> None:
        peaks[name] = memory.peak(case.device) - before

    with memory.random_weights():
        with memory.timed(case.device, phase("load")):
            family = base_model.load(
                BaseChoice.check(**shared, quantize=quantize),
                checkpointing=checkpointing,
                offload_blocks=offload,
            )
            family.modules()  # the VAE too
        pixels = torch.zeros(1, 3, planned.resolution, planned.resolution, device=family.device)
        with memory.timed(case.device, phase("encode")):
            latents = family.encode_pictures(pixels).mean
        ended("encode")
        family.release_vae()
        phase("train")
        rows, seconds["train"] = memory.train(family, stand_in(latents), case.steps)
        ended("train")
        if not all(torch.isfinite(own).all() for own in rows.values()):
            raise FloatingPointError("the gradient is not finite")
        family.modules()
        word = Concept("<word>", {key: own.float().cpu() for key, own in rows.items()})
        with memory.timed(case.device, phase("draw")):
            generation.generate(
                family,
                [f"a photo of {word.token}"],
                [word],
                seeds=[0],
                resolution=planned.resolution,
                sampler_steps=case.sampler_steps,
            )
        ended("draw")
    return {
        "way": way,
        "px": planned.resolution,
        "card": card(case.device),
        "seconds": {name: round(min(times), 3) for name, times in seconds.items()},
        "peak": peaks,
        "planned": asdict(plan_table.peaks(planned, way)),
    }


def mildest(planned: Plan, device: str) -> str:
    """The first way whose plan fits on the device.

    Raises:
        MemoryError: there is none.
    """
    room = memory_nbytes(torch.device(device))
    for way, (_, _, offload) in plan_table.WAYS.items():
        if offload and device == "cpu":  # it is in main memory anyway
            continue
        needs = plan_table.peaks(planned, way)
        if room is None or max(needs.learning, needs.draw) * plan_table.ROOM <= room:
            return way
    raise MemoryError(f"no way fits in {(room or 0) / GIB:.1f} GiB, by the plan")


def card(device: str) -> str:
    """What the device is called."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def in_own_process(case: Case) -> Result:
    """Measure a case in a new process; if that fails, the result has an `error`."""
    command = [sys.executable, __file__, "--case", json.dumps(asdict(case))]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        return {"case": asdict(case), "error": f"its process ended with {done.returncode}"}
    return {"case": asdict(case), **json.loads(done.stdout.splitlines()[-1])}


def measure_alone(case: Case) -> Result:
    """What a process for one case prints."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            return measure(case, Path(folder))
    except Exception as error:  # whatever it is, the other models are still to be measured
        return {"error": f"{type(error).__name__}: {reason(error)}"}


def finished(out: Path, case: Case) -> Result | None:
    """The result that an earlier call kept, if it did not fail and was of the same case."""
    file = out / case.file
    if not file.exists():
        return None
    kept: Result = json.loads(file.read_text())
    same = kept["case"] == asdict(case) and "error" not in kept
    return kept if same else None


def table(results: Iterable[Result]) -> str:
    """The results as Markdown: GiB as planned and as measured."""
    heads = ["model", "way", "px", "card", "s/step", "s/picture"]
    heads += [f"{title}, planned and measured GiB" for title in PHASES.values()]
    rows = [heads]
    for one in results:
        model, sampler_steps = one["case"]["model"], one["case"]["sampler_steps"]
        if "error" in one:
            rows.append([model, one["error"], *[""] * (len(heads) - 2)])
            continue
        seconds = one["seconds"]
        cells = [model, one["way"], str(one["px"]), one["card"]]
        cells += [
            f"{seconds['train']:.2f}",
            f"{seconds['draw']:.1f} ({sampler_steps} steps)",
            *(beside(one["planned"][name], one["peak"][name]) for name in PHASES),
        ]
        rows.append(cells)
    return markdown_table(rows)


def beside(planned: float, measured: float) -> str:
    """Two numbers of bytes in GiB, and how far the plan is off."""
    return f"{planned / GIB:.2f}, {measured / GIB:.2f} ({planned / measured - 1:+z.0%})"


def main(arguments: list[str] | None = None) -> None:
    """Measure each model in a process of its own, and print the table."""
    parser = shared.Parser(__doc__)
    known = ", ".join(plan_table.MODELS)
    parser.add_argument("model", nargs="*", help=f"of {known}; or all. By default the first five")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--scale", default="full", choices=["full", "tiny"])
    parser.add_argument("--way", choices=plan_table.WAYS, help="by default the mildest that fits")
    parser.add_argument("--px", type=int, help="by default 1024, or what a tiny member draws")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_count("--sampler-steps", 8)
    parser.add_count("--steps", 3, "of training; the fastest one counts")
    parser.add_argument("--out", type=Path, default=Path("bench-full-size"))
    parser.add_argument("--case", help="one case as JSON; prints what was measured")
    given = parser.parse_args(arguments)
    if given.case:
        print(json.dumps(measure_alone(Case(**json.loads(given.case)))))
        return
    models = list(plan_table.MODELS) if given.model == ["all"] else given.model or MODELS
    for model in models:
        if model not in plan_table.MODELS:
            parser.error(f"no model {model!r}; there are {known}")
    px = given.px or (1024 if given.scale == "full" else None)
    results = []
    with shared.kept(given.out, "full_size"):
        for model in models:
            case = Case(
                *(model, given.way, given.scale, given.device, given.dtype, px),
                *(given.sampler_steps, given.steps),
            )
            result = finished(given.out, case)
            if result is None:
                result = in_own_process(case)
                write_whole(given.out / case.file, json.dumps(result, indent=1).encode())
            results.append(result)
            write_whole(given.out / "table.md", f"{table(results)}\n".encode())
    print(table(results))
    failed = [one["case"]["model"] for one in results if "error" in one]
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


if __name__ == "__main__":
    main()
