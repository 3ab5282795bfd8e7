"""What a CPU computes in float32 although its model is in 16 bits."""

import pytest
import torch

from pseudoword.models.compute.precision import FEW, for_attention, for_norms


@pytest.mark.parametrize(("queries", "keys"), [(64, 64), (2 * FEW, 77), (77, 2 * FEW)])
def test_attention_of_few_positions_is_in_float32(queries: int, keys: int) -> None:
    q, k = (torch.ones(1, 1, n, 2, dtype=torch.bfloat16) for n in (queries, keys))
    assert [one.dtype for one in for_attention(q, k, k, q)] == 4 * [torch.float32]


def test_attention_of_many_positions_is_left_as_it_is() -> None:
    q = torch.ones(1, 1, FEW, 2, dtype=torch.bfloat16)
    assert all(one is q for one in for_attention(q, q, q))


def test_in_float32_and_on_a_gpu_nothing_is_converted() -> None:
    x = torch.ones(1, 1, 4, 2)
    assert all(one is x for one in (for_norms(x), *for_attention(x, x)))
    elsewhere = torch.ones(1, 4, 2, 2, dtype=torch.bfloat16, device="meta")
    found = for_norms(elsewhere), *for_attention(elsewhere, elsewhere)
    assert all(one is elsewhere for one in found)
