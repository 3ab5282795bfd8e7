"""A training step of one word: ours, the textbook's, and that of diffusers' script.

    python benchmarks/step.py                   on the CPU: the bundled base, SD 1.5 at 256 px
    python benchmarks/step.py --device cuda --dtype bfloat16     SD 1.5 at 512 px, SDXL at 1024 px
    python benchmarks/step.py --peer-script textual_inversion.py

The script is `examples/textual_inversion/textual_inversion.py` of diffusers. It is run as it is,
one step at a time. The textbook's step is the same without its data loader and its bookkeeping. A
pack's step counts for one of its words. A layered word reads layers in every second step: two steps
are its turn, and their mean is told. All take turns in one process, on the same weights, so that
ratios hold on a machine that is not idle. A process has one precision: accelerate knows no other.
The limit is what a step's matrix products, convolutions and attention need at the rate of
`torch.mm`, which `benchmarks/limit.py` measures in between.

Published models have random weights here, which take as long as real ones. The table is printed,
and written with a picture to benchmarks/step-DEVICE-DTYPE.md and .png.
"""

import copy
import functools
import runpy
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import register_optimizer_step_post_hook

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import memory, shared
from benchmarks.limit import MatrixRate, counted_flops, machine, synchronize
from pseudoword.config import BaseChoice, DType, TrainConfig
from pseudoword.config.base_choice import BUNDLED
from pseudoword.data import captions
from pseudoword.example_files import EXAMPLE_PICTURES
from pseudoword.models import base_model
from pseudoword.outputs import check_writable
from pseudoword.progress import Silent
from pseudoword.report.charts import empty_figure, png_of
from pseudoword.runs.planned import plan_run
from pseudoword.runs.run import begin
from pseudoword.runs.setup import set_up
from pseudoword.training.loop import train

OURS, GRAPHS, LAYERED = "pseudoword", "pseudoword --graphs", "pseudoword --method layered"
TEXTBOOK, SCRIPT, LIMIT = "the textbook's step", "diffusers' script", "limit"
WARM_UP = 3
RATE = 1e-3


@dataclass(frozen=True)
class Case:
    """One model at one size."""

    name: str
    base: str
    resolution: int
    batch: int
    dtype: DType
    has_script: bool = True
    """whether diffusers' script can train it"""
    pack: int = 1
    """how many words a pack has; 1: no pack is measured"""

    @property
    def is_bundled(self) -> bool:
        """Whether it has trained weights; the others get random ones."""
        return self.base in BUNDLED


def cases(device: str) -> Sequence[Case]:
    """The cases to measure on a device."""
    bundled = Case("bundled base", "emoji", 64, 4, "float32", pack=8)
    if device == "cpu":
        of_cpu = bundled, Case("SD 1.5", "sd1", 256, 1, "float32")
        return *of_cpu, *(replace(case, dtype="bfloat16") for case in of_cpu)
    return (
        bundled,
        Case("SD 1.5", "sd1", 512, 1, "float32"),
        Case("SD 1.5", "sd1", 512, 1, "bfloat16", pack=16),
        Case("SDXL", "sdxl", 1024, 1, "bfloat16", has_script=False),
    )


def load(case: Case, device: str) -> Any:
    """The model of a case."""
    base = case.base if case.is_bundled else memory.folder(case.base)
    return base_model.load(BaseChoice(base=base, device=device, dtype=case.dtype))


def ours(
    family: Any, case: Case, pictures: Path, steps: int, out: Path, words: int = 1, **more: Any
) -> Callable[[], object]:
    """A step of `words` runs by the defaults, with more settings."""
    states = []
    for k in range(words):
        config = TrainConfig.check(
            pictures=[pictures], token=f"<new-{k}>", init="cat", batch=case.batch, steps=steps,
            resolution=case.resolution, timestep_sampling="uniform", evaluate_every=0, preview=(),
            out=out / f"run-{k}", **more,
        )  # fmt: skip
        setup = set_up(family, plan_run(config, Silent()))
        states.append(begin(family, setup).state)
    taken = train(family, states)
    return lambda: next(taken)


