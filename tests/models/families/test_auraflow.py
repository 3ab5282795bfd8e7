"""AuraFlow: padding that says nothing, and how large its pictures can be."""

from pathlib import Path
from typing import Any

import pytest
import tiny

import pseudoword
from pseudoword.errors import SettingsError
from pseudoword.models import base_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.auraflow(tmp_path_factory.mktemp("auraflow"))


def test_padding_is_zeros(base: Path) -> None:
    family: Any = base_model.load_named(str(base), "cpu")
    condition = family.encode_text(["a photo of a cat", "a dog"], {})
    read = condition.mask.bool()
    assert read.shape == (2, tiny.MOST_TOKENS)
    assert 0 < read[1].sum() < read[0].sum() < tiny.MOST_TOKENS
    assert not condition.hidden[~read].any()
    assert condition.hidden[read].any(-1).all()


def test_a_picture_larger_than_its_positions_is_refused_before_the_work(
    base: Path, pictures: Path, tmp_path: Path
) -> None:
    drawn: dict[str, Any] = {"base": str(base), "sampler_steps": 1}
    assert pseudoword.generate("a cat", resolution=96, **drawn)[0].size == (96, 96)
    with pytest.raises(SettingsError, match=r"96 x 104 pixels are too large.*at most 96"):
        pseudoword.generate("a cat", width=96, height=104, **drawn)
    with pytest.raises(SettingsError, match="128 x 128 pixels are too large"):
        pseudoword.train(
            *(pictures, "<cat>"), base=str(base), out=tmp_path, init="cat", resolution=128
        )
