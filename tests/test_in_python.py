"""Who calls a public function from Python is told of arguments, and misses no note."""

import asyncio
import logging
import pickle
import signal
import subprocess
import sys
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

import pseudoword
from pseudoword import api
from pseudoword.errors import (
    PseudowordError,
    RunFolderError,
    SettingsError,
    StoppedError,
    TrainingError,
)
from pseudoword.example_files import EXAMPLE_PICTURES
from pseudoword.in_python import in_python
from pseudoword.models import base_model
from pseudoword.progress import Silent


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("--steps: should be 3", "`steps`: should be 3"),
        ("-n: should be 3", "`n`: should be 3"),
        ("--average: should be true or false", "`average`: should be true or false"),
        ("--num-steps: there is no such setting", "`num_steps`: there is no such setting"),
        ("Run the same command again to go on.", "Call it again to go on."),
        ("ready. The same command tries these again.", "ready. The same call tries these again."),
        ("add --overwrite.", "add `overwrite=True`."),
        ("leave out --no-deterministic", "leave out `deterministic=False`"),
        ("--learning-rate and --lr", "`learning_rate` and `lr`"),
        ("--preview 'a [name] --s 2 --n red'", "`preview` 'a [name] --s 2 --n red'"),
        ("two--steps is--a --stepson", "two--steps is--a --stepson"),
        ("Try\npseudoword train a --steps 3\n--out", "Try\npseudoword train a --steps 3\n`out`"),
    ],
)
def test_options_are_called_as_arguments(said: str, told: str) -> None:
    assert in_python(said) == told


def test_errors_name_arguments_in_python_and_options_elsewhere(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    wrong: Any = "many"
    with pytest.raises(SettingsError, match=r"^`steps`: should be"):
        pseudoword.train(pictures, "<toy>", steps=wrong)
    with pytest.raises(SettingsError, match=r"^`concepts`: .*; did you mean `concept`\?$"):
        pseudoword.generate("a <toy>", **{"concepts": ["toy.safetensors"]})  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match=r"^--steps: should be"):
        api.train(pictures, "<toy>", steps=wrong)
    quick: dict[str, Any] = {"init": "cat", "base": base, "batch": 2, "preview": "none"}
    quick["out"] = tmp_path / "run"
    pseudoword.train(pictures, "<toy>", steps=1, **quick)
    with pytest.raises(RunFolderError, match=r"`steps` was 1, is 2.*`allow_changes=True`"):
        pseudoword.train(pictures, "<toy>", steps=2, **quick)


def test_what_is_added_to_an_error_names_arguments_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        error = PseudowordError("out of memory")
        error.add_note("--gradient-checkpointing needs less")
        raise error

    monkeypatch.setattr(api, "plan_memory", fails)
    with pytest.raises(PseudowordError) as raised:
        pseudoword.plan()
    assert raised.value.__notes__ == ["`gradient_checkpointing=True` needs less"]