def textbook(family: Any, case: Case, pictures: Path) -> Callable[[], object]:
    """Textual inversion as it is usually written: the whole table is trained, and put back.

    Pictures are encoded in every step, as diffusers' script does.
    """
    ((_, encoder),) = [*family.encoders.items()][:1]
    text, tokenizer = copy.deepcopy(plain(encoder.model)), copy.deepcopy(encoder.reader.tokenizer)
    tokenizer.add_tokens(["<new>"])
    text.resize_token_embeddings(len(tokenizer))
    table = text.get_input_embeddings().weight.requires_grad_()
    frozen = table.detach().clone()
    optimiser = torch.optim.AdamW([table], lr=RATE)
    unet, vae, schedule = plain(family.denoiser), family.vae, family.scheduler("DDPM")
    pixels = _pixels(pictures, case).to(family.device, vae.dtype)  # which may be float32
    prompts = [line.replace("[name]", "<new>") for line in captions.templates("subject")]

    def step() -> None:
        chosen = torch.randint(0, len(pixels), (case.batch,))
        with torch.no_grad():
            latents = vae.encode(pixels[chosen]).latent_dist.sample() * vae.config.scaling_factor
            latents = latents.to(family.dtype)
        noise = torch.randn_like(latents)
        t = torch.randint(0, schedule.config.num_train_timesteps, (case.batch,))
        t = t.to(family.device)
        noisy = schedule.add_noise(latents, noise, t)
        lines = [prompts[i] for i in torch.randint(0, len(prompts), (case.batch,))]
        length = encoder.reader.length
        ids = tokenizer(lines, padding="max_length", max_length=length, return_tensors="pt")
        hidden = text(ids.input_ids.to(family.device))[0]
        predicted = unet(noisy, t, hidden, return_dict=False)[0]
        F.mse_loss(predicted.float(), noise.float()).backward()
        optimiser.step()
        optimiser.zero_grad()
        with torch.no_grad():
            table[:-1] = frozen[:-1]

    return step


def plain(model: nn.Module) -> Any:
    """`model` as its library made it, on the same weights."""
    weights: dict[int, Any] = {id(weight): weight for weight in model.parameters()}
    made = copy.deepcopy(model, weights)
    for layer in made.modules():
        vars(layer).pop("forward", None)
    return made


def _pixels(pictures: Path, case: Case) -> Tensor:
    size = (case.resolution, case.resolution)
    found = []
    for path in sorted(pictures.glob("*.png")):
        with Image.open(path) as opened:
            found.append(np.asarray(opened.convert("RGB").resize(size), dtype=np.float32))
    return torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2) / 127.5 - 1


class PeerScript:
    """diffusers' script in a thread of its own, which stands still between its steps."""

    def __init__(self, script: Path, arguments: Sequence[str], models: dict[str, Any]) -> None:
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._error: BaseException | None = None
        self._hook: Any = register_optimizer_step_post_hook(self._after_step)
        self._thread = threading.Thread(
            target=self._run, args=(script, arguments, models), daemon=True
        )
        self._thread.start()
        self._wait()

    def step(self) -> None:
        """Let it go on until the next step of its optimiser."""
        self._go.release()
        self._wait()

    def end(self) -> None:
        """Let it go on to its end."""
        self._hook.remove()
        self._go.release()
        self._thread.join()

    def _wait(self) -> None:
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def _after_step(self, *_: object) -> None:
        if threading.current_thread() is self._thread:
            self._done.release()
            self._go.acquire()

    def _run(self, script: Path, arguments: Sequence[str], models: dict[str, Any]) -> None:
        try:
            with _stand_ins(models), mock.patch.object(sys, "argv", [str(script), *arguments]):
                runpy.run_path(str(script), run_name="__main__")
        except BaseException as error:
            self._error = error
        finally:
            self._done.release()


