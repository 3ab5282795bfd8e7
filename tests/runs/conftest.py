"""The runs of these tests share loaded models."""

import pytest


@pytest.fixture(autouse=True)
def _share(models_are_kept: None) -> None:
    pass
