"""The notebooks are those of their sources, and their cells run from top to bottom."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked
import pytest

import pseudoword
from pseudoword.models import base_model

for package in ("IPython", "ipykernel", "jupytext", "nbclient"):
    pytest.importorskip(package, reason=f"needs {package}, which is not installed")

import nbformat  # noqa: E402
from jupyter_client.provisioning.local_provisioner import LocalProvisioner  # noqa: E402

from pseudoword.notebook import EXAMPLE_WORDS  # noqa: E402
from scripts import notebooks  # noqa: E402


class Kernel(forked.Process):
    """Runs the cells of a notebook; to `jupyter_client` it is as if it had started the process."""

    stdin = stdout = stderr = None  # type: ignore[assignment]  # nothing that it would have to close


@pytest.fixture(autouse=True)
def _kernels_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    async def launch(self: Any, cmd: list[str], *, cwd: str, env: dict[str, str], **_: Any) -> Any:
        at = cmd.index("-m")
        self.process = Kernel(*cmd[at + 2 :], module=cmd[at + 1], env=env, cwd=Path(cwd))
        return self.connection_info

    monkeypatch.setattr(LocalProvisioner, "launch_kernel", launch)


FAST = {"SAMPLER_STEPS": 2}
TEACHING = {
    **FAST,
    "STEPS": 4,
    "PROMPTS": ["a photo of a [name]", "a [name] on a teal background"],
}
TIMEOUT_S = 300
SOURCES = pytest.mark.parametrize("source", notebooks.SOURCES, ids=lambda source: source.stem)


def cells(notebook: Any) -> list[Any]:
    return [(cell.cell_type, cell.source, cell.metadata.get("tags")) for cell in notebook.cells]


def pictures(notebook: Any) -> int:
    """How many pictures the cells show."""
    outputs = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    return sum("image/png" in one.get("data", {}) for one in outputs)


@SOURCES
def test_a_notebook_has_the_cells_of_its_source(source: Path) -> None:
    made = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(made)
    assert cells(made) == cells(notebooks.read(source)), "run `make notebooks`"


@SOURCES
def test_a_notebook_is_kept_small_and_with_all_that_it_showed(source: Path) -> None:
    path = source.with_suffix(".ipynb")
    assert path.stat().st_size < 1_500_000
    code = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [one for cell in code for one in cell.outputs if one.output_type == "error"]


@pytest.fixture
def their_files(tmp_path: Path) -> Iterator[list[Path]]:
    """Files that somebody may have where a notebook runs; they stay as they are."""
    names = "panda.pt panda.safetensors diffusers.safetensors gallery.png pictures/1.png".split()
    files = [tmp_path / name for name in names]
    (tmp_path / "pictures").mkdir()
    for file in files:
        file.write_text("mine")
    yield files
    assert [file.read_text(errors="replace") for file in files] == ["mine"] * len(files)


@pytest.mark.slow
@pytest.mark.usefixtures("their_files")
def test_teaching_runs_from_top_to_bottom(base: Path, tmp_path: Path) -> None:
    notebook = notebooks.read(notebooks.ROOT / "notebooks" / "train.py")
    notebooks.run(notebook, tmp_path, {**TEACHING, "LARGER": str(base)}, TIMEOUT_S)
    assert pictures(notebook) == 5
    assert pseudoword.inspect(tmp_path / "converted" / "panda.pt").provenance["steps"] == "4"


@pytest.mark.slow
def test_teaching_has_the_same_cells_for_a_model_with_two_text_encoders(
    tiny_base: Callable[[str], Path], tmp_path: Path
) -> None:
    notebook = notebooks.read(notebooks.ROOT / "notebooks" / "train.py")
    base = str(tiny_base("sdxl"))
    notebooks.run(notebook, tmp_path, {**TEACHING, "BASE": base, "LARGER": base}, TIMEOUT_S)
    assert set(pseudoword.inspect(tmp_path / "converted" / "panda.pt").encoders) == {
        "clip_l",
        "clip_g",
    }


@pytest.mark.slow
@pytest.mark.usefixtures("their_files")
def test_drawing_runs_from_top_to_bottom(tmp_path: Path) -> None:
    notebook = notebooks.read(notebooks.ROOT / "notebooks" / "use.py")
    notebooks.run(notebook, tmp_path, {**FAST, "COUNT": 1}, TIMEOUT_S)
    assert pictures(notebook) == 6
    assert (tmp_path / "converted" / "a1111" / "panda.pt").exists()


def test_the_example_words_were_learned_for_the_bundled_base_model() -> None:
    (base,) = pseudoword.bases()
    fingerprint = base_model.load_named(base.name, "cpu").fingerprint()
    names = ("emojione.safetensors", "panda.safetensors", "penguin.png", "pumpkin.pt")
    words = [pseudoword.inspect(EXAMPLE_WORDS / name) for name in names]
    learned_for = {word.provenance["base_fingerprint"] for word in words}
    assert learned_for == {fingerprint}, "run scripts/example_words.py"