@contextmanager
def _stand_ins(models: dict[str, Any]) -> Iterator[None]:
    """Let the script load `models`: name of the class -> model.

    It needs torchvision only to flip pictures. Where that is not installed, none are flipped.
    """
    import diffusers
    import transformers

    with ExitStack() as stack:
        for name, model in models.items():
            kind = getattr(diffusers, name, None) or getattr(transformers, name)
            loader = staticmethod(functools.partial(_given, model))
            stack.enter_context(mock.patch.object(kind, "from_pretrained", loader))
        try:
            import torchvision  # type: ignore[import-not-found]  # noqa: F401
        except ImportError:
            stand_in: Any = ModuleType("torchvision")
            stand_in.transforms = ModuleType("torchvision.transforms")
            stand_in.transforms.RandomHorizontalFlip = lambda **_: lambda picture: picture
            modules = {"torchvision": stand_in, "torchvision.transforms": stand_in.transforms}
            stack.enter_context(mock.patch.dict(sys.modules, modules))
        yield


def _given(model: Any, *_: object, **__: object) -> Any:
    return model


def script(
    path: Path, family: Any, case: Case, pictures: Path, steps: int, out: Path
) -> PeerScript:
    """The script on the same model, pictures and sizes."""
    ((_, encoder),) = family.encoders.items()
    precision = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[case.dtype]
    base = BUNDLED.get(case.base) or memory.folder(case.base)
    arguments = {
        "pretrained_model_name_or_path": base, "train_data_dir": pictures, "output_dir": out,
        "placeholder_token": "<new>", "initializer_token": "cat", "learning_rate": RATE,
        "resolution": case.resolution, "train_batch_size": case.batch, "max_train_steps": steps,
        "lr_warmup_steps": 0, "mixed_precision": precision, "logging_dir": out / "logs",
    }  # fmt: skip
    models = {
        "UNet2DConditionModel": plain(family.denoiser),
        "AutoencoderKL": copy.deepcopy(family.vae),  # the script casts it
        "CLIPTextModel": copy.deepcopy(plain(encoder.model)).float().requires_grad_(True),
        "CLIPTokenizer": copy.deepcopy(encoder.reader.tokenizer),
    }
    words = [text for name, value in arguments.items() for text in (f"--{name}", str(value))]
    return PeerScript(path, words, models)


@dataclass(frozen=True)
class Measured:
    """What was measured in one case."""

    case: Case
    seconds: dict[str, list[float]]
    """name -> of each step"""
    flops: int
    """of one step"""
    rate: float
    """operations a second of matrix products"""

    @property
    def limit(self) -> float:
        """Seconds that a step needs at least."""
        return self.flops / self.rate

    def ratio(self, name: str) -> float:
        """How many times as long as ours, step by step."""
        pairs = zip(self.seconds[name], self.seconds[OURS], strict=True)
        return median(other / own for other, own in pairs)


def measure(case: Case, device: str, peer: Path | None, rounds: int, folder: Path) -> Measured:
    """Measure one case: all ways take turns."""
    with nullcontext() if case.is_bundled else memory.random_weights():
        return _measure(case, device, peer, rounds, folder)


