"""The readers of `mutations`: every kind of file that is read, as the product reads it."""

import datetime
import io
import json
import os
import random
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import fuzz_formats
import fuzz_pictures
import single_file
import support
import tiny
import tomli_w
import torch
from fuzz_formats import broken, broken_inside
from mutations import Learned, Reader
from PIL import Image
from safetensors.torch import load, load_file, save
from torch import Tensor

from pseudoword import formats, methods
from pseudoword import text as texts
from pseudoword.benchmark import image_similarity, runner
from pseudoword.config import BaseChoice, TrainConfig
from pseudoword.config.captions import CaptionSettings
from pseudoword.config.pictures import PictureSettings
from pseudoword.config.prompt_lines import lines_of
from pseudoword.data import captions, examples, latents, picture_files
from pseudoword.data.captions import CAPTIONED
from pseudoword.errors import SettingsError
from pseudoword.files import with_checksum, without_checksum
from pseudoword.formats.advice import advise
from pseudoword.models import base_model
from pseudoword.outputs import Outputs
from pseudoword.progress import Silent
from pseudoword.report import charts, picture_output
from pseudoword.runs import checkpoint
from pseudoword.runs.folder import RunFolder
from pseudoword.runs.runner import learn
from pseudoword.training.early_stopping import EvaluationLoss
from pseudoword.training.initialisation import begin
from pseudoword.training.loop import train
from pseudoword.training.state import TrainState


def _model(folder: Path, kind: str = "sd1") -> Path:
    os.environ.update(PSEUDOWORD_DEVICE="cpu", PSEUDOWORD_CACHE=str(folder / "cache"))
    return tiny.BASES[kind](folder / "base")


def _pictures(folder: Path) -> Path:
    (folder / "pictures").mkdir()
    for i, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (40, 32 + i), colour).save(folder / "pictures" / f"{i}.png")
    return folder / "pictures"


def _finite(numbers: object) -> bool:
    """Whether all tensors in nested lists and dicts are finite."""
    if isinstance(numbers, Tensor):
        return bool(numbers.isfinite().all())
    if isinstance(numbers, Mapping):
        return all(map(_finite, numbers.values()))
    return not isinstance(numbers, list | tuple) or all(map(_finite, numbers))


def _must(true: object, why: str) -> None:
    if not true:
        raise Learned(why)


class Embeddings:
    """Words of every tool."""

    sentences = 1

    def __init__(self, folder: Path) -> None:
        (folder / "seeds").mkdir()
        self.whole = fuzz_formats.seeds(folder / "seeds")
        self.path = folder / "a.safetensors"
        (folder / "a_2.safetensors").write_bytes(fuzz_formats.second_half())
        for name, data in self.whole.items():
            if name != "legacy":
                self.read(name, data)

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        name = list(self.whole)[i % len(self.whole)]
        damage = broken if i // len(self.whole) % 2 else broken_inside
        return name, damage(self.whole[name], chance, list(self.whole.values()))

    def read(self, kind: str, data: bytes) -> None:
        self.path.write_bytes(data)
        content = formats.read_file(self.path)
        for word in content.concepts:
            _must(_finite(dict(word.vectors)), "values that are not finite")
            shown = [word.token, *word.shared, *word.shared.values()]
            _must(all(one == texts.visible(one) for one in shown), "what steers a terminal")
        for word in content.concepts[:3]:
            advise(content, word)


class Pictures:
    """Training pictures, and their alpha."""

    sentences = 1

    def __init__(self, folder: Path) -> None:
        self.path = folder / "a.png"
        self.how = PictureSettings(pictures=(self.path,), mask="alpha", unmasked_weight=0.1)
        self.shapes = examples.crop_sizes(self.how, 64, 8)
        self.whole = fuzz_pictures.seeds()
        for name, data in self.whole.items():
            self.read(name, data)

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        return fuzz_pictures.made(i, chance, self.whole)

    def read(self, kind: str, data: bytes) -> None:
        self.path.write_bytes(data)
        for view in examples.read_one(self.path, self.how, self.shapes).views:
            _must(_finite([view.pixels, view.mask]), "values that are not finite")


