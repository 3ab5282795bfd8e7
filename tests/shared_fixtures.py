"""Fixtures shared by all tests."""

import functools
import gc
import itertools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import typer.main
import typer.testing
from PIL import Image, ImageDraw

from pseudoword.config import BaseChoice
from pseudoword.models import base_model
from pseudoword.models.family import Family
from pseudoword.models.loading import parts
from pseudoword.report import charts
from pseudoword.runs import active_run
from pseudoword.training import learning_rate_finder

# made once: to make all options of all commands takes longer than most command lines
vars(typer.testing)["_get_command"] = functools.cache(typer.main.get_command)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of a kind, made once: pytest asks again for each file's tests."""
    return functools.cache(lambda kind: tiny.BASES[kind](tmp_path_factory.mktemp(kind)))


@pytest.fixture(scope="session", params=tiny.DISTINCT)
def any_base(request: pytest.FixtureRequest, tiny_base: Callable[[str], Path]) -> Path:
    """The folder of a tiny model, once per kind of base model."""
    return tiny_base(request.param)


@pytest.fixture(scope="session", params=tiny.DISTINCT_UNETS)
def unet_base(request: pytest.FixtureRequest, tiny_base: Callable[[str], Path]) -> Path:
    """The folder of a tiny model, once per kind of base model with a U-Net."""
    return tiny_base(request.param)


@pytest.fixture(scope="session", params=tiny.TRANSFORMERS)
def transformer_base(request: pytest.FixtureRequest, tiny_base: Callable[[str], Path]) -> Path:
    """The folder of a tiny model, once per kind of base model with a transformer."""
    return tiny_base(request.param)


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny SD model."""
    return tiny.stable_diffusion(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="session")
def loaded() -> Callable[[Path], Family]:
    """The model of a folder, loaded once: a test that changes it loads one of its own."""
    return functools.cache(lambda folder: base_model.load_named(str(folder), "cpu"))


@pytest.fixture
def family(base: Path, loaded: Callable[[Path], Family]) -> Iterator[Family]:
    yield from _left_as_it_was(loaded(base))


@pytest.fixture
def any_family(any_base: Path, loaded: Callable[[Path], Family]) -> Iterator[Family]:
    yield from _left_as_it_was(loaded(any_base))


@pytest.fixture
def unet_family(unet_base: Path, loaded: Callable[[Path], Family]) -> Iterator[Family]:
    yield from _left_as_it_was(loaded(unet_base))


def _left_as_it_was(family: Family) -> Iterator[Family]:
    """The model, for a test that leaves it as it is for the next one."""
    before = _state(family)
    yield family
    assert _state(family) == before, "the test has changed the model that others use too"


def _state(family: Family) -> dict[str, Any]:
    """What a test may have changed: which parts there are, their modules, hooks and weights."""
    encoders = {key: encoder.model for key, encoder in family.encoders.items()}
    readers = [(id(one.reader), one.reader.length) for one in family.encoders.values()]
    noise_schedule = {"": (id(family.noise_schedule), readers)}
    return noise_schedule | _state_of({"denoiser": family.denoiser, **encoders})


def _state_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for part, model in parts.items():
        for name, module in model.named_modules():
            own = vars(module)
            hooks = [len(own[kind]) for kind in own if kind.endswith("hooks")]
            weights = [
                (key, id(weight), weight.requires_grad, weight.grad is None, weight._version)
                for key, weight in module._parameters.items()
                if weight is not None
            ]
            state[f"{part} {name}"] = (
                id(module),
                module.training,
                own.get("forward"),
                hooks,
                weights,
            )
    return state


@pytest.fixture(scope="session")
def _kept() -> dict[object, tuple[Any, dict[str, Any]]]:
    """Models that runs have loaded, and what their denoisers were like then."""
    return {}


BASES = ("base", "any_base", "unet_base", "transformer_base")


@pytest.fixture
def models_are_kept(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    _kept: dict[object, tuple[Any, dict[str, Any]]],
) -> None:
    """Runs and drawings share a test's tiny model: to load it takes a third of a short run's time.

    Models that are placed otherwise, those that somebody has changed and those of `load_named` are
    loaded anew.
    """
    names = [name for name in BASES if name in request.fixturenames]
    plain = [BaseChoice(base=str(request.getfixturevalue(name))) for name in names]
    load = base_model.load

    def load_or_share(choice: BaseChoice, *told: Any, **how: Any) -> Any:
        known = any(choice.base == one.base for one in plain) and not any(how.values())
        if not known or base_model.placement(choice) != base_model.placement(plain[0]):
            return load(choice, *told, **how)
        key = str(choice.model_dump(include=set(BaseChoice.model_fields)))
        family, before = _kept.get(key, (None, None))
        if family is None or _state_of({"": family.denoiser}) != before:
            family = load(choice, *told)
            _keep_vae(family)
            _kept[key] = family, _state_of({"": family.denoiser})
        return family

    def load_named(name: Any, device: Any = "auto", dtype: Any = "auto") -> Family:
        return load(BaseChoice.check(base=name, device=device, dtype=dtype))

    monkeypatch.setattr(base_model, "load", load_or_share)
    monkeypatch.setattr(base_model, "load_named", load_named)


def _keep_vae(family: Any) -> None:
    """Let the VAE be there at once when it is loaded again after `release_vae`."""
    load = family.parts.load_frozen

    @functools.cache
    def vae(kind: Any, **options: Any) -> Any:
        return load(kind, "vae", **options)

    def load_frozen(kind: Any, part: str, *take: Any, **options: Any) -> Any:
        return vae(kind, **options) if part == "vae" else load(kind, part, *take, **options)

    family.parts.load_frozen = load_frozen


@pytest.fixture
def short_range_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rate is chosen after a few steps: enough where only its bytes matter."""
    monkeypatch.setattr(learning_rate_finder, "STEPS", 4 * learning_rate_finder.EVERY)