def _measure(case: Case, device: str, peer: Path | None, rounds: int, folder: Path) -> Measured:
    torch.manual_seed(0)
    pictures = folder / "pictures"
    pictures.mkdir()
    for path in EXAMPLE_PICTURES.glob("*.png"):  # the script takes every file for a picture
        shutil.copy(path, pictures)
    family = load(case, device)
    steps = rounds + WARM_UP + 1
    ours_on = functools.partial(ours, family, case, pictures, steps + 1)
    ways: dict[str, Callable[[], object]] = {
        OURS: ours_on(folder / "one"),
        **({TEXTBOOK: textbook(family, case, pictures)} if case.has_script else {}),
    }
    flops = min(counted_flops(way) for way in ways.values())
    graphs = family.device.type == "cuda"
    if graphs:
        ways[GRAPHS] = ours_on(folder / "graphs", graphs=True)
    parts = {LAYERED: 2}
    layered = ours(
        family, case, pictures, 2 * steps, folder / "layered", method="layered", graphs=graphs
    )
    ways[LAYERED] = lambda: (layered(), layered())
    if case.pack > 1:
        name = f"{OURS}, {case.pack} words, each"
        parts[name] = case.pack
        ways[name] = ours_on(folder / "pack", words=case.pack, graphs=graphs)
    running = None
    if peer is not None and case.has_script:
        running = script(peer, family, case, pictures, steps, folder / "peer")
        ways[SCRIPT] = running.step
    rate = MatrixRate(family.device, family.dtype)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for i in range(WARM_UP + rounds):
        rate.measure()
        for name, way in ways.items():
            synchronize(family.device)
            began = time.perf_counter()
            way()
            synchronize(family.device)
            if i >= WARM_UP:
                seconds[name].append((time.perf_counter() - began) / parts.get(name, 1))
    if running is not None:
        running.end()
    return Measured(case, seconds, flops, rate.flops)


def table(found: Sequence[Measured]) -> str:
    """A row for each way in each case, as Markdown."""
    lines = [
        "| model | px | batch | precision | step | ms, median | of ours | of the limit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in found:
        case = one.case
        what = f"| {case.name} | {case.resolution} | {case.batch} | {case.dtype}"
        for name, seconds in one.seconds.items():
            middle = median(seconds)
            lines.append(
                f"{what} | {name} | {middle * 1e3:,.1f} | {one.ratio(name):.2f} "
                f"| {one.limit / middle:.2f} |"
            )
        lines.append(
            f"{what} | limit: {one.flops / 1e9:,.2f} GFLOP at {one.rate / 1e9:,.0f} GFLOP/s "
            f"| {one.limit * 1e3:,.1f} | | 1.00 |"
        )
    return "\n".join(lines)


def picture(found: Sequence[Measured], title: str) -> bytes:
    """The medians as bars, a panel for each case; PNG."""
    figure = empty_figure(3.4 * len(found) + 1, 3.2)
    figure.suptitle(title, fontsize=9)
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, one in zip(panels, found, strict=True):
        times = {name: median(seconds) * 1e3 for name, seconds in one.seconds.items()}
        bars = panel.bar(range(len(times)), times.values(), color="tab:blue")
        panel.bar_label(bars, fmt="%.0f", fontsize=8)
        panel.axhline(one.limit * 1e3, color="tab:red", linewidth=1, label=LIMIT)
        panel.set_xticks(range(len(times)), [name.replace(" ", "\n", 1) for name in times])
        panel.tick_params(labelsize=8)
        panel.set_title(f"{one.case.name}, {one.case.resolution} px, {one.case.dtype}", fontsize=9)
        panel.set_ylabel("ms a step", fontsize=8)
        panel.legend(fontsize=8)
    return png_of(figure)


def main() -> None:
    """Measure all cases of a device, or the named ones."""
    parser = shared.Parser(__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_peer_script()
    parser.add_count("--rounds", 20)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--only", help="cases whose name contains this")
    told = parser.parse_args()
    chosen = [case for case in cases(told.device) if case.dtype == told.dtype]
    chosen = [case for case in chosen if (told.only or "") in case.name]
    if not chosen:
        parser.error(f"--only: no case in {told.dtype} is called {told.only}")
    out = Path(__file__).with_name(f"step-{told.device}-{told.dtype}.md")
    check_writable(out)
    found = []
    for case in chosen:
        with TemporaryDirectory() as folder:
            found.append(measure(case, told.device, told.peer_script, told.rounds, Path(folder)))
        print(table(found[-1:]), flush=True)
    title = machine(torch.device(told.device))
    out.write_text(f"{title}\n\n{table(found)}\n", encoding="utf-8")
    out.with_suffix(".png").write_bytes(picture(found, title))


if __name__ == "__main__":
    main()