class Bases:
    """Base models in a single file of either kind, and the files of a folder of diffusers."""

    sentences = 1
    kind = "sd1"

    def __init__(self, folder: Path) -> None:
        self.base = _model(folder, self.kind)
        file = single_file.write(self.base, folder / "whole.safetensors")
        buffer = io.BytesIO()
        torch.save({"state_dict": load_file(file), "epoch": 1}, buffer)
        self.whole = {"x.safetensors": file.read_bytes(), "x.ckpt": buffer.getvalue()}
        self.files = sorted(p for p in self.base.rglob("*") if p.is_file())
        self.whole |= {str(p.relative_to(self.base)): p.read_bytes() for p in self.files}
        self.folder = folder
        for name in ("x.safetensors", "x.ckpt", "unet/config.json"):
            self.read(name, self.whole[name])

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        names = list(self.whole)
        name = names[i % 2] if i % 4 < 2 else names[2 + i // 4 % (len(names) - 2)]
        data = self.whole[name]
        if name.endswith(".json") and chance.random() < 0.6:
            return name, odd_json(data, chance)
        damage = chance.choice((broken, broken_inside))
        return name, damage(data, chance, [self.whole[other] for other in names[:2]])

    def read(self, kind: str, data: bytes) -> None:
        if kind in ("x.safetensors", "x.ckpt"):
            path = self.folder / kind
            path.write_bytes(data)
            self._load(path, self.base)
            return
        path = self.base / kind
        before = self.whole[kind]
        path.write_bytes(data)
        try:
            self._load(self.base)
        finally:
            path.write_bytes(before)

    def _load(self, path: Path, configs: Path | None = None) -> None:
        choice = BaseChoice.check(base=str(path), device="cpu", configs=configs)
        family = base_model.load(choice)
        hidden = family.encode_text(["a cat"], {}).hidden
        _must(_finite(hidden), "a text that is encoded to values that are not finite")


class LargeBases(Bases):
    """The same for SDXL."""

    kind = "sdxl"


class SimilarityModels:
    """The folder of a similarity model."""

    sentences = 1

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "judge"
        shutil.copytree(image_similarity.BUNDLED, self.folder)
        self.whole = {path.name: path.read_bytes() for path in self.folder.glob("*.*[ns]")}
        self.picture = Image.new("RGB", (32, 32), "red")
        self.read("config.json", self.whole["config.json"])

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        name = list(self.whole)[i % len(self.whole)]
        data = self.whole[name]
        if name.endswith(".json") and chance.random() < 0.7:
            return name, odd_json(data, chance)
        damage = broken if i // len(self.whole) % 2 else broken_inside
        return name, damage(data, chance, [self.whole["tokenizer.json"]])

    def read(self, kind: str, data: bytes) -> None:
        path = self.folder / kind
        path.write_bytes(data)
        try:
            found = image_similarity.SimilarityModel(str(self.folder)).features([self.picture])
            _must(_finite(found), "features that are not finite")
        finally:
            path.write_bytes(self.whole[kind])


class Loras:
    """LoRA files of either kind on a base model."""

    sentences = 1

    def __init__(self, folder: Path) -> None:
        self.family = base_model.load_named(str(_model(folder)), "cpu")
        self.folder = folder
        found = {"peft": self._lora("unet.{}.lora_A.weight", "unet.{}.lora_B.weight", ".")}
        found["kohya"] = self._lora(
            "lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight", "_"
        )
        self.whole = {f"{kind}.safetensors": save(tensors) for kind, tensors in found.items()}
        for kind, tensors in found.items():
            buffer = io.BytesIO()
            torch.save(tensors, buffer)
            self.whole[f"{kind}.bin"] = buffer.getvalue()
        self.read("peft.safetensors", self.whole["peft.safetensors"])

    def _lora(self, down: str, up: str, dot: str) -> dict[str, Tensor]:
        tensors = {}
        for name, layer in self.family.denoiser.named_modules():
            if name.endswith(("attn2.to_k", "attn1.to_q")):
                key = name.replace(".", dot)
                tensors[down.format(key)] = torch.full((4, layer.in_features), 0.1)
                tensors[up.format(key)] = torch.full((layer.out_features, 4), 0.1)
        return tensors

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        name = list(self.whole)[i % len(self.whole)]
        damage = broken if i // len(self.whole) % 2 else broken_inside
        return name, damage(self.whole[name], chance, list(self.whole.values()))

    def read(self, kind: str, data: bytes) -> None:
        path = self.folder / kind
        path.write_bytes(data)
        with self.family.with_loras([(path, 1.0)]):
            pass


class Latents:
    """Cached latents: unchanged, or encoded again."""

    sentences = 1

    def __init__(self, folder: Path) -> None:
        self.family = base_model.load_named(str(_model(folder)), "cpu")
        how = PictureSettings(pictures=(_pictures(folder),))
        shapes = examples.crop_sizes(how, 32, self.family.resolution_step)
        self.examples = list(examples.read(picture_files.find(how.pictures)[:1], how, shapes))
        self.true = self._encoded()
        (self.path,) = (folder / "cache" / "latents").glob("[!.]*")
        self.whole = self.path.read_bytes()

    def _encoded(self) -> Sequence[Tensor]:
        (found,) = latents.encode(self.family, self.examples)
        return found.moments.mean, found.moments.std

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        inside = without_checksum(self.whole) or b""
        match i % 4:
            case 0 | 1:
                return "damaged", broken(self.whole, chance, [inside])
            case 2:
                return "sealed again", with_checksum(broken_inside(inside, chance, [self.whole]))
            case _:
                return "sealed again", with_checksum(save(self._unexpected(chance, load(inside))))

    def _unexpected(self, chance: random.Random, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        key = chance.choice(list(tensors))
        old = tensors[key]
        odd: tuple[Tensor, ...] = (
            *(old * float("nan"), old * float("inf"), -old, old.half(), old.double()),
            *(old[..., 1:].contiguous(), old[0], old.repeat(2, 1, 1, 1), old.long(), old[:0]),
        )
        return {**tensors, key: chance.choice(odd)}

    def read(self, kind: str, data: bytes) -> None:
        self.path.write_bytes(data)
        found = self._encoded()
        if kind == "damaged":
            same = all(map(torch.equal, found, self.true))
            _must(same, "latents that are not the picture's")
        _must(_finite(found) and (found[1] >= 0).all(), "no moments")
        _must(found[0].shape == self.true[0].shape, "latents of another size")


class Checkpoints:
    """Checkpoints: loaded unchanged, or refused."""

    sentences = 1

    def __init__(self, folder: Path) -> None:
        family = base_model.load_named(str(_model(folder)), "cpu")
        self.state = support.train_state(
            family, _pictures(folder), vectors=2, norm="keep", average=True, steps=4
        )
        self.start = begin(family, self.state.word())
        for _ in zip(train(family, [self.state]), range(2), strict=False):
            pass
        self.state.evaluations.add(EvaluationLoss(2, 0.5, None), self.state.word())
        self.folder, self.sources = folder, dict.fromkeys(checkpoint.SOURCES, "x")
        checkpoint.save(folder, self.state, self.sources)
        (self.path,) = folder.glob("checkpoint-*.pt")
        self.step, self.whole = self.state.step, self.path.read_bytes()
        self.read("damaged", self.whole)

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        inside = without_checksum(self.whole) or b""
        match i % 4:
            case 0 | 1:
                return "damaged", broken(self.whole, chance, [inside])
            case 2:
                return "sealed again", with_checksum(broken_inside(inside, chance, [self.whole]))
            case _:
                return "sealed again", with_checksum(self._unexpected(inside, chance))

    def _unexpected(self, inside: bytes, chance: random.Random) -> bytes:
        stored = torch.load(io.BytesIO(inside), weights_only=True)
        key = chance.choice(list(stored))
        values = [None, 1, "x", [], {}, [None], {"x": 1}, 2**70, float("nan"), torch.zeros(3)]
        if chance.random() < 0.3:
            del stored[key]
        elif isinstance(stored[key], dict) and stored[key] and chance.random() < 0.5:
            stored[key][chance.choice(list(stored[key]))] = chance.choice(values)
        else:
            stored[key] = chance.choice(values)
        buffer = io.BytesIO()
        torch.save(stored, buffer)
        return buffer.getvalue()

    def read(self, kind: str, data: bytes) -> None:
        self.path.write_bytes(data)
        one = self.state
        state = TrainState.begin(one.data, methods.begin(self.start, one.hyper), one.schedule)
        checkpoint.load(self.folder, state, self.step, self.sources)
        if kind == "damaged":
            _must(_state(state) == _state(self.state), "another state")
        _must(_finite([state.word(), state.average, state.evaluations.best]), "values not finite")
        state.evaluations.add(EvaluationLoss(4, 0.5, 0.5), state.word())
        state.evaluations.plateau(3)
        state.evaluations.overfitting()


def _state(state: TrainState) -> str:
    """The contents of a checkpoint, to compare."""
    parts = [*state.method.parameters(), *state.average.values(), *state.evaluations.best.values()]
    optimiser = state.optimiser.state_dict()["state"]
    numbers = [part.detach().tolist() for part in parts]
    return repr((numbers, str(optimiser), state.evaluations.found, state.step, state.stopped))


class Runs:
    """The other files of a run's folder, as they are read to resume."""

    sentences = 99

    def __init__(self, folder: Path) -> None:
        settings: dict[str, Any] = {
            **{"pictures": [_pictures(folder)], "token": "<cat>", "base": str(_model(folder))},
            **{"init": "cat", "lr": "1e-3", "preview": (), "batch": 1, "out": folder / "run"},
            **{"evaluate_every": 2},
        }
        self.config = TrainConfig.check(**settings, steps=1)
        learn([self.config], Silent())
        Outputs(self.config.folder, checkpoint.MAKER).write(
            "changes.json", b'["step 1: --x was 1"]'
        )
        self.folder = folder / "run"
        names = ("config.toml", "log.jsonl", "chosen.json", "changes.json", ".pseudoword.jsonl")
        self.whole = {name: (self.folder / name).read_bytes() for name in names}
        self.chosen = RunFolder(self.folder).read_chosen()
        self.curves = 0
        self.read("chosen.json", self.whole["chosen.json"])

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        names = list(self.whole)
        name = names[i % len(names)]
        data, recorded = self.whole[name], i // len(names) % 2 and not name.startswith(".")
        if name.endswith("toml"):
            data = odd_toml(data, chance)
        elif chance.random() < 0.7:
            lines = data.split(b"\n") if name.endswith("jsonl") else [data]
            at = chance.choice([n for n, line in enumerate(lines) if line])
            lines[at] = odd_json(lines[at], chance)
            data = b"\n".join(lines)
        else:
            data = broken(data, chance, list(self.whole.values()))
        return f"{name}, recorded" if recorded else name, data

    def read(self, kind: str, data: bytes) -> None:
        for name, before in self.whole.items():
            if (self.folder / name).read_bytes() != before:
                (self.folder / name).write_bytes(before)
        name, _, recorded = kind.partition(", ")
        if recorded:
            Outputs(self.folder, checkpoint.MAKER).write(name, data)
        else:
            (self.folder / name).write_bytes(data)
        run = RunFolder(self.folder)
        run.check(self.config)
        run.recover()
        if run.is_finished(self.config, allow_changes=True):
            run.reopen(self.config)
        chosen = run.read_chosen()
        if not recorded:
            _must(chosen in ({}, self.chosen), "settings that were not chosen")
        entries = run.read_log()
        if kind.startswith("log.jsonl"):
            self.curves += 1
            if self.curves % 8 == 1:  # it takes a second
                charts.curves(entries, "a run")
        run.begin(self.config, 1)


class Settings:
    """`--config FILE`, of ours or of another trainer."""

    sentences = 99

    def __init__(self, folder: Path) -> None:
        self.path = folder / "config.toml"
        plain = TrainConfig(pictures=(Path("p"),), token="<cat>")
        full = plain.model_copy(
            update={"preview": ("a [name] --s 3", "b [name]"), "width": 64, "log": ("csv",)}
        )
        self.whole = [one.to_toml().encode() for one in (plain, full)]
        self.theirs = [
            b'{"concepts": [{"path": "p", "text": {"prompt_source": "sample"}}], '
            b'"samples": [{"prompt": "a"}], "unet": {"weight_dtype": "INT_8"}, '
            b'"learning_rate_warmup_steps": 0.1}',
            b"model: &m {name_or_path: m, quantize: true}\nsample: {prompts: [a, b], seed: 3}\n"
            b"optimizer: {learning_rate: 1e-3}\naspect_ratio_buckets: {target_resolution: 64}\n",
        ]
        self.read("", self.whole[0])

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        if i % 3 == 2:
            data, ending = self.theirs[i % 2], ("json", "yaml")[i % 2]
            if ending == "json" and chance.random() < 0.7:
                return ending, odd_json(data, chance)
            return ending, broken(data, chance, self.theirs)
        data = self.whole[i % 2]
        if chance.random() < 0.7:
            return "odd", odd_toml(data, chance)
        return "damaged", broken(data, chance, self.whole)

    def read(self, kind: str, data: bytes) -> None:
        theirs = kind if kind in ("json", "yaml") else "toml"
        path = self.path.with_suffix(f".{theirs}")
        path.write_bytes(data)
        if theirs == "json":
            with suppress(SettingsError):
                lines_of(str(path))
        config = TrainConfig.gather(path)
        config.to_toml()
        _must(config.total_steps > 0, "no steps")


class Texts:
    """Template files, and captions beside pictures or in a list."""

    sentences = 1

    def __init__(self, folder: Path) -> None:
        self.templates, self.picture = folder / "lines.txt", _pictures(folder) / "0.png"
        line = "a photo of [name], [filewords]\n"
        self.whole = [
            *(line.encode(how) for how in ("utf-8", "utf-8-sig", "utf-16", "utf-16-be", "cp1252")),
            *("\n".join(CAPTIONED).encode(), "кот,猫\r\n[name] 😀".encode()),
            b'file_name,text\r\n0.png,"a red, ""soft"" cat"\r\n',
            b'{"0": {"caption": "a red cat\\non a mat", "tags": "cat, mat"}, "b": 3}',
            *(b'{"file_name": "0.png", "text": "a \\ud83d red, cat"}\n' * 2, b""),
        ]
        self.read("template", self.whole[0])

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        data = broken(chance.choice(self.whole), chance, self.whole[:-1])
        if chance.random() < 0.05:
            data *= chance.choice((1000, 100_000))
        lists = ("metadata.jsonl", "metadata.csv", "meta_cap.json")
        return ("template", "caption", *lists)[i % 5], data

    def read(self, kind: str, data: bytes) -> None:
        for listing in self.picture.parent.glob("meta*"):
            listing.unlink()
        if kind == "template":
            self.templates.write_bytes(data)
            for line in captions.templates(str(self.templates)):
                captions.render(line, "<cat>", "a, b").encode()
            return
        beside = self.picture.with_suffix(".txt")
        beside.unlink(missing_ok=True)
        (beside if kind == "caption" else beside.with_name(kind)).write_bytes(data)
        found = captions.filewords(self.picture)
        how = CaptionSettings(shuffle_tags=True, drop_tags=0.1, keep_tags=1)
        captions.render("[name] [filewords]", "<cat>", captions.augment(found, how, 1)).encode()


class Sheets:
    """Contact sheets of ours, which may be replaced, and files that only look like one."""

    sentences = 1
    MAKER = "gallery 1234"

    def __init__(self, folder: Path) -> None:
        self.folder, self.whole = folder, {}
        picture = Image.new("RGB", (40, 30), "orange")
        for ending in ("png", "jpg", "webp"):
            path = folder / f"a.{ending}"
            picture_output.write(picture, path, self.MAKER)
            self.whole[ending] = path.read_bytes()
            self.read(ending, self.whole[ending])

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        ending = list(self.whole)[i % 3]
        if ending == "png" and chance.random() < 0.5:
            return ending, fuzz_pictures.broken_inside(self.whole[ending], chance)
        return ending, broken(self.whole[ending], chance, list(self.whole.values()))

    def read(self, kind: str, data: bytes) -> None:
        path = self.folder / f"a.{kind}"
        path.write_bytes(data)
        picture_output.check(path, self.MAKER)
        with Image.open(path) as now, Image.open(io.BytesIO(self.whole[kind])) as before:
            _must(now.tobytes() == before.tobytes(), "another picture is taken for ours")


class Marks:
    """The benchmark's results for each word."""

    sentences = 1

    def __init__(self, folder: Path) -> None:
        self.path = folder / "marks.json"
        marks = {"identity": 0.5, "following": 0.25, "recognised": 1.0, "kinds": {"plain": 0.5}}
        self.whole = json.dumps(marks).encode()
        self.read("", self.whole)

    def make(self, i: int, chance: random.Random) -> tuple[str, bytes]:
        return "", (odd_json if i % 2 else _broken)(self.whole, chance)

    def read(self, kind: str, data: bytes) -> None:
        self.path.write_bytes(data)
        runner._read_score(self.path)


def _broken(data: bytes, chance: random.Random) -> bytes:
    return broken(data, chance, [data])


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**63, -(2**63), 10**400, 0.5, -0.0, 1e308, 1e-320),
    *(float("nan"), float("inf"), "", "x", "../../x", "\x00", "\x1b[31m", "é😀", "a" * 9999),
    *([], {}, [[]], [None], {"": ""}, {"_class_name": ["x"]}, [1, "a"], "nan", "1e999", "true"),
)


