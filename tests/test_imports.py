"""What a process does not import that only runs a command."""

import gc
import importlib
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from forked import Process
from support import run
from torch.utils.checkpoint import checkpoint

from pseudoword import imports
from pseudoword.models.loading import single_file_configs


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether an installed extra was found, and other processes, when a library was imported."""
    (tmp_path / "an_extra.py").write_text("here = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(imports, "EXTRAS", ("an_extra",))
    monkeypatch.setattr(imports, "LIBRARIES", ("a_library",))
    monkeypatch.setattr(imports, "COMPILER", "sys")  # imported already, so it stays
    monkeypatch.setattr(imports, "_spares", False)
    monkeypatch.setattr(imports, "_kept", set())
    monkeypatch.setattr(gc, "freeze", lambda: None)
    monkeypatch.setattr(gc, "set_threshold", lambda *_: None)
    seen: list[bool] = []
    import_module = importlib.import_module

    def look(name: str) -> Any:
        if name != "a_library":
            return import_module(name)
        extra = importlib.util.find_spec("an_extra")
        return seen.extend([extra is not None, torch.distributed.is_available()])

    monkeypatch.setattr(importlib, "import_module", look)
    return seen


def test_libraries_find_nothing_that_a_command_does_not_use(found: list[bool]) -> None:
    imports.spare()
    imports.import_libraries()
    assert found == [False, False]


def test_an_extra_that_is_kept_is_found(found: list[bool]) -> None:
    imports.spare()
    imports.keep("an_extra")
    imports.import_libraries()
    assert found == [True, False]


def test_it_is_all_there_afterwards(found: list[bool]) -> None:
    before = torch.distributed.is_available()
    imports.spare()
    imports.import_libraries()
    assert __import__("an_extra").here
    assert torch.distributed.is_available() == before


def test_in_other_programs_libraries_are_imported_as_they_are(found: list[bool]) -> None:
    imports.import_libraries()
    assert found == []


def in_a_process(*lines: str) -> str:
    """What a process prints that runs these lines."""
    code = [sys.executable, "-c", "\n".join(lines)]
    return subprocess.run(code, capture_output=True, text=True, check=True).stdout.strip()


def in_a_command(*lines: str) -> str:
    """What a process prints that only runs a command."""
    return in_a_process("from pseudoword import imports", "imports.spare()", "import sys", *lines)


def stepped() -> float:
    number = torch.nn.Parameter(torch.ones(1))
    optimiser = torch.optim.AdamW([number])
    optimiser.zero_grad()
    number.square().sum().backward()
    optimiser.step()
    return number.item()


def checkpointed() -> float:
    number = torch.ones(1, requires_grad=True)
    checkpoint(torch.exp, number, use_reentrant=False).backward()
    assert number.grad is not None
    return number.grad.item()


@pytest.fixture(scope="module")
def of_a_command() -> list[str]:
    """What a command finds that imports the libraries, takes a step, and then checkpoints."""
    return in_a_command(
        "import gc",
        "searched = []",
        "gc.callbacks.append(lambda *_: searched.append(gc.get_count()))",
        "imports.import_libraries()",
        "print(len(searched) < 10, gc.get_freeze_count() > len(gc.get_objects()))",
        "everything = [[] for _ in range(50_000)]",
        "print(len(searched) >= 4)",
        "import torch",
        "from diffusers import UNet2DConditionModel",
        "from transformers import CLIPTextModel",
        inspect.getsource(stepped),
        "print(stepped(), 'torch._dynamo.convert_frame' in sys.modules, 'sympy' in sys.modules)",
        "from torch.utils.checkpoint import checkpoint",
        inspect.getsource(checkpointed),
        "print(checkpointed(), 'torch._dynamo.convert_frame' in sys.modules)",
        "settings = torch._dynamo.config",
        "print(torch._dynamo.is_compiling(), len(torch._dynamo.list_backends()) > 0)",
        "print('torch._dynamo.convert_frame' in sys.modules, torch._dynamo.config is settings)",
    ).split("\n")


def test_garbage_is_hardly_searched_for_while_modules_are_imported(of_a_command: list[str]) -> None:
    """Later it is, and what was imported is left out."""
    assert of_a_command[:2] == ["True True", "True"]


def test_optimisers_and_models_do_without_the_compiler(of_a_command: list[str]) -> None:
    """The numbers are those that the optimiser gives in this process."""
    assert of_a_command[2] == f"{stepped()} False False"


def test_checkpointing_does_without_the_compiler(of_a_command: list[str]) -> None:
    """Which has the settings that were there before it, once it is used."""
    assert of_a_command[3:] == [f"{checkpointed()} False", "False True", "True True"]


def test_loras_do_without_the_compiler_and_without_quantised_layers() -> None:
    pytest.importorskip("peft", reason="needs peft, which is not installed")
    said = in_a_command(
        "imports.keep('peft')",
        "imports.import_libraries()",
        "import peft",
        "print([n for n in ('bitsandbytes', 'torch._dynamo.convert_frame') if n in sys.modules])",
    )
    assert said == "[]"


def test_the_compiler_is_there_as_soon_as_it_is_used() -> None:
    said = in_a_command(
        "import torch",
        "from torch._dynamo.utils import counters",
        "import torch._dynamo.config",
        "print(isinstance(torch._dynamo, imports.NothingCompiled), len(counters))",
        "print(torch.compile(torch.sin, backend='eager')(torch.zeros(1)))",
    )
    assert said == "False 0\ntensor([0.])"


def test_all_models_are_there_as_soon_as_one_is_asked_for() -> None:
    said = in_a_command(
        "from transformers import CLIPTextConfig",
        "import transformers.models as models",
        "print(isinstance(models, imports.Later))",
        "print(models.CLIPTextConfig is CLIPTextConfig)",
        "print(isinstance(sys.modules['transformers.models'], imports.Later))",
        "from transformers.models import T5Config, clip",
        "print(clip.CLIPTextConfig is CLIPTextConfig)",
    )
    assert said.split("\n") == ["True", "True", "False", "True"]


def test_nothing_is_searched_for_garbage_at_the_end() -> None:
    said = in_a_process(
        "import atexit, gc",
        "atexit.register(lambda: print(len(gc.get_objects())))",  # the last one that is called
        "from pseudoword import imports",
        "imports.spare()",
    )
    assert int(said) < 10


def test_what_triton_counts_at_the_end_is_cleared_away() -> None:
    """A circle in place of triton's, kept apart by `gc.freeze` as what was imported is."""
    said = in_a_command(
        "import gc",
        "class Circle:",
        "    def __init__(self): self.own = self",
        "    def __del__(self): print('cleared away')",
        "sys.modules['triton._C.libtriton'] = sys",
        "Circle()",
        "gc.freeze()",
    )
    assert said == "cleared away"


