"""Which graphs are recorded, and when; here without a GPU, by a stand-in for what records."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import pytest
import tiny
import torch
from support import train_state
from torch import Tensor

from pseudoword.api import train
from pseudoword.errors import SettingsError, TrainingError
from pseudoword.models.families import load_class
from pseudoword.models.family import Condition, Family
from pseudoword.training import graphs
from pseudoword.training.batches import batch
from pseudoword.training.loop import train as loop

Recorded = list[tuple[torch.Size, ...]]


@pytest.fixture(autouse=True)
def none_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The models of these tests have recorded nothing before."""
    monkeypatch.setattr(graphs, "_graphs", WeakKeyDictionary())


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """The shapes of what was recorded; the graphs run as usual."""
    shapes: Recorded = []

    def record(
        run: Callable[..., Tensor], inputs: tuple[Tensor, ...], allow_unused_input: bool
    ) -> Callable[..., Tensor]:
        assert allow_unused_input
        assert all(one.is_leaf for one in inputs)
        shapes.append(tuple(one.shape for one in inputs))
        return run

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    return shapes


def test_a_graph_is_recorded_once_for_each_shape_and_learns_the_same(
    family: Family, pictures: Path, recorded: Recorded
) -> None:
    eager = train_state(family, pictures, steps=3)
    for _ in loop(family, [eager]):
        pass
    assert not recorded
    for size in (2, 3):
        one = train_state(family, pictures, steps=3, batch=size, graphs=True)
        for _ in loop(family, [one]):
            pass
        if size == 2:
            assert all(torch.equal(eager.word()[key], rows) for key, rows in one.word().items())
    assert [shapes[0][0] for shapes in recorded] == [2, 3]


def test_a_graph_is_recorded_on_the_gpu_that_computes(
    family: Family, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another one than torch's own choice: `--device cuda:1`."""
    chosen: list[Tensor] = []

    @contextmanager
    def on_device_of(tensor: Tensor) -> Iterator[None]:
        assert not recorded
        chosen.append(tensor)
        yield
        assert recorded

    monkeypatch.setattr(torch.cuda, "device_of", on_device_of)
    width = next(iter(family.encoders.values())).width
    noisy, text = torch.zeros(1, 4, 8, 8), Condition(torch.zeros(1, 7, width))
    graphs.predict(family, noisy, torch.zeros(1, dtype=torch.int64), text, torch.zeros(1, 6))
    assert [one.device for one in chosen] == [noisy.device]


def test_few_graphs_are_kept(family: Family, recorded: Recorded) -> None:
    width = next(iter(family.encoders.values())).width
    for size in (1, 2, 3, 4, 5, 5, 1):
        inputs = torch.zeros(size, 4, 8, 8), torch.zeros(size, dtype=torch.int64)
        text = Condition(torch.zeros(size, 7, width, requires_grad=True))
        graphs.predict(family, *inputs, text, torch.zeros(size, 6))
    assert [shapes[0][0] for shapes in recorded] == [1, 2, 3, 4, 5, 1]


def test_where_each_layer_reads_its_own_text_nothing_is_recorded(
    family: Family, pictures: Path, recorded: Recorded
) -> None:
    state = train_state(family, pictures, method="layered", steps=1, graphs=True)
    for _ in loop(family, [state]):
        pass
    assert state.failure is None
    assert not recorded


def test_what_cannot_be_recorded_is_an_error_that_says_what_to_do(
    family: Family, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = train_state(family, pictures, graphs=True)
    said = ["operation not permitted when stream is capturing", "CUDA out of memory"]

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(said.pop(0))

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", refuse)
    own = batch(family, [state.data], 0)
    width = next(iter(family.encoders.values())).width
    text = Condition(torch.zeros(2, 7, width))
    with pytest.raises(TrainingError, match="Leave out --graphs"):
        graphs.predict(family, own.noise, own.t, text, own.micro_conditioning)
    with pytest.raises(RuntimeError, match="out of memory"):
        graphs.predict(family, own.noise, own.t, text, own.micro_conditioning)


def test_graphs_without_a_gpu_are_refused_before_the_first_step(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="--graphs needs an NVIDIA GPU"):
        train(pictures, "<cat>", base=str(base), device="cpu", graphs=True, out=tmp_path / "run")


@pytest.mark.parametrize(
    "kind", [kind for kind in tiny.TRANSFORMERS if not load_class(kind).graphable]
)
def test_graphs_of_a_denoiser_that_cannot_be_one_are_refused(
    kind: str, pictures: Path, tmp_path: Path
) -> None:
    base = tiny.BASES[kind](tmp_path / "base")
    with pytest.raises(SettingsError, match="--graphs does not work with"):
        train(pictures, "<cat>", base=str(base), graphs=True, out=tmp_path / "run")
