"""What is not read of a language model is left out, and what is read stays as it was."""

import pytest
import torch
from tiny_encoders import encoder

from pseudoword.models.reading.language_model import up_to

IDS = torch.tensor([[5, 7, 1, 2], [9, 3, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


@pytest.mark.parametrize("last", [1, 2, 4, -1, -2])
@pytest.mark.parametrize("kind", ["Qwen 3", "Qwen 2.5 VL", "Mistral 3", "Gemma 2", "Llama"])
def test_the_hidden_states_up_to_the_last_one_read_are_those_of_the_whole_model(
    kind: str, last: int
) -> None:
    whole = encoder(kind)
    expected = whole(IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    total = sum(one.numel() for one in whole.parameters())
    part = up_to(whole, last)
    found = part(IDS, attention_mask=MASK, output_hidden_states=True).hidden_states
    kept = last % len(expected)
    assert len(part.layers) == kept
    assert len(found) == kept + 1
    assert all(map(torch.equal, found, expected))
    smaller = sum(one.numel() for one in part.parameters()) < total
    assert smaller or (kind == "Gemma 2" and kept == 4)  # it has no head


def test_a_model_with_fewer_blocks_than_are_read_is_refused() -> None:
    with pytest.raises(ValueError, match="it has 4 blocks, and what the block 9 gives"):
        up_to(encoder("Qwen 3"), 9)