@pytest.fixture
def little_to_search() -> None:
    """What is searched for garbage, or counted, is what the test itself makes."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def own_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are torch's own, as on a GPU: on a CPU, faster ones round differently."""
    monkeypatch.setattr(parts, "can_pack", lambda *_: False)


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folders that nobody has made yet."""
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_cache(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in `tmp_path`: pytest looks through all of them to make one, and many tests need none."""
    monkeypatch.setenv("PSEUDOWORD_CACHE", str(next(caches)))


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is slow, and no test cuts the power: what a killed process has written stays."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@functools.cache
def _a_chart() -> bytes:
    return charts.curves([{"step": 1, "loss": 1.0, "norm": 1.0, "lr": 0.1}], "a word")


@pytest.fixture(autouse=True)
def _one_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runs of a test have the same chart: drawing one takes a third of a short run's time.

    Those of fixtures of the module and of other processes have their own.
    """
    own = charts.curves

    def curves(entries: Sequence[Mapping[str, float]], title: str) -> bytes:
        return _a_chart() if charts.curves is own else charts.curves(entries, title)

    monkeypatch.setattr(active_run, "charts", SimpleNamespace(curves=curves))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of four small pictures, none of them square."""
    return _draw(tmp_path / "pictures")


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, caches: Iterator[Path]) -> Iterator[Path]:
    """A folder with the same `pictures`, for a run that the tests of a file share."""
    folder = tmp_path_factory.mktemp("once")
    _draw(folder / "pictures")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PSEUDOWORD_CACHE", str(next(caches)))
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield folder


def _draw(folder: Path) -> Path:
    folder.mkdir()
    for i, colour in enumerate(("red", "green", "blue", "orange")):
        picture = Image.new("RGB", (48, 40), "white")
        ImageDraw.Draw(picture).ellipse((8 + i, 8, 36, 32 - i), fill=colour)
        picture.save(folder / f"{i}.png")
    return folder