def test_notes_go_to_the_log_or_to_the_progress_that_was_given(
    base: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Notes:
        def __init__(self) -> None:
            self.lines: list[str] = []

        def phase(self, text: str) -> None: ...

        def advance(self, done: int, total: int, detail: str = "") -> None: ...

        def note(self, text: str) -> None:
            self.lines.append(text)

    settings: dict[str, Any] = {"base": base, "sampler_steps": 1, "guidance": 1, "negative": "dog"}
    given = Notes()
    with caplog.at_level(logging.WARNING, "pseudoword"):
        pseudoword.generate("a cat", progress=given, **settings)
        assert caplog.messages == []
        pseudoword.generate("a cat", **settings)
    assert any(
        "`negative` dog has no effect without guidance (`guidance` above 1)" in line
        for line in given.lines
    )
    assert caplog.messages == given.lines


@pytest.mark.parametrize("public", [True, False])
def test_who_interrupts_a_notebook_is_told_to_call_again_not_of_a_command(
    base: Path, pictures: Path, tmp_path: Path, public: bool
) -> None:
    class Interrupts(Silent):
        def advance(self, done: int, total: int, detail: str = "") -> None:
            if done == 2 and detail.startswith("loss"):
                signal.raise_signal(signal.SIGINT)

    quick: dict[str, Any] = {"init": "cat", "base": base, "batch": 2, "preview": "none", "steps": 3}
    train = pseudoword.train if public else api.train
    with pytest.raises(KeyboardInterrupt) as raised:
        train(pictures, "<toy>", **quick, out=tmp_path, progress=Interrupts())
    how = "Call it again" if public else "Run the same command again"
    assert str(raised.value).endswith(f"in {tmp_path}. {how} to go on.")


def test_no_library_tells_of_packages_that_nobody_needs(tmp_path: Path) -> None:
    """In a process that has imported no pipeline yet, and that tqdm takes for a notebook."""
    settings = "init='bear', steps=1, batch=1, preview='none', template='captioned'"
    lines = ["import sys, types", "sys.modules['IPython'] = it = types.ModuleType('IPython')"]
    lines += ["it.get_ipython = lambda: None", "sys.modules['ipykernel.zmqshell'] = it"]
    lines += ["import pseudoword", "from pseudoword.example_files import EXAMPLE_PICTURES"]
    lines += [f"pseudoword.train(EXAMPLE_PICTURES, '<it>', out='run', {settings})"]
    code = [sys.executable, "-c", "; ".join(lines)]
    done = subprocess.run(code, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "pip install" not in done.stderr
    assert "torchvision" not in done.stderr
    assert "ipywidgets" not in done.stderr


def test_times_are_for_whoever_watches_not_for_the_log(
    base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "pseudoword"):
        pseudoword.train(
            EXAMPLE_PICTURES, "<cat>", base=base, steps=2, preview=[], out=tmp_path / "run"
        )
    assert "captions" in caplog.text  # a warning
    assert "took" not in caplog.text
    assert "to go" not in caplog.text


def test_a_public_function_is_one_and_the_same() -> None:
    assert pseudoword.train is pseudoword.train
    assert pseudoword.train.__doc__ == api.train.__doc__
    assert pseudoword.Concept is api.Concept


@pytest.mark.parametrize("name", ["train", "plan", "bases"])
def test_a_public_function_can_be_sent_to_another_process(name: str) -> None:
    function = getattr(pseudoword, name)
    assert pickle.loads(pickle.dumps(function)) is function


class Stops(Silent):
    """Ends a training in its first step, in a way of its own."""

    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop

    def advance(self, done: int, total: int, detail: str = "") -> None:
        if detail.startswith("loss") and done == 1:
            self.stop()


def run_out() -> None:
    raise RuntimeError("CUDA out of memory")


def press_ctrl_c() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("stop", "kind"), [(run_out, TrainingError), (press_ctrl_c, KeyboardInterrupt)]
)
def test_an_error_that_is_kept_does_not_keep_the_base_model(
    stop: Callable[[], None],
    kind: type[BaseException],
    base: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[Any] = []
    load = base_model.load

    def watched(*args: Any, **options: Any) -> Any:
        family = load(*args, **options)
        loaded.append(weakref.ref(family))
        return family

    monkeypatch.setattr(base_model, "load", watched)
    quick: dict[str, Any] = {"init": "cat", "base": base, "batch": 2, "preview": "none", "steps": 3}

    def fails() -> None:
        of_the_caller = "kept"
        raise ValueError(of_the_caller)

    def train_meanwhile() -> None:
        try:
            fails()
        except ValueError:
            pseudoword.train(pictures, "<toy>", **quick, out=tmp_path, progress=Stops(stop))

    with pytest.raises(kind) as raised:
        train_meanwhile()
    assert [one() for one in loaded] == [None]
    error: BaseException | None = raised.value
    while error is not None and not isinstance(error, ValueError):
        error = error.__cause__ or error.__context__
    assert error is not None
    assert [*traceback.walk_tb(error.__traceback__)][-1][0].f_locals["of_the_caller"] == "kept"


def test_a_training_that_is_asked_to_stop_ends_no_service(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    quick: dict[str, Any] = {"init": "cat", "base": base, "batch": 2, "preview": "none", "steps": 3}
    ask = Stops(lambda: (tmp_path / "stop.request").touch())

    async def serve() -> str:
        try:
            await asyncio.to_thread(
                pseudoword.train, pictures, "<toy>", **quick, out=tmp_path, progress=ask
            )
        except StoppedError as stopped:
            return str(stopped)
        return ""

    with ThreadPoolExecutor(1) as pool:  # a browser's tests leave a loop in this thread
        assert "at step 2" in pool.submit(lambda: asyncio.run(serve())).result()
    assert pseudoword.train(pictures, "<toy>", **quick, out=tmp_path).seconds > 0


@contextmanager
def default(kind: str, value: Any) -> Iterator[None]:
    before = getattr(torch, f"get_default_{kind}")()
    getattr(torch, f"set_default_{kind}")(value)
    try:
        yield
    finally:
        getattr(torch, f"set_default_{kind}")(None if kind == "device" else before)


@pytest.mark.parametrize(
    "mode",
    [
        torch.no_grad,
        torch.inference_mode,
        partial(torch.autocast, "cpu", dtype=torch.bfloat16),
        partial(default, "device", "meta"),
        partial(default, "dtype", torch.bfloat16),
    ],
    ids=["no_grad", "inference_mode", "autocast", "default device", "default dtype"],
)
def test_modes_of_torch_that_the_caller_is_in_change_nothing(
    mode: Callable[[], AbstractContextManager[Any]], base: Path, pictures: Path, tmp_path: Path
) -> None:
    def learn_and_draw(run: Path) -> tuple[bytes, bytes]:
        learned = pseudoword.train(
            pictures, "<toy>", base=str(base), steps=3, preview="none", out=run
        )
        drawn = pseudoword.generate(
            "a <toy>", base=str(base), concept=learned.concept, sampler_steps=2
        )
        return (run / "concept.safetensors").read_bytes(), drawn[0].tobytes()

    expected = learn_and_draw(tmp_path / "usual")
    with mode():
        found = learn_and_draw(tmp_path / "other")
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == (
            mode not in (torch.no_grad, torch.inference_mode),
            mode is torch.inference_mode,
        )
    assert found == expected
