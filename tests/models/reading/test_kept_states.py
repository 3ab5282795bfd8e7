"""What a text encoder gives for prompts that are read one by one leaves memory with its reader."""

import gc
from weakref import ref

import torch

from pseudoword.models.reading.kept_states import OneByOne
from pseudoword.models.reading.prompts import Tokenized


class Output:
    """Of a transformer."""

    def __init__(self, ids: torch.Tensor) -> None:
        self.states = ids.float().unsqueeze(-1)


def test_all_that_the_transformer_gave_goes_at_once() -> None:
    """It waited for Python's collector: a plan counted more bytes when that came late."""
    gave = []

    def run(tokens: Tokenized) -> Output:
        output = Output(tokens.ids)
        gave.append(ref(output))
        return output

    ids = torch.arange(6).view(2, 3)
    tokens = Tokenized(ids, torch.full_like(ids, -1), torch.ones_like(ids))
    gc.disable()
    try:
        read = OneByOne(tokens, run, torch.device("cpu"), kept=None, unpadded=False)
        assert read.part("states").shape == (2, 3, 1)
        assert all(one() is not None for one in gave)
        del read
        assert [one() for one in gave] == [None, None]
    finally:
        gc.enable()
