"""A model is tried without torch's compiler, which takes as long to import as torch does."""

import sys
from typing import Any

import pytest
import torch

from pseudoword import imports


def test_a_model_is_tried_without_the_compiler(
    any_family: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = imports.NothingCompiled(imports.COMPILER)
    monkeypatch.setitem(sys.modules, imports.COMPILER, nothing)
    monkeypatch.setattr(torch, "_dynamo", nothing, raising=False)

    def imported(name: str) -> None:
        pytest.fail(f"{name} is imported")

    monkeypatch.setattr(imports, "_import_really", imported)
    any_family._check_parts()
