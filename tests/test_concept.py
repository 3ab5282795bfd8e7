import pytest
import torch

from pseudoword.concept import Concept, check_fit
from pseudoword.errors import ConceptError, SettingsError


def test_a_width_that_does_not_fit_names_both() -> None:
    concept = Concept("<cat>", {"clip_l": torch.zeros(2, 768) + 1})
    with pytest.raises(ConceptError, match=r"width 768.*width 1024"):
        check_fit(concept, {"clip_h": 1024}, "some/model")
    with pytest.raises(ConceptError, match=r"width 768.*clip_l of width 768 and clip_g"):
        check_fit(concept, {"clip_l": 768, "clip_g": 1280}, "some/model")
    check_fit(concept, {"clip_l": 768}, "some/model")


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
