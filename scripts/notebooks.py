"""Make the notebooks from their sources, run them, and keep what they show: `make notebooks`.

A source is a Python file with a comment before each cell, as jupytext reads it. Change the source,
never the .ipynb.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))
CELL_TIMEOUT_S = 1800
QUIET = {
    "DIFFUSERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "PYTHONWARNINGS": "ignore",
    "TRANSFORMERS_VERBOSITY": "error",
}


def main() -> None:
    """Make and run the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebook", nargs="*", help=" or ".join(one.stem for one in SOURCES))
    named = parser.parse_args().notebook
    if unknown := set(named) - {one.stem for one in SOURCES}:
        parser.error(f"there is no notebook {', '.join(unknown)}")
    os.environ.update(QUIET)
    for source in SOURCES:
        if named and source.stem not in named:
            continue
        print(f"running {source.stem}", flush=True)
        notebook = read(source)
        with tempfile.TemporaryDirectory() as folder:
            run(notebook, Path(folder))
        tidy(notebook)
        nbformat.write(notebook, source.with_suffix(".ipynb"))


def read(source: Path) -> Any:
    """The notebook that a source describes, without outputs; its cells are numbered."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{source.stem}-{number}"
        cell.metadata.pop("lines_to_next_cell", None)
    nbformat.validate(notebook)
    return notebook


def run(
    notebook: Any,
    folder: Path,
    parameters: Mapping[str, object] | None = None,
    timeout_s: int = CELL_TIMEOUT_S,
) -> None:
    """Run all cells, and keep what they show in `notebook`.

    Args:
        notebook: its outputs are replaced.
        folder: the current folder of the cells.
        parameters: variable -> value, set after the cell that has the tag `parameters`.
        timeout_s: of each cell.

    Raises:
        CellExecutionError: a cell failed.
    """
    (at,) = [n for n, c in enumerate(notebook.cells) if "parameters" in c.metadata.get("tags", [])]
    given = "\n".join(f"{name} = {value!r}" for name, value in (parameters or {}).items())
    if given:
        notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(given))
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=timeout_s, resources=resources, record_timing=False).execute()


def tidy(notebook: Any) -> None:
    """Leave out what nobody looks at: warnings of libraries, which name folders of this machine,
    and the larger copy of each picture that there are two of."""
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.outputs:
            if "image/jpeg" in output.get("data", {}):
                output.data.pop("image/png", None)


if __name__ == "__main__":
    main()