def odd_json(data: bytes, chance: random.Random) -> bytes:
    """Valid JSON with one changed value or name; sometimes far too deep."""
    if chance.random() < 0.03:
        return chance.choice((b"[" * 99_999, b'{"a":' * 99_999, b"1" * 99_999, b"[]", b"null"))
    found = json.loads(data)
    _change(found, chance, ODD)
    return json.dumps(found).encode()


def odd_toml(data: bytes, chance: random.Random) -> bytes:
    """Valid TOML with one changed value or name; or damaged TOML."""
    if chance.random() < 0.2:
        return broken(data, chance, [data])
    from tomllib import loads

    found = loads(data.decode())
    dates = (datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1), datetime.time(1))
    _change(found, chance, [*(odd for odd in ODD if odd is not None), *dates])
    try:
        return tomli_w.dumps(found).encode()
    except (TypeError, ValueError, OverflowError):  # a list of mixed kinds with none in it
        return b"a = " + b"[" * 9999


def _change(found: Any, chance: random.Random, odd: Sequence[Any]) -> None:
    """Change one place of nested lists and dicts."""
    while True:
        places = list(found) if isinstance(found, dict) else list(range(len(found)))
        if not places:
            return
        at = chance.choice(places)
        if isinstance(found[at], dict | list) and found[at] and chance.random() < 0.7:
            found = found[at]
            continue
        if isinstance(found, dict) and chance.random() < 0.2:
            found[chance.choice(("", "x", "class", "a" * 999, "\x1b[31m"))] = found.pop(at)
        else:
            found[at] = chance.choice(odd)
        return


SHARES: Mapping[type[Reader], int] = {
    **{Embeddings: 24, Pictures: 20, Bases: 14, LargeBases: 4, Loras: 8, SimilarityModels: 3},
    **{Latents: 6, Checkpoints: 7, Runs: 7, Settings: 3, Texts: 2, Sheets: 1, Marks: 1},
}
"""Reader -> its share of 100 files."""