@pytest.mark.skipif(importlib.util.find_spec("gradio") is None, reason="needs gradio")
def test_gradio_is_imported_without_writing_stubs_beside_its_source() -> None:
    said = in_a_process(
        "import ast",
        "read = []",
        "ast.get_source_segment = lambda *given: read.append(given) or ''",
        "import pseudoword.ui.page, sys",
        "from gradio.components import Textbox",
        "class Own(Textbox): pass",
        "print(Own().get_block_name(), callable(Own.change), len(read))",
    )
    assert said == "own True 0"


def test_python_without_docstrings_is_told_at_once() -> None:
    for arguments in (["train", "--help"], ["generate", "a cat"]):
        done = subprocess.run(
            [sys.executable, "-OO", "-m", "pseudoword", *arguments], capture_output=True, text=True
        )
        assert done.returncode == 2
        assert done.stderr.startswith("error: diffusers does not work without docstrings.")
        assert len(done.stderr.splitlines()) == 1


def test_a_command_says_that_it_starts_before_it_imports_torch() -> None:
    said = in_a_process(
        "import sys",
        "from pseudoword.cli import app, console",
        "def first(_, text): sys.exit(print(text, 'torch' in sys.modules))",  # all that is asked
        "console.Console.phase = first",
        "sys.argv = ['pseudoword', 'train', '.', '--token', '<cat>']",
        "try: app.main()",
        "except SystemExit: pass",
    )
    assert said == "starting False"


A_PAGE = """
import sys
from pathlib import Path
from pseudoword.ui.page import app

def look(_):
    with app.gr.utils.MatplotlibBackendMananger():  # around each event
        print("matplotlib.pyplot" in sys.modules)

app._launch, app._until_stopped = lambda *_: app.gr.Blocks(), look
app.serve(Path("page"), host="127.0.0.1", port=0, share=False, password=None, ready=lambda _: None)
"""


def test_a_page_looks_for_no_screen_to_draw_on(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="the page needs gradio")
    script = tmp_path / "a_page.py"
    script.write_text(A_PAGE)
    served = Process(module=script, cwd=tmp_path)
    assert served.wait() == 0, served.stderr
    assert served.stdout == "False\n"


@pytest.mark.parametrize(("lora", "kept"), [("", set()), ("a.safetensors", {"peft"})])
def test_loras_need_peft(
    lora: str, kept: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_kept", set())
    (tmp_path / "a.safetensors").touch()
    no_model = tmp_path / "base"
    no_model.mkdir()
    run("generate", "a cat", "--base", no_model, *(["--lora", tmp_path / lora] if lora else []))
    assert imports._kept == kept


def test_whoever_first_asks_for_a_class_of_diffusers_imports_no_more_than_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(imports, "import_libraries", lambda: asked.append("here"))
    single_file_configs.folder("sd1")  # of checkpoints of one file, and of `plan --base sd1`
    assert asked
