"""What must hold for every method: a new one is found by its line in `METHODS`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import Unplugged, train_state
from torch import Tensor
from word_files import write_word

from pseudoword import api, formats
from pseudoword.concept import Concept
from pseudoword.config import TrainConfig
from pseudoword.config.fields import AUTO
from pseudoword.config.method import LAYERED, MethodName
from pseudoword.config.word import NewWord
from pseudoword.errors import ConceptError, RunFolderError
from pseudoword.methods import METHODS
from pseudoword.methods.layered import Layered
from pseudoword.models.family import Family
from pseudoword.models.generation import generate
from pseudoword.runs import checkpoint, checks
from pseudoword.training import early_stopping, importance, initialisation, loop
from pseudoword.training.batches import fixed

SETTINGS: dict[str, Any] = {"norm": "keep", "lr": 0.02, "average": True, "batch": 4}


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session", params=["sd1", "sdxl", "sd3"])
def any_base(request: pytest.FixtureRequest, tiny_base: Callable[[str], Path]) -> Path:
    """What a method may know of a model: one encoder or several, layers or none."""
    return tiny_base(request.param)


def can_learn(method: str, family: Family) -> bool:
    """Transformers have no layers that can read a text of their own."""
    return method not in LAYERED or bool(family.layers)


def end_to_end(word: dict[str, Tensor]) -> Tensor:
    return torch.cat([rows.flatten() for rows in word.values()])


def test_a_run_that_was_cut_ends_with_the_same_bytes_and_draws(
    method: MethodName, any_base: Path, any_family: Family, pictures: Path, tmp_path: Path
) -> None:
    if not can_learn(method, any_family):
        with pytest.raises(ConceptError, match="layers"):
            api.train(
                pictures, "<cat>", base=str(any_base), out=tmp_path, init="cat", method=method
            )
        return
    settings: dict[str, Any] = {"base": str(any_base), "init": "cat", "steps": 4, "preview": ()}
    settings |= {"batch": 2, "timestep_sampling": "uniform"}
    settings |= {"checkpoint_every": 2, "method": method}
    whole = api.train(pictures, "<cat>", out=tmp_path / "whole", **settings)
    with pytest.raises(RuntimeError, match="unplugged"):
        api.train(pictures, "<cat>", out=tmp_path / "cut", progress=Unplugged(after=3), **settings)
    again = api.train(pictures, "<cat>", out=tmp_path / "cut", **settings)
    files = [(run.folder / "concept.safetensors").read_bytes() for run in (whole, again)]
    assert files[0] == files[1]
    assert whole.effect > 0
    read = formats.read(whole.folder)
    assert read.method == method
    assert all(torch.equal(rows, whole.concept.vectors[key]) for key, rows in read.vectors.items())
    with_word, without = (
        generate(any_family, [prompt], [read], seeds=[1], sampler_steps=2)[0]
        for prompt in ("a <cat>", "a cat")
    )
    assert with_word.tobytes() != without.tobytes()


def test_it_learns(method: MethodName, any_family: Family, pictures: Path) -> None:
    if not can_learn(method, any_family):
        return
    one = train_state(any_family, pictures, method=method, **SETTINGS, steps=12)
    samples = fixed(any_family, one.data, 16)
    before = early_stopping.evaluation_losses(any_family, [(one.word(), samples)])
    list(loop.train(any_family, [one]))
    assert one.failure is None
    assert early_stopping.evaluation_losses(any_family, [(one.word(), samples)]) < before


def test_words_of_all_methods_share_a_pack_and_are_learned_as_alone(
    any_family: Family, pictures: Path
) -> None:
    """Equal but for rounding, as in `test_loop`."""

    def pack() -> list[Any]:
        return [
            train_state(any_family, pictures, f"<{name}>", method=name, **SETTINGS)
            for name in METHODS
            if can_learn(name, any_family)
        ]

    together, alone = pack(), pack()
    starts = [end_to_end(one.word()) for one in together]
    list(loop.train(any_family, together))
    for one in alone:
        list(loop.train(any_family, [one]))
    for start, packed, solo in zip(starts, together, alone, strict=True):
        assert not torch.equal(end_to_end(solo.word()), start)
        torch.testing.assert_close(
            end_to_end(packed.word()), end_to_end(solo.word()), rtol=0, atol=0.02 * 0.02
        )


@pytest.mark.usefixtures("short_range_test")
def test_it_goes_on_from_a_word_in_a_file_and_finds_a_rate(
    method: MethodName, base: Path, pictures: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"base": str(base), "steps": 2, "preview": (), "batch": 2}
    first = api.train(
        pictures, "<a>", out=tmp_path / "a", init="cat", vectors=2, method=method, **settings
    )
    again = api.train(
        pictures, "<b>", out=tmp_path / "b", init=str(tmp_path / "a"), method=method, lr="auto",
        **settings,
    )  # fmt: skip
    assert float(again.concept.provenance["lr"]) > 0
    begun, gone = end_to_end(dict(first.concept.vectors)), end_to_end(dict(again.concept.vectors))
    assert torch.cosine_similarity(begun, gone, dim=0) > 0.8
    assert not torch.equal(begun, gone)


def test_timesteps_that_move_its_word_are_found(
    method: MethodName, family: Family, pictures: Path
) -> None:
    one = train_state(family, pictures, method=method, **SETTINGS)
    (density,) = importance.densities(family, [(one.data, one.word())])
    assert len(density) == importance.PARTS
    assert max(density) > min(density)


def test_the_method_of_a_run_cannot_change(
    method: MethodName, family: Family, pictures: Path, tmp_path: Path
) -> None:
    checkpoint.save(tmp_path, train_state(family, pictures, method=method, **SETTINGS), {})
    other = next(name for name in METHODS if name != method)
    with pytest.raises(RunFolderError, match=f"begun with --method {method}"):
        checkpoint.load(
            tmp_path, train_state(family, pictures, method=other, **SETTINGS), 0, {}, changed=True
        )


def test_what_needs_no_model_is_asked_of_the_method(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mine(Layered):
        def optimiser(self, lr: float) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr)

    monkeypatch.setitem(METHODS, "mine", Mine)
    file = tmp_path / "cat.safetensors"
    write_word(Concept("<cat>", {"clip_l.MID": torch.ones(1, 32)}), file)
    assert initialisation.check(NewWord("<x>", str(file), "file"), AUTO, "mine") is None
    with pytest.raises(ConceptError, match="is a layered word"):
        initialisation.check(NewWord("<x>", str(file), "file"), AUTO, "classic")
    config = TrainConfig.check(pictures=[pictures], token="<cat>", optimiser="Adadelta")
    told: dict[str, list[str]] = {"mine": [], "classic": []}
    for method, notes in told.items():
        asked = config.model_copy(update={"method": method})
        checks.before_loading(asked, [pictures], ["a [name]"], notes.append)
    assert told["mine"] == []
    assert "needs --lr 1" in told["classic"][0]
