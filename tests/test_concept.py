import pytest
import torch

from pseudoword.concept import Concept
from pseudoword.errors import ConceptError, SettingsError


@pytest.mark.parametrize(
    "rows", [torch.zeros(3), torch.zeros(0, 4), torch.tensor([[1.0, float("nan")]])]
)
def test_what_is_no_embedding_is_refused(rows: torch.Tensor) -> None:
    with pytest.raises(ConceptError):
        Concept("<cat>", {"clip_l": rows})


@pytest.mark.parametrize("token", ["", "  ", " <cat>", "<cat>\n", "a\x00b"])
def test_a_token_that_cannot_be_written_in_a_prompt_is_refused(token: str) -> None:
    with pytest.raises(SettingsError, match="--token"):
        Concept(token, {"clip_l": torch.ones(1, 4)})
